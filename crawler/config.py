"""The configuration as frozen, typed sections: what the user asked for, with defaults filled in and paths resolved.

A section that is present switches its output on; the section of an output that is off is None. Types, defaults and
help of every key stand in the dataclasses below and nowhere else; `typed.py` checks a document against them, and
this module adds the rules that join several keys. A key marked ``shapes: False`` changes how a run goes, not what
it writes. The module creates no folder and does not look whether the input exists.
"""

# ruff: noqa: RUF009 - `key` makes a dataclasses.field, not a value that instances would share.
from __future__ import annotations

import difflib
import io
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, replace
from decimal import Decimal
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

import yaml

from crawler import typed
from crawler.errors import ConfigError
from crawler.paths import portable
from crawler.typed import Problem

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*([A-Z]*)", re.ASCII | re.IGNORECASE)
A_SIZE = "a size of at least one byte, such as 4GB, 512 MB or 1GiB"


def read_size(written: object) -> object:
    """Bytes of a text such as "4GB", "512 MB", "1.5GiB" (GB is 10^9, GiB is 2^30), else ValueError.

    Anything but text comes back unchanged, for the check of its type.
    """
    if not isinstance(written, str):
        return written
    match = _SIZE.fullmatch(written.strip())
    if match is None or match[2].upper() not in _UNITS:
        raise ValueError(A_SIZE)
    return int(Decimal(match[1]) * _UNITS[match[2].upper()])


def read_extension(written: object) -> object:
    """A file name extension in lower case with its dot; anything but text unchanged."""
    return "." + written.lower().removeprefix(".") if isinstance(written, str) and written else written


def read_image_extension(written: object) -> object:
    """As `read_extension`; ValueError unless Pillow writes both grey and colour in that format."""
    extension = read_extension(written)
    if not isinstance(extension, str):
        return extension
    from PIL import Image  # slow to load, and needed by this section only

    formats = Image.registered_extensions()
    if extension in formats and _is_writable(formats[extension]):
        return extension
    near = [e for e in difflib.get_close_matches(extension, formats, n=9, cutoff=0.5) if _is_writable(formats[e])]
    near.sort(key=lambda known: sorted(known) != sorted(extension))  # two letters swapped is the commonest slip
    raise ValueError(f"an image extension that Pillow writes{f'; nearest: {near[0]}' if near else ''}")


def _is_writable(name: str) -> bool:
    """Whether a Pillow format takes pictures; asked by writing, as some formats are registered without a writer."""
    from PIL import Image

    try:
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # still writable
            for mode in ("L", "RGB"):
                Image.new(mode, (16, 16)).save(io.BytesIO(), format=name)  # 16: the smallest size of an icon
    except (OSError, ValueError, KeyError):
        return False
    return True


def read_texts(written: object) -> object:
    """A mapping with its numbers as text, as a command line takes them: ``crf: 17`` is ``crf: "17"``."""
    if not isinstance(written, Mapping):
        return written
    # The sign turns true into 1 and leaves numbers as they are.
    return {name: str(+item) if isinstance(item, int | float) else item for name, item in written.items()}


_SIZE_RULES: dict[str, Any] = {"read": read_size, "expects": A_SIZE, "minimum": 1, "shapes": False}


def key(default: Any, help_line: str, **rules: Any) -> Any:
    """A dataclass field that is a key of the document: `rules` as in `typed.py`; a callable makes the default."""
    made: dict[str, Any] = {"default_factory" if callable(default) else "default": default}
    return field(**made, metadata={"help": help_line, **rules})


@dataclass(frozen=True, slots=True)
class OutputSection:
    """Where outputs lie."""

    dir: str | None = key(None, "folder of relative outputs and of the run's own files; else the current", shapes=False)


@dataclass(frozen=True, slots=True)
class LimitsSection:
    """What one file may cost; enforced on workers."""

    seconds: float = key(120.0, "time for one file, seconds", above=0, shapes=False)
    memory: int = key(4 * 10**9, "memory of one worker, bytes", **_SIZE_RULES)
    pixels: int = key(2 * 10**9, "decoded size of one frame, bytes", **_SIZE_RULES)


@dataclass(frozen=True, slots=True)
class DicomSection:
    """The input."""

    dir: str | tuple[str, ...] = key(MISSING, "folder, or list of folders", expects="a folder or a list", min_items=1)
    recursive: bool = key(True, "whether to look into subfolders")
    group: Literal["folder", "tree"] = key(
        "folder", "folder: the files of a scan lie in one folder; tree: anywhere below the root, as in a PACS's storage"
    )


@dataclass(frozen=True, slots=True)
class ConfigSection:
    """The copy of the configuration."""

    file: str = key("config.yml", "copy of this file, kept for reproducibility", shapes=False)


@dataclass(frozen=True, slots=True)
class MetadataSection:
    """One row per DICOM file."""

    file: str = key("metadata.jsonl", "JSON Lines file, one object per DICOM file")
    append: bool = key(True, "true: resume; false: an existing file is an error", shapes=False)
    keys: Literal["keyword", "name", "tag"] = key(
        "keyword", "keyword: PatientName; name: Patient's Name; tag: (0010,0010)"
    )
    tables: tuple[Literal["csv"], ...] = key(("csv",), "tables of the rows", later=("parquet", "xlsx"), shapes=False)


@dataclass(frozen=True, slots=True)
class MediaSection:
    """Where images and videos lie."""

    dir: str = key("media", "folder of images and videos, which mirrors the input tree")
    overwrite: bool = key(False, "whether to write over files that no earlier run made", shapes=False)


@dataclass(frozen=True, slots=True)
class ImageSaveSection:
    """How Pillow saves."""

    pil_writer_params: Mapping[str, object] = key(dict, "parameters of Pillow's writer of this format")


@dataclass(frozen=True, slots=True)
class ImageSection:
    """Stills."""

    extension: str = key(".png", "image format, by any extension that Pillow writes", read=read_image_extension)
    bits: Literal[8, 16] = key(16, "bits of a grey value, where the format holds them")
    window: Literal["auto", "dicom", "full"] | tuple[float, float] = key(
        "auto",
        "auto; dicom: the file's own; full: all values; or [center, width]",
        expects="auto, dicom, full or [center, width]",
    )
    save_method_kwargs: ImageSaveSection = key(ImageSaveSection, "how images are saved")


@dataclass(frozen=True, slots=True)
class EncodingArgsSection:
    """What the video encoder is told."""

    pix_fmt: str = key("yuv420p", "pixel format of the encoded video")
    options: Mapping[str, str] = key(lambda: {"crf": "17"}, "options of the encoder, by name", read=read_texts)
    bit_rate: int | None = key(None, "bits per second, in place of options.crf", minimum=1)
    gop_size: int | None = key(None, "most frames from one key frame to the next", minimum=1)
    profile: str | None = key(None, "profile of the encoder")


@dataclass(frozen=True, slots=True)
class VideoSaveSection:
    """How videos are encoded."""

    encoding_format: str = key("h264", "encoding format given to ffmpeg")
    encoding_args: EncodingArgsSection = key(EncodingArgsSection, "what the encoder is told")


@dataclass(frozen=True, slots=True)
class VideoSection:
    """Multi-frame objects as videos."""

    extension: Literal[".mp4"] = key(".mp4", "video format", read=read_extension, later=(".gif", "frames"))
    fps: Literal["auto"] | float = key("auto", "frames per second; auto: as the file says, else 30", above=0)
    save_method_kwargs: VideoSaveSection = key(VideoSaveSection, "how videos are encoded")


@dataclass(frozen=True, slots=True)
class VolumeSection:
    """Arrays with geometry."""

    dir: str = key("volumes", "folder of volumes, which mirrors the input tree")
    formats: tuple[Literal["hdf5", "nifti", "npz", "metaimage", "mat"], ...] = key(
        ("hdf5",), "file formats", min_items=1
    )
    values: Literal["modality", "stored"] = key("modality", "modality: rescaled (HU in CT); stored: as in the file")
    irregular: Literal["split", "keep", "refuse"] = key("split", "what becomes of slices that form no regular volume")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What a run shall do. Made by `load_config` or `Config.from_mapping`, which check it.

    Attributes
    ----------
    source
        Absolute path of the YAML file, or None.
    text
        Its text, verbatim up to a byte order mark, for the copy: to be written as UTF-8 without newline translation.
    directory
        The current directory at load, which relative paths start from.
    """

    num_workers: int = key(4, "worker processes; 0: none, run in this process", minimum=0, shapes=False)
    output: OutputSection = key(OutputSection, "where outputs lie")
    limits: LimitsSection = key(LimitsSection, "what one file may cost")
    dicom: DicomSection = key(MISSING, "the input")
    config: ConfigSection | None = key(None, "copy of the configuration")
    metadata: MetadataSection | None = key(None, "rows and tables")
    media: MediaSection | None = key(None, "where images and videos lie")
    image: ImageSection | None = key(None, "stills")
    video: VideoSection | None = key(None, "videos")
    volume: VolumeSection | None = key(None, "arrays with geometry")
    source: str | None = None
    text: str = ""
    directory: str = field(default_factory=os.getcwd)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Config:
        """Check a configuration given as Python mappings, as the YAML would be; a section of None is an empty one.

        Raises
        ------
        ConfigError
            With all problems, one a line.
        """
        document = typed.from_mapping(mapping, "configuration")
        try:
            text = yaml.safe_dump(document.data, sort_keys=False, allow_unicode=True)
        except yaml.YAMLError:
            raise ConfigError("configuration: holds a value that YAML cannot write") from None
        return _assemble(document, None, text)

    @property
    def roots(self) -> tuple[str, ...]:
        """Absolute native paths of the input, in the order given."""
        written = (self.dicom.dir,) if isinstance(self.dicom.dir, str) else self.dicom.dir
        return tuple(_absolute(root, self.directory) for root in written)

    @property
    def output_dir(self) -> str:
        """Absolute native path of the folder that relative outputs lie in."""
        return _absolute(self.output.dir or "", self.directory)

    @property
    def metadata_path(self) -> str | None:
        """Absolute native path of the JSON Lines file; None when there is none."""
        return self.path(self.metadata.file) if self.metadata else None

    @property
    def media_dir(self) -> str | None:
        """Absolute native path of the folder of images and videos; None when there are none."""
        return self.path(self.media.dir) if self.media else None

    @property
    def volume_dir(self) -> str | None:
        """Absolute native path of the folder of volumes; None when there are none."""
        return self.path(self.volume.dir) if self.volume else None

    @property
    def copy_path(self) -> str | None:
        """Absolute native path of the copy, which may be `source` itself; None when there is none."""
        return self.path(self.config.file) if self.config else None

    def path(self, relative: str) -> str:
        """Absolute native path of an output; an absolute path stays, ``~`` is the home folder."""
        return _absolute(relative, self.output_dir)

    def outputs(self) -> dict[str, str]:
        """Key path -> absolute native path of every output that is on."""
        places = (self.metadata_path, self.copy_path, self.media_dir, self.volume_dir)
        names = ("metadata.file", "config.file", "media.dir", "volume.dir")
        return {name: place for name, place in zip(names, places, strict=True) if place is not None}

    def shaping(self) -> dict[str, object]:
        """Key path -> JSON value of every key that shapes outputs, of the sections that are on.

        Output paths are relative to the rows, so that a moved output tree still fits; the input is absolute.
        """
        home = os.path.dirname(self.path(self.metadata.file if self.metadata else "rows"))
        values: dict[str, object] = {}
        for key in typed.keys(Config):
            if key.metadata.get("shapes", True) and getattr(self, key.path.partition(".")[0]) is not None:
                value = attrgetter(key.path)(self)
                values[key.path] = list(value) if isinstance(value, tuple) else value
        for path, place in self.outputs().items():
            if path in values:
                one_drive = os.path.splitdrive(place)[0] == os.path.splitdrive(home)[0]
                values[path] = portable(os.path.relpath(place, home) if one_drive else place)
        values["dicom.dir"] = [portable(root) for root in self.roots]
        return values


def load_config(path: str | os.PathLike[str]) -> Config:
    """Read and check a YAML configuration.

    Raises
    ------
    ConfigError
        The file cannot be read, is not YAML, or says what cannot be: one line a problem, as
        ``file:line: key = value: what is expected``.
    """
    native = os.fsdecode(path)
    name = portable(native)
    try:
        raw = Path(native).read_bytes()
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{name}:{line}: not UTF-8 text") from None
    return _assemble(typed.parse(text, name), os.path.abspath(native), text)


def _assemble(document: typed.Document, source: str | None, text: str) -> Config:
    """Check, switch on what belongs together, and apply the rules that join several keys."""
    config = replace(typed.check(Config, document), source=source, text=text)
    if config.media and not config.image and not config.video:
        config = replace(config, image=ImageSection(), video=VideoSection())
    elif not config.media and (config.image or config.video):
        config = replace(config, media=MediaSection())
    problems = [*_contradictions(config), *_collisions(config)]
    if problems:
        raise document.error(problems)
    return config


def _contradictions(config: Config) -> Iterator[Problem]:
    window = config.image.window if config.image else "auto"
    if isinstance(window, tuple) and window[1] <= 0:  # PS3.3 C.11.2.1.2, C.11.2.1.3.2: the width is positive
        yield Problem(("image", "window"), "expected a width above 0", list(window))
    args = config.video.save_method_kwargs.encoding_args if config.video else EncodingArgsSection()
    if args.bit_rate is not None and "crf" in args.options:  # x264 would ignore the bit rate without a word
        path = ("video", "save_method_kwargs", "encoding_args", "bit_rate")
        yield Problem(path, "excludes options.crf; write options: {} to drop its default", args.bit_rate)


def _collisions(config: Config) -> Iterator[Problem]:
    """Inputs that overlap, and outputs that would lie on an input, on a file, or on the configuration."""
    if any(re.fullmatch(r"<.*>", os.path.basename(root)) for root in config.roots):
        return  # a template not filled in, as in the manual of the DICOM Media Exporter: no run will find its input
    roots = [_identity(root) for root in config.roots]
    for i, root in enumerate(roots):
        if any(_within(root, other) or _within(other, root) for other in roots[:i]):
            yield Problem(("dicom", "dir", i), "overlaps with an earlier folder, its files would count twice", root)
    taken = [("dicom.dir", root) for root in roots]
    taken += [("this file", _identity(config.source))] if config.source else []
    for name, output in config.outputs().items():
        place = _identity(output)
        for other, there in taken:
            if {name, other} in ({"media.dir", "volume.dir"}, {"config.file", "this file"}):
                continue  # the two folders may be one, and the copy may be the configuration itself
            over_file = other.endswith("file") and _within(place, there)
            if place == there or over_file or (name.endswith("file") and _within(there, place)):
                yield Problem(tuple(name.split(".")), f"lies where {other} lies", attrgetter(name)(config))
        taken.append((name, place))


def _absolute(path: str, start: str) -> str:
    return os.path.abspath(os.path.join(start, os.path.expanduser(path)))


def _identity(path: str) -> str:
    """A text that two names of one place share."""
    return os.path.normcase(os.path.realpath(path))


def _within(inner: str, outer: str) -> bool:
    return inner == outer or inner.startswith(os.path.join(outer, ""))

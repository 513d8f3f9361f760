"""The configuration as frozen, typed sections: what the user asked for, with defaults filled in and paths resolved.

A section that is present switches its output on; the section of an output that is off is None. Types, defaults and
help of every key stand in `sections.py` and nowhere else; `checking.py` checks a document against them, and
this module adds the rules that join several keys. It creates no folder and does not look whether the input exists.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, field, replace
from operator import attrgetter
from typing import Any

import yaml

from crawler.config import checking, pacs
from crawler.config.conditions import wrong_quality, wrong_selection
from crawler.config.exporter import needing_rows
from crawler.config.output import OutputSection
from crawler.config.packaged import packaged
from crawler.config.pacs import PacsSection
from crawler.config.privacy import PrivacySection
from crawler.config.sections import (
    ConditionSection,
    ConfigSection,
    DicomSection,
    EncodingArgsSection,
    ImageSection,
    LimitsSection,
    MediaSection,
    MetadataSection,
    PreviewSection,
    QualitySection,
    SelectSection,
    ThresholdSection,
    VideoSection,
    VolumeSection,
    key,
)
from crawler.config.yaml_nodes import Problem
from crawler.disk import is_folder
from crawler.errors import ConfigError
from crawler.paths import SHARDS, portable, readable
from crawler.paths import absolute as _absolute
from crawler.paths import within as _within
from crawler.stores import address
from crawler.stores.address import identity as _identity

SHIPPED_TEMPLATES = "dicom_tags"
BIDS = "bids"  # the folder of the BIDS dataset, likewise
NAMED = "named"  # the folder of further names, in the output folder
LARGEST_PREVIEW = 4096  # pixels: three planes side by side stay an ordinary picture


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
    pacs: PacsSection | None = key(None, "a PACS as the input")
    config: ConfigSection | None = key(None, "copy of the configuration")
    metadata: MetadataSection | None = key(None, "rows and tables")
    media: MediaSection | None = key(None, "where images and videos lie")
    image: ImageSection | None = key(None, "stills")
    video: VideoSection | None = key(None, "videos")
    volume: VolumeSection | None = key(None, "arrays with geometry")
    preview: PreviewSection | None = key(None, "a small picture of every array")
    select: SelectSection | None = key(None, "what is exported; the rest keeps its row")
    quality: QualitySection | None = key(None, "measures of every image, as columns")
    privacy: PrivacySection | None = key(None, "de-identification of every output")
    source: str | None = None
    text: str = ""
    directory: str = field(default_factory=os.getcwd)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], *, retrieves: bool = True) -> Config:
        """Check a configuration given as Python mappings, as the YAML would be; a section of None is an empty one.

        Parameters
        ----------
        retrieves
            As of `load_config`.

        Raises
        ------
        ConfigError
            With all problems, one a line.
        """
        document = checking.from_mapping(mapping, "configuration")
        try:
            text = yaml.safe_dump(document.data, sort_keys=False, allow_unicode=True)
        except yaml.YAMLError:
            raise ConfigError("configuration: holds a value that YAML cannot write") from None
        return _assemble(document, None, text, retrieves)

    @property
    def roots(self) -> tuple[str, ...]:
        """Absolute native paths of the input, in the order given."""
        written = (self.dicom.dir,) if isinstance(self.dicom.dir, str) else self.dicom.dir
        return tuple(address.normal(one) if address.is_remote(one) else self.named(one) for one in written)

    @property
    def pacs_dir(self) -> str | None:
        """Absolute native path of the folder of files received from a PACS; None when there is none."""
        return self.named(self.pacs.dir) if self.pacs else None

    @property
    def cohort_path(self) -> str | None:
        """Absolute native path of the list of requests, an input; None when there is none."""
        return self.named(self.pacs.list) if self.pacs and self.pacs.list else None

    @property
    def output_dir(self) -> str:
        """Absolute native path of the folder of relative outputs; of a remote output, where it is made."""
        if self.output_address is None:
            return _absolute(self.output.dir or "", self.directory)
        digest = hashlib.blake2b(self.output_address.encode(), digest_size=4).hexdigest()
        return _absolute(self.output.staging or f"dme-staging-{digest}", self.directory)

    @property
    def output_address(self) -> str | None:
        """The address that finished outputs are uploaded to; None when they stay on this machine."""
        written = self.output.dir
        return address.normal(written) if written is not None and address.is_remote(written) else None

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
    def preview_dir(self) -> str | None:
        """Absolute native path of the folder of previews; None when there are none."""
        return self.path(self.preview.dir) if self.preview else None

    @property
    def private_dir(self) -> str | None:
        """Absolute native path of the folder of what identifies; None without the section `privacy`."""
        return self.named(self.privacy.private) if self.privacy and self.privacy.private else None

    @property
    def shards_dir(self) -> str:
        """Absolute native path of the folder of shards and their plan; under privacy below its private folder."""
        return os.path.join(self.private_dir, SHARDS) if self.private_dir else self.own_path(SHARDS)

    @property
    def copy_path(self) -> str | None:
        """Absolute native path of the copy, which may be `source` itself; None when there is none."""
        return self.path(self.config.file) if self.config else None

    @property
    def templates_dir(self) -> str | None:
        """Absolute native path of the folder of templates, an input; `dicom_tags` may be that of dme; None without."""
        folder = self.metadata.templates if self.metadata else None
        if folder is None:
            return None
        path = self.named(folder)
        return str(packaged(SHIPPED_TEMPLATES)) if folder == SHIPPED_TEMPLATES and is_folder(path) is False else path

    def own_path(self, name: str) -> str:
        """Absolute native path of a file of the run itself: in `output.dir`, else beside the rows, with their name."""
        if self.output.dir or self.metadata_path is None:
            return os.path.join(self.output_dir, name)
        return f"{os.path.splitext(self.metadata_path)[0]}.{name}"

    def path(self, relative: str) -> str:
        """Absolute native path of an output; an absolute path stays, ``~`` is the home folder."""
        return _absolute(relative, self.output_dir)

    def named(self, written: str) -> str:
        """Absolute native path of a key, list or certificate, which lies at or below `directory`; ``~`` is home."""
        return _absolute(written, self.directory)

    def outputs(self) -> dict[str, str]:
        """Key path -> absolute native path of every output that is on."""
        places = (self.metadata_path, self.copy_path, self.media_dir, self.volume_dir, self.preview_dir)
        names = ("metadata.file", "config.file", "media.dir", "volume.dir", "preview.dir")
        return {name: place for name, place in zip(names, places, strict=True) if place is not None}

    def shaping(self) -> dict[str, object]:
        """Key path -> JSON value of every key that shapes outputs, of the sections that are on.

        Output paths are relative to the rows, so that a moved output tree still fits; the input is absolute.
        """
        home = os.path.dirname(self.path(self.metadata.file if self.metadata else "rows"))
        values: dict[str, object] = {}
        for one in checking.keys(Config):
            if one.metadata.get("shapes", True) and getattr(self, one.path.partition(".")[0]) is not None:
                values[one.path] = _json(attrgetter(one.path)(self))
        for path, place in self.outputs().items():
            if path in values:
                one_drive = os.path.splitdrive(place)[0] == os.path.splitdrive(home)[0]
                values[path] = portable(os.path.relpath(place, home) if one_drive else place)
        values["dicom.dir"] = [portable(root) for root in self.roots]
        return values


def load_config(path: str | os.PathLike[str] | Mapping[str, Any], *, retrieves: bool = True) -> Config:
    """Read and check a YAML configuration.

    Parameters
    ----------
    path
        The file, or a mapping of what it would hold.
    retrieves
        Whether a section `pacs` has to say what to retrieve, and from where; not for those who receive, or only ask.

    Raises
    ------
    ConfigError
        The file cannot be read, is not YAML, or says what cannot be: one line a problem, as
        ``file:line: key = value: what is expected``.
    """
    if isinstance(path, Mapping):
        return Config.from_mapping(path, retrieves=retrieves)
    native = os.fsdecode(path)
    name = readable(native)
    try:
        _refuse_pipe(native)
        with open(native, "rb") as file:
            raw = file.read()
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{name}:{line}: not UTF-8 text") from None
    return _assemble(checking.parse(text, name), os.path.abspath(native), text, retrieves)


def parse_config(text: str, name: str, directory: str, *, retrieves: bool = False) -> Config:
    """As `load_config`, of the text of a file of that name in a folder; a PACS need not be complete by default."""
    return _assemble(checking.parse(text, name), os.path.join(directory, name), text, retrieves, directory)


def _refuse_pipe(path: str) -> None:
    """OSError for a named pipe, which would wait for ever; a shell's `<(...)` lies below /dev or /proc, and ends."""
    if stat.S_ISFIFO(os.stat(path).st_mode) and not path.startswith(("/dev/", "/proc/")):
        raise OSError(errno.EINVAL, "it is a pipe")


def _assemble(
    document: checking.Document, source: str | None, text: str, retrieves: bool = True, directory: str | None = None
) -> Config:
    """Check, switch on what belongs together, and apply the rules that join several keys."""
    document = replace(document, data=pacs.input_of(document.data))
    config = replace(checking.check(Config, document), source=source, text=text)
    config, problems = _with_pacs(config if directory is None else replace(config, directory=directory))
    if config.metadata and config.metadata.compat:  # its rows are by name
        config = replace(config, metadata=replace(config.metadata, keys="name"))
    if config.media and not config.image and not config.video:
        config = replace(config, image=ImageSection(), video=VideoSection())
    elif not config.media and (config.image or config.video):
        config = replace(config, media=MediaSection())
    elif not config.media and config.metadata and config.metadata.text:  # texts lie there, and nothing else does
        config = replace(config, media=MediaSection(documents=False, waveforms=False))
    problems += [*_contradictions(config, retrieves), *_collisions(config)]
    if problems:
        raise document.error(problems)
    return config


def _with_pacs(config: Config) -> tuple[Config, list[Problem]]:
    """Take in what addresses and environment say of a PACS; its received files are input, beside other folders."""
    written = (config.dicom.dir,) if isinstance(config.dicom.dir, str) else config.dicom.dir
    section, folders, problems = pacs.with_source(config.pacs, written)
    if section is None:
        return config, problems
    section, more = pacs.with_environment(section, pacs.env_folders(config.source, config.directory))
    incoming = _identity(_absolute(section.dir, config.directory))
    if not any(_within(incoming, _identity(_absolute(folder, config.directory))) for folder in folders):
        folders = (*folders, section.dir)
    dirs = folders[0] if len(folders) == 1 else folders
    return replace(config, pacs=section, dicom=replace(config.dicom, dir=dirs)), [*problems, *more]


def _contradictions(config: Config, retrieves: bool) -> Iterator[Problem]:
    if config.pacs:
        yield from pacs.problems_of(config.pacs, retrieves)
    written = (config.dicom.dir,) if isinstance(config.dicom.dir, str) else config.dicom.dir
    for number, root in enumerate(written):
        if wrong := address.wrong_address(root):
            where = ("dicom", "dir") if isinstance(config.dicom.dir, str) else ("dicom", "dir", number)
            yield Problem(where, wrong, pacs.NOT_SHOWN)
    window = config.image.window if config.image else "auto"
    if isinstance(window, tuple) and window[1] <= 0:  # PS3.3 C.11.2.1.2, C.11.2.1.3.2: the width is positive
        yield Problem(("image", "window"), "expected a width above 0", list(window))
    args = config.video.save_method_kwargs.encoding_args if config.video else EncodingArgsSection()
    if args.bit_rate is not None and "crf" in args.options:  # x264 would ignore the bit rate without a word
        path = ("video", "save_method_kwargs", "encoding_args", "bit_rate")
        yield Problem(path, "excludes options.crf; write options: {} to drop its default", args.bit_rate)
    codec = config.video.save_method_kwargs.encoding_format if config.video else ""
    if config.video and ".webm" in config.video.formats and not re.search("vp8|vp9|vpx|av1|aom", codec):
        text = "a .webm holds vp8, vp9 and av1 alone; write vp9"
        yield Problem(("video", "save_method_kwargs", "encoding_format"), text, codec)
    if config.volume and {"nifti", "nii"} <= {*config.volume.formats}:  # .json, .bval, .bvec have the same names
        yield Problem(("volume", "formats"), "choose nifti or nii: both write the same sidecars", config.volume.formats)
    if config.preview and config.preview.size > LARGEST_PREVIEW:
        yield Problem(("preview", "size"), f"expected at most {LARGEST_PREVIEW}", config.preview.size)
    yield from _wrong_output(config)
    yield from _wrong_names(config)
    yield from needing_rows(config)
    if config.quality:
        yield from wrong_quality(config.quality)
    yield from wrong_selection(config.select.where if config.select else {})


def _wrong_output(config: Config) -> Iterator[Problem]:
    if wrong := address.wrong_address(config.output.dir or ""):
        yield Problem(("output", "dir"), wrong, pacs.NOT_SHOWN)
    if config.output.staging is not None and config.output_address is None:
        yield Problem(("output", "staging"), "belongs to an address in output.dir", config.output.staging)
    if config.output.pack is not None and config.output.layout == "bids":
        text = "does not go with output.layout: bids, whose files lie by themselves as its standard names them"
        yield Problem(("output", "pack"), text)
    for name, place in config.outputs().items() if config.output_address is not None else ():
        if not _within(place, config.output_dir):
            text = "with an address in output.dir, a relative path: all outputs go there"
            yield Problem(tuple(name.split(".")), text, attrgetter(name)(config))


def _wrong_names(config: Config) -> Iterator[Problem]:
    named = _identity(config.own_path(NAMED))
    for name, section in (("volume", config.volume), ("media", config.media)):
        if section is not None and section.name and config.metadata is None:
            yield Problem((name, "name"), "needs the section metadata, whose rows the names come from", section.name)
        if section is not None and section.name and _within(_identity(config.path(section.dir)), named):
            yield Problem((name, "dir"), f"{NAMED} is the folder of the further names; choose another", section.dir)
    if config.output.layout == "bids" and (
        config.metadata is None or config.volume is None or not {"nifti", "nii"} & {*config.volume.formats}
    ):
        text = "needs the section metadata, and nifti or nii in volume.formats"
        yield Problem(("output", "layout"), text, config.output.layout)
    if config.volume and config.volume.name and "mhd" in config.volume.formats:
        text = "not with the format mhd, whose header names its data file; choose metaimage"
        yield Problem(("volume", "name"), text, config.volume.name)


def _collisions(config: Config) -> Iterator[Problem]:
    """Inputs that overlap, and outputs that would lie on an input, on a file, or on the configuration."""
    if any(re.fullmatch(r"<.*>", os.path.basename(root)) for root in config.roots):
        return  # a template not filled in, as in the manual of the DICOM Media Exporter: no run will find its input
    back = _identity(config.own_path("cohort.csv"))
    if config.cohort_path and config.pacs and _identity(config.cohort_path) == back:
        yield Problem(("pacs", "list"), "lies where cohort.csv is written; move it elsewhere", config.pacs.list)
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


def _json(value: object) -> object:
    """A value of a key as JSON gives it back."""
    if isinstance(value, ConditionSection | ThresholdSection):
        return {name: _json(item) for name, item in asdict(value).items() if item is not None}
    if isinstance(value, Mapping):
        return {name: _json(item) for name, item in value.items()}
    return [_json(item) for item in value] if isinstance(value, tuple) else value

"""The sections of the configuration: every key with its type, default and help, and how its value is read.

Rules that join several keys, paths and files are `loader.py`'s. A key marked ``shapes: False`` changes how a run goes,
not what it writes.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from typing import Any, Literal

from crawler.config.formats import SOME_FORMATS, read_endings, read_formats
from crawler.config.patterns import read_pattern
from crawler.config.sizes import A_SIZE, read_size
from crawler.dicom.dictionary import tag_for
from crawler.dicom.dictionary_tables import keywords

PRIVATE = re.compile(r"\(([0-9A-Fa-f]{3}[13579BDFbdf]),xx([0-9A-Fa-f]{2})\) (\S.*)")
"""A private element as a key of rows names it: (0019,xx0C) SIEMENS MR HEADER (PS3.5 7.8.1: its group is odd)."""
ORDERS = ("auto", "none", "time", "trigger_time", "phase", "b", "te", "echo", "ti", "fa")
A_NAME = "further names of the files, in the folder named/: {PatientID}/{SeriesNumber:03d}_{SeriesDescription}"


def read_extension(written: object) -> object:
    """A file name extension in lower case with its dot; anything but text unchanged."""
    return "." + written.lower().removeprefix(".") if isinstance(written, str) and written else written


def read_video_extension(written: object) -> object:
    """As `read_extension`, of one or a list; "frames" is a folder and no extension."""
    if isinstance(written, list):
        return [read_video_extension(item) for item in written]
    if isinstance(written, str) and written.lower().removeprefix(".") == "frames":
        return "frames"
    return read_extension(written)


def read_image_extension(written: object) -> object:
    """As `read_extension`; ValueError unless Pillow writes both grey and colour in that format."""
    extension = read_extension(written)
    if not isinstance(extension, str):
        return extension
    import difflib  # for an error's text only

    from PIL import Image  # slow to load, and needed by this section only

    formats = Image.registered_extensions()
    if extension in formats and _is_writable(formats[extension]):
        return extension
    near = [e for e in difflib.get_close_matches(extension, formats, n=9, cutoff=0.5) if _is_writable(formats[e])]
    near.sort(key=lambda known: sorted(known) != sorted(extension))  # two letters swapped is the commonest slip
    raise ValueError(f"an image extension that Pillow writes{f'; nearest: {near[0]}' if near else ''}")


def _is_writable(name: str) -> bool:
    """Whether a Pillow format takes pictures; asked by writing, as some formats are registered without a writer."""
    from PIL import Image  # slow to load: for a run with pictures

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


def read_order(written: object) -> object:
    """An axis, the keyword of a public element, or a private one; ValueError names the nearest of the first two."""
    if not isinstance(written, str) or written in ORDERS or tag_for(written) is not None or PRIVATE.fullmatch(written):
        return written
    import difflib  # for an error's text only

    near = difflib.get_close_matches(written, [*ORDERS, *keywords()], n=1)
    known = f"{', '.join(ORDERS)}, a DICOM keyword or (gggg,xxee) CREATOR"
    raise ValueError(f"{known}{f'; nearest: {near[0]}' if near else ''}")


SIZE_RULES: dict[str, Any] = {"read": read_size, "expects": A_SIZE, "minimum": 1, "shapes": False}


def key(default: Any, help_line: str, **rules: Any) -> Any:
    """A dataclass field that is a key of the document: `rules` as in `checking.py`; a callable makes the default."""
    made: dict[str, Any] = {"default_factory" if callable(default) else "default": default}
    return field(**made, metadata={"help": help_line, **rules})


@dataclass(frozen=True, slots=True)
class LimitsSection:
    """What one file may cost; enforced on workers."""

    seconds: float = key(120.0, "time for one file, seconds", above=0, shapes=False)
    memory: int = key(4 * 10**9, "memory of one worker, bytes", **SIZE_RULES)
    pixels: int = key(2 * 10**9, "decoded size of one frame, bytes", **SIZE_RULES)


@dataclass(frozen=True, slots=True)
class DicomSection:
    """The input."""

    dir: str | tuple[str, ...] = key(MISSING, "folder, or list of folders", expects="a folder or a list", min_items=1)
    recursive: bool = key(True, "whether to look into subfolders")
    group: Literal["folder", "tree"] = key(
        "folder", "folder: the files of a scan lie in one folder; tree: anywhere below the root, as in a PACS's storage"
    )
    readers: tuple[str, ...] = key(
        (),
        "endings of files that installed packages read (entry points dme.readers), such as .xyz; read beside DICOM",
        read=read_endings,
        expects="endings, or a list of them",
        shapes=False,
    )
    max_lost: float = key(
        0.5,
        "largest share of the files of an earlier run that may be gone; with more, the run stops before it removes any",
        minimum=0,
        shapes=False,
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
    compat: Literal["seed003"] | None = key(
        None, "seed003: rows as the DICOM Media Exporter wrote them, texts by name, of files with a picture or a video"
    )
    text: bool = key(False, "whether to write each header as a text, beside the media")
    tables: tuple[Literal["csv", "parquet", "xlsx"], ...] = key(("csv",), "tables of the rows", shapes=False)
    columns: Literal["nested", "flat"] = key(
        "nested", "of tables; nested: a key of the rows each; flat: an element each, Name (gggg,eeee)", shapes=False
    )
    templates: str | None = key(None, "folder of lists of keywords, a table for each modality", shapes=False)
    mr_clean: bool = key(False, "whether to add a table of MR series with normalised columns", shapes=False)


@dataclass(frozen=True, slots=True)
class ConditionSection:
    """What an element must be. Of several values one must fit; of several conditions all."""

    equals: str | int | float | None = key(None, "this value")
    one_of: tuple[str | int | float, ...] | None = key(None, "one of these values", min_items=1)
    range: tuple[str | float | None, str | float | None] | None = key(None, "[least, most], null for no bound")
    regex: str | None = key(None, "a regular expression that is found in the text")


@dataclass(frozen=True, slots=True)
class SelectSection:
    """What is exported; the rest keeps its row."""

    modality: tuple[str, ...] | None = key(None, "modalities to export; null: all", min_items=1)
    min_files: int = key(1, "fewest files of a scan; an object of many frames counts as many", minimum=1)
    derived: bool = key(True, "whether to export derived images")
    exclude_words: tuple[str, ...] = key(
        (), "leave out series with one of these words in their description or protocol, in any case, as a whole word"
    )
    where: Mapping[str, ConditionSection] = key(dict, "conditions on elements, by keyword")
    list: str | None = key(
        None, "CSV file of rated series, as the viewer of `dme web` writes it: keep, drop, unsure", shapes=False
    )
    rated: tuple[Literal["keep", "drop", "unsure", "unrated"], ...] = key(
        ("keep", "unsure", "unrated"),
        "ratings of the list that are exported; unrated: series that it does not name",
        min_items=1,
        shapes=False,
    )


@dataclass(frozen=True, slots=True)
class ThresholdSection:
    """What images of one modality are judged by; null: as built in (`quality/measures.py`)."""

    dynamic_range: float | None = key(None, "least range between two percentiles, modality units", minimum=0)
    contrast: float | None = key(None, "least standard deviation, modality units", minimum=0)
    unique_ratio: float | None = key(None, "least share of distinct values", minimum=0)
    under_exposure: float | None = key(None, "greatest share of nearly black content", minimum=0)
    over_exposure: float | None = key(None, "greatest share of nearly white content", minimum=0)
    inverted: float | None = key(None, "how much brighter than the middle a white edge may be", minimum=0)
    mask_levels: float | None = key(None, "so many distinct values or fewer make a mask", minimum=0)


@dataclass(frozen=True, slots=True)
class QualitySection:
    """Measures of every image, as columns; no pixel is changed."""

    share: float = key(0.3, "low is a file, or a series, with more than this share of low frames, or files", minimum=0)
    thresholds: Mapping[str, ThresholdSection] = key(dict, "by modality, over the built-in ones")


@dataclass(frozen=True, slots=True)
class MediaSection:
    """Where images and videos lie."""

    dir: str = key("media", "folder of images and videos, which mirrors the input tree")
    overwrite: bool = key(False, "whether to write over files that no earlier run made", shapes=False)
    documents: bool = key(True, "whether encapsulated documents are written as files: PDF, CDA, STL, OBJ, MTL")
    waveforms: bool = key(True, "whether waveforms are written: sound as WAV, others as CSV and PNG")
    name: str | None = key(None, A_NAME, read=read_pattern, shapes=False)


@dataclass(frozen=True, slots=True)
class ImageSaveSection:
    """How Pillow saves."""

    pil_writer_params: Mapping[str, object] = key(dict, "parameters of Pillow's writer of this format")


@dataclass(frozen=True, slots=True)
class ImageSection:
    """Stills."""

    extension: str = key(".png", "image format, by any extension that Pillow writes", read=read_image_extension)
    bits: Literal[8, 16, "auto"] = key(
        16, "bits of a grey value, where the format holds them; auto: 8 for images that store 8, else 16"
    )
    window: Literal["auto", "dicom", "full", "series"] | int | tuple[float, float] = key(
        "auto",
        "auto; dicom: the file's own; a number: that one of them; series: one range for all; full: all values; or "
        "[center, width]",
        expects="auto, dicom, full, series, the number of a window, or [center, width]",
        minimum=1,
    )
    overlays: bool = key(False, "whether overlay planes are drawn into images and videos")
    crop: Literal["none", "us_region"] = key(
        "none", "us_region: ultrasound to its regions, without the banner; stills and videos"
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


VideoFormat = Literal[".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif", "frames"]


@dataclass(frozen=True, slots=True)
class VideoSection:
    """Multi-frame objects as videos."""

    extension: VideoFormat | tuple[VideoFormat, ...] = key(
        ".mp4",
        "video format, or a list; frames: a folder of pictures",
        read=read_video_extension,
        expects=".mp4, .mov, .mkv, .webm, .avi, .gif, frames or a list of them",
        min_items=1,
    )
    fps: Literal["auto"] | float = key("auto", "frames per second; auto: as the file says, else 30", above=0)
    default_fps: float = key(30.0, "frames per second of a cine whose file names no rate", minimum=0.001, maximum=1000)
    series: bool = key(False, "whether a stack of slices becomes a video, too")
    save_method_kwargs: VideoSaveSection = key(VideoSaveSection, "how videos are encoded")

    @property
    def formats(self) -> tuple[VideoFormat, ...]:
        """What `extension` asks for, as a list."""
        return self.extension if isinstance(self.extension, tuple) else (self.extension,)


@dataclass(frozen=True, slots=True)
class VolumeSection:
    """Arrays with geometry."""

    dir: str = key("volumes", "folder of volumes, which mirrors the input tree")
    formats: tuple[str, ...] = key(
        ("hdf5",), "file formats", read=read_formats, expects=f"a list of {SOME_FORMATS}", min_items=1
    )
    values: Literal["modality", "stored", "real_world"] = key(
        "modality",
        "modality: rescaled (HU in CT); stored: as in the file; real_world: quantities, by the one Real World Value "
        "Mapping of each frame, else modality",
    )
    irregular: Literal["split", "keep", "refuse"] = key("split", "what becomes of slices that form no regular volume")
    tolerance: float = key(
        0.1,
        "how far a slice may lie from its even place: share of the spacing; up to 0.1 mm at 0.1, 0.2 mm at 0.2 ...",
        above=0,
        maximum=0.4,
    )
    compression: Literal["gzip", "lz4", "zstd", "none"] = key(
        "gzip", "of HDF5. gzip: any program reads it; lz4, zstd: faster, read with hdf5plugin; none: not compressed"
    )
    order: str = key(
        "auto",
        "axis beside the slices: auto, none, time, trigger_time, phase, b, te, echo, ti, fa, a keyword, or a private "
        "element, (0019,xx0C) SIEMENS MR HEADER",
        read=read_order,
    )
    statistics: bool = key(False, "whether series.csv tells range, percentiles, mean and deviation of each volume")
    split: tuple[Literal["time", "trigger_time", "phase", "b", "te", "echo", "ti", "fa"], ...] = key(
        (), "axes of which each step becomes an array of its own; te: one an echo, as BIDS has them"
    )
    name: str | None = key(None, A_NAME, read=read_pattern, shapes=False)

    @property
    def element(self) -> str | tuple[int, str]:
        """The element that `order` names: keyword, or tag and creator of a private one; empty when it names an axis."""
        if private := PRIVATE.fullmatch(self.order):
            return int(private[1] + "00" + private[2], 16), private[3]
        return "" if self.order in ORDERS else self.order

    @property
    def axis(self) -> str:
        """What `order` calls the axis: letters, digits and _, as every format takes them."""
        private = PRIVATE.fullmatch(self.order)
        return f"private_{private[1]}_{private[2]}".upper().replace("PRIVATE", "private") if private else self.order


@dataclass(frozen=True, slots=True)
class PreviewSection:
    """A small picture of every array."""

    dir: str = key("previews", "folder of previews, which mirrors the input tree")
    size: int = key(256, "longer edge of one plane, pixels, up to 4096", minimum=64)

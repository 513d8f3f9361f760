"""What writing a series asks for, and what it did: losses are told, not hidden."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How a series is written.

    Attributes
    ----------
    keep_uid
        Whether files get the UIDs of series and instances that were read, and not new ones.
    dtype
        Type that values are turned into first; values that it cannot hold are refused.
    nan
        What stands for values that are not finite, where the format holds integers; None refuses them.
    series_number, series_description, image_type, sop_class, frame_of_reference
        Elements of written files; None for those that the array has.
    sort
        "slice": files are numbered slice by slice within a step; "tag": step by step within a slice.
    folders
        "single": all files in one folder; "multi": a folder for each step of the first axis.
    names
        Pattern of the names of files, as ``Image_{:05d}.dcm``; empty for the writer's own.
    window
        (centre, width) of files; None for that of the array.
    kind
        "image", "seg", "parametric" or "enhanced".
    replace
        Whether files that an earlier write of ours left may be replaced.
    keep_private
        Whether private elements of the template are kept. They may say where the original image lay.
    calling_aet
        Our AE title, for what is sent.
    timeout
        Seconds that a PACS may take for any one answer; None for the limits of the package.
    further
        Options of single formats, by their names.
    """

    keep_uid: bool = False
    dtype: Any = None
    nan: float | None = None
    series_number: int | None = None
    series_description: str | None = None
    image_type: Any = None
    sop_class: str | None = None
    frame_of_reference: str | None = None
    sort: str = "slice"
    folders: str = "single"
    names: str = ""
    window: tuple[float, float] | None = None
    kind: str = "image"
    replace: bool = False
    keep_private: bool = False
    calling_aet: str = "DME"
    timeout: float | None = None
    further: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class WriteReport:
    """What was written.

    Attributes
    ----------
    target
        Where, as asked for.
    files
        Paths that are in place now; of an archive the names of its members.
    rounding
        Largest difference between a value and what a reader will get for it.
    replaced
        How many values were not finite, and were replaced.
    notes
        What else a user should know.
    """

    target: str
    files: tuple[str, ...] = ()
    rounding: float = 0.0
    replaced: int = 0
    notes: tuple[str, ...] = ()

    def joined(self, other: WriteReport) -> WriteReport:
        """Both."""
        return WriteReport(
            self.target,
            (*self.files, *other.files),
            max(self.rounding, other.rounding),
            max(self.replaced, other.replaced),
            tuple(dict.fromkeys((*self.notes, *other.notes))),
        )

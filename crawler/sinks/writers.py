"""Formats that other packages write: entry points of the group ``dme.writers``, one function each.

An entry point is called as the format is in ``volume.formats``; its function gets the path of a new file and a
`Volume`, and writes the file. Files end in the function's attribute `extension`, by default in the format's name.
The array is mapped from disk: memory holds what the function makes of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from crawler.errors import SinkError, StopError
from crawler.sinks.base import LayoutSubject, Sink
from crawler.sinks.provenance import attributes
from crawler.sinks.volume_base import ArrayFormat, FinishedFile, VolumeFile, VolumeSink
from crawler.sources.readers import FOREIGN, loaded
from crawler.sources.volume import Volume

GROUP = "dme.writers"
_OF_THE_TYPE = ("affine", "affine_convention", "axes")

Writer = Callable[[str, Volume], Any]


def writer_of(name: str) -> tuple[str, Writer] | None:
    """What writes a format: the extension of its files, and the function; None where nothing does.

    Raises
    ------
    StopError
        The package that registers the format cannot be loaded.
    """
    from importlib.metadata import entry_points  # 10 ms, and only for names that are not ours

    for entry in entry_points(group=GROUP):
        if entry.name == name:
            function = loaded(entry)
            extension = str(getattr(function, "extension", f".{name}"))
            return extension if extension.startswith(".") else f".{extension}", function
    return None


def call_writer(name: str, function: Writer, path: str, volume: Volume) -> None:
    """Write a file.

    Raises
    ------
    SinkError
        The function raised, or wrote no file.
    """
    try:
        function(path, volume)
    except FOREIGN as error:
        if isinstance(error, OSError) and error.errno:
            raise  # what the system says of the disk
        raise SinkError("not writable by its format", f"the writer {name!r} raised {type(error).__name__}") from error
    if not os.path.isfile(path):
        raise SinkError("not writable by its format", f"the writer {name!r} wrote no file")


class WriterSink(VolumeSink):
    """Writes one layout by a function of another package, frames in any order."""

    name: ClassVar[str]
    function: ClassVar[Writer]

    def _format(self, subject: LayoutSubject, shape: tuple[int, ...]) -> ArrayFormat:
        return ArrayFormat(b"", subject.dtype.newbyteorder("<"))

    def _finish(self, subject: LayoutSubject, volume_file: VolumeFile) -> list[FinishedFile]:
        affine = subject.layout.affine
        known = attributes(subject)
        metadata = {name: value for name, value in known.items() if value is not None and name not in _OF_THE_TYPE}
        matrix = None if affine is None else np.array(affine, dtype=float)
        volume = Volume(volume_file.view(), volume_file.axes, matrix, metadata)
        path = self._scratch(self.extension)
        call_writer(self.name, type(self).function, path, volume)
        return [FinishedFile(path, self.extension, "volume")]


def writer_sink(name: str) -> type[Sink]:
    """The sink of another package's format.

    Raises
    ------
    StopError
        No installed package writes it, or it cannot be loaded.
    """
    found = writer_of(name)
    if found is None:
        raise StopError(f"volume.formats: no installed package writes {name!r} (entry points {GROUP!r})")
    made = {"name": name, "extension": found[0], "function": staticmethod(found[1])}
    sink: type[Sink] = type("WriterSink", (WriterSink,), made)
    return sink

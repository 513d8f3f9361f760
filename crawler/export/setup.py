"""What is the same for all tasks of a run: sections that are on, folders, limits. Made once, sent to every worker."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from crawler.config.sections import (
    ImageSection,
    PreviewSection,
    QualitySection,
    SelectSection,
    VideoSection,
    VolumeSection,
)
from crawler.dicom.dictionary import KeyStyle
from crawler.disk import make_folders
from crawler.paths import TEMP


class Setup(NamedTuple):
    """What is the same for all scans of a run: the sections that are on, folders (native, absolute), limits.

    ``spool`` receives unfinished files that are no product; unfinished products lie below their own output folder, so
    that they can be renamed into place.
    """

    keys: KeyStyle
    rows: bool
    spool: str
    token: str
    media_dir: str | None = None
    image: ImageSection | None = None
    video: VideoSection | None = None
    volume: VolumeSection | None = None
    volume_dir: str | None = None
    preview: PreviewSection | None = None
    preview_dir: str | None = None
    pixels: int = 2 * 10**9
    select: SelectSection | None = None
    quality: QualitySection | None = None
    documents: bool = False
    waveforms: bool = False
    text: bool = False
    incomplete: Mapping[str, str] = {}
    """Series Instance UID -> how much of it a PACS sent ("127 of 180"), for those of which a part is missing."""

    @property
    def records(self) -> bool:
        """Whether anything asks for an instance's record after it was read."""
        return self.rows or any(section is not None for section in (self.volume, self.select, self.quality))

    @property
    def window(self) -> Any:
        """How grey values are shown."""
        return self.image.window if self.image is not None else "auto"

    @property
    def overlays(self) -> bool:
        """Whether overlay planes are drawn."""
        return self.image is not None and self.image.overlays

    @property
    def bits(self) -> int:
        """Bits of a grey picture."""
        return self.image.bits if self.image is not None else 16

    @property
    def crops(self) -> bool:
        """Whether ultrasound is cut to its regions."""
        return self.image is not None and self.image.crop == "us_region"

    @property
    def stacks(self) -> bool:
        """Whether stacks of slices become videos."""
        return self.media_dir is not None and self.video is not None and self.video.series

    def temp(self, root: str) -> str:
        """Folder for unfinished products of an output folder: on its file system, this run's own."""
        path = os.path.join(root, TEMP, self.token)
        make_folders(path)
        return path

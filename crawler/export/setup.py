"""What is the same for all tasks of a run: sections that are on, folders, limits. Made once, sent to every worker."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from crawler.config.loader import Config
from crawler.config.parts import parts_of
from crawler.config.rated import Ratings, ratings_of
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
from crawler.export.cells import are_wanted
from crawler.export.private_log import NAME as LOG
from crawler.paths import TEMP
from crawler.privacy.linking import FOLDER, is_available
from crawler.privacy.policy import Policy


class Setup(NamedTuple):
    """What is the same for all scans of a run: the sections that are on, folders (native, absolute), limits.

    ``parts`` (`config/parts.py`) are all that a series is to have, ``todo`` those that are to be made now; None: all.
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
    ratings: Ratings | None = None
    quality: QualitySection | None = None
    documents: bool = False
    waveforms: bool = False
    text: bool = False
    incomplete: Mapping[str, str] = {}
    """Series Instance UID -> how much of it a PACS sent ("127 of 180"), for those of which a part is missing."""
    cells: bool = False
    readers: tuple[str, ...] = ()
    compat: str | None = None
    parts: frozenset[str] = frozenset()
    todo: frozenset[str] | None = None
    policy: Policy | None = None
    links: str | None = None
    """Folder of the linking table; None where there is none."""
    custodian: str | None = None
    """File of the public key that it is sealed to; None for the secret key of the policy."""

    private: str | None = None
    """The private folder of the section `privacy`."""

    private_log: str | None = None
    """File that has what outcomes say of values and paths under `privacy`, and what workers write to the screen."""

    def narrowed(self, todo: frozenset[str]) -> Setup:
        """The same for a series of which these parts (`config/parts.py`) are to be made, as the others are there."""
        volume = self.volume
        if volume is not None:
            formats = tuple(name for name in volume.formats if f"volume:{name}" in todo)
            volume = replace(volume, formats=formats, statistics="statistics" in todo)
        return self._replace(
            todo=todo,
            volume=volume,
            preview=self.preview if "preview" in todo else None,
            quality=self.quality if "quality" in todo else None,
            documents=self.documents and "documents" in todo,
            waveforms=self.waveforms and "waveforms" in todo,
            text=self.text and "text" in todo,
        )

    def image_todo(self) -> ImageSection | None:
        """The section of stills, when they are to be made."""
        return self.image if self.todo is None or "image" in self.todo else None

    def video_todo(self, part: str = "video") -> VideoSection | None:
        """The section of videos, with the formats that are to be made; "stack": of videos through slices."""
        if self.video is None or self.todo is None:
            return self.video
        formats = tuple(name for name in self.video.formats if f"{part}:{name}" in self.todo)
        return replace(self.video, extension=formats) if formats else None

    @property
    def makes_volumes(self) -> bool:
        """Whether arrays are to be written, or measured."""
        return self.volume is not None and bool(self.volume.formats or self.volume.statistics)

    @property
    def pictures(self) -> bool:
        """Whether any output needs pixels."""
        return any((self.image, self.video, self.volume, self.preview, self.quality))

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
    def bits(self) -> int | Literal["auto"]:
        """Bits of a grey picture; auto: by the image."""
        return self.image.bits if self.image is not None else 16

    @property
    def crops(self) -> bool:
        """Whether ultrasound is cut to its regions."""
        return self.image is not None and self.image.crop == "us_region"

    @property
    def stacks(self) -> bool:
        """Whether stacks of slices become videos."""
        section = self.video_todo("stack")
        return self.media_dir is not None and section is not None and section.series

    def temp(self, root: str) -> str:
        """Folder for unfinished products of an output folder: on its file system, this run's own."""
        path = os.path.join(root, TEMP, self.token)
        make_folders(path)
        return path


def setup_of(config: Config, spool: str, token: str, policy: Policy | None = None) -> Setup:
    """What workers need of a configuration."""
    return Setup(
        parts=frozenset(parts_of(config.shaping())),
        cells=are_wanted(config),
        readers=config.dicom.readers,
        keys=config.metadata.keys if config.metadata else "keyword",
        compat=config.metadata.compat if config.metadata else None,
        rows=config.metadata is not None,
        spool=spool,
        token=token,
        media_dir=config.media_dir,
        image=config.image,
        video=config.video,
        volume=config.volume,
        volume_dir=config.volume_dir,
        preview=config.preview,
        preview_dir=config.preview_dir,
        pixels=config.limits.pixels,
        select=config.select,
        ratings=ratings_of(config, policy.uid if policy else str),
        quality=config.quality,
        documents=config.media is not None and config.media.documents,
        waveforms=config.media is not None and config.media.waveforms,
        text=config.metadata is not None and config.metadata.text,
        incomplete=_incomplete(config, policy),
        policy=policy,
        links=_links(config, policy),
        custodian=_custodian(config),
        private=config.private_dir if policy is not None else None,
        private_log=os.path.join(config.private_dir, LOG) if policy is not None and config.private_dir else None,
    )


def _links(config: Config, policy: Policy | None) -> str | None:
    """Where the linking table lies: with a key that lasts, or a custodian, and the package that seals it."""
    if policy is None or config.private_dir is None or not is_available():
        return None
    if policy.key.once and policy.section.custodian is None:
        return None
    return os.path.join(config.private_dir, FOLDER)


def _custodian(config: Config) -> str | None:
    """The file of the public key that the linking table is sealed to."""
    told = config.privacy.custodian if config.privacy else None
    return None if told is None else config.named(told)


def _incomplete(config: Config, policy: Policy | None) -> dict[str, str]:
    """What a retrieval could not bring, by series: volumes say so."""
    if config.pacs is None:
        return {}
    from crawler.pacs.accounts import incomplete_below  # only runs with a PACS need it

    found = incomplete_below(config.pacs_dir or "")
    return found if policy is None else {policy.uid(series): text for series, text in found.items()}

"""The input: trees of files made from templates, kept in a cache folder and made once.

A tree is built beside its name and renamed when it is whole; its name holds a digest of its template, so one that was
made from other bytes is never taken for it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import template
from benchmarks.template import Template

SPARE = 2.0  # outputs of the largest job are about as large as its input


class BenchmarkError(Exception):
    """The benchmark cannot be made; the message says why."""


@dataclass(frozen=True, slots=True)
class Tree:
    """What a tree holds.

    Attributes
    ----------
    source
        Function of `template` and its arguments.
    files, per_folder
        How many, and how many of them are one series in one folder.
    frames
        Above 0: one file of so many frames.
    """

    name: str
    source: Callable[..., Template]
    files: int
    per_folder: int
    side: int = 0
    frames: int = 0

    def template(self) -> Template:
        """What its files are made of."""
        return self.source(self.side) if self.side else self.source()

    def size(self) -> int:
        """Bytes of all files."""
        one = self.template()
        return len(one.head) + self.frames * len(one.pixels) if self.frames else self.files * one.size

    def path(self, folder: Path) -> Path:
        """Where it lies in the cache."""
        one = self.template()
        digest = hashlib.blake2b(one.head + one.pixels, digest_size=4).hexdigest()
        return folder / f"{self.name}-{self.frames or self.files}x{self.per_folder}-{digest}"

    def build(self, folder: Path) -> Path:
        """Write the tree unless it is there."""
        path = self.path(folder)
        if path.is_dir():
            return path
        part = path.with_name(path.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        if self.frames:
            with open(part / "multiframe.dcm", "wb") as file:
                file.writelines(self.template().multiframe(self.frames))
        else:
            self._fill(part)
        os.rename(part, path)
        return path

    def _fill(self, part: Path) -> None:
        one = self.template()
        for number in range(self.files):
            series, instance = divmod(number, self.per_folder)
            inside = part / f"s{series:04d}"
            if not instance:
                inside.mkdir()
            (inside / f"im{instance:05d}.dcm").write_bytes(one.file(series, instance))


def ct_tree(files: int, per_folder: int = 200, side: int = 512) -> Tree:
    """CT series in folders of their own; `side` below 512 makes small files with whole headers."""
    return Tree(f"ct{side}", template.ct, files, min(files, per_folder), side)


def mr_tree(files: int) -> Tree:
    """Siemens MR with CSA headers."""
    return Tree("mr", template.mr, files, min(files, 50))


def us_tree(files: int) -> Tree:
    """Ultrasound cines of 120 frames, two a folder."""
    return Tree("us", template.us, files, min(files, 2))


def huge_tree(frames: int) -> Tree:
    """One native multi-frame file of 512 x 512 x 16 bit."""
    return Tree("huge", template.multiframe, 1, 1, frames=frames)


def require_space(trees: Sequence[Tree], folder: Path) -> int:
    """Bytes of the trees together.

    Raises
    ------
    BenchmarkError
        They, with what is made of them, do not fit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    total = sum(tree.size() for tree in trees)
    missing = sum(tree.size() for tree in trees if not tree.path(folder).is_dir())
    need = missing + SPARE * max((tree.size() for tree in trees), default=0)
    if (free := shutil.disk_usage(folder).free) < need:
        raise BenchmarkError(f"{need / 1e9:.1f} GB are needed in {folder}, {free / 1e9:.1f} GB are free: see --files")
    return total

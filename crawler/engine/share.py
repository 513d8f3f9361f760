"""Which part of the input a run is for: all of it, or one shard's folders.

It decides by names alone and reads no file. What divides the input, and how, is `cluster/`'s business.
"""

from __future__ import annotations

from collections.abc import Iterator

from crawler.sources.directory import Folder, Outputs, Root, Visited, walk


class Share:
    """All of the input; a shard's share overrides what differs.

    A folder (without the archives in it) belongs to one shard, and so does each archive: both go by their key, as
    `Folder.key` and `File.key` have it.
    """

    whole = True

    def folders(self, number: int, root: Root, recursive: bool, outputs: Outputs, visited: Visited) -> Iterator[Folder]:
        """The folders of the root of that number which hold something of this share, and perhaps others."""
        return walk(root, recursive, outputs, visited)

    def has(self, key: str) -> bool:
        """Whether a folder, or an archive, belongs to this share."""
        return True

    def narrow(self, folder: Folder) -> Folder:
        """A folder that belongs to several shares, with the files of this one."""
        return folder

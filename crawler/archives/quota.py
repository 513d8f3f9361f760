"""How much an archive may ask for: bytes in memory and on disk are granted before they are written, never after.

It holds numbers and compares them; it opens nothing and writes nothing.
"""

from __future__ import annotations

from typing import NamedTuple

_MB = 10**6
_GB = 10**9
DEFLATE_MOST = 1032
"""No deflate stream inflates to more times its size (zlib.net, "Technical Details")."""


class Quota(NamedTuple):
    """Limits on what one archive unpacks to.

    Attributes
    ----------
    ratio
        Inflated bytes for one packed byte from which a large member is a bomb. CT and MR compress 2:1 to 10:1, a bomb
        of deflate 1032:1; only near-empty masks come close to that, and stay small.
    member
        Bytes that one member may inflate to, whatever the ratio.
    total
        The same for all members of one archive together: a bomb may be cut in small pieces.
    spooled
        Bytes of temporary copies that one archive may have.
    reserve
        Bytes that stay free on the disk of the temporary copies.
    """

    ratio: int = 200
    member: int = 100 * _MB
    total: int = 1 * _GB
    spooled: int = 500 * _GB
    reserve: int = 2 * _GB

    def member_is_bomb(self, size: int, packed: int) -> bool:
        """Whether one member of `packed` bytes may not inflate to `size` bytes."""
        return size > self.member and size > self.ratio * packed

    def archive_is_bomb(self, size: int, packed: int) -> bool:
        """Whether `packed` bytes of an archive may not inflate to `size` bytes in all."""
        return size > self.total and size > self.ratio * packed


QUOTA = Quota()

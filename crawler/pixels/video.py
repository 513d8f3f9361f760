"""Pixel data that are a video already: MPEG-2, MPEG-4 AVC/H.264 and HEVC (PS3.5 8.2.5 and following).

Their fragments, joined, are one stream or container file for all frames, often with sound. It is found and copied
here; nothing looks into it.
"""

from __future__ import annotations

from collections.abc import Callable

from crawler.dicom import uids
from crawler.dicom.files import open_file, size_of
from crawler.dicom.fragments import frame_table
from crawler.errors import PixelError
from crawler.model import Instance

_BLOCK = 1 << 20  # bytes copied at a time

# PS3.6 table A-1; the forms that may be cut into several fragments end in ".1" (HEVC has no such form).
SYNTAXES = frozenset(
    {
        *(uids.MPEG2MPML, uids.MPEG2MPMLF, uids.MPEG2MPHL, uids.MPEG2MPHLF),
        *(uids.MPEG4HP41, uids.MPEG4HP41F, uids.MPEG4HP41BD, uids.MPEG4HP41BDF),
        *(uids.MPEG4HP422D, uids.MPEG4HP422DF, uids.MPEG4HP423D, uids.MPEG4HP423DF),
        *(uids.MPEG4HP42STEREO, uids.MPEG4HP42STEREOF),
        *(uids.HEVCMP51, uids.HEVCM10P51),
    }
)


def is_video(instance: Instance) -> bool:
    """Whether an instance's pixel data are a video stream."""
    return instance.pixels is not None and instance.transfer_syntax in SYNTAXES


def copy_stream(instance: Instance, path: str, advance: Callable[[], None] = lambda: None) -> None:
    """Write the stream to a new file, block by block.

    Parameters
    ----------
    path
        Native path of the file, which must not exist.
    advance
        Called after every block.

    Raises
    ------
    PixelError
        "no pixel data", "damaged pixel data" (not encapsulated) or "truncated pixel data"; the file may exist then.
    OSError
        The file cannot be written, or the input not be read.
    """
    pixels = instance.pixels
    if pixels is None or not pixels.keyword:
        raise PixelError("no pixel data", "the object has no pixel data element")
    if pixels.length is not None:
        raise PixelError("damaged pixel data", "the element's length contradicts the transfer syntax")
    with open_file(instance.file) as stream:
        size = size_of(stream)
        # As one frame: the items of a video are parts of a stream, and a frame begins anywhere in them.
        fragments = [fragment for frame in frame_table(stream, pixels._replace(frames=1), size) for fragment in frame]
        if not fragments:
            raise PixelError("truncated pixel data", "holds no byte of it")
        with open(path, "xb") as copy:
            for fragment in fragments:
                held = size - fragment.offset
                if fragment.length > held:
                    raise PixelError("truncated pixel data", f"holds {held:,} of {fragment.length:,} bytes")
                stream.seek(fragment.offset)
                rest = fragment.length
                while rest:
                    block = stream.read(min(rest, _BLOCK))
                    if not block:
                        raise PixelError("truncated pixel data", "the file became shorter while it was read")
                    copy.write(block)
                    rest -= len(block)
                    advance()

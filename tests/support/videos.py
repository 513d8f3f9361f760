"""Clips that ffmpeg makes, DICOM files that hold them, and what boxes and ffmpeg say of a finished video."""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
from pydicom.encaps import encapsulate

from support.factories import quick_dataset, save

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")

H264 = ("-c:v", "libx264", "-bf", "2", "-threads", "1")


def clip(path: Path, *codec: str, frames: int = 12, rate: int = 25, sound: str = "") -> Path:
    """A test pattern of 64 x 48 pixels in the container of the path's extension; `sound` is a codec."""
    source = ["-f", "lavfi", "-i", f"testsrc=size=64x48:rate={rate}"]
    if sound:
        source += ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]
    audio = ["-c:a", sound, "-ac", "2"] if sound else []
    command = [FFMPEG, "-v", "error", "-y", *source, "-frames:v", str(frames), *codec, "-pix_fmt", "yuv420p"]
    subprocess.run([*command, *audio, "-t", str(frames / rate), str(path)], check=True)
    return path


def wrap(stream: Path, path: Path, syntax: str, frames: int = 12, pieces: int = 1, **keywords: Any) -> Path:
    """A DICOM file of an encoded video, its stream cut into `pieces` fragments."""
    elements = {
        "PhotometricInterpretation": "YBR_PARTIAL_420",
        "NumberOfFrames": frames,
        "TransferSyntaxUID": syntax,
        "FrameTime": 40,
        "PixelData": encapsulate([stream.read_bytes()], fragments_per_frame=pieces, has_bot=False),
        **keywords,
    }
    return save(quick_dataset(np.zeros((48, 64, 3), np.uint8), **elements), path)


def boxes(data: bytes, inside: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
    """(path, payload) of every box of an ISO base media file (ISO/IEC 14496-12 4.2) that ends a branch."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">L4s", data, at)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        payload = data[at + head : at + size]
        if kind in CONTAINERS:
            yield from boxes(payload, inside + b"/" + kind)
        else:
            yield inside + b"/" + kind, payload
        at += size


def facts(path: Path) -> dict[str, Any]:
    """Codec, pixel format, frames and seconds of an MP4's video track: the last two from its boxes."""
    found: dict[str, Any] = {"order": []}
    sound = False
    for name, payload in boxes(path.read_bytes()):
        found["order"] += [name.split(b"/")[1].decode()]
        if name.endswith(b"/mdia/hdlr"):
            sound = payload[8:12] == b"soun"
        elif name.endswith(b"/mdia/mdhd") and "seconds" not in found:
            scale, length = (
                struct.unpack_from(">LL", payload, 12) if payload[0] == 0 else struct.unpack_from(">LQ", payload, 20)
            )
            found["seconds"] = length / scale
        elif name.endswith(b"/stsz") and not sound:
            found["frames"] = struct.unpack_from(">L", payload, 8)[0]
    text = subprocess.run([FFMPEG, "-hide_banner", "-i", str(path)], capture_output=True, text=True, check=False).stderr
    video = re.search(r"Video: (\w+).*?, (\w+)[(,].*?(\d+)x(\d+)", text)
    assert video, text
    found |= {"codec": video[1], "pix_fmt": video[2], "size": (int(video[3]), int(video[4]))}
    audio = re.search(r"Audio: (\w+)", text)
    return found | {"audio": audio[1] if audio else None, "text": text}


def pictures(path: Path, rows: int, columns: int) -> np.ndarray:
    """Decoded frames, RGB."""
    command = [FFMPEG, "-v", "error", "-i", str(path), "-fps_mode", "passthrough", "-f", "rawvideo"]
    data = subprocess.run([*command, "-pix_fmt", "rgb24", "-"], capture_output=True, check=True).stdout
    return np.frombuffer(data, np.uint8).reshape(-1, rows, columns, 3)

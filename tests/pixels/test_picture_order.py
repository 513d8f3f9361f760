"""The order of coded pictures against ffmpeg's decoder; streams that do not tell it are refused."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support.field_video import Coded, stream
from support.videos import FFMPEG, clip

from crawler.pixels.picture_order import UnknownOrderError, _Bits, _OrderCount, pictures

X264, X265 = ("-c:v", "libx264", "-threads", "1"), ("-c:v", "libx265", "-x265-params")
STREAMS = {
    "baseline": ("h264", (*X264, "-profile:v", "baseline")),
    "B-frames": ("h264", (*X264, "-bf", "3")),
    "short groups": ("h264", (*X264, "-bf", "3", "-g", "7")),
    "open groups": ("h264", (*X264, "-bf", "3", "-g", "9", "-x264-params", "open-gop=1")),
    "pyramid": ("h264", (*X264, "-bf", "8", "-x264-params", "b-pyramid=normal:ref=6")),
    "slices": ("h264", (*X264, "-bf", "3", "-x264-params", "slices=4")),
    "interlaced frames": ("h264", (*X264, "-bf", "2", "-flags", "+ildct+ilme", "-x264-params", "tff=1")),
    "scaling lists": ("h264", (*X264, "-bf", "2", "-x264-params", "cqm=jvt")),
    "access unit delimiters": ("h264", (*X264, "-bf", "2", "-x264-params", "aud=1")),
    "hevc": ("hevc", (*X265, "log-level=none")),
    "hevc, open groups": ("hevc", (*X265, "log-level=none:keyint=8:min-keyint=8:slices=2")),
    "hevc, closed groups": ("hevc", (*X265, "log-level=none:keyint=8:min-keyint=8:open-gop=0")),
    "hevc, temporal layers": ("hevc", (*X265, "log-level=none:temporal-layers=3:aud=1")),
    "hevc, no B-frames": ("hevc", (*X265, "log-level=none:bframes=0")),
}


def stream_of(path: Path, kind: str, frames: int) -> tuple[memoryview, str]:
    codec, encoder = STREAMS[kind]
    return memoryview(clip(path / f"a.{codec}", *encoder, frames=frames).read_bytes()), codec


def digests(data: bytes, codec: str) -> list[str]:
    """Of every picture that ffmpeg decodes from a stream, in the order in which they are shown."""
    command = [FFMPEG, "-v", "quiet", "-f", codec, "-i", "pipe:0", "-fps_mode", "passthrough", "-f", "framemd5", "-"]
    done = subprocess.run(command, input=data, capture_output=True, check=True)
    return [line.split(b",")[-1].strip().decode() for line in done.stdout.splitlines() if not line.startswith(b"#")]


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("frames", [1, 2, 40])
def test_pictures_are_those_of_the_stream(tmp_path: Path, kind: str, frames: int) -> None:
    stream, codec = stream_of(tmp_path, kind, frames)
    found = pictures(stream, codec)
    assert len(found) == frames == len(digests(bytes(stream), codec))
    assert sorted(one.place for one in found) == list(range(frames))
    assert [found[0].start, *(one.end for one in found)] == [*(one.start for one in found), len(stream)]
    assert found[0].start == 0
    for one in found:
        assert bytes(stream[one.start : one.end]).lstrip(b"\0").startswith(b"\1")


@pytest.mark.parametrize("kind", ["B-frames", "short groups", "pyramid", "hevc, closed groups", "hevc"])
def test_a_picture_that_is_left_out_is_missing_at_its_place(tmp_path: Path, kind: str) -> None:
    """Dropping a picture that no other refers to removes the one picture that is shown at its place."""
    stream, codec = stream_of(tmp_path, kind, 30)
    shown, found = digests(bytes(stream), codec), pictures(stream, codec)
    checked = 0
    for one in found[1:]:
        rest = bytes(stream[: one.start]) + bytes(stream[one.end :])
        left = digests(rest, codec)
        if left == [*shown[: one.place], *shown[one.place + 1 :]]:
            checked += 1
        elif len(left) == len(shown) - 1 and set(left) < set(shown):
            raise AssertionError(f"the picture shown as {one.place} is another one")
    assert checked >= 5


def test_order_of_a_stream_with_b_frames_is_another(tmp_path: Path) -> None:
    stream, codec = stream_of(tmp_path, "B-frames", 30)
    places = [one.place for one in pictures(stream, codec)]
    assert places != sorted(places)
    stream, codec = stream_of(tmp_path, "baseline", 30)
    assert [one.place for one in pictures(stream, codec)] == list(range(30))


# -- streams made by hand: slices alone, whose fields are written bit by bit


class Writer:
    """Writes bits, most significant first."""

    def __init__(self) -> None:
        self.bits = ""

    def u(self, count: int, value: int) -> Writer:
        self.bits += f"{value:0{count}b}" if count else ""
        return self

    def ue(self, *values: int) -> Writer:
        for value in values:
            text = f"{value + 1:b}"
            self.bits += "0" * (len(text) - 1) + text
        return self

    def unit(self, *head: int) -> bytes:
        """A NAL unit, with emulation prevention."""
        text = self.bits + "1" + "0" * (-(len(self.bits) + 1) % 8)
        data = bytes(head) + int(text, 2).to_bytes(len(text) // 8, "big")
        out, zeros = bytearray(), 0
        for byte in data:
            if zeros == 2 and byte <= 3:
                out.append(3)
                zeros = 0
            out.append(byte)
            zeros = zeros + 1 if byte == 0 else 0
        return b"\0\0\1" + bytes(out)


def avc_sets(order_type: int = 0, frames_only: bool = True, profile: int = 66, order_bits: int = 4) -> bytes:
    """Parameter sets 0 with 4 bits of frame number."""
    sequence = Writer().u(8, profile).u(16, 30).ue(0)
    if profile == 244:
        sequence.ue(3).u(1, 1).ue(0, 0).u(1, 0).u(1, 1)  # 4:4:4, planes apart, scaling lists:
        for place in range(12):
            sequence.u(1, int(place in (0, 7)))
            if place == 0:
                sequence.ue(16)  # delta -8: the default list, no more deltas
            elif place == 7:
                for _ in range(64):
                    sequence.ue(0)
    sequence.ue(0, order_type)
    if order_type == 0:
        sequence.ue(order_bits - 4)
    elif order_type == 1:
        sequence.u(1, 0).ue(0, 0, 2, 1, 2)
    sequence.ue(1).u(1, 0).ue(3, 2).u(1, int(frames_only))
    return sequence.unit(0x67) + Writer().ue(0, 0).u(2, 0).unit(0x68)


def avc_slice(number: int, low: int, *, idr: int = -1, reference: bool = True, **more: int) -> bytes:
    """A slice; `more`: type and bits of the order count, first macroblock, parity (2 for a frame), planes."""
    bits = Writer().ue(more.get("first", 0), 7, 0).u(2 * more.get("planes", 0), 0).u(4, number)
    if "parity" in more:
        bits.u(1, int(more["parity"] < 2)).u(int(more["parity"] < 2), more["parity"])
    if idr >= 0:
        bits.ue(idr)
    if more.get("order_type", 0) == 0:
        bits.u(more.get("order_bits", 4), low)
    return bits.u(24, 0xABCDEF).unit((0x60 if reference else 0) | (5 if idr >= 0 else 1))


def places(*units: bytes, codec: str = "h264") -> list[int]:
    return [one.place for one in pictures(memoryview(b"".join(units)), codec)]


def test_an_order_count_that_wraps_either_way() -> None:
    reference = [avc_slice(n % 16, 2 * n % 16) for n in range(1, 20)]
    assert places(avc_sets(), avc_slice(0, 0, idr=0), *reference) == list(range(20))
    # 14 (reference), then 10 and 12 before it, then 18 (coded as 2) and 16 (as 0) before that.
    late = [
        avc_slice(1, 6),
        avc_slice(2, 14),
        avc_slice(3, 10, reference=False),
        avc_slice(3, 12, reference=False),
        avc_slice(3, 2),
        avc_slice(4, 0, reference=False),
    ]
    assert places(avc_sets(), avc_slice(0, 0, idr=0), *late) == [0, 1, 4, 2, 3, 6, 5]


def test_the_upper_part_of_an_order_count() -> None:
    """H.264 8.2.1.1: half a span or more down is a step up, more than half a span up is a step down."""
    count = _OrderCount(16, 8)
    assert [count.of(low, 4) for low in (0, 1, 8, 15)] == [(32, 32), (16, 17), (16, 24), (16, 31)]
    count = _OrderCount(16, 1)
    assert [count.of(low, 4) for low in (9, 10)] == [(16, 25), (0, 10)]


def test_an_idr_picture_begins_anew() -> None:
    units = [avc_slice(0, 0, idr=0), avc_slice(1, 4), avc_slice(2, 2, reference=False)]
    again = [avc_slice(0, 0, idr=1), avc_slice(1, 4), avc_slice(2, 2, reference=False)]
    assert places(avc_sets(), *units, *again) == [0, 2, 1, 3, 5, 4]


def test_slices_of_one_picture_count_once() -> None:
    units = [avc_slice(0, 0, idr=0), avc_slice(0, 0, idr=0, first=5), avc_slice(1, 2), avc_slice(1, 2, first=7)]
    assert places(avc_sets(), *units) == [0, 1]


def test_order_counts_of_other_types() -> None:
    coded = [avc_slice(0, 0, idr=0, order_type=2), avc_slice(1, 0, order_type=2), avc_slice(2, 0, order_type=2)]
    assert places(avc_sets(2), *coded) == [0, 1, 2]
    with pytest.raises(UnknownOrderError, match="type 1"):
        places(avc_sets(1), avc_slice(0, 0, idr=0, order_type=1))


def test_two_fields_are_one_picture() -> None:
    """The frame's place is that of the field that is shown first (ITU-T H.264 8.2.1)."""
    sets = avc_sets(frames_only=False)
    assert places(sets, avc_slice(0, 0, idr=0, parity=2)) == [0]
    first = (avc_slice(0, 0, idr=0, parity=0), avc_slice(0, 1, parity=1))
    assert places(sets, *first) == [0]
    assert places(sets, avc_slice(0, 1, idr=0, parity=1), avc_slice(0, 0, parity=0)) == [0]
    later = (avc_slice(1, 4, parity=1), avc_slice(1, 5, parity=0))
    between = (avc_slice(2, 3, parity=0, reference=False), avc_slice(2, 2, parity=1, reference=False))
    assert places(sets, *first, *later, *between) == [0, 2, 1]
    assert places(sets, *first, avc_slice(1, 4, parity=2), *between) == [0, 2, 1]
    slices = (first[0], avc_slice(0, 0, idr=0, parity=0, first=1), first[1], avc_slice(0, 1, parity=1, first=1))
    assert places(sets, *slices, *later) == [0, 1]


def test_a_field_alone_is_refused() -> None:
    sets = avc_sets(frames_only=False)
    top, bottom = avc_slice(0, 0, idr=0, parity=0), avc_slice(0, 1, parity=1)
    for units in (
        (top,),
        (top, avc_slice(1, 2, parity=1)),
        (top, avc_slice(0, 1, parity=0)),
        (top, avc_slice(0, 1, parity=2)),
        (top, bottom, avc_slice(1, 2, parity=1)),
        (top, avc_slice(0, 0, idr=1, parity=1)),
    ):
        with pytest.raises(UnknownOrderError, match="without its other"):
            places(sets, *units)


@pytest.mark.parametrize("delimited", [True, False])
@pytest.mark.parametrize("bottom_first", [True, False])
def test_fields_against_a_decoder(delimited: bool, bottom_first: bool) -> None:
    coded = [Coded(place, 40 * place + 20, 40 * place + 30, bottom_first, place in (0, 3)) for place in (0, 3, 1, 2)]
    data = stream(coded, delimited)
    found = pictures(memoryview(data), "h264")
    assert [one.place for one in found] == [0, 3, 1, 2]
    shown = digests(data, "h264")
    assert len(set(shown)) == 4
    for one in found[2:]:
        rest = digests(data[: one.start] + data[one.end :], "h264")
        assert rest == [*shown[: one.place], *shown[one.place + 1 :]]


def test_planes_apart_and_scaling_lists() -> None:
    assert places(avc_sets(profile=244), avc_slice(0, 0, idr=0, planes=1), avc_slice(1, 4, planes=1)) == [0, 1]


def test_what_leads_a_picture_lies_with_it() -> None:
    delimiter, information, end = b"\0\0\0\1\x09\x10", b"\0\0\1\x06\x05\x80", b"\0\0\1\x0a"
    first, second = avc_slice(0, 0, idr=0), avc_slice(1, 2)
    stream = avc_sets() + first + end + delimiter + information + second
    found = pictures(memoryview(stream), "h264")
    assert found[1].start == stream.index(delimiter)
    stream = avc_sets() + first + second
    assert pictures(memoryview(stream), "h264")[1].start == len(stream) - len(second)


@pytest.mark.parametrize(
    ("units", "words"),
    [
        ([], "no pictures"),
        ([b"junk" * 9], "no pictures"),
        ([avc_sets()], "no pictures"),
        ([avc_slice(0, 0, idr=0)], "damaged or missing"),
        ([avc_sets()[:8], avc_slice(0, 0, idr=0)], "damaged or missing"),
        ([avc_sets(), b"\0\0\1\x65"], "damaged or missing"),
        ([avc_sets(), b"\0\0\1"], "damaged or missing"),
        ([avc_sets(), avc_slice(0, 0, idr=0), avc_slice(1, 4), avc_slice(2, 4)], "claim one place"),
    ],
)
def test_streams_that_do_not_tell(units: list[bytes], words: str) -> None:
    with pytest.raises(UnknownOrderError, match=words):
        places(*units)


def test_pictures_that_no_decoder_could_hold_back() -> None:
    def shown(held: int) -> list[int]:
        """The last picture is shown before `held` others that are coded in front of it."""
        others = [avc_slice(n % 16, 10 + 2 * n, order_bits=8) for n in range(1, held + 1)]
        first, last = avc_slice(0, 0, idr=0, order_bits=8), avc_slice(9, 4, reference=False, order_bits=8)
        return places(avc_sets(order_bits=8), first, *others, last)

    assert shown(16) == [0, *range(2, 18), 1]
    with pytest.raises(UnknownOrderError, match="hold them back"):
        shown(17)


def test_exp_golomb_numbers() -> None:
    found = [_Bits(data).se() for data in (b"\x80", b"\x40", b"\x60", b"\x20", b"\x28")]
    assert found == [0, 1, -1, 2, -2]
    bits = _Bits(b"\xa6")  # 1, 010, 011, 0
    assert [bits.ue(), bits.ue(), bits.ue(), bits.u(1)] == [0, 1, 2, 0]
    for data in (b"", b"\0" * 8, b"\1"):
        with pytest.raises(IndexError):
            _Bits(data).ue()

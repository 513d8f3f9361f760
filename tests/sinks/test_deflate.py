"""ISA-L's streams against zlib's inflater, in any pieces, and equal bytes in every process."""

import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.sinks.deflate import GZIP, HEAD, RAW, ZLIB, Compressor, deflated

# Digests of what small pictures become, by level. A byte (as a filter of PNG is) and a run of another begin each.
PICTURES = """
import hashlib
import numpy as np
from crawler.sinks.deflate import deflated

chance = np.random.default_rng(0)
for level in range(4):
    digest = hashlib.sha256()
    for value in range(256):
        for size in (40, 100, 200):
            picture = np.concatenate([[value ^ 1], np.full(20, value), chance.integers(0, 256, size)]).astype(np.uint8)
            digest.update(deflated(picture, level))
    print(level, digest.hexdigest())
"""


def inflate(stream: bytes, container: int) -> bytes:
    engine = zlib.decompressobj(container)
    data = engine.decompress(stream) + engine.flush()
    assert engine.eof
    assert engine.unused_data == b""
    return data


@given(
    st.lists(st.binary(max_size=40) | st.integers(0, 3000).map(bytes), max_size=6),
    st.integers(0, 3),
    st.sampled_from([ZLIB, GZIP, RAW]),
)
def test_pieces_come_back(pieces, level, container):
    streams = []
    for _ in range(2):
        compressor = Compressor(level, container)
        streams.append(b"".join([*map(compressor.compress, pieces), compressor.finish()]))
    assert inflate(streams[0], container) == b"".join(pieces)
    assert streams[1] == streams[0]


@pytest.mark.parametrize("size", [0, 1, 3, HEAD - 1, HEAD, HEAD + 1, 16, 17, 40, 1 << 18])
@pytest.mark.parametrize("level", range(4))
def test_sizes_around_the_head(size, level):
    for data in (np.zeros(size, np.uint8), np.random.default_rng(size).integers(0, 256, size, np.uint8)):
        assert zlib.decompress(deflated(data, level)) == data.tobytes()


def test_arrays_of_any_shape_and_type():
    array = np.arange(600, dtype=">f4").reshape(20, 5, 6)
    compressor = Compressor(1, ZLIB)
    stream = b"".join(map(compressor.compress, (array[:0], array, array.data, b""))) + compressor.finish()
    assert zlib.decompress(stream) == 2 * array.tobytes()


def test_equal_data_give_equal_bytes_in_every_process():
    """ISA-L's own one-shot call fails this: what it takes for the hash of the third byte is an address."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", PICTURES]
    runs = [subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    heard = [run.communicate()[0].splitlines() for run in runs]
    assert [run.returncode for run in runs] == [0] * 4
    assert heard == [heard[0]] * 4
    assert len(heard[0]) == 4

"""The ffmpeg program as a process: fed with frames, or left to itself over files; and what its messages mean.

Which encoder, which filters and which container is for the sinks to say. Nothing here looks at a picture.
"""

from __future__ import annotations

import re
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import numpy.typing as npt

from crawler.errors import CrawlerError, OutputError, SinkError, StopError
from crawler.sinks import program
from crawler.sinks.base import discard, writing

QUIET = ("-hide_banner", "-loglevel", "error", "-nostdin")
# One thread, no time stamps, no version, none of the source's tags: equal frames give equal bytes.
PLAIN = ("-threads", "1", "-fflags", "+bitexact", "-flags", "+bitexact", "-map_metadata", "-1")

LAST_LINES = 200  # of an encoder that complains about every frame, the last tell enough; a report has a dozen
FULL_DISK = ("No space left on device", "Disk quota exceeded")
# Lines in which ffmpeg only says that something above has failed.
ECHOES = re.compile(
    r"^(Error opening output|Error splitting|Error while opening encoder|Error sending frames|Task finished|"
    r"Terminating thread|Could not open encoder|Nothing was written|Conversion failed|Error applying encoder|"
    r"Error selecting an encoder|Error initializing the muxer)"
)
ORIGIN = re.compile(r"\[[^\[\]]* @ (0x)?[0-9a-f]+\] |\[enc:[^\]]*\] ")


def find_program() -> str:
    """Path of ffmpeg: imageio-ffmpeg's own, or the one that IMAGEIO_FFMPEG_EXE names.

    Raises
    ------
    StopError
        There is none.
    """
    import imageio_ffmpeg  # only runs that encode videos need it

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise StopError("no ffmpeg found: install it, or name it in IMAGEIO_FFMPEG_EXE") from error


def local(path: str) -> str:
    """A native path as ffmpeg takes it, whatever its name looks like."""
    return f"file:{path}"


class Encoder:
    """An ffmpeg process that reads raw frames and writes unfinished files.

    Its messages and its progress are read while it runs, by a thread each: a pipe that nobody reads would block it, and
    a file in place of the pipe could lie on the disk that is full.

    Parameters
    ----------
    command
        The whole command, outputs included; frames come as ``pipe:0``.
    paths
        Native paths of the files that it writes.
    folder
        That they lie in; its name is left out of messages.
    """

    def __init__(self, command: Sequence[str], paths: Sequence[str], folder: str) -> None:
        self.paths = tuple(paths)
        self._hidden = (*map(local, paths), *paths, folder)
        with writing():
            # No longer -stats_period: ffmpeg 7.0 notices only at a report that its encoder has failed.
            progress = [*command[:1], *QUIET, "-progress", "pipe:1", *command[1:]]
            self._process = program.start(progress, stdin=subprocess.PIPE)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._frames, self._progress, self._errors = self._process.stdin, self._process.stdout, self._process.stderr
        self._reports: deque[bytes] = deque(maxlen=LAST_LINES)
        self._messages: deque[bytes] = deque(maxlen=LAST_LINES)
        self._readers = (
            threading.Thread(target=self._reports.extend, args=(self._progress,), daemon=True),
            threading.Thread(target=self._messages.extend, args=(self._errors,), daemon=True),
        )
        for reader in self._readers:
            reader.start()

    def write(self, pixels: npt.NDArray[np.uint8]) -> None:
        """Hand over one frame; waits while ffmpeg is busy."""
        try:
            self._frames.write(np.ascontiguousarray(pixels).data)
        except OSError as error:
            self._wait()
            raise self._failure() from error

    def finish(self) -> int:
        """End the stream and return how many frames ffmpeg says it wrote (of several outputs, to the first)."""
        if self._wait() != 0:
            raise self._failure()
        counts = re.findall(rb"^frame=\s*(\d+)", b"".join(self._reports), re.MULTILINE)
        return int(counts[-1]) if counts else 0

    def kill(self) -> None:
        """End the process at once and remove its files."""
        if self._process.poll() is None:
            self._process.kill()
        self._wait()
        for path in self.paths:
            discard(path)

    def _wait(self) -> int:
        """Close the pipes and collect the process, so that no zombie stays; a second time it only tells the code."""
        if not self._progress.closed:
            with suppress(OSError):  # it is gone already, and its return code says why
                self._frames.close()
            self._process.wait()
            for reader in self._readers:
                reader.join()
            self._progress.close()
            self._errors.close()
        return self._process.wait()

    def _failure(self) -> CrawlerError:
        return failure(b"".join(self._messages), self._process.returncode, self._hidden)


def run(command: Sequence[str], hidden: Sequence[str]) -> None:
    """Run ffmpeg over files, to its end.

    Parameters
    ----------
    hidden
        Names to be left out of messages: those of unfinished files.

    Raises
    ------
    SinkError
        It failed; the detail is its last telling line.
    OutputError
        The disk is full.
    """
    with writing():
        done = program.run([*command[:1], *QUIET, *command[1:]])
    if done.returncode != 0:
        raise failure(done.stderr, done.returncode, hidden)


def failure(messages: bytes, code: int, hidden: Sequence[str]) -> CrawlerError:
    """What ffmpeg says went wrong, in one line, without the names of unfinished files."""
    text = messages.decode("utf-8", "replace")
    for name in hidden:
        text = text.replace(name, "output")
    for sign in FULL_DISK:
        if sign in text:
            return OutputError(f"disk full: {sign}; free some space and run again, finished files are kept")
    lines = [stripped for line in text.splitlines() if (stripped := ORIGIN.sub("", line).strip())]
    telling = [line for line in lines if not ECHOES.match(line)] or lines
    return SinkError("video not encoded", telling[-1] if telling else _ending(code))


def _ending(code: int) -> str:
    return f"ffmpeg was ended by signal {-code}" if code < 0 else f"ffmpeg ended with code {code}"


def probe(ffmpeg: str, path: str) -> tuple[str, tuple[str, ...]]:
    """What a file is: ffmpeg's name of its container ("h264" for a bare stream), and the codecs in it.

    Both are empty when ffmpeg cannot tell. (imageio-ffmpeg brings no ffprobe.)
    """
    with writing():
        done = program.run([ffmpeg, "-hide_banner", "-nostdin", "-i", local(path)])
    text = done.stderr.decode("utf-8", "replace")
    container = re.search(r"^Input #0, (\S+?), from ", text, re.MULTILINE)
    codecs = re.findall(r"^  +Stream #0:.*?: (?:Video|Audio): (\w+)", text, re.MULTILINE)
    return container[1] if container else "", tuple(codecs)


def packet_times(ffmpeg: str, path: str) -> list[int]:
    """When each packet of a file's video is shown, in ticks of its own clock, in the order in which they are stored.

    Raises
    ------
    SinkError
        ffmpeg cannot read the file.
    """
    with writing():
        done = program.run(
            [ffmpeg, *QUIET, "-i", local(path), "-map", "0:v:0", "-c", "copy", "-f", "framecrc", "pipe:1"]
        )
    if done.returncode != 0:
        raise failure(done.stderr, done.returncode, [local(path), path])
    lines = [line.split(b",") for line in done.stdout.splitlines() if not line.startswith(b"#")]
    return [int(line[2]) for line in lines]  # stream, decoded, shown, duration, size, checksum

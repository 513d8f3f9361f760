"""What is held back, shown to a person in the private folder, and let out as that person's answer says.

Pictures of frames, the document, the curves of a waveform: all that would leave the house with a release, as far as it
can be shown. Nothing of it lies in an output.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from crawler.display.display import display_for
from crawler.errors import FileError, OutputError
from crawler.export.companions import medium_of
from crawler.model import Frame, Instance
from crawler.paths import TEMP
from crawler.pixels.frames import frames
from crawler.privacy.answers import Answer, answered
from crawler.privacy.held import FOLDER, Held, HeldWriter, item_of, kind_of, true_text
from crawler.privacy.policy import Policy
from crawler.sinks.base import Target
from crawler.sinks.png import encode
from crawler.sinks.video_frames import decoded

_SIDE = 2048  # pixels of a picture's longer side: larger ones are reduced, by whole steps
Pixels = npt.NDArray[np.uint8]


class Reviewer:
    """Asks for answers of what is held, and notes it for those who give them.

    Parameters
    ----------
    private
        The private folder of the run.
    limit
        Bytes that one decoded frame may take.
    """

    def __init__(self, policy: Policy, private: str, limit: int) -> None:
        self._policy, self._limit = policy, limit
        self._folder = os.path.join(private, FOLDER)
        self._register = HeldWriter(self._folder)

    def __call__(
        self, scan_id: str, instance: Instance, advance: Callable[[], None], crashed: bool = False
    ) -> Instance:
        """A held instance, as its answer has it; unchanged without one, and where its file cannot be read.

        Parameters
        ----------
        advance
            Called while the work goes on.
        crashed
            It has killed a worker: it is noted, and not shown.

        Raises
        ------
        OutputError
            It cannot be noted.
        """
        try:
            item = item_of(self._policy.key, instance.file)
        except (OSError, FileError):
            return instance
        advance()
        shown = () if crashed else self._shown(item, instance, advance)
        pixels = instance.pixels
        size = (pixels.rows, pixels.columns, pixels.frames) if pixels is not None else (0, 0, 0)
        file, kind = instance.file, kind_of(instance)
        self._register.add(Held(item, file.key, true_text(file), scan_id, instance.held, kind, *size, shown))
        answer: Answer | None = self._policy.answers.get(item)
        return instance if answer is None else answered(instance, answer)

    def _shown(self, item: str, instance: Instance, advance: Callable[[], None]) -> tuple[tuple[str, str], ...]:
        """Make what is shown of an item; nothing where it cannot be had."""
        folder = os.path.join(self._folder, item)
        scratch = f"{folder}.part"
        try:
            if not os.path.isdir(folder):
                shutil.rmtree(scratch, ignore_errors=True)
                os.makedirs(scratch, mode=0o700)
                self._make(scratch, instance, advance)
                os.rename(scratch, folder)
            names = sorted(os.listdir(folder))
        except OutputError:  # the disk is full
            raise
        except Exception:  # noqa: BLE001 - what cannot be shown is noted without; it stays held until it is answered
            shutil.rmtree(scratch, ignore_errors=True)
            return ()
        return tuple((f"{item}/{name}", os.path.splitext(name)[0]) for name in names)

    def _make(self, folder: str, instance: Instance, advance: Callable[[], None]) -> None:
        if instance.pixels is None:
            temp = os.path.join(folder, TEMP)
            os.mkdir(temp)
            for product in medium_of(instance, Target(os.path.join(folder, "content"), temp), advance):
                os.chmod(product.path, 0o600)
            shutil.rmtree(temp)
            return
        for name, picture in _pictures(instance._replace(held="", mask=None), self._limit, folder, advance):
            number = os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(number, "wb") as file:
                file.write(encode(picture))


def _pictures(instance: Instance, limit: int, folder: str, advance: Callable[[], None]) -> Iterator[tuple[str, Pixels]]:
    """First, middle and last frame as they are shown, and in grey with all levels told apart: writing may be faint."""
    pixels = instance.pixels
    assert pixels is not None, "the caller looked"
    count = max(1, pixels.frames)
    numbers = sorted({0, count // 2, count - 1})
    if kind_of(instance) == "video":
        for number, frame in _of_video(instance, numbers, limit, folder, advance):
            yield f"frame {number + 1:06d}.png", _small(frame.values.astype(np.uint8))
        return
    shown = display_for(instance)
    for frame in frames(instance, numbers, limit):
        advance()
        yield f"frame {frame.number + 1:06d}.png", _small(np.asarray(shown.render(frame, 8), np.uint8))
        if frame.values.ndim == 2 and frame.values.dtype != np.uint8:
            yield f"frame {frame.number + 1:06d} all levels.png", _small(_ranked(frame.values))


def _of_video(
    instance: Instance, numbers: list[int], limit: int, folder: str, advance: Callable[[], None]
) -> Iterator[tuple[int, Frame]]:
    """Those frames of an encoded video, and its last one wherever it ends."""
    last: Frame | None = None
    given = -1
    for frame in decoded(instance, folder, limit, advance):
        advance()
        last = frame
        if frame.number in numbers:
            given = frame.number
            yield frame.number, frame
    if last is not None and last.number != given:
        yield last.number, last


def _ranked(values: npt.NDArray[np.generic]) -> Pixels:
    """Grey by the rank of each level among those that occur, so that none hides beside a far one."""
    levels, places = np.unique(np.nan_to_num(values), return_inverse=True)
    shades = np.linspace(0, 255, max(2, levels.size)).astype(np.uint8)
    return shades[places.reshape(values.shape)]


def _small(picture: Pixels) -> Pixels:
    step = -(-max(picture.shape[:2]) // _SIDE)
    return np.ascontiguousarray(picture[::step, ::step])

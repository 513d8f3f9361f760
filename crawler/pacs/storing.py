"""The C-STORE SCP of one association (PS3.4 annex B): each instance into a temporary file, then to its taker.

Serves C-GET, where the instances come over the association that asked for them, and the receiver, where they come over
associations of the server's. It opens no connections and knows no requests.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from crawler.pacs import command as dimse
from crawler.pacs.association import Association, Discarded, Target
from crawler.pacs.command import Command
from crawler.pacs.model import Received, Refusal
from crawler.pacs.part10 import Writer, file_meta

OUT_OF_RESOURCES, NOT_UNDERSTOOD, NO_SUCH_CLASS = 0xA700, 0xC000, 0x0122

Folder = Callable[[Command], Path | None]
Take = Callable[[Received, Command], bool]


def temporary_names() -> Iterator[str]:
    """Yield names that no other process and no other call yields; `next` on it is safe among threads."""
    token = secrets.token_hex(6)
    return map(f"{token}-{{}}.part".format, itertools.count())


class StoreScp:
    """Stores what comes over an association.

    Parameters
    ----------
    names
        Of temporary files.
    folder
        Where an instance goes, by its C-STORE-RQ; None when it is not wanted.
    take
        Called with each complete instance; whether it was taken.
    answers_first
        Whether the sender is told "success" once the file is complete and before `take` looks at it, so that it reads
        the next instance meanwhile. For takers that refuse nothing, and count for themselves what they keep.
    """

    def __init__(
        self, association: Association, names: Iterator[str], folder: Folder, take: Take, *, answers_first: bool = False
    ) -> None:
        self._answers_first = answers_first
        self._association = association
        self._names = names
        self._folder = folder
        self._take = take
        self._writer: Writer | None = None
        self.received = 0
        self.refused: list[Refusal] = []

    def open(self, number: int, command: Command) -> Target:
        """Return where the dataset of a C-STORE-RQ goes."""
        context = self._association.contexts.get(number)
        folder = self._folder(command)
        if context is None or folder is None:
            return Discarded()
        sop_class = command.sop_class or context.sop_class
        head = file_meta(sop_class, command.sop_uid or "", context.syntaxes[0])
        self._writer = Writer(folder / next(self._names), sop_class, command.sop_uid or "", context.syntaxes[0], head)
        return self._writer

    def finish(self, number: int, command: Command) -> None:
        """Hand over the instance whose dataset has ended, and answer the request."""
        writer, self._writer = self._writer, None
        if writer is None:
            if number not in self._association.contexts:
                status = NO_SUCH_CLASS
            else:
                status = OUT_OF_RESOURCES if command.has_data else NOT_UNDERSTOOD
            self._answer(number, command, status)
            return
        try:
            received = writer.finish()
            if self._answers_first:
                self._answer(number, command, dimse.SUCCESS)
            taken = self._take(received, command)
        except BaseException:
            writer.discard()
            raise
        if taken:
            self.received += 1
        else:
            writer.discard()
        if not self._answers_first:
            self._answer(number, command, dimse.SUCCESS if taken else OUT_OF_RESOURCES)

    def _answer(self, number: int, command: Command, status: int) -> None:
        if status != dimse.SUCCESS:
            self.refused.append(Refusal("instance", command.sop_uid or "", status))
        field, message = dimse.STORE | dimse.RESPONSE, command.message
        answer = Command(field, command.sop_class, message, status=status, sop_uid=command.sop_uid)
        self._association.send(number, answer)

    def discard(self) -> None:
        """Remove a file that did not become complete."""
        if self._writer is not None:
            self._writer.discard()
            self._writer = None

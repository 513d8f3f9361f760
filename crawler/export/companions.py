"""What a file gives beside pictures and volumes: its document, its waveform, its header as a text.

None of them needs a frame. Which of them apply, and what becomes of the file when one cannot be written, is decided
here; how they are written is the business of `sinks/`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from crawler.dicom.waveforms import Group, is_waveform
from crawler.error_boundary import ErrorBoundary
from crawler.errors import SinkError
from crawler.export.foreign import EXISTS, foreign_outcome, may_replace
from crawler.export.result import Header, State, relative
from crawler.export.setup import Setup
from crawler.model import Instance, Outcome, Product
from crawler.paths import portable
from crawler.sinks.base import Target, discard
from crawler.sinks.document import is_document, write_document
from crawler.sinks.text import EXTENSION, write_text

# Leads of an ECG, as codes (PS3.16 CID 3001) and devices name them; units that waveforms are measured in (UCUM).
_LEAD = re.compile(r"(lead )?(I{1,3}|-?aV[RLF]|V\d{1,2}R?|[XYZ])( \(Einthoven\)|, augmented limb lead)?", re.IGNORECASE)
_UNITS = frozenset({"", "uV", "mV", "V", "mm[Hg]", "kPa", "Pa", "%", "1", "mL/s", "L/min", "cm/s", "m/s", "Cel", "Ohm"})


class Exists(SinkError):
    """A file of another owner lies at the target; the detail is its extension, `outcome` what that means."""

    outcome = EXISTS


@dataclass(frozen=True, slots=True)
class FreeTarget(Target):
    """A target that writes over nothing that `taken` names, by extension."""

    taken: Callable[[str], Outcome | None] = lambda extension: None

    def publish(self, scratch: str, extension: str, kind: str, layout: str = "") -> Product:
        """As `Target.publish`. Raises Exists."""
        outcome = self.taken(extension)
        if outcome is not None:
            discard(scratch)
            error = Exists("exists", extension)
            error.outcome = outcome
            raise error
        return Target.publish(self, scratch, extension, kind, layout)


def media_type_of(instance: Instance, setup: Setup) -> str | None:
    """Kind of the medium, "document" or "waveform"; None where there is none, or the configuration wants none."""
    if setup.media_dir is None:
        return None
    if setup.documents and is_document(instance.sop_class):
        return "document"
    return "waveform" if setup.waveforms and is_waveform(instance.sop_class) else None


class CompanionWriter:
    """Writes these outputs of the files of a scan.

    Parameters
    ----------
    found
        ``media/<path>`` (native, relative) of files in the output folder that are not ours.
    """

    def __init__(self, setup: Setup, found: frozenset[str]) -> None:
        self._setup, self._found = setup, found

    def write(self, header: Header, stem: str, state: State, advance: Callable[[], None]) -> list[Product]:
        """Write what applies to one file, and note in its state what came of it.

        Parameters
        ----------
        stem
            Name of the file's media.
        advance
            Called while the work goes on.

        Returns
        -------
        list of Product
            Finished files. Those of a medium are noted in the state, the report is not: it is no medium.
        """
        root = self._setup.media_dir
        media_type = media_type_of(header.instance, self._setup)
        if root is None or not (media_type or self._setup.text):
            return []
        path = os.path.join(os.path.dirname(header.instance.file.mirror), stem)
        taken = partial(self._taken, path)
        replace_of = partial(may_replace, self._found, f"media/{path}")
        target = FreeTarget(os.path.join(root, path), self._setup.temp(root), replace_of, taken)
        products: list[Product] = []
        if media_type is not None and state.outcome.outcome != "failed":  # one that killed a worker is not tried again
            state.media_type = media_type
            with ErrorBoundary("write", state.record):
                try:
                    products += medium_of(header.instance, target, advance, public=self._setup.policy is not None)
                except Exists as error:
                    if error.outcome == EXISTS:
                        state.media.append(portable(path + error.detail))
                    state.record(error.outcome)
            state.media += [relative(product, root) for product in products]
        if self._setup.text:
            with ErrorBoundary("write", state.record):
                if (outcome := taken(EXTENSION)) is not None:
                    state.record(outcome)
                else:
                    products += write_text(header.record(), self._setup.keys, target)
        return products

    def _taken(self, path: str, extension: str) -> Outcome | None:
        return foreign_outcome(self._found, f"media/{path}{extension}")


def medium_of(instance: Instance, target: Target, advance: Callable[[], None], public: bool = True) -> list[Product]:
    """Write the document or the waveform of an instance.

    Parameters
    ----------
    public
        Channels of a waveform that are no leads of an ECG have numbers for names.

    Raises
    ------
    FileError, OutputError
        As `write_document` and `write_waveform`.
    """
    if is_document(instance.sop_class):
        return write_document(instance, target)
    from crawler.sinks.waveform import as_it_is, write_waveform  # it draws, for which it loads Pillow

    return write_waveform(instance, target, advance, _public if public else as_it_is)


def _public(group: Group) -> Group:
    """A group whose names and units are of a list: both are text of the file."""
    channels = [
        one._replace(
            name=one.name if _LEAD.fullmatch(one.name) else f"channel {number}",
            unit=one.unit if one.unit in _UNITS else "",
        )
        for number, one in enumerate(group.channels, 1)
    ]
    return replace(group, channels=tuple(channels))

"""What is told of a file that is not as it ought to be: reasons of our own, and tags; never what the file says."""

from __future__ import annotations

import re

from crawler.model import Outcome

_TAGS = re.compile(r"\([0-9A-Fa-f]{4},[0-9A-Fa-fx]{4}\)")


def public_outcome(outcome: Outcome) -> Outcome:
    """An outcome whose detail names no value: tags alone are left of it."""
    return outcome._replace(detail=_tags(outcome.detail))


def public_note(note: str) -> str:
    """A note without what it quotes: the tags in it."""
    return f"{_tags(note) or 'header'}: not as the standard has it"


def _tags(text: str) -> str:
    return ", ".join(dict.fromkeys(_TAGS.findall(text)))

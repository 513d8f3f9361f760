"""What is held back: objects whose content may name a person and that no rule cleans. Their row stays.

It decides by the header alone, before any pixel is read, and says why. What may be released after somebody has looked at
it is `pixels.py`'s business.
"""

from __future__ import annotations

from crawler.config.privacy import PrivacySection
from crawler.model import Instance, Outcome
from crawler.pixels.video import is_video

REASON = "held by privacy"
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_DOCUMENTS = f"{_STORAGE}104."
_WAVEFORMS = f"{_STORAGE}9."


def held(instance: Instance, section: PrivacySection) -> Outcome | None:
    """Why a file has no output but its row; None where it may have others."""
    if instance.sop_class.startswith(_DOCUMENTS):
        return outcome("encapsulated document")
    if instance.sop_class.startswith(_WAVEFORMS):
        return outcome("waveform")  # its labels and annotations are free text, its sound is speech
    if instance.pixels is not None and is_video(instance):
        return outcome("encoded video")
    return None


def outcome(why: str) -> Outcome:
    """The outcome of a file that is held back; the stage names why."""
    return Outcome("skipped", why, REASON)

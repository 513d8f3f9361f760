"""What the statuses of DIMSE responses mean (PS3.4 annexes B, C and PS3.7 annex C), as outcomes and in words.

Servers disagree on the codes: an unknown destination is 0xA801 to one and 0xC000 to another. So only classes of codes
decide, and counts of what really arrived decide more than any code. No sockets.
"""

from __future__ import annotations

from crawler.pacs import command as dimse
from crawler.pacs.command import Command
from crawler.pacs.model import Answer, OutcomeOfRequest, Refusal

_WORDS = {
    0x0110: "processing failure",
    0x0112: "no such SOP instance",
    0x0117: "invalid SOP instance",
    0x0122: "SOP class not supported",
    0x0124: "not authorised",
    0x0211: "unrecognised operation",
    0x0212: "mistyped argument",
    0xA700: "out of resources",
    0xA701: "out of resources: cannot count the matches",
    0xA702: "out of resources: cannot perform sub-operations",
    0xA801: "move destination unknown",
    0xA900: "dataset or identifier does not match the SOP class",
    0xB000: "sub-operations failed",
    0xFE00: "cancelled",
}
_REFUSED = {0x0112, 0x0117, 0x0122, 0x0124, 0x0211, 0x0212, 0xA801}
# PS3.4 table B.2-1: stored all the same.
WARNINGS = {0x0107, 0x0116, 0xB000, 0xB006, 0xB007}


def words(status: int) -> str:
    """Return a status as a person reads it: "0xA700 (out of resources)"."""
    text = _WORDS.get(status) or ("cannot understand" if status >> 12 == 0xC else "failure")
    return f"0x{status:04X} ({text})"


def outcome_of(status: int) -> OutcomeOfRequest:
    """Return what a final status says of a whole request."""
    if status == dimse.SUCCESS:
        return "complete"
    if status in WARNINGS:
        return "partial"
    if status >> 8 == 0xA7:
        return "busy"
    if status in _REFUSED or status >> 8 == 0xA9:
        return "refused"
    return "failed"


def judge(
    transport: str, final: Command, received: int, wanted: int, refused: tuple[Refusal, ...] = (), note: str = ""
) -> Answer:
    """Return how a retrieval ended, by the final response and by what arrived.

    Parameters
    ----------
    final
        The last C-GET-RSP or C-MOVE-RSP.
    wanted
        How many instances were named in the request; 0 when it asked for a whole study or series.
    """
    status = final.status if final.status is not None else 0xC000
    outcome = outcome_of(status)
    good = (final.completed or 0) + (final.warning or 0)
    reason = "" if outcome == "complete" else f"the server answers {words(status)}"
    if outcome == "complete":
        if final.failed:
            reason = f"the server says success, although {final.failed} sub-operations failed"
        elif received < good:
            reason = f"the server says that {good} were sent, and {received} arrived"
        elif received < wanted:
            reason = f"the server says success, and {received} of {wanted} arrived"
        elif not received:
            reason = "the server says success, and nothing arrived"
    if (reason and outcome == "complete") or (outcome == "failed" and received):
        outcome = "partial"
    if reason and note:
        reason = f"{reason}; {note}"
    return Answer(transport, outcome, status, final.completed, final.failed, final.warning, received, refused, reason)

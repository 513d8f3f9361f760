"""A changed configuration against what was made: what is added is made, what would change is refused by name.

It changes the ledger alone: which parts (`config/parts.py`) each scan has, and which folders are to be looked at. What
is to be made and what stays is told before any work.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from crawler.config.loader import Config
from crawler.config.parts import Change, changes, parts_of, section_of, sections_of, selection_of
from crawler.config.rated import ratings_digest
from crawler.errors import ConfigError
from crawler.ledger.database import Ledger
from crawler.paths import native, portable
from crawler.sources.directory import names_of

log = logging.getLogger("dme")

RATINGS = "ratings"
"""Key of the ledger: what the list of ratings left out, `config/rated.py: Ratings.digest`; None without one."""
INPUT = ("dicom.dir", "dicom.recursive", "dicom.group")


def bring_up(config: Config, ledger: Ledger, rebuild: frozenset[str]) -> None:
    """Have made what is new, or asked for anew, and refuse what would change outputs that are there.

    Parameters
    ----------
    rebuild
        Sections whose outputs are made anew.

    Raises
    ------
    ConfigError
        A key shapes outputs that are there, and none of `rebuild` covers it. Nothing was changed.
    """
    shaping, before = config.shaping(), ledger.get("config")
    now, rated = parts_of(shaping), ratings_digest(config)
    if before is None:
        ledger.put("config", shaping)
        ledger.put(RATINGS, rated)
        ledger.put("parts", now)
        ledger.put("wanted", sorted(now))
        return
    recorded = ledger.get("parts")
    if recorded is None:  # a ledger of version 2
        recorded = parts_of(before)
        ledger.fill_in_parts(recorded)
        ledger.put("prefixes", _names(before.get("dicom.dir", ())))
    anew = sections_of(rebuild)
    changed = changes(recorded, now)
    _refuse([one for one in changed if not set(one.sections) <= anew])
    _check_input(before, shaping, anew)
    _check_selection(ledger, before, shaping, anew)
    if rated != ledger.get(RATINGS) and "select" not in anew:
        raise ConfigError(
            "select.list was of other ratings when this output was made than it is now; put them back, choose another"
            " output, or use --rebuild select to make the outputs of all series anew"
        )
    ledger.put(RATINGS, rated)
    wanted = frozenset(now)
    if any(one.key == "metadata.compat" and one.before for one in changed):  # whose rows do not tell of all outputs
        ledger.forget_digests()
    again = ledger.forget_sections(anew) if anew else 0
    if again:
        log.warning("made anew for %d series: %s", again, ", ".join(sorted(anew & {section_of(part) for part in now})))
    if again or changed or ledger.get("wanted") != sorted(wanted):
        _tell(ledger, recorded, now, shaping, again)
        ledger.open_lacking(wanted)
    ledger.put("config", {key: value for key, value in before.items() if not key.startswith("select.")} | shaping)
    ledger.put("parts", {**recorded, **now})
    ledger.put("wanted", sorted(wanted))


def _refuse(changed: Sequence[Change]) -> None:
    if not changed:
        return
    first = changed[0]
    more = f" (and {', '.join(one.key for one in changed[1:])})" if len(changed) > 1 else ""
    sections = sorted({section for one in changed for section in one.sections})
    raise ConfigError(
        f"{first.key} was {first.before!r} when this output was made and is {first.now!r} now{more};"
        f" set it back, choose another output, or use --rebuild {','.join(sections)} to make"
        f" {_listed(sections)} anew, --rebuild for all outputs"
    )


def _check_input(before: Mapping[str, Any], now: Mapping[str, Any], anew: frozenset[str]) -> None:
    """Refuse an input that takes rows and outputs away, or names them in another way; a wider one is all right."""
    if before.get("dicom.group") != now["dicom.group"]:
        raise ConfigError(
            f"dicom.group was {before.get('dicom.group')!r} when this output was made and is {now['dicom.group']!r}"
            " now; set it back, choose another output, or use --rebuild to make all outputs anew"
        )
    gone = [root for root in before.get("dicom.dir", ()) if root not in now["dicom.dir"]]
    if gone and "dicom" not in anew:
        raise ConfigError(
            f"dicom.dir: {gone[0]} was an input when this output was made and is none now; put it back, choose another"
            " output, or use --rebuild dicom to have its rows and outputs removed"
        )
    if before.get("dicom.recursive") and not now["dicom.recursive"] and "dicom" not in anew:
        raise ConfigError(
            "dicom.recursive was True when this output was made and is False now; set it back, choose another output,"
            " or use --rebuild dicom to have rows and outputs of subfolders removed"
        )


def _check_selection(ledger: Ledger, before: Mapping[str, Any], now: Mapping[str, Any], anew: frozenset[str]) -> None:
    """Another selection is another outcome for files of any scan: all scans are made anew."""
    old, new = selection_of(before), selection_of(now)
    if "select" in anew:
        ledger.forget_digests()
        return
    if old != new:
        key = min(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        was, is_now = (repr(one[key]) if key in one else "off" for one in (old, new))
        raise ConfigError(
            f"{key} was {was} when this output was made and is {is_now} now; set it back, choose another output, or"
            " use --rebuild select to make the outputs of all series anew"
        )


def _tell(
    ledger: Ledger, recorded: Mapping[str, Any], now: Mapping[str, Any], shaping: Mapping[str, Any], again: int
) -> None:
    """Say what is made of what is there, and what is made no longer."""
    lacking = ledger.lacking(frozenset(now))
    if lacking and not again:
        count = max(lacking.values())
        log.warning(
            "new in the configuration: %s; made for %d series that are there", _listed(map(_name, lacking)), count
        )
        if "rows" in lacking:
            log.warning("without rows nothing tells which file gave which output: all outputs are made anew")
    gone = [_name(part) for part in ledger.get("wanted", sorted(recorded)) if part not in now]
    if gone:
        log.warning("no longer in the configuration: %s; what is there stays", _listed(gone))


def _name(part: str) -> str:
    """A part as the configuration has it."""
    name, _, kind = part.partition(":")
    names = {
        "rows": "metadata",
        "text": "metadata.text",
        "documents": "media.documents",
        "waveforms": "media.waveforms",
        "statistics": "volume.statistics",
    }
    names |= {"video": f"video ({kind})", "stack": f"video.series ({kind})", "volume": f"volume ({kind})"}
    return names.get(name, name)


def _names(roots: Sequence[str]) -> dict[str, str]:
    """The names that inputs had in outputs before they were recorded."""
    real = [os.path.realpath(native(root)) for root in roots]
    names = names_of(real) if len(real) > 1 else [""] * len(real)
    return dict(zip(map(portable, real), names, strict=True))


def _listed(words: Any) -> str:
    return ", ".join(words)

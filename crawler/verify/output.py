"""`verify`: every file of an output against its record, and a sample of scans against their source."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from crawler.config.loader import Config
from crawler.config.rated import ratings_digest
from crawler.errors import ConfigError, LedgerError
from crawler.ledger.changed_config import RATINGS
from crawler.ledger.status import Reader, reading
from crawler.ledger.store import ledger_of, output_root
from crawler.paths import portable
from crawler.verify.files import check_file, check_rows, own_files
from crawler.verify.packs import PackCheck
from crawler.verify.source import GONE, compare, sample_scans

SAMPLE = 16  # scans: some seconds of work, and a mistake that concerns a fifth of all is found in 97 of 100 cases


@dataclass(slots=True)
class Verification:
    """What came of it.

    Attributes
    ----------
    files, size
        Files that were looked at, and their bytes.
    compared
        Files of sampled scans that were compared with their source.
    gone
        Sampled scans that could not be compared.
    findings
        (path, what is wrong).
    """

    files: int = 0
    size: int = 0
    compared: int = 0
    gone: int = 0
    findings: list[tuple[str, str]] = field(default_factory=list)


def verify(config: Config, sample: int = SAMPLE, told: Callable[[int], None] = lambda files: None) -> Verification:
    """Look at every file of a finished output.

    Parameters
    ----------
    sample
        How many scans are exported again to be compared; 0 for none.
    told
        Called after every file, with how many were looked at.

    Raises
    ------
    ConfigError
        The output was made with another configuration.
    LedgerError
        There is no finished output: no ledger, a damaged one, a run that is going on or was interrupted.
    """
    path, found = ledger_of(config), Verification()
    if not os.path.exists(path):
        raise LedgerError(f"{portable(path)} does not exist: nothing was exported here yet, or shards were not merged")
    with reading(path) as ledger:
        if ledger is None:
            raise LedgerError(f"{portable(path)} is in use: a run works on this output; verify when it has ended")
        if not ledger.get("finished", False):
            raise LedgerError(f"{portable(path)}: the last run did not come to its end; run it again, then verify")
        _require_same(config, ledger)
        if config.metadata_path is not None:
            each = config.metadata is None or config.metadata.compat is None
            rows = check_rows(ledger, config.metadata_path, each=each)
            _note(found, rows, int(ledger.get("rows", 0)))
            told(found.files)
        for own, size, checksum in own_files(ledger):
            _note(found, [(portable(own), check_file(own, size, checksum))], size or 0)
            told(found.files)
        packs = PackCheck(config, ledger) if config.output.pack else None
        sql = "SELECT kind, path, size, checksum FROM products ORDER BY kind, path"
        for kind, place, size, checksum in ledger.execute(sql):
            product = os.path.join(output_root(config, kind), os.fsdecode(place))
            packed = packs.problem(kind, place, size, checksum) if packs else None
            problem = check_file(product, size, checksum) if packed is None else packed
            _note(found, [(portable(product), problem)], size)
            told(found.files)
        for number, scan_id in sample_scans(ledger, sample):
            for name, problem in compare(config, ledger, number, scan_id):
                if problem == GONE:
                    found.gone += 1
                    continue
                found.compared += 1
                if problem and name not in {one for one, _ in found.findings}:
                    found.findings.append((name, problem))
    return found


def _require_same(config: Config, ledger: Reader) -> None:
    """Refuse a configuration that says another thing of outputs than the one that they were made with."""
    made, now = ledger.get("config") or {}, config.shaping()
    other = next((key for key in sorted({*made, *now}) if made.get(key) != now.get(key)), None)
    if other is not None:
        raise ConfigError(
            f"{other} was {made.get(other)!r} when this output was made and is {now.get(other)!r} now: give the"
            " configuration that it was made with"
        )
    if ledger.get(RATINGS) != ratings_digest(config):
        raise ConfigError("select.list was of other ratings when this output was made: put them back")


def _note(found: Verification, results: object, size: int) -> None:
    found.files += 1
    found.size += size
    found.findings += [(path, problem) for path, problem in results if problem]  # type: ignore[attr-defined]

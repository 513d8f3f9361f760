"""Outputs to look at: those of jobs, and those that runs in a shell left below the open folders, by their ledgers.

Everything is asked of the ledger, read-only. Series are known by their number in it, files by number and checksum: no
address names a patient or a folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from crawler.engine.privacy import LEDGER_KEY
from crawler.errors import StopError
from crawler.ledger.status import Reader, reading
from crawler.ledger.store import ledger_of
from crawler.paths import SHARDS, TEMP, portable
from crawler.tables.series import verdict_word
from crawler.verify.files import own_files
from crawler.web.access import PRIVATE
from crawler.web.jobs import JOBS
from crawler.web.places import is_id
from crawler.web.refusals import Refused
from crawler.web.site import Site

_DEEPEST, _FOLDERS = 4, 5000  # where ledgers are looked for: enough for outputs beside data, and soon over
_KEPT = 3  # tables of series in memory: 20,000 series make 6 MB
COLUMNS = (
    "Modality",
    "SeriesNumber",
    "SeriesDescription",
    "StudyDescription",
    "BodyPartExamined",
    "PatientID",
    "StudyDate",
)
"""Columns of the table of series that come from headers."""


@dataclass(frozen=True, slots=True)
class Output:
    """One output.

    Attributes
    ----------
    id
        Its name in addresses.
    ledger
        Path of its ledger.
    title
        What a person calls it.
    notes
        Folder for ratings.
    home, rows, log
        The folder of its tables, the JSONL and the log; those two may be gone.
    """

    id: str
    ledger: str
    title: str
    notes: str
    home: str
    rows: str
    log: str

    @contextlib.contextmanager
    def reading(self) -> Iterator[Reader]:
        """The ledger as of one moment.

        Raises
        ------
        Refused
            A run works on it, or there is none yet.
        """
        if not os.path.exists(self.ledger):
            raise Refused(404, "nothing was exported here yet")
        with reading(self.ledger) as ledger:
            if ledger is None:
                raise Refused(409, "a run works on this output: look when it has ended")
            yield ledger


class Product(NamedTuple):
    """A file that a run wrote."""

    kind: str
    path: str
    size: int
    checksum: str
    scan_id: str


def output_of(site: Site, name: str) -> Output:
    """The output of a job, or one that was found.

    Raises
    ------
    Refused
        There is none, or it lies outside of what is open.
    """
    if is_id(name):
        job = site.jobs.get(name)
        try:
            config = job.config()
        except StopError:
            raise Refused(409, "the configuration of this job is wrong: correct it first") from None
        rows = config.metadata_path or ""
        found = Output(
            name,
            ledger_of(config),
            job.title or job.id,
            job.folder,
            config.output_dir,
            rows,
            config.own_path("run.log"),
        )
    else:
        listed = next((one for one in found_outputs(site) if one.id == name), None)
        if listed is None:
            raise Refused(404, "there is no such output")
        found = listed
    site.places.inside(found.ledger)
    return found


def found_outputs(site: Site) -> list[Output]:
    """Outputs of runs that no job of ours started, in the open folders."""
    skipped = {os.path.join(site.places.workspace, JOBS), os.path.join(site.places.workspace, PRIVATE)}
    seen: dict[str, Output] = {}
    left = _FOLDERS
    queue = [(root, 0) for root in site.places.all]
    while queue and left:
        folder, depth = queue.pop(0)
        left -= 1
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        if depth < _DEEPEST and entry.name not in (TEMP, SHARDS) and entry.path not in skipped:
                            queue.append((entry.path, depth + 1))
                    elif entry.name.endswith(".ledger") and entry.is_file(follow_symlinks=False):
                        one = _found(site, entry.path)
                        seen.setdefault(one.id, one)
        except OSError:
            continue
    return sorted(seen.values(), key=lambda one: one.title)


def _found(site: Site, ledger: str) -> Output:
    digest = hashlib.blake2b(os.fsencode(ledger), digest_size=8).hexdigest()
    notes = os.path.join(site.places.workspace, "ratings", digest)
    home = os.path.dirname(ledger)
    return Output(
        digest, ledger, portable(home), notes, home, ledger.removesuffix(".ledger"), os.path.join(home, "run.log")
    )


# -- series ------------------------------------------------------------------------------------------------------------


def series_table(output: Output) -> bytes:
    """The table of series as JSON: {"columns": [...], "rows": [[...], ...]}."""
    if not os.path.exists(output.ledger):
        raise Refused(404, "nothing was exported here yet")
    state = os.stat(output.ledger)
    return _series_table(output, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=_KEPT)
def _series_table(output: Output, changed: int, size: int) -> bytes:
    names = ["id", "scan_id", *COLUMNS, "shapes", "verdict", "quality", "files", "failed", "volumes", "preview"]
    with output.reading() as ledger:
        return orjson.dumps({"columns": names, "rows": list(_series_rows(ledger))})


def _series_rows(ledger: Reader) -> Iterator[list[Any]]:
    failed = {name: count for name, outcome, count in ledger.losses() if outcome == "failed"}
    volumes: dict[str, int] = {}
    for name, _, _ in ledger.volumes():
        volumes[name] = volumes.get(name, 0) + 1
    previews: dict[str, str] = {}
    sql = (
        "SELECT scan_id, checksum FROM products JOIN scans ON scan = scans.id WHERE kind = 'preview'"
        " ORDER BY scan_id, length(layout), layout, path"
    )
    for name, checksum in ledger.execute(sql):
        previews.setdefault(name, checksum)
    numbers = dict(ledger.execute("SELECT scan_id, id FROM scans"))
    for name, verdict, _ in ledger.scans():
        shapes = verdict.get("shapes")
        yield [
            numbers[name],
            name,
            *(_cell(verdict.get(column)) for column in COLUMNS),
            ", ".join(map(str, shapes)) if isinstance(shapes, list) else _cell(shapes),
            verdict_word(verdict)[0],
            _cell(verdict.get("quality_reasons")),
            verdict.get("n_files"),
            failed.get(name, 0),
            volumes.get(name, 0),
            previews.get(name),
        ]


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float) else str(value)[:200]


def scan_of(ledger: Reader, number: int) -> tuple[str, dict[str, Any]]:
    """scan_id and verdict of a series by its number.

    Raises
    ------
    Refused
        There is none.
    """
    row = ledger.execute("SELECT scan_id, verdict FROM scans WHERE id = ?", (number,)).fetchone()
    if row is None:
        raise Refused(404, "there is no such series")
    return str(row[0]), dict(ledger.parsed(row[1]))


def neighbours(ledger: Reader, scan_id: str) -> tuple[int | None, int | None]:
    """Numbers of the series before and after one, by scan_id."""
    sql = "SELECT id FROM scans WHERE scan_id {} ? ORDER BY scan_id {} LIMIT 1"
    before = ledger.execute(sql.format("<", "DESC"), (scan_id,)).fetchone()
    after = ledger.execute(sql.format(">", "ASC"), (scan_id,)).fetchone()
    return before and int(before[0]), after and int(after[0])


# -- files -------------------------------------------------------------------------------------------------------------


def products(ledger: Reader, numbers: list[int] | None = None) -> Iterator[Product]:
    """Files of some series, or of all, by series and path."""
    roots = {kind: str(root) for kind, root in dict(ledger.get("roots", {})).items()}
    sql = "SELECT kind, path, products.size, checksum, scan_id FROM products JOIN scans ON scan = scans.id"
    order = " ORDER BY scan_id, kind, path"
    if numbers is None:
        found = ledger.execute(sql + order)
        yield from (_product(roots, row) for row in found)
        return
    for number in numbers:
        found = ledger.execute(f"{sql} WHERE scans.id = ?{order}", (number,))
        yield from [_product(roots, row) for row in found.fetchall()]


def own(output: Output, ledger: Reader) -> Iterator[str]:
    """Tables, rows and log of an output, beside its products. What lies in the private folder of `privacy` is none."""
    private = ledger.get(LEDGER_KEY) is not None  # the ledger lies among what identifies
    folder = os.path.join(os.path.dirname(output.ledger), "")
    found = [path for path, _, _ in own_files(ledger)]
    found += [path for path in (output.rows, output.log) if os.path.isfile(path)]
    yield from (path for path in found if not (private and path.startswith(folder)))


def product_of(ledger: Reader, number: int, checksum: str) -> Product:
    """A file of a series by its checksum.

    Raises
    ------
    Refused
        There is none: the output changed, maybe.
    """
    for one in products(ledger, [number]):
        if one.checksum == checksum:
            return one
    raise Refused(404, "there is no such file: the output has changed")


def _product(roots: dict[str, str], row: tuple[Any, ...]) -> Product:
    kind, path, size, checksum, scan_id = row
    return Product(kind, os.path.join(roots.get(kind, ""), os.fsdecode(path)), int(size or 0), str(checksum), scan_id)

"""Kill -9 in the middle of a retrieval, ten times, then to the end: equal to an uninterrupted one, nothing twice."""

from __future__ import annotations

import itertools
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from support.archive import Archive, FakeFinder, FakeTransport, make_instance

from crawler.pacs.fetching import Transports
from crawler.pacs.journal import Journal
from crawler.pacs.manifest import open_manifest
from crawler.pacs.names import ARRIVALS, MANIFEST
from crawler.pacs.pauses import Pauses
from crawler.pacs.retrieval import Retrieval
from crawler.pacs.wanted import Arrival, Ask, Listed

STUDIES, SERIES, INSTANCES, WORKERS, KILLS = 4, 3, 25, 3, 10

# In a process of its own: what is sent is written down before it is delivered, so that it outlives a kill.
CHILD = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from pacs.test_retrieval_kill import archive_of, retrieve
log = open({log!r}, "a")
def send(instance):
    log.write(instance.uid + chr(10)); log.flush()
    time.sleep(0.002)
archive = archive_of()
archive.before_send = send
retrieve(Path({root!r}), archive)
"""


def archive_of() -> Archive:
    numbers = itertools.product(range(STUDIES), range(SERIES), range(INSTANCES))
    return Archive([make_instance(number, series, study) for study, series, number in numbers])


def retrieve(root: Path, archive: Archive) -> None:
    with open_manifest(root) as manifest:
        transports = Transports({"get": lambda: FakeTransport(archive)})
        pauses = Pauses(root, lambda: False)
        Retrieval(manifest, FakeFinder(archive), transports, pauses, workers=WORKERS).run(
            [Ask(0, {"StudyDate": "*4*"})]
        )


def tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.dcm")}


def rows(root: Path) -> list[tuple[object, ...]]:
    """What the manifest says of each instance, but for what differs between equal retrievals."""
    with sqlite3.connect(root / MANIFEST) as db:
        return db.execute(
            "SELECT study, series.uid, instances.uid, outcome, size, xxh3, copies, state FROM instances"
            " JOIN series ON series = id ORDER BY study, series.uid, instances.uid"
        ).fetchall()


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_killed_retrieval_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    root, log = tmp_path / "killed", tmp_path / "sent"
    code = CHILD.format(tests=str(Path(__file__).parents[1]), log=str(log), root=str(root))
    rng = random.Random(15)
    total = STUDIES * SERIES * INSTANCES
    for _ in range(KILLS):
        child = subprocess.Popen([sys.executable, "-c", code])
        goal = lines(log) + rng.randrange(1, total // (KILLS + 2))
        while child.poll() is None and lines(log) < goal:
            time.sleep(0.002)
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL, "it ended before it was killed"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    straight = archive_of()
    retrieve(tmp_path / "straight", straight)
    assert tree(root) == tree(tmp_path / "straight")
    assert rows(root) == rows(tmp_path / "straight")
    sent = Counter(log.read_text().split())
    assert sent.keys() == {one.uid for one in straight.instances}
    # A kill costs what was on its way, an instance a worker, and nothing that was here.
    assert sent.total() - total <= KILLS * WORKERS
    assert not list((root / ".dme-tmp").rglob("*.part"))


def test_arrivals_of_the_journal_are_believed_by_size_and_checksum(tmp_path: Path) -> None:
    """What a kill left between two commits: a good file, one that a loss of power cut short, one never put in place."""
    instances = {uid: ("1.2", "1.2") for uid in ("1.1", "1.2", "1.3", "1.4")}
    with open_manifest(tmp_path) as manifest:
        request = manifest.add_request(Ask(0, {}))
        series, _ = manifest.want(Listed("9", "9.9", "CT", 4, instances), request)
    folder = tmp_path / "9" / "9.9"
    folder.mkdir(parents=True)
    (folder / "1.1.dcm").write_bytes(b"abc")
    (folder / "1.2.dcm").write_bytes(b"ab")
    (folder / "1.4.dcm").write_bytes(b"the user's")
    journal = Journal(tmp_path / ARRIVALS)
    journal.open()
    for uid in ("1.1", "1.2", "1.3"):
        journal.write(series.id, Arrival(uid, "received", "1.2", "1.2", 3, "78af5f94892f3950", "get", 0.1))
    with open(tmp_path / ARRIVALS, "a") as file:  # as it is left by a kill: not closed in order
        journal._file.close()
        file.write('[1, "1.4", "rece')  # torn
    with open_manifest(tmp_path) as manifest:
        series = manifest.series(series.id)
    assert series.here == {"1.1"}
    assert series.wanted.keys() == {"1.2", "1.3", "1.4"}
    assert not (folder / "1.2.dcm").exists()
    assert (folder / "1.4.dcm").exists()

"""What a change of `pacs` or `privacy` costs a finished run: the rest of `docs/reference/changes.md`.

The PACS is one in memory, with two studies of two slices. Beside files opened and frames decoded, instances that were
retrieved are counted.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from crawler.engine import retrieving
from crawler.privacy.keys import make_key
from crawler.privacy.sealing import make_pair
from support import config_changes as changes
from support.archive import Archive, FakeFinder, FakeTransport, make_instance

PACS: dict[str, tuple[Any, Any]] = {
    "pacs.query": ({"StudyDate": "20240101-"}, {"PatientID": "P1"}),
    "pacs.list": ("all.csv", "one.csv"),
    "pacs.level": ("study", "image"),
    "pacs.retrieve": ("get", "auto"),
    "pacs.associations": (1, 2),
    "pacs.rate": (5000, "100 MB"),
    "pacs.window": ("00:00-23:59", "00:00-23:58"),
    "pacs.settle": (0, 0.1),
    "pacs.timeouts.connect": (5, 6),
    "pacs.timeouts.idle": (5, 6),
    "pacs.timeouts.total": (50, 60),
    "pacs.free_space": ("1MB", "2MB"),
    "pacs.calling_aet": ("OURS", "OTHER"),
    "pacs.called_aet": ("THEIRS", "OTHER"),
}
PRIVACY: dict[str, tuple[Any, Any]] = {
    "privacy.profile": ("basic", "public"),
    "privacy.key.file": ("other.key", "third.key"),
    "privacy.custodian": ("one.pub", "two.pub"),
    "privacy.site": ("A", "B"),
    "privacy.patients": ("roster.csv", "other.csv"),
    "privacy.retain": (["patient", "device"], ["device"]),
    "privacy.dates": ("remove", "days"),
    "privacy.age": (80, 70),
    "privacy.text": ("drop", "keep"),
    "privacy.structured": ("clean", "drop"),
    "privacy.private_tags": ("remove", "tags.csv"),
    "privacy.paths": ("keep", "keyed"),
    "privacy.pixels.regions": (False, True),
    "privacy.pixels.detect": ("none", "strokes"),
    "privacy.pixels.action": ("hold", "mask"),
    "privacy.faces": ("hold", "flag"),
    "privacy.actions": ({"StationName": "keep"}, {"StationName": "empty"}),
    "privacy.k": (2, 3),
}
_SERVER = "where the server is; what was received is not asked for again"
ELSEWHERE = {
    **dict.fromkeys(("pacs.host", "pacs.port", "pacs.url", "pacs.calling_port"), _SERVER),
    **dict.fromkeys(("pacs.tls.ca", "pacs.tls.cert", "pacs.tls.key", "pacs.tls.hostname"), _SERVER),
    "pacs.dir": "another folder holds nothing: everything is retrieved and made",
    "privacy.private": "another folder has no ledger: everything is made, in another output.dir",
    "privacy.key.env": "as privacy.key.file",
    "privacy.documents": "hold is its only value",
    "privacy.audio": "hold is its only value",
    "privacy.pixels.rules": "a file, whose content is part of the policy: as privacy.private_tags",
}


class Retrieved(NamedTuple):
    """What a change came to."""

    sent: int
    cost: changes.Cost

    def cell(self) -> str:
        """As the page has it."""
        return f"{self.sent} retrieved, {self.cost.cell()}"


def of_pacs(work: Path, chosen: list[str] | None = None) -> dict[str, tuple[Retrieved, Retrieved, Retrieved]]:
    """Key -> what it costs to add it, to change it and to remove it."""
    archive = Archive([make_instance(n, 0, study) for study in range(2) for n in range(2)])
    work.mkdir(parents=True, exist_ok=True)
    (work / "all.csv").write_text("PatientID\nP0\nP1\n")
    (work / "one.csv").write_text("PatientID\nP1\n")
    out, fresh = work / "out", work / "fresh"

    def document(key: str, value: Any) -> dict[str, Any]:
        made = {name: dict(changes.BASE[name]) for name in ("metadata", "image", "volume", "media")}
        made["pacs"] = {"host": "pacs", "port": 104, "settle": 0, "dir": str(work / "received")}
        if key not in ("pacs.query", "pacs.list") or value is None:
            made["pacs"]["query"] = {"PatientID": "P0"}
        made |= {"num_workers": 0, "output": {"dir": str(out)}}
        if key == "pacs.list" and value is not None:
            value = str(work / value)
        return _with(made, key, value)

    def elsewhere(document: dict[str, Any], fresh: Path) -> dict[str, Any]:
        """What an earlier query brought stays in the input."""
        received = work / "received-anew"
        shutil.rmtree(received, ignore_errors=True)
        shutil.copytree(work / "received", received)
        return {**changes.moved(document, fresh), "pacs": {**document["pacs"], "dir": str(received)}}

    def cost(before: dict[str, Any], after: dict[str, Any]) -> Retrieved:
        shutil.rmtree(work / "received", ignore_errors=True)
        found = changes.cost_of(before, after, out, fresh, elsewhere)
        return Retrieved(sent[-1], found)

    opened, sent = changes.counted, []

    @contextmanager
    def counted() -> Iterator[Counter[str]]:
        before = archive.sent.total()
        with opened() as counts:
            yield counts
        sent.append(archive.sent.total() - before)

    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(changes, "counted", counted)
        patch.setattr(retrieving, "open_finder", lambda server: FakeFinder(archive))
        patch.setattr(retrieving, "open_transport", lambda way, server, **_: FakeTransport(archive, way))
        for key in chosen if chosen is not None else PACS:
            first, second = (document(key, value) for value in PACS[key])
            plain = document(key, None)
            found[key] = (cost(plain, first), cost(first, second), cost(first, plain))
    return found


def of_privacy(work: Path, chosen: list[str] | None = None) -> dict[str, tuple[changes.Cost, ...]]:
    """Key, or the section -> what it costs to add it, to change it and to remove it."""
    tree, out, fresh = changes.make_tree(work / "in"), work / "out", work / "fresh"
    for name in ("own.key", "other.key", "third.key"):
        make_key(str(work / name))
    for name in ("one", "two"):
        make_pair(str(work / name))
    (work / "roster.csv").write_text("subject,PatientID\nA,P1\nA,P2\n")
    (work / "other.csv").write_text("subject,PatientID\nB,P1\n")
    (work / "tags.csv").write_text('creator,tag,vr\nOURS,"0029,xx10",DS\n')

    def document(key: str, value: Any) -> dict[str, Any]:
        made = changes.document_of(tree, out)
        made["privacy"] = {"private": str(work / "private"), "key": {"file": str(work / "own.key")}}
        path = isinstance(value, str) and (work / value).exists()
        return _with(made, key, str(work / value) if path else value)

    def elsewhere(document: dict[str, Any], fresh: Path) -> dict[str, Any]:
        moved = changes.moved(document, fresh)
        if "privacy" in moved:
            shutil.rmtree(work / "private-anew", ignore_errors=True)
            moved["privacy"] = {**moved["privacy"], "private": str(work / "private-anew")}
        return moved

    def cost(before: dict[str, Any], after: dict[str, Any]) -> changes.Cost:
        shutil.rmtree(work / "private", ignore_errors=True)
        return changes.cost_of(before, after, out, fresh, elsewhere)

    found: dict[str, tuple[changes.Cost, ...]] = {}
    for key in chosen if chosen is not None else PRIVACY:
        first, second = (document(key, value) for value in PRIVACY[key])
        plain = document(key, None)
        found[key] = (cost(plain, first), cost(first, second), cost(first, plain))
    return found


def _with(document: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    *sections, last = key.split(".")
    place = document
    for name in sections:
        place = place.setdefault(name, {})
    if value is not None:
        place[last] = value
    return document


def lines(work: Path) -> list[str]:
    """The part of the page."""
    made = [
        "\n## Keys of `pacs`\n\n",
        "What an earlier query brought stays in the input, and in the outputs.\n\n",
        "| key | added | changed | removed |\n|---|---|---|---|\n",
    ]
    made += [f"| `{key}` | {' | '.join(cost.cell() for cost in found)} |\n" for key, found in of_pacs(work).items()]
    made += ["\n## Keys of `privacy`\n\n", "| key | added | changed | removed |\n|---|---|---|---|\n"]
    made += [f"| `{key}` | {' | '.join(one.cell() for one in found)} |\n" for key, found in of_privacy(work).items()]
    return made

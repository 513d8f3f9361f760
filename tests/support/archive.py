"""A PACS in memory, behind the protocols of `crawler/pacs/model.py`: it counts what it sends, and errs on request.

It answers finds as a server would (universal, exact and wildcard matching), and delivers what a request names.
"""

from __future__ import annotations

import fnmatch
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import xxhash

from crawler.errors import RequestError
from crawler.pacs.model import Answer, Deliver, Level, Match, Note, Received, Refusal, Request
from support.factories import make_uid, quick_dataset

_LEVELS: dict[str, tuple[str, ...]] = {
    "study": ("StudyInstanceUID",),
    "series": ("StudyInstanceUID", "SeriesInstanceUID"),
    "image": ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
}


@dataclass(frozen=True)
class Instance:
    """One instance: its attributes, and its file of PS3.10."""

    attributes: dict[str, str]
    data: bytes

    @property
    def uid(self) -> str:
        return self.attributes["SOPInstanceUID"]


def make_instance(number: int, series: int = 0, study: int = 0, name: object = "", **keywords: Any) -> Instance:
    """An instance that always has the same UIDs for the same numbers."""
    values = {
        "StudyInstanceUID": make_uid(name, study),
        "SeriesInstanceUID": make_uid(name, study, series),
        "SOPInstanceUID": make_uid(name, study, series, number),
        "PatientID": f"P{study}",
        "AccessionNumber": f"ACC{study}",
        "StudyDate": "20240101",
        "SeriesNumber": str(series),
        "InstanceNumber": str(number),
        "Modality": "CT",
        **keywords,
    }
    dataset = quick_dataset(**values)
    out = BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return Instance({**values, "SOPClassUID": str(dataset.SOPClassUID)}, out.getvalue())


@dataclass
class Archive:
    """What the server holds, how it errs, and what it was asked for.

    Attributes
    ----------
    sent
        SOP Instance UID -> how many times it was delivered.
    fault
        Called with each request and the instances that it means; returns those to send and the answer, or None for
        good service.
    before_send
        Called before each instance is sent.
    counts, lists
        Whether finds tell numbers of instances, and whether they list them.
    """

    instances: list[Instance] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)
    requests: list[Request] = field(default_factory=list)
    finds: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    fault: Callable[[Request, list[Instance]], tuple[list[Instance], Answer] | None] = lambda request, meant: None
    find_fault: Callable[[str, Mapping[str, str]], None] = lambda level, keys: None
    before_send: Callable[[Instance], None] = lambda instance: None
    counts: bool = True
    lists: bool = True
    lock: threading.Lock = field(default_factory=threading.Lock)

    def meant_by(self, request: Request) -> list[Instance]:
        return [
            one
            for one in self.instances
            if one.attributes["StudyInstanceUID"] == request.study_uid
            and request.series_uid in (None, one.attributes["SeriesInstanceUID"])
            and (not request.instance_uids or one.uid in request.instance_uids)
        ]


class FakeFinder:
    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.closed = False

    def find(self, level: Level, keys: Mapping[str, str], note: Note | None = None) -> Iterator[Match]:
        self.archive.finds.append((level, dict(keys)))
        self.archive.find_fault(level, keys)
        if level == "image" and not self.archive.lists:
            raise RequestError("the server does not answer at image level", "refused")
        seen: set[tuple[str, ...]] = set()
        for one in list(self.archive.instances):
            if not all(_matches(keyword, text, one.attributes) for keyword, text in keys.items()):
                continue
            unique = tuple(one.attributes[keyword] for keyword in _LEVELS[level])
            if unique in seen:
                continue
            seen.add(unique)
            match: Match = {keyword: one.attributes.get(keyword, "") for keyword in keys}
            counted = {"study": "NumberOfStudyRelatedInstances", "series": "NumberOfSeriesRelatedInstances"}.get(level)
            for name in ("NumberOfStudyRelatedInstances", "NumberOfSeriesRelatedInstances", "ModalitiesInStudy"):
                match.pop(name, None)
            if self.archive.counts and counted:
                above = _LEVELS[level]
                number = sum(tuple(x.attributes[k] for k in above) == unique for x in self.archive.instances)
                match[counted] = str(number)
            yield match

    def close(self) -> None:
        self.closed = True


def _matches(keyword: str, text: str, attributes: Mapping[str, str]) -> bool:
    if not text or keyword.startswith("NumberOf"):
        return True
    if keyword == "ModalitiesInStudy":
        keyword = "Modality"
    value = attributes.get(keyword, "")
    if "-" in text and keyword == "StudyDate":
        first, last = text.split("-")
        return (not first or value >= first) and (not last or value <= last)
    return any(fnmatch.fnmatchcase(value, one) for one in text.split("\\"))


class FakeTransport:
    """Delivers into real temporary files; `name` is that of the transport that it stands for."""

    def __init__(self, archive: Archive, name: str = "get") -> None:
        self.archive, self.name = archive, name
        self.closed = False

    def fetch(self, request: Request, temp: Path, deliver: Deliver, stop: threading.Event) -> Answer:
        with self.archive.lock:
            self.archive.requests.append(request)
        meant = self.archive.meant_by(request)
        answer = Answer(self.name, "complete", 0x0000, completed=len(meant), failed=0)
        faulty = self.archive.fault(request, meant)
        if faulty is not None:
            meant, answer = faulty
        count = 0
        for one in meant:
            if stop.is_set():
                return Answer(self.name, "stopped", received=count, reason="stopped")
            self.archive.before_send(one)
            path = temp / f"{threading.get_ident()}-{count}.part"
            path.write_bytes(one.data)
            with self.archive.lock:
                self.archive.sent[one.uid] += 1
            count += 1
            deliver(received_of(one, path))
        return replace(answer, transport=self.name, received=count)

    def close(self) -> None:
        self.closed = True


def received_of(one: Instance, path: Path) -> Received:
    """As a transport fills it."""
    checksum = xxhash.xxh3_64(one.data).hexdigest()
    return Received(one.uid, one.attributes["SOPClassUID"], "1.2.840.10008.1.2.1", path, len(one.data), checksum, 0.001)


def refusing(uids: set[str], code: int = 0xA701) -> Callable[[Request, list[Instance]], Any]:
    """A fault: some instances are refused, each by its status."""

    def fault(request: Request, meant: list[Instance]) -> tuple[list[Instance], Answer] | None:
        bad = [one for one in meant if one.uid in uids]
        if not bad:
            return None
        refused = tuple(Refusal("instance", one.uid, code) for one in bad)
        good = [one for one in meant if one.uid not in uids]
        return good, Answer("get", "partial", 0xB000, len(good), len(bad), 0, refused=refused, reason="some failed")

    return fault

"""The page on what a server supports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from pydicom.dataset import Dataset
from support.fake_pacs import fake_pacs, reply, scripted
from support.pacs_servers import dcmqrscp, free_port, orthanc

from crawler.errors import PacsError
from crawler.pacs.association import Association
from crawler.pacs.check import Finding, check
from crawler.pacs.command import Command


def page(findings: Iterator[Finding]) -> dict[str, Finding]:
    found = list(findings)
    assert len({one.name for one in found}) == len(found)
    return {one.name: one for one in found}


def test_a_server_that_does_all() -> None:
    def find(identifier: Dataset) -> Iterator[tuple[int, Dataset | None]]:
        for n in range(100 if not identifier.StudyInstanceUID else 0):
            answer = Dataset()
            answer.StudyInstanceUID = f"1.{n}"
            yield 0xFF00, answer

    with fake_pacs(find=find) as server:
        found = page(check(replace(server, calling_port=free_port())))
    works = {name: one.works for name, one in found.items()}
    assert works == {
        "C-ECHO": True,
        "C-FIND (Study Root)": True,
        "C-FIND (Patient Root)": False,
        "C-GET": True,
        "C-MOVE": True,
        "implementation": None,
        "query without Nagle's algorithm": True,
        "query with Nagle's algorithm": True,
        "answer limit": None,
        "transfer syntaxes for C-GET": True,
        "receiver for C-MOVE": True,
    }
    assert "perhaps 100 studies" in found["answer limit"].detail
    assert "13 of 13 SOP classes" in found["transfer syntaxes for C-GET"].detail


def test_a_server_that_does_nothing_is_told_and_ends() -> None:
    def script(association: Association, number: int, command: Command) -> None:
        association.send(number, reply(command, 0xA700))

    with scripted(script) as server:
        found = page(check(replace(server, calling_port=None, url=f"http://127.0.0.1:{free_port()}")))
    assert found["C-ECHO"].works is False
    assert "A700" in found["C-ECHO"].detail
    assert found["answer limit"].works is False
    assert found["receiver for C-MOVE"].works is None
    assert [found[name].works for name in ("QIDO-RS", "WADO-RS", "STOW-RS")] == [False] * 3


def test_wrong_titles_are_named() -> None:
    with fake_pacs(require_called_aet=True) as server, pytest.raises(PacsError, match="called AE title"):
        list(check(replace(server, called_aet="OTHER")))


@pytest.mark.system
def test_real_servers(tmp_path_factory: pytest.TempPathFactory) -> None:
    with orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        found = page(check(server))
    assert {one.works for one in found.values()} == {True, None}
    assert "no compressed syntax" not in found["transfer syntaxes for C-GET"].detail
    with dcmqrscp(tmp_path_factory.mktemp("dcmqrscp") / "server") as server:
        found = page(check(server))
    assert {one.works for one in found.values()} == {True, None}
    assert "no compressed syntax" in found["transfer syntaxes for C-GET"].detail

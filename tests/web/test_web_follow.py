"""From a row of a list of requests to the files on disk: each number of a retrieval leads to what is behind it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.archive import Archive, FakeFinder, FakeTransport, make_instance, refusing
from support.web import Web, serving

from crawler.config.loader import load_config
from crawler.engine import retrieving
from crawler.engine.run import run
from crawler.privacy.keys import make_key

LIST = "AccessionNumber,#who\nACC0,<b>a</b>\nNONE,b\nACC2,c\n"


@pytest.fixture
def retrieved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[Web, str]]:
    """A job that retrieved two studies of two series of four, one instance refused; and a request without a match."""
    with retrieving_job(monkeypatch, tmp_path, "") as made:
        yield made


@contextmanager
def retrieving_job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, further: str) -> Iterator[tuple[Web, str]]:
    """That job, with further sections."""
    held = Archive([make_instance(n, series, study) for study in range(3) for series in range(2) for n in range(4)])
    held.fault = refusing({held.instances[0].uid}, 0xC123)
    monkeypatch.setattr(retrieving, "open_finder", lambda server: FakeFinder(held))
    monkeypatch.setattr(retrieving, "open_transport", lambda way, server, **_: FakeTransport(held, way))
    with serving(tmp_path / "ws") as web:
        job = web.new_job()
        folder = web.workspace / "jobs" / job
        (folder / "requests.csv").write_text(LIST)
        text = "output: {dir: output}\nmetadata:\nvolume:\nnum_workers: 0\n"
        text += "pacs: {host: pacs, port: 104, list: requests.csv, dir: input, settle: 0}\n" + further
        if "key" in further:
            make_key(str(folder / "secret.key"))
        assert web.post(f"/jobs/{job}/edit", yaml=text).status == 303
        monkeypatch.chdir(folder)
        summary = run(load_config("config.yml"))
        assert (summary.found, summary.exported) == (15, 15)
        yield web, job


def links(page: str) -> dict[str, str]:
    """Address -> the number that it is the link of."""
    found = re.findall(r'<a href="([^"]*)">([\d,]+)</a>', page)
    return {address.replace("&amp;", "&"): number for address, number in found}


def test_numbers_of_a_retrieval_lead_to_requests_and_to_what_did_not_come(retrieved: tuple[Web, str]) -> None:
    web, job = retrieved
    found = links(web.get(f"/jobs/{job}").text)
    assert found[f"/jobs/{job}/requests?state=unanswered"] == "1"
    assert found[f"/jobs/{job}/lacking"] == "1"
    assert found[f"/jobs/{job}/lacking?reason=refused%20%280xC123%29"] == "1"
    assert found[f"/jobs/{job}/lacking?reason=request%3A%20no%20match"] == "1"
    lacking = web.get(f"/jobs/{job}/lacking?reason=refused%20%280xC123%29").text
    assert lacking.count("<tr>") == 2
    assert "some failed" in lacking
    unanswered = web.get(f"/jobs/{job}/requests?state=unanswered").text
    assert unanswered.count("<tr>") == 2
    assert "no match" in unanswered


def test_a_row_of_the_list_is_followed_to_its_files(retrieved: tuple[Web, str]) -> None:
    web, job = retrieved
    page = web.get(f"/jobs/{job}/requests").text
    assert "&lt;b&gt;a&lt;/b&gt;" in page
    assert "<b>a</b>" not in page
    numbers = [
        re.findall(r"<td>(?:<a [^>]*>)?([\d,]+)(?:</a>)?</td>", row) for row in page.split("<tbody>")[1].split("</tr>")
    ]
    assert numbers[:3] == [["1", "2", "8", "7", "7"], ["0", "0", "0", "0", "0"], ["1", "2", "8", "8", "8"]]
    one = web.get(f"/jobs/{job}/requests/1").text
    found = links(one)
    by_kind = {
        kind: sorted(number for address, number in found.items() if re.search(kind, address))
        for kind in (r"folder=\d+$", r"outcome=exported$", r"/s/\d+$")
    }
    assert by_kind[r"folder=\d+$"] == by_kind[r"outcome=exported$"] == ["3", "4"]
    for address, number in found.items():
        answer = web.get(address)
        assert answer.status == 200
        if "/files?" in address:
            assert answer.text.split("<tbody>")[1].count("<tr>") == int(number)
    assert not re.search(r'href="[^"]*(2\.25\.|ACC0)', one + page), "no address holds what identifies"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("requests/0", 404),
        ("requests/4", 404),
        ("requests/x", 400),
        ("requests/99999999999999999999", 400),
        ("requests?page=x", 400),
        ("lacking?page=-1", 400),
        ("lacking?reason=%27%3B--", 200),
    ],
)
def test_addresses_that_there_are_not(retrieved: tuple[Web, str], path: str, status: int) -> None:
    web, job = retrieved
    assert web.get(f"/jobs/{job}/{path}").status == status


def test_a_job_without_a_pacs_has_no_requests(web: Web, done: str) -> None:
    assert "From the PACS" not in web.get(f"/jobs/{done}").text
    for place in ("requests", "requests/1", "lacking"):
        assert web.get(f"/jobs/{done}/{place}").status == 404
    assert web.get(f"/look/{done}/files?folder=x").status == 400


PRIVATE = "privacy: {private: private, key: {file: secret.key}}\n"


def test_under_privacy_requests_are_followed_by_their_lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The same numbers; no cell of the list, no UID and no place of the originals, no words of the server."""
    with retrieving_job(monkeypatch, tmp_path, PRIVATE) as (web, job):
        folder = web.workspace / "jobs" / job
        originals = {part for path in (folder / "input").rglob("*.dcm") for part in path.relative_to(folder).parts[1:]}
        originals |= {part.removesuffix(".dcm") for part in originals} | {"ACC0", "ACC2", "<b>a", "&lt;b&gt;a"}
        found = links(web.get(f"/jobs/{job}").text)
        assert found[f"/jobs/{job}/lacking"] == "1"
        pages = [web.get(f"/jobs/{job}/{place}").text for place in ("requests", "requests/1", "requests/3", "lacking")]
        numbers = [
            re.findall(r"<td>(?:<a [^>]*>)?([\d,]+)(?:</a>)?</td>", row)
            for row in pages[0].split("<tbody>")[1].split("</tr>")
        ]
        assert numbers[:3] == [["1", "2", "8", "7", "7"], ["0", "0", "0", "0", "0"], ["1", "2", "8", "8", "8"]]
        assert "Under privacy" in pages[0]
        series = set()
        for page, whole in ((pages[1], 7), (pages[2], 8)):
            behind = links(page)
            exported = [int(number) for address, number in behind.items() if "outcome=exported" in address]
            assert sum(exported) == whole
            for address, number in behind.items():
                answer = web.get(address)
                assert answer.status == 200
                pages.append(answer.text)
                if "/files?" in address:
                    assert answer.text.split("<tbody>")[1].count("<tr>") == int(number)
            series |= set(re.findall(r"<code>(2\.25\.\d+)</code>", page))
        with open(folder / "output" / "metadata.jsonl", encoding="utf-8") as file:
            assert series == {json.loads(line)["SeriesInstanceUID"] for line in file}
        assert pages[3].split("<tbody>")[1].count("<tr>") == 2
        for page in pages:
            assert not [one for one in originals if one in page]


@pytest.mark.parametrize("fault", ["once", "gone", "open", "another"])
def test_without_the_key_of_the_run_it_is_told_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: str) -> None:
    further = "privacy: {private: private}\n" if fault == "once" else PRIVATE
    with retrieving_job(monkeypatch, tmp_path, further) as (web, job):
        path = web.workspace / "jobs" / job / "secret.key"
        if fault == "open":
            path.chmod(0o644)
        elif fault != "once":
            path.unlink()
        if fault == "another":
            make_key(str(path))
        why = {
            "once": "a key of its own",
            "gone": "cannot be read",
            "open": "can be read by others",
            "another": "made with another key",
        }[fault]
        for place in ("requests", "requests/1", "lacking"):
            answer = web.get(f"/jobs/{job}/{place}")
            assert answer.status == 409
            assert why in answer.text
            assert "cohort.csv in the private folder" in answer.text
            assert "ACC0" not in answer.text

"""Templates, rules and the keyword filter in the browser: copied, checked, saved, tried; and what is refused."""

from __future__ import annotations

import json
import os
import re
import stat
import threading
from html import unescape
from pathlib import Path

import pytest
import yaml
from support.factories import ct_series
from support.web import Answer, Web

from crawler.config.packaged import packaged

SHIPPED = packaged("dicom_tags")


def copied(web: Web, name: str) -> Path:
    """A set of the workspace, as dme has it."""
    answer = web.post("/templates", action="copy", set="dicom_tags", name=name)
    assert (answer.status, answer.headers["location"]) == (303, f"/templates#{name}")
    return web.workspace / "templates" / name


def hidden(page: Answer) -> str:
    """The digest of the text that a page was made of."""
    found = re.search(r'name="seen" value="([0-9a-f]*)"', page.text)
    assert found
    return found[1]


def save(web: Web, place: str, text: str, seen: str | None = None) -> Answer:
    return web.post(place, action="save", text=text, seen=hidden(web.get(place)) if seen is None else seen)


def test_the_shipped_set_is_shown_and_never_written(web: Web) -> None:
    before = {path.name: path.read_bytes() for path in SHIPPED.iterdir()}
    page = web.get("/templates").text
    for name in before:
        assert f'href="/templates/dicom_tags/{name}"' in page
    page = web.get("/templates/dicom_tags/ct.json").text
    assert "readonly" in page
    assert before["ct.json"].decode() in unescape(page)
    for action in ("save", "remove"):
        answer = web.post("/templates/dicom_tags/ct.json", action=action, text='["Rows"]', seen="", sure="ct.json")
        assert answer.status == 403
    assert {path.name: path.read_bytes() for path in SHIPPED.iterdir()} == before


def test_a_copy_is_private_and_its_files_are_edited(web: Web) -> None:
    folder = copied(web, "mine")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        path.name: path.read_bytes() for path in SHIPPED.iterdir()
    }
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    answer = save(web, "/templates/mine/ct.json", '["PatientID",\r\n"KVP"]')
    assert (answer.status, answer.headers["location"]) == (303, "/templates/mine/ct.json?saved")
    path = folder / "ct.json"
    assert path.read_text() == '["PatientID",\n"KVP"]'
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(one.name for one in folder.iterdir()) == sorted(one.name for one in SHIPPED.iterdir())
    assert web.post("/templates", action="copy", set="dicom_tags", name="mine").status == 409


def test_a_file_that_was_changed_meanwhile_is_not_written_over(web: Web) -> None:
    path = copied(web, "shared") / "ct.json"
    seen = hidden(web.get("/templates/shared/ct.json"))
    path.write_text('["Rows"]')
    answer = save(web, "/templates/shared/ct.json", '["Columns"]', seen)
    assert answer.status == 409
    assert "changed meanwhile" in answer.text
    assert '["Columns"]' in unescape(answer.text), "the text is not lost"
    assert path.read_text() == '["Rows"]'
    assert save(web, "/templates/shared/ct.json", '["Columns"]', "").status == 409, "nor as a new file"
    assert hidden(answer) == seen, "saving again does not write over it, either"


def test_of_two_who_save_at_once_one_is_told(web: Web) -> None:
    path = copied(web, "raced") / "ct.json"
    seen = hidden(web.get("/templates/raced/ct.json"))
    statuses: list[int] = []
    texts = [f'["Rows", "{word}"]' for word in ("Columns", "KVP", "PatientID", "Modality")]
    threads = [
        threading.Thread(
            target=lambda text=text: statuses.append(save(web, "/templates/raced/ct.json", text, seen).status)
        )
        for text in texts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [303, 409, 409, 409]
    assert path.read_text() in texts


def test_files_are_begun_and_removed_when_asked(web: Web) -> None:
    folder = copied(web, "small")
    answer = web.post("/templates", action="new", set="small", file="OCT")
    assert answer.headers["location"] == "/templates/small/oct.json"
    assert not (folder / "oct.json").exists(), "nothing is written before it is saved"
    assert "PatientID" in web.get("/templates/small/oct.json").text
    assert save(web, "/templates/small/oct.json", '["Rows"]', "").status == 303
    assert (folder / "oct.json").read_text() == '["Rows"]'
    names = sorted(path.name for path in folder.iterdir())
    assert web.post("/templates/small/ct.json", action="remove").status == 200, "it asks"
    assert (folder / "ct.json").exists()
    for name in names:
        assert web.post(f"/templates/small/{name}", action="remove", sure=name).status == 303
    assert not folder.exists()


@pytest.mark.parametrize(
    ("file", "text", "line"),
    [
        ("ct.json", '["Rows",\n"Rows"]', "ct.json:2: &#34;Rows&#34;: given twice"),
        ("ct.json", '["Rows",\n', "ct.json:2: not valid JSON"),
        ("ct.json", "{}", "ct.json:1: expected a list of DICOM keywords"),
        ("ct.json", "[1]", "ct.json:1: expected a list of DICOM keywords"),
        ("ct.json", f"[{'9' * 5000}]", "ct.json:1: expected a list of DICOM keywords"),
        ("mr_clean.json", '{"motoin": []}', "mr_clean.json:1: motoin"),
        (
            "bids.json",
            '{"rules": [\n{"classes": ["T1"], "datatype": "xyz", "suffix": "T1w"}]}',
            "bids.json:2: rules[1]",
        ),
    ],
)
def test_what_a_run_would_refuse_is_not_saved(web: Web, file: str, text: str, line: str) -> None:
    folder = web.workspace / "templates" / "checked"
    if not folder.exists():
        copied(web, "checked")
    before = (folder / file).read_bytes()
    answer = save(web, f"/templates/checked/{file}", text)
    assert answer.status == 422
    assert line in answer.text.replace("rules[0]", "rules[1]")
    assert (folder / file).read_bytes() == before
    told = web.send("/templates/check", {"file": file, "text": text}).json
    assert any(line.split(":")[0] in problem for problem in told["problems"])


def test_words_that_are_no_keywords_are_told(web: Web) -> None:
    told = web.send("/templates/check", {"file": "ct.json", "text": '["Rows",\n"PatientNme"]'}).json
    assert told["problems"] == []
    assert told["warnings"] == ['ct.json:2: "PatientNme": no DICOM keyword; nearest: PatientName; its column is empty']


@pytest.mark.parametrize(
    "text",
    [
        "[" * 3000,
        '["a",' * 50_000,
        "[" + '"a",' * 49_000 + '"a"]',
        '{"a": ' * 60 + "1" + "}" * 60,
        "[" + ",".join(f'"{n}"' for n in range(30_000)) + "]",
    ],
    ids=["brackets", "open", "same", "braces", "unknown"],
)
@pytest.mark.parametrize("file", ["ct.json", "mr_clean.json", "bids.json"])
def test_bombs_end_soon(web: Web, file: str, text: str) -> None:
    assert web.send("/templates/check", {"file": file, "text": text}).status in (200, 400)


def test_aliases_of_aliases_are_no_rules(web: Web) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    told = web.send("/templates/check", {"file": "mr_clean.json", "text": "\n".join(lines)}).json
    assert told["problems"]
    assert len(told["problems"]) <= 50


OUT = [
    "..",
    "%2e%2e",
    "..%2f..%2fetc",
    "/etc",
    "dicom_tags%2f..",
    "job-",
    "job-..",
    "JOB-x",
    "a" * 300,
    "a%00b",
    "%C3%A4",
]


@pytest.mark.parametrize("name", OUT)
def test_no_name_of_a_set_leads_out(web: Web, name: str) -> None:
    assert web.get(f"/templates/{name}/ct.json").status in (400, 404)
    assert web.post(f"/templates/{name}/ct.json", action="save", text='["Rows"]', seen="").status in (400, 404)


@pytest.mark.parametrize(
    "name", ["..", "../x", "", ".", "A b", "a/b", "dicom_tags", "job-1", "-a", "x" * 41, "a\n", "a\0"]
)
def test_copies_have_plain_names(web: Web, name: str) -> None:
    answer = web.post("/templates", action="copy", set="dicom_tags", name=name)
    assert answer.status == (303 if name == "a\n" else 400)


@pytest.mark.parametrize(
    "file", ["..", "x.yml", "ct.json.new", ".ct.json", "CT.json", "%2e%2e%2fct.json", "a" * 17 + ".json", "ct.json%00"]
)
def test_no_name_of_a_file_leads_out(web: Web, file: str) -> None:
    if not (web.workspace / "templates" / "named").exists():
        copied(web, "named")
    assert web.get(f"/templates/named/{file}").status == 404
    assert web.post(f"/templates/named/{file}", action="save", text='["Rows"]', seen="").status == 404


def test_links_are_neither_read_nor_written(web: Web, tmp_path: Path) -> None:
    folder = copied(web, "linked")
    outside = tmp_path / "outside.json"
    outside.write_text('["StationName"]')
    (folder / "xa.json").unlink()
    (folder / "xa.json").symlink_to(outside)
    assert web.get("/templates/linked/xa.json").status != 500
    assert "StationName" not in unescape(web.get("/templates/linked/xa.json").text)
    assert save(web, "/templates/linked/xa.json", '["Rows"]', "").status == 403
    assert web.post("/templates/linked/xa.json", action="remove", sure="xa.json").status == 403
    assert outside.read_text() == '["StationName"]'
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "ct.json").write_text('["StationName"]')
    (web.workspace / "templates" / "away").symlink_to(tmp_path / "set")
    assert "away" not in web.get("/templates").text
    assert web.get("/templates/away/ct.json").status == 404
    os.mkfifo(folder / "zz.json")
    assert web.get("/templates/linked/zz.json").status in (200, 403)


def test_hostile_texts_stay_text(web: Web, done: str) -> None:
    copied(web, "hostile")
    text = json.dumps(["Rows", "</textarea><script>alert(1)</script>", '"><img src=x onerror=alert(2)>'])
    assert save(web, "/templates/hostile/ct.json", text).status == 303
    for page in (
        web.get("/templates/hostile/ct.json").text,
        web.post("/templates/hostile/ct.json", action="try", text=text, seen="", output=done).text,
    ):
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "&lt;script&gt;alert(1)" in page


def test_a_template_is_tried_on_a_series(web: Web, done: str) -> None:
    text = '["PatientID", "Rows", "dcm", "PatientComments", "PatientNme"]'
    page = web.post("/templates/dicom_tags/ct.json", action="try", text=text, seen="", output=done, series="", row="2")
    assert page.status == 200, page.text
    rows = {
        name: (unescape(value), word)
        for name, value, word in re.findall(
            r'<th scope="row"><code>(.*?)</code></th><td>(.*?)</td><td>(.*?)</td>', page.text
        )
    }
    assert rows == {
        "PatientID": ("QUICK", ""),
        "Rows": ("16", ""),
        "dcm": ("", "is computed by a run"),
        "PatientComments": ("", "not in this header"),
        "PatientNme": ("", "no DICOM keyword"),
    }
    assert "2 of 5 columns have a value" in page.text
    for series, row, status in (("999", "1", 404), ("", "99", 422), ("x", "1", 400)):
        answer = web.post(
            "/templates/dicom_tags/ct.json", action="try", text=text, seen="", output=done, series=series, row=row
        )
        assert answer.status == status


@pytest.fixture(scope="module")
def mr(web: Web) -> str:
    """A job that exported a series of MR."""
    ct_series(
        web.workspace / "mr", 2, uid="1.2.3.77", Modality="MR", SeriesDescription="ax t2 tse fs",
        ProtocolName="t2_tse_fs_tra_p2_with_a_long_name_for_rules",
        RepetitionTime=4000, EchoTime=90, MagneticFieldStrength=3, ScanningSequence="SE",
    )  # fmt: skip
    job = web.new_job(web.workspace / "mr")
    text = f"num_workers: 0\noutput: {{dir: output}}\ndicom: {{dir: {web.workspace / 'mr'}}}\nmetadata:\n"
    web.post(f"/jobs/{job}", action="start", yaml=text)
    web.wait(job, "finished")
    return job


def test_rules_are_tried_on_a_series_of_mr(web: Web, mr: str, done: str) -> None:
    pytest.importorskip("pandas", reason="pip install -r requirements-tables.txt")
    text = (SHIPPED / "mr_clean.json").read_text()
    page = web.post("/templates/dicom_tags/mr_clean.json", action="try", text=text, seen="", output=mr).text
    assert re.search(r"<code>sequenceClass</code></th><td>T2", page)
    assert re.search(r"<code>isFatSuppressed</code></th><td>true", page, re.IGNORECASE)
    text = (SHIPPED / "bids.json").read_text()
    page = web.post("/templates/dicom_tags/bids.json", action="try", text=text, seen="", output=mr).text
    assert "anat/T2w" in page
    answer = web.post("/templates/dicom_tags/bids.json", action="try", text=text, seen="", output=done)
    assert answer.status == 422
    assert "series of MR" in answer.text


def test_a_rule_that_never_ends_is_ended(web: Web, mr: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pandas", reason="pip install -r requirements-tables.txt")
    monkeypatch.setattr("crawler.web.trial.SECONDS", 4)
    rules = json.loads((SHIPPED / "mr_clean.json").read_text())
    rules["motion"][0]["patterns"] = ["(([a-z0-9_ ]+)+)+[%]"]
    answer = web.post("/templates/dicom_tags/mr_clean.json", action="try", text=json.dumps(rules), seen="", output=mr)
    assert answer.status == 422
    assert "took too long" in answer.text


def test_a_new_job_takes_a_set_and_its_run_uses_it(web: Web, data: Path) -> None:
    folder = copied(web, "chosen")
    save(web, "/templates/chosen/ct.json", '["PatientID", "KVP"]')
    answer = web.post("/new", goal="tables", title="", source="folder", folder=str(data / "ct"), templates="chosen")
    job = answer.headers["location"].split("/")[2]
    config = yaml.safe_load((web.workspace / "jobs" / job / "config.yml").read_text())
    assert config["metadata"]["templates"] == str(folder)
    web.post(f"/jobs/{job}", action="start")
    web.wait(job, "finished")

    tables = [path for path in (web.workspace / "jobs" / job / "output").glob("*ct*.csv")]
    assert tables
    assert tables[0].read_text().splitlines()[0].endswith("PatientID,KVP")
    page = web.get(f"/templates?job={job}").text
    assert "used by this job" in page
    assert f'href="/jobs/{job}"' in page
    assert web.post("/new", goal="tables", source="folder", folder=str(data), templates="../x").status == 404


def test_the_set_of_a_job_elsewhere_is_read_alone(web: Web, data: Path, tmp_path: Path) -> None:
    folder = data / "lists"
    folder.mkdir()
    (folder / "ct.json").write_text('["KVP"]')
    job = web.new_job(data / "ct")
    text = f"dicom: {{dir: {data / 'ct'}}}\nmetadata: {{templates: {folder}}}\n"
    web.post(f"/jobs/{job}/edit", yaml=text)
    assert f"/templates/job-{job}/ct.json" in web.get(f"/templates?job={job}").text
    assert "KVP" in web.get(f"/templates/job-{job}/ct.json").text
    assert save(web, f"/templates/job-{job}/ct.json", '["Rows"]').status == 403
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "ct.json").write_text('["StationName"]')
    web.post(f"/jobs/{job}/edit", yaml=text.replace(str(folder), str(tmp_path / "x")))
    assert web.get(f"/templates/job-{job}/ct.json").status == 403


def test_keyword_filter_is_tried_and_written(web: Web, done: str) -> None:
    page = web.get(f"/jobs/{done}/words").text
    assert "would be left out" not in page
    page = web.post(f"/jobs/{done}/words", action="try", words="scout\r\n<b>\r\nseries").text
    assert re.search(r"\d of 1 series would be left out", page)
    assert "&lt;b&gt;" in page
    before = (web.workspace / "jobs" / done / "config.yml").read_text()
    try:
        answer = web.post(f"/jobs/{done}/words", action="save", words="scout\r\n\r\n  MPR  range \r\nscout")
        assert answer.headers["location"] == f"/jobs/{done}/edit"
        config = yaml.safe_load((web.workspace / "jobs" / done / "config.yml").read_text())
        assert config["select"]["exclude_words"] == ["scout", "MPR range"]
        assert "MPR range" in web.get(f"/jobs/{done}/words").text
        web.post(f"/jobs/{done}/words", action="save", words="")
        assert "exclude_words" not in (web.workspace / "jobs" / done / "config.yml").read_text()
    finally:
        (web.workspace / "jobs" / done / "config.yml").write_text(before)
    assert web.post(f"/jobs/{done}/words", action="save", words="x\n" * 3 + "y" * 300).status == 413
    assert web.post(f"/jobs/{done}/words", action="x", words="").status == 400


def test_words_of_the_filter_leave_out_what_a_run_leaves_out(web: Web, mr: str) -> None:
    page = web.post(f"/jobs/{mr}/words", action="try", words="TSE fs").text
    assert "1 of 1 series would be left out" in page
    page = web.post(f"/jobs/{mr}/words", action="try", words="ts").text
    assert "0 of 1 series would be left out" in page


def test_under_privacy_a_trial_shows_what_the_outputs_show(web: Web, data: Path) -> None:
    job = web.new_job(data / "ct")
    text = f"dicom: {{dir: {data / 'ct'}}}\noutput: {{dir: output}}\nmetadata:\nprivacy: {{private: private}}\n"
    web.post(f"/jobs/{job}", action="start", yaml=f"num_workers: 0\n{text}")
    web.wait(job, "finished")
    row = json.loads((web.workspace / "jobs" / job / "output" / "metadata.jsonl").read_text().splitlines()[0])
    page = web.post(
        "/templates/dicom_tags/ct.json", action="try", text='["PatientID", "SOPInstanceUID"]', seen="", output=job
    )
    assert page.status == 200, page.text
    assert row["PatientID"] in page.text
    assert row["SOPInstanceUID"] in page.text
    assert "QUICK" not in page.text

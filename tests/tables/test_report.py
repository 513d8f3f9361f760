"""report.html tells the truth about a run, on one page, without a network, and at any size."""

from __future__ import annotations

import html.parser
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from pydicom import dcmread
from support.factories import ct_series, quick_dataset, save
from support.runs import config, export

from crawler.ledger.database import Ledger, ScanRow
from crawler.ledger.summary import summarise
from crawler.model import Outcome
from crawler.tables import report
from crawler.tables.base import Context

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OUTPUTS: dict[str, Any] = {"metadata": {}, "preview": {}, "volume": {}, "image": {}}
HOSTILE = "a <b>&\"'</script><script>alert(1)</script>#%20*?"


class Page(html.parser.HTMLParser):
    """The elements of a page: links, texts of scripts, names of tags."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.scripts: dict[str | None, str] = {}
        self._script: str | None = None
        self._inside = False
        self.text = path.read_text("utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.tags.append(tag)
        self._inside, self._script = tag == "script", known.get("id")
        self.links += [known["href"] or ""] if tag == "a" else []
        self.sources += [known["src"] or ""] if "src" in known else []

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.scripts[self._script] = data

    @property
    def series(self) -> list[list[Any]]:
        """The rows of the page."""
        return list(json.loads(self.scripts["data"]))

    @property
    def roots(self) -> dict[str, str]:
        """Where its links lead."""
        return dict(json.loads(self.scripts["about"])["roots"])


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """An output with two volumes, a still, a file that is not DICOM and a broken one."""
    source = tmp_path / "in"
    ct_series(source / "head", 5)
    ct_series(source / "gapped", 6, gap=3, PatientName="Doe^Jane", SeriesDescription="Jane's head")
    save(quick_dataset(np.zeros((4, 4), np.uint8), Modality="DX"), source / "chest" / "a.dcm")
    (source / "notes.txt").write_text("no DICOM")
    broken = quick_dataset(np.zeros((4, 4), np.uint8), PixelData=b"12")
    save(broken, source / "broken" / "b.dcm")
    export(source, tmp_path / "out", **OUTPUTS)
    return tmp_path / "out"


def without_times(path: Path) -> list[str]:
    return [line for line in path.read_text("utf-8").splitlines() if 'class="run"' not in line]


def test_counts_failures_and_series_are_those_of_the_run(finished: Path) -> None:
    page = Page(finished / "report.html")
    summary = json.loads((finished / "summary.json").read_text())
    tiles = dict(re.findall(r"<dt>([a-z ]+)</dt><dd>([\d,]+)</dd>", page.text))
    assert tiles == {
        "files found": "14",
        "exported": "12",
        "skipped": "1",
        "failed": "1",
        "series": str(summary["scans"]),
        "volumes": str(summary["volumes"]),
    }
    assert "Skipped: not DICOM 1" in page.text
    [reason] = summary["failed"]
    assert f"<b>1</b> {reason}" in page.text
    assert "<code>broken/b.dcm</code>" in page.text
    verdicts = {row[0].partition("/")[0]: (row[1], row[2], row[8], row[11]) for row in page.series}
    assert verdicts["head"] == ("CT", 5, "regular volume", 0)
    assert verdicts["gapped"] == ("CT", 6, "split", 0)
    assert verdicts["chest"] == ("DX", 1, "no geometry", 0)
    assert verdicts["broken"][3] == 1


def test_links_lead_to_files(finished: Path) -> None:
    page = Page(finished / "report.html")
    paths = [link for link in page.links if not link.startswith("#")]
    for row in page.series:
        for root, links in (("previews", row[13]), ("volumes", row[14]), ("media", [row[16]] if row[15] else [])):
            paths += [f"{page.roots[root]}/{link.replace('*', row[0])}" for link in links]
    assert len(paths) > 10
    assert [path for path in paths if not (finished / unquote(path)).is_file()] == []


def test_page_asks_no_network_and_names_no_patient(finished: Path) -> None:
    page = Page(finished / "report.html")
    assert page.sources == []
    assert set(re.findall(r"https?:[^\s\"']*", page.text)) == set()
    assert "Doe" not in page.text
    assert page.text.count("Jane") == page.text.count("1 Jane's head") == 1  # the description of a series
    assert str(finished) not in page.text


def test_equal_runs_give_equal_pages_and_a_repeat_keeps_it(finished: Path, tmp_path: Path) -> None:
    export(tmp_path / "in", tmp_path / "other", 2, **OUTPUTS)
    before = without_times(finished / "report.html")
    assert without_times(tmp_path / "other" / "report.html") == before
    (finished / "report.html").unlink()
    export(tmp_path / "in", finished, **OUTPUTS)
    assert without_times(finished / "report.html") == before


def test_the_run_is_named_and_there_is_a_text_for_a_methods_section(finished: Path) -> None:
    page = (finished / "report.html").read_text("utf-8")
    [line] = re.findall(r'<p class="run">(.*?)</p>', page)
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d by dme \S+, a configuration in Python, from <code>.*</code>: ", line)
    assert "14 files (" in page
    assert "12 files were exported, 1 skipped (not DICOM: 1) and 1 failed (" in page
    assert "written as hdf5: slices in the order of their positions" in page


def test_series_are_named_by_description_with_all_axes_and_low_quality(tmp_path: Path) -> None:
    for step in range(2):
        ct_series(
            *(tmp_path / "in" / str(step), 2),
            uid="1.2.3.4",
            SeriesNumber=7,
            SeriesDescription="<b>perfusion</b>",
            TemporalPositionIdentifier=step + 1,
            NumberOfTemporalPositions=2,
            SOPInstanceUID=f"1.2.3.4.{step}",
        )
    for step in range(2):
        for number in range(2):
            dataset = dcmread(tmp_path / "in" / str(step) / f"{number:04d}.dcm")
            dataset.SOPInstanceUID = f"1.2.3.4.{step}.{number}"
            save(dataset, tmp_path / "in" / "one" / f"{step}{number}.dcm")
        shutil.rmtree(tmp_path / "in" / str(step))
    export(tmp_path / "in", tmp_path / "out", metadata={}, volume={}, quality={"thresholds": {"CT": {"contrast": 1e9}}})
    [row] = Page(tmp_path / "out" / "report.html").series
    assert row[17:] == ["7 <b>perfusion</b>", "12 \u00d7 16 \u00d7 2 \u00d7 2 time", "low contrast"]


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    ct_series(tmp_path / "in", 2)
    made = config(
        tmp_path / "in", tmp_path / "out", metadata={}, output={"dir": str(tmp_path / "out"), "report": False}
    )
    assert report.path(made) is None


def ledger_of(folder: Path, names: list[str]) -> Context:
    """A ledger with a scan of each name, as a run might have left it."""
    made = config(folder / "in", folder, **OUTPUTS)
    ledger = Ledger(str(folder / "rows.ledger"))
    verdict = {"modality": "<i>", "n_files": 1, "n_images": 1, "n_planes": 1, "n_layouts": 1, "reason": "</script>"}
    for number, name in enumerate(names):
        above, _, last = name.rpartition("/")
        ledger.open_folder(above, ())
        failed = Outcome("failed", "pixels", "<reason>", "<detail>") if not number % 2 else Outcome("exported")
        path = name.encode()
        products = (("preview", path + b".png", "", 1, "x"), ("volume", path + b".h5", "", 1, "x"))
        files = ((above, f"{last}.dcm", 1, 1, failed),)
        row = ScanRow(
            name, name, "d", {**verdict, "spacing": float(number), "columns": 4, "rows": 4}, (0, 0), files, products
        )
        ledger.put_scan(above, row)
    return Context(made, ledger, summarise(ledger, handled=0, listed=0, seconds=0, interrupted=False))


def test_names_cannot_become_markup(tmp_path: Path) -> None:
    context = ledger_of(tmp_path, [f"{HOSTILE}/s1-0a1b2c3d", "plain/s2-0a1b2c3d"])
    report.build(context, str(tmp_path / "report.html"))
    page = Page(tmp_path / "report.html")
    assert page.tags.count("script") == 3
    assert not {"i", "reason", "detail"} & set(page.tags)
    assert [row[0] for row in page.series] == [f"{HOSTILE}/s1-0a1b2c3d", "plain/s2-0a1b2c3d"]
    [link, _] = [row[13][0] for row in page.series]
    assert link == "*.png"


def test_twenty_thousand_series_are_a_page_of_a_few_megabytes(tmp_path: Path) -> None:
    names = [f"study-{number // 50}/visit-{number // 5 % 10}/s{number % 5}-{number:08x}" for number in range(20_000)]
    report.build(ledger_of(tmp_path, names), str(tmp_path / "report.html"))
    assert (tmp_path / "report.html").stat().st_size < 5_000_000


# What a person does, and what is there afterwards; the page is asked by its own elements.
ACTS = """
<script>
(() => {
  const log = {};
  const names = () => [...document.querySelectorAll('#rows th')].map((one) => one.firstChild.data);
  const type = (id, value) => {
    document.getElementById(id).value = value;
    document.getElementById(id).dispatchEvent(new Event('input', { bubbles: true }));
  };
  const note = (name) => { log[name] = [names(), document.getElementById('found').textContent]; };
  const press = (key) => document.querySelector(`th[data-sort=${key}] button`).click();
  note('start');
  document.getElementById('on').click(); note('second page');
  type('query', 'S10 single'); note('search');
  type('query', 'folder'); press('spacing'); press('spacing'); note('sorted');
  log.sort = document.querySelector('th[data-sort=spacing]').getAttribute('aria-sort');
  log.link = document.querySelector('.preview a').href;
  log.lazy = document.querySelector('.preview img').loading;
  document.title = 'asked';
  const out = document.createElement('pre');
  out.id = 'log';
  out.textContent = JSON.stringify(log);
  document.body.replaceChildren(out);
})();
</script>
</body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)")
def test_search_sort_and_pages_work_in_a_browser(tmp_path: Path) -> None:
    names = [f"folder {number}/s{number}-0a1b2c3d" for number in range(250)]
    context = ledger_of(tmp_path, names)
    context.ledger.execute("UPDATE scans SET verdict = json_set(verdict, '$.obliquity_degrees', 0.0)")
    report.build(context, str(tmp_path / "report.html"))
    page = tmp_path / "asked.html"
    page.write_text((tmp_path / "report.html").read_text("utf-8").replace("</body>", ACTS), "utf-8")
    command = [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'user'}"]
    command += ["--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<pre id="log">(.*)</pre>', done.stdout)
    assert found, done.stdout[-2000:]
    log = json.loads(html.unescape(found[1]))
    assert log["start"] == [[f"folder {number}" for number in range(100)], "250 of 250 series"]
    assert log["second page"][0] == [f"folder {number}" for number in range(100, 200)]
    assert log["search"] == [[f"folder {number}" for number in (10, *range(100, 110))], "11 of 250 series"]
    assert log["sorted"][0][:2] == ["folder 249", "folder 248"]
    assert log["sort"] == "descending"
    assert log["link"].endswith("/previews/folder%20249/s249-0a1b2c3d.png")
    assert log["lazy"] == "lazy"

"""The pages in a real browser: from a new job to a ZIP, in both languages, at every width, and judged by axe."""

from __future__ import annotations

import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.factories import ct_series
from support.pacs_servers import ORTHANC, orthanc
from support.web import Web, serving

from crawler.cli.main import main
from crawler.sinks.reading import read_volume
from crawler.web.threed import script

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
# WebGL without a graphics card.
GRAPHICS = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
WIDTHS = (390, 900, 1280, 2560)

pytestmark = [pytest.mark.system, pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *GRAPHICS])
        yield browser
        browser.close()


class Visit:
    """A browser that is signed in, and what it complained about or asked elsewhere."""

    def __init__(self, chromium: Any, web: Web, **settings: Any) -> None:
        self.page = chromium.new_context(accept_downloads=True, **settings).new_page()
        self.wrong: list[str] = []
        self.page.on("request", lambda one: self._asked(one.url, web.origin))
        self.page.on("console", lambda one: self.wrong.append(one.text) if one.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.goto(f"{web.origin}/open#{web.token}")
        self.page.wait_for_url(f"{web.origin}/")

    def _asked(self, url: str, origin: str) -> None:
        if not url.startswith((origin, "blob:")):
            self.wrong.append(url)


@pytest.fixture
def visit(chromium: Any, web: Web) -> Iterator[Visit]:
    one = Visit(chromium, web, locale="en-US")
    yield one
    one.page.context.close()
    assert one.wrong == [], "errors, violations of the policy, or requests that leave the machine"


def test_from_a_folder_to_a_zip(visit: Visit, web: Web, data: Path, tmp_path: Path) -> None:
    page = visit.page
    page.goto(f"{web.origin}/new")
    page.fill("#title", "from a browser")
    page.fill("#folder", str(data))
    page.check("input[value=everything]")
    page.click("main button.primary")
    page.wait_for_url("**/edit")
    page.select_option('[data-path="image.bits"]', "8")
    for _ in range(200):
        if "bits: 8" in page.input_value("#yaml"):
            break
        page.wait_for_timeout(20)
    assert "bits: 8" in page.input_value("#yaml")
    page.fill("#yaml", page.input_value("#yaml").replace("bits: 8", "bits: auto"))
    for _ in range(200):
        if page.input_value('[data-path="image.bits"]') == "auto":
            break
        page.wait_for_timeout(20)
    assert page.input_value('[data-path="image.bits"]') == "auto", "and the other way"
    page.click("button[value=start]")
    page.wait_for_selector("text=What was done", timeout=60_000)
    for _ in range(1000):
        if "3/3 files" in page.inner_text("#log") or "exported" in page.inner_text("#log"):
            break
        page.wait_for_timeout(20)
    assert "3/3 files" in page.inner_text("#log") or "exported" in page.inner_text("#log")
    page.click("text=Look at 1 series")
    page.wait_for_selector("tbody tr")
    page.fill("#search", "nothing like it")
    assert page.locator("tbody tr").count() == 0
    page.fill("#search", "ct")
    page.click("tbody th a")
    page.wait_for_selector("text=slice 2/3")
    page.focus("canvas")
    page.keyboard.press("ArrowDown")
    page.wait_for_selector("text=slice 3/3")
    page.hover("canvas")
    assert " HU" in page.inner_text(".readout")
    assert " mm" in page.inner_text(".readout")
    page.wait_for_selector("text=frame 1")
    page.keyboard.press("k")
    page.wait_for_selector("[data-rate=keep][aria-pressed=true]")
    with page.expect_download() as download:
        page.click("text=Save this series as ZIP")
    download.value.save_as(tmp_path / "out.zip")
    unzip = shutil.which("unzip")
    if unzip:
        subprocess.run([unzip, "-tq", tmp_path / "out.zip"], check=True, stdout=subprocess.DEVNULL)


def test_three_planes_at_right_angles(visit: Visit, web: Web) -> None:
    """Coronal slices from front to back: every plane is looked at as usual, and is the array's."""
    source = web.workspace / "coronal"
    ct_series(source, 7, orientation="coronal", size=(16, 12), spacing=2.0)
    job = web.new_job(source, "training")
    text = f"num_workers: 0\noutput: {{dir: output}}\ndicom: {{dir: {source}}}\nmetadata:\nvolume:\n"
    web.post(f"/jobs/{job}", action="start", yaml=text)
    web.wait(job, "finished")
    [path] = (web.workspace / "jobs" / job / "output" / "volumes").rglob("*.h5")
    volume = read_volume(str(path))
    assert volume.affine is not None
    page = visit.page
    number = web.get(f"/look/{job}/series.json").json["rows"][0][0]

    def late(route: Any) -> None:
        page.wait_for_timeout(300)
        route.continue_()

    page.route("**/plane?at=*", late)  # the button is there before the first plane is
    page.goto(f"{web.origin}/look/{job}/s/{number}")
    page.click("button.across")
    page.wait_for_selector("text=7 of 7 slices")
    page.wait_for_selector("text=HU")
    page.unroute("**/plane?at=*")
    assert float(page.input_value('[aria-label="Window width"]')) > 100
    captions = page.locator("figcaption").all_inner_texts()
    assert [caption.split(" ")[0] for caption in captions] == ["coronal", "axial", "sagittal"]
    assert captions[0].endswith("R-L · S-I")
    assert captions[1].endswith("R-L · A-P")
    assert captions[2].endswith("A-P · S-I")
    canvases = page.locator(".planes canvas")

    def indices() -> list[int]:
        told = page.inner_text(".readout")
        return [int(found) - 1 for found in re.findall(r"(?:slice|row|column) (\d+)/", told)]

    def settled(done: int) -> None:
        for _ in range(500):
            if int(page.get_attribute(".planes", "data-done") or 0) >= done:
                return
            page.wait_for_timeout(10)
        raise AssertionError("the planes across did not come")

    assert indices() == [3, 8, 6]
    place = volume.affine @ [3, 8, 6, 1]
    assert f"L {place[0]:.1f}, P {place[1]:.1f}, S {place[2]:.1f} mm" in page.inner_text(".readout")
    assert f"{volume.array[3, 8, 6]:,.0f} HU" in page.inner_text(".readout")
    page.fill('[aria-label="Window centre"]', "1100")
    page.fill('[aria-label="Window width"]', "400")
    step = volume.affine[:3, :3]
    for canvas, (down, right) in enumerate((("S", "L"), ("P", "L"), ("S", "P"))):
        axes = {"L": 0, "P": 1, "S": 2}
        for key, name, sign in (("ArrowRight", right, 1), ("ArrowDown", down, -1 if down == "S" else 1)):
            before = np.array(indices())
            canvases.nth(canvas).focus()
            page.keyboard.press(key)
            moved = step @ (np.array(indices()) - before)
            assert np.argmax(np.abs(moved)) == axes[name], (canvas, key)
            assert np.sign(moved[axes[name]]) == sign, (canvas, key)
    page.keyboard.press("PageDown")
    assert indices()[2] == 9 or indices()[2] == 7
    settled(2)
    slice_, row, column = indices()
    page.wait_for_timeout(300)
    page.wait_for_selector("text=7 of 7 slices")
    drawn = page.evaluate(
        """() => [...document.querySelectorAll(".planes canvas")].map(canvas => {
          const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          return [canvas.height, canvas.width, [...pixels.data].filter((_, n) => n % 4 === 0)];
        })"""
    )
    planes = (volume.array[slice_], volume.array[:, row], volume.array[:, :, column])
    for (rows, columns, grey), values in zip(drawn, planes, strict=True):
        expected = np.clip((values.astype(float) - 900) * 255 / 400, 0, 255)
        picture = np.array(grey).reshape(rows, columns)
        ways = [turned[::a, ::b] for turned in (expected, expected.T) for a in (1, -1) for b in (1, -1)]
        assert any(way.shape == picture.shape and np.abs(way - picture).max() <= 1 for way in ways)
    page.wait_for_selector("text=frame 1")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python").Axe()
    assert [one["id"] for one in axe.run(page).response["violations"]] == []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, width


@pytest.mark.skipif(script() is None, reason="ipyniivue is missing: pip install -r requirements-widget.txt")
@pytest.mark.parametrize("language", ["en-US", "zh-CN"])
def test_niivue_shows_a_volume(chromium: Any, web: Web, data: Path, language: str) -> None:
    """Three planes and a rendering by the script of the package, under its policy; value and place by a click."""
    pytest.importorskip("nibabel", reason="pip install nibabel")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python").Axe()
    job = web.new_job(data, "training")
    text = f"num_workers: 0\noutput: {{dir: output}}\ndicom: {{dir: {data}}}\nmetadata:\nvolume: {{formats: [nifti]}}\n"
    web.post(f"/jobs/{job}", action="start", yaml=text)
    web.wait(job, "finished")
    number = web.get(f"/look/{job}/series.json").json["rows"][0][0]
    visit = Visit(chromium, web, locale=language)
    page = visit.page
    page.goto(f"{web.origin}/look/{job}/s/{number}")
    page.click(".threed a")
    page.wait_for_selector("[data-loaded=yes]", timeout=90_000)
    assert page.evaluate("!!document.querySelector('#box canvas').getContext('webgl2')")
    for place in range(40, 600, 40):  # the first tile of NiiVue is somewhere in the corner
        page.locator("#box canvas").click(position={"x": place, "y": place})
        page.wait_for_timeout(50)
        if "mm" in page.inner_text("#state"):
            break
    assert re.search(r"L -?\d+\.\d, P -?\d+\.\d, S -?\d+\.\d mm", page.inner_text("#state"))
    page.select_option("#look", "4")
    page.select_option("#colours", "hot")
    page.fill("#low", "0")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, width
    assert [one["id"] for one in axe.run(page).response["violations"]] == []
    page.context.close()
    warnings = [one for one in visit.wrong if "GPU stall" not in one and "GL Driver Message" not in one]
    assert warnings == []


def test_files_of_the_browser_are_uploaded(visit: Visit, web: Web, data: Path) -> None:
    page = visit.page
    page.goto(f"{web.origin}/new")
    page.check("input[value=upload]")
    page.click("main button.primary")
    page.wait_for_url("**/edit")
    page.set_input_files("#files", sorted((data / "ct").iterdir()))
    page.wait_for_selector("text=3 files are here")
    page.click("button[value=start]")
    page.wait_for_selector("text=What was done", timeout=60_000)


@pytest.mark.parametrize("language", ["en-US", "zh-CN"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_for_everybody(chromium: Any, web: Web, done: str, language: str, scheme: str) -> None:
    """No violation of axe, nothing wider than the window, nothing refused, at four widths."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python").Axe()
    visit = Visit(chromium, web, locale=language, color_scheme=scheme)
    number = web.get(f"/look/{done}/series.json").json["rows"][0][0]
    look = f"/look/{done}"
    for place in ("/", "/new", f"/jobs/{done}", f"/jobs/{done}/edit", look, f"{look}/s/{number}", f"{look}/files"):
        visit.page.goto(web.origin + place)
        assert visit.page.evaluate("document.documentElement.lang").startswith(language[:2])
        for width in WIDTHS:
            visit.page.set_viewport_size({"width": width, "height": 900})
            wide = visit.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, (place, width)
        found = [one["id"] for one in axe.run(visit.page).response["violations"]]
        assert found == [], place
    web.post("/templates", action="copy", set="dicom_tags", name=f"seen-{language[:2].lower()}-{scheme}")
    for place in ("/templates", "/templates/dicom_tags/ct.json", f"/jobs/{done}/words"):
        visit.page.goto(web.origin + place)
        if place.endswith("json"):
            visit.page.click("button[value=try]")
            visit.page.wait_for_selector("tbody tr")
        for width in WIDTHS:
            visit.page.set_viewport_size({"width": width, "height": 900})
            wide = visit.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, (place, width)
        assert [one["id"] for one in axe.run(visit.page).response["violations"]] == [], place
    for place in ("/system", "/search", "/outputs"):
        visit.page.goto(web.origin + place)
        assert [one["id"] for one in axe.run(visit.page).response["violations"]] == [], place
    visit.page.context.close()
    assert visit.wrong == []


def test_a_search_of_a_pacs_becomes_a_job(chromium: Any, tmp_path: Path) -> None:
    if not Path(ORTHANC).exists():
        pytest.skip("orthanc is not installed")
    for number in (1, 2, 3):
        ct_series(tmp_path / "in" / str(number), 2)
    with orthanc(tmp_path) as server, serving(tmp_path / "ws") as web:
        place = ["--host", server.host, "--port", str(server.port), "--called-aet", server.called_aet]
        assert main(["pacs", "send", *place, "-q", str(tmp_path / "in")]) == 0
        visit = Visit(chromium, web, locale="en-US")
        page = visit.page
        page.goto(f"{web.origin}/search")
        page.fill("#pacs-host", server.host)
        page.fill("#pacs-port", str(server.port))
        page.fill("#pacs-called_aet", server.called_aet)
        page.click("form[action='/search/pacs'] button")
        page.wait_for_selector("#ask-PatientID")
        page.fill("#ask-PatientID", "*")
        page.click("form[action='/search'] button")
        page.wait_for_selector("text=3 series found")
        for number in (0, 1):
            page.locator("[data-pair]").nth(number).check()
        page.click("#found button.primary")
        page.wait_for_url("**/edit")
        page.fill("#yaml", page.input_value("#yaml").replace("volume:\n", "") + "\nvolume:\n")
        page.click("button[value=start]")
        page.wait_for_selector("text=Look at 2 series", timeout=90_000)
        axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python")
        job = page.url.rpartition("/")[2]
        for place in (f"/jobs/{job}", f"/jobs/{job}/requests", f"/jobs/{job}/requests/1", f"/jobs/{job}/lacking"):
            page.goto(web.origin + place)
            assert [one["id"] for one in axe.Axe().run(page).response["violations"]] == [], place
            page.set_viewport_size({"width": 390, "height": 900})
            wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, place
        page.goto(f"{web.origin}/look/{job}")
        page.wait_for_selector("tbody tr")
        assert page.locator("tbody tr").count() == 2
        page.click("tbody tr:first-child th a")
        page.wait_for_selector("text=slice 2/2")
        page.hover("canvas")
        page.wait_for_selector("text=frame 1")
        page.keyboard.press("d")
        page.wait_for_selector("[data-rate=drop][aria-pressed=true]")
        page.goto(f"{web.origin}/look/{job}")
        with page.expect_download() as download:
            page.click("text=Save everything as ZIP")
        download.value.save_as(tmp_path / "all.zip")
        with zipfile.ZipFile(tmp_path / "all.zip") as archive:
            assert sum(name.startswith("volumes/") for name in archive.namelist()) == 2
            assert archive.testzip() is None
        if unzip := shutil.which("unzip"):
            subprocess.run([unzip, "-tq", tmp_path / "all.zip"], check=True, stdout=subprocess.DEVNULL)
        assert "drop" in web.get(f"/look/{job}/ratings.csv").text
        assert visit.wrong == []
        page.context.close()

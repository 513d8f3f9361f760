"""One server for the tests of a module, over a workspace and a folder of series."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="pip install -r requirements-web.txt")
pytest.importorskip("uvicorn", reason="pip install -r requirements-web.txt")
pytest.importorskip("polib", reason="pip install -r requirements-web.txt")
if sys.platform == "win32":
    pytest.skip("the web server runs on Linux and macOS", allow_module_level=True)

from support.factories import ct_series
from support.web import Web, serving


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the server was started with: a series, and what is no DICOM."""
    folder = tmp_path_factory.mktemp("data")
    ct_series(folder / "ct", 3)
    (folder / "notes.txt").write_text("none")
    return folder


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Iterator[Web]:
    """A server."""
    with serving(tmp_path_factory.mktemp("web") / "ws", data) as server:
        yield server


@pytest.fixture(scope="module")
def done(web: Web, data: Path) -> str:
    """A job that ran to its end."""
    job = web.new_job(data, "everything")
    assert web.post(f"/jobs/{job}", action="start").status == 303
    web.wait(job, "finished")
    return job

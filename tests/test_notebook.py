"""The tutorial runs from its first cell to its last, in a fresh kernel, and is stored as it reads well."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from support.runs import ROOT

NOTEBOOK = ROOT / "notebooks" / "crawler_tutorial.ipynb"


@pytest.fixture
def notebook() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.mark.slow
# Of Jupyter's own: a local kernel that speaks TCP, and its event loop on Windows.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::RuntimeWarning")
def test_runs(notebook: nbformat.NotebookNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = sorted(NOTEBOOK.parent.iterdir())
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    texts = "".join(out.get("text", "") for cell in notebook.cells for out in cell.get("outputs", []))
    assert texts.count("equal to the first run: True") == 1
    assert texts.count("equal to the volume from above: True") == 1
    figures = [out for cell in notebook.cells for out in cell.get("outputs", []) if "image/png" in out.get("data", {})]
    assert len(figures) == 4
    assert sorted(NOTEBOOK.parent.iterdir()) == before, "it writes beside itself"


def test_stored_outputs_are_of_one_clean_run_and_light(notebook: nbformat.NotebookNode) -> None:
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    kinds = {out.output_type for cell in cells for out in cell.outputs}
    assert kinds == {"stream", "execute_result", "display_data"}
    assert not [out for cell in cells for out in cell.outputs if out.get("name") == "stderr"]
    assert NOTEBOOK.stat().st_size < 600_000


def test_stored_outputs_name_no_place_of_the_machine_that_ran_it() -> None:
    text = NOTEBOOK.read_text("utf-8")
    assert "/tmp" not in text
    assert str(Path.home()) not in text

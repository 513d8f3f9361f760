"""docs/howto/series.md: its blocks run in order on the sample, with a PACS that listens."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE, AllStoragePresentationContexts, evt

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "howto" / "series.md"
PRINTED = """\
Series 2 te x 10 slice x 144 row x 96 column, uint16, order te
[12. 96.] [4.5 1.9 1.9] SAMPLE
10 True
1004 ['DERIVED', 'SECONDARY']
10 stored
"""


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib

    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "mpl"))
    matplotlib.use("agg")
    shutil.copytree(ROOT / "dicom_data", tmp_path / "dicom_data")
    monkeypatch.chdir(tmp_path)
    stored: list[str] = []

    def on_store(event: Any) -> int:
        stored.append(event.dataset.SeriesDescription)
        return 0

    ae = AE("ARCHIVE")
    for context in AllStoragePresentationContexts:
        ae.add_supported_context(context.abstract_syntax)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, on_store)])
    text = PAGE.read_text("utf-8").replace(":11112/", f":{server.socket.getsockname()[1]}/")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 7
    names: dict[str, Any] = {"__name__": "page"}
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output):
            for block in blocks:
                exec(compile(block, str(PAGE), "exec"), names)
    finally:
        server.shutdown()
        import matplotlib.pyplot as plt

        plt.close("all")
    assert output.getvalue().startswith(PRINTED)
    assert stored == ["T2 map (ms)"] * 10
    assert (tmp_path / "view.png").stat().st_size > 10_000

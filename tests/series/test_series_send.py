"""Series sent to a PACS and read from one: every instance has a result, and a failure is no success."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pynetdicom import AE, AllStoragePresentationContexts, evt
from support.fake_pacs import fake_pacs
from support.mr import mr_series

from crawler import Series
from crawler.errors import PacsError
from crawler.pacs import send as pacs_send


@pytest.fixture
def dynamic(tmp_path: Path) -> Path:
    mr_series(tmp_path / "in", times=2, slices=3)
    return tmp_path / "in"


def listener(statuses: list[int], kept: list[Any]) -> Any:
    def on_store(event: Any) -> int:
        kept.append((event.dataset.SeriesNumber, event.dataset.SOPInstanceUID, event.assoc.requestor.ae_title))
        return statuses[min(len(kept), len(statuses)) - 1]

    ae = AE("FAKE")
    for context in AllStoragePresentationContexts:
        ae.add_supported_context(context.abstract_syntax)
    return ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, on_store)])


def test_write_sends(dynamic: Path) -> None:
    """README of imagedata: `b.seriesNumber = 1004; b.write(' dicom://server:104/AETITLE')`."""
    kept: list[Any] = []
    server = listener([0], kept)
    try:
        b = Series(dynamic, "time")
        b.seriesNumber = 1004
        report = b.write(f" dicom://127.0.0.1:{server.socket.getsockname()[1]}/FAKE", calling_aet="MINE")
    finally:
        server.shutdown()
    assert len(report.files) == 6
    assert {number for number, _, _ in kept} == {1004}
    assert {title.strip() for _, _, title in kept} == {"MINE"}
    assert {uid for _, uid, _ in kept} == set(report.files)


def test_a_refusal_is_told(dynamic: Path) -> None:
    """imagedata 3.10 ignores failures."""
    kept: list[Any] = []
    server = listener([0, 0xA900], kept)
    try:
        with pytest.raises(PacsError, match="5 of 6 instances were not stored"):
            Series(dynamic, "time").write(f"dicom://127.0.0.1:{server.socket.getsockname()[1]}/FAKE")
    finally:
        server.shutdown()
    with pytest.raises(PacsError, match="nowhere: dicom"):
        Series(dynamic, "time").write("dicom://nowhere")


def test_a_server_that_never_answers_has_its_limit(dynamic: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """imagedata 3.10 waits for ever."""
    monkeypatch.setattr(pacs_send, "_PAUSE", 0.001)  # between attempts
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"dicom://127.0.0.1:{silent.getsockname()[1]}/FAKE"
        a = Series(dynamic, "time")
        with pytest.raises(PacsError, match="6 of 6 instances were not stored"):
            a.write(address, timeout=0.1)
        with pytest.raises(PacsError, match="0 images arrived"):
            Series(f"{address}/2.25.1", timeout=0.1)
    with pytest.raises(PacsError):
        a.write(address, timeout=0.1)  # nobody listens any more


def test_segmentations_are_sent_as_such(dynamic: Path) -> None:
    pytest.importorskip("highdicom", reason="pip install -r requirements-series.txt")
    kept: list[Any] = []
    server = listener([0], kept)
    try:
        mask = (Series(dynamic, "time")[0] > 110).astype(np.uint8)
        report = mask.write(f"dicom://127.0.0.1:{server.socket.getsockname()[1]}/FAKE", kind="seg")
    finally:
        server.shutdown()
    assert len(report.files) == len(kept) == 1


def test_reading_from_a_pacs(dynamic: Path) -> None:
    datasets = [pydicom.dcmread(path) for path in dynamic.iterdir()]
    expected = Series(dynamic, "time")
    with fake_pacs(datasets) as server:
        address = f"dicom://127.0.0.1:{server.port}/FAKE/{expected.studyInstanceUID}"
        assert np.array_equal(Series(address, "time"), expected)
        assert np.array_equal(Series(f"{address}/{expected.seriesInstanceUID}"), expected)
        with pytest.raises(PacsError, match="0 images"):
            Series(f"dicom://127.0.0.1:{server.port}/FAKE/2.25.1")
        with pytest.raises(PacsError, match="name a study"):
            Series(f"dicom://127.0.0.1:{server.port}/FAKE")

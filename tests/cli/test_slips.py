"""What is typed in place of a configuration: a misspelt command, a folder, a DICOM file, an archive."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.factories import quick_dataset, save

from crawler.cli.main import main


@pytest.mark.parametrize(
    ("typed", "meant"), [(["convrt", "a"], "convert"), (["statsu", "c.yml"], "status"), (["Init"], "init")]
)
def test_a_misspelt_command_is_told(typed: list[str], meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(typed)
    assert stopped.value.code == 2
    assert f"did you mean {meant}?" in capsys.readouterr().err


def test_a_file_named_nearly_like_a_command_is_a_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "statu").write_text("nonsense: 1\n")
    assert main(["statu"]) == 1
    assert "statu:1: nonsense" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["a folder", "a DICOM file", "an archive"])
def test_dicom_in_place_of_a_configuration_names_the_ways(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    name = {"a folder": "study", "a DICOM file": "scan", "an archive": "study.zip"}[kind]
    if kind == "a folder":
        (tmp_path / name).mkdir()
    elif kind == "an archive":
        (tmp_path / name).write_bytes(b"PK")
    else:
        save(quick_dataset(), tmp_path / name)
    assert main([name]) == 1
    told = capsys.readouterr().err
    assert f"{name} is {kind}" in told
    assert f"convert {name}" in told
    assert "init --goal" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == [name], "nothing is written"

"""`volume.name` and `media.name`: further names that are unique, safe, ours alone, and free to change."""

from __future__ import annotations

import csv
import os
import shutil
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.factories import ct_series, quick_dataset, save
from support.runs import export

from crawler.ledger.database import Ledger
from crawler.tables.link_tree import LinkTree, Target

PATTERN = "{PatientID}/{SeriesNumber:03d}_{SeriesDescription}"


def named(out: Path) -> dict[str, str]:
    """names.csv as name -> file."""
    with open(out / "names.csv", newline="", encoding="utf-8") as file:
        return {row["name"]: row["file"] for row in csv.DictReader(file)}


def on_disk(out: Path) -> set[str]:
    """Files below named/."""
    top = out / "named"
    return {path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file()}


def two_series(folder: Path, **more: Any) -> None:
    ct_series(folder / "a", n=3, uid="1.2", PatientID="P1", SeriesNumber=1, SeriesDescription="Head", **more)
    ct_series(folder / "b", n=3, uid="1.3", PatientID="P1", SeriesNumber=1, SeriesDescription="head", **more)


def test_names_are_links_and_clashes_get_a_number(tmp_path: Path) -> None:
    two_series(tmp_path / "in")
    out = tmp_path / "out"
    export(tmp_path / "in", out, metadata={}, volume={"name": PATTERN, "formats": ["hdf5", "nifti"]})
    found = named(out)
    assert on_disk(out) == found.keys()
    stems = {name.partition(".")[0] for name in found}
    assert stems == {"P1/001_Head", "P1/001_head_2"}
    for name, file in found.items():
        assert os.path.samefile(out / "named" / name, out / file)
    assert {file.split("/")[1] for name, file in found.items() if "_2" in name} == {"b"}


@pytest.mark.parametrize("workers", [0, 3])
def test_names_do_not_depend_on_workers_or_on_what_was_there_before(workers: int, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    sections: dict[str, Any] = {
        "metadata": {},
        "volume": {"name": PATTERN},
        "media": {"name": "{PatientID}/{Modality}"},
    }
    ct_series(tmp_path / "in" / "b", n=3, uid="1.3", PatientID="P1", SeriesNumber=1, SeriesDescription="head")
    export(tmp_path / "in", out, workers, **sections)
    assert {name.partition(".")[0] for name in named(out) if name.endswith("h5")} == {"P1/001_head"}
    two_series(tmp_path / "in")  # a further series comes first in the order of paths
    export(tmp_path / "in", out, workers, **sections)
    export(tmp_path / "in", whole, 0, **sections)
    assert named(out) == named(whole)
    assert on_disk(out) == named(whole).keys()
    for name, file in named(out).items():  # a link, or the same bytes from before
        assert (out / "named" / name).read_bytes() == (out / file).read_bytes()


def test_another_pattern_renames_and_exports_nothing_anew(tmp_path: Path) -> None:
    two_series(tmp_path / "in")
    out = tmp_path / "out"
    export(tmp_path / "in", out, metadata={}, volume={"name": PATTERN})
    before = {path: path.stat().st_mtime_ns for path in (out / "volumes").rglob("*.h5")}
    (out / "named" / "P1" / "mine.txt").write_text("mine")
    summary = export(tmp_path / "in", out, metadata={}, volume={"name": "{Modality}/{SeriesInstanceUID}"})
    assert summary.handled == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert on_disk(out) == {"CT/1.2.h5", "CT/1.3.h5", "P1/mine.txt"}, "old names go, what is not ours stays"


def test_another_pattern_renames_where_the_rows_lie_in_another_folder(tmp_path: Path) -> None:
    """The ledger is beside them: from there the names begin with ".."."""
    ct_series(tmp_path / "in", n=2)
    more: dict[str, Any] = {"metadata": {"file": str(tmp_path / "rows" / "all.jsonl")}, "image": {}}
    export(tmp_path / "in", tmp_path / "out", media={"name": "a/{InstanceNumber}"}, **more)
    assert on_disk(tmp_path / "out") == {"a/1.png", "a/2.png"}
    export(tmp_path / "in", tmp_path / "out", media={"name": "b/{InstanceNumber}"}, **more)
    assert on_disk(tmp_path / "out") == {"b/1.png", "b/2.png"}


def test_a_deleted_folder_is_made_again(tmp_path: Path) -> None:
    two_series(tmp_path / "in")
    out = tmp_path / "out"
    export(tmp_path / "in", out, metadata={}, volume={"name": PATTERN})
    before = on_disk(out)
    for path in sorted((out / "named").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (out / "named").rmdir()
    export(tmp_path / "in", out, metadata={}, volume={"name": PATTERN})
    assert on_disk(out) == before


def test_a_deleted_folder_that_a_killed_run_made_in_part_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What made the view stale, its lost folder, is gone by then."""
    ct_series(tmp_path / "in", n=3)
    sections = {"metadata": {}, "image": {}, "media": {"name": "{InstanceNumber}"}}
    export(tmp_path / "in", tmp_path / "out", **sections)
    whole = sorted(path.name for path in (tmp_path / "out" / "named").iterdir())
    shutil.rmtree(tmp_path / "out" / "named")

    def killed(tree: LinkTree) -> None:
        (tmp_path / "out" / "named").mkdir()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LinkTree, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            export(tmp_path / "in", tmp_path / "out", **sections)
    export(tmp_path / "in", tmp_path / "out", **sections)
    assert len(whole) == 3
    assert sorted(path.name for path in (tmp_path / "out" / "named").iterdir()) == whole


def test_a_file_of_somebody_else_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    two_series(tmp_path / "in")
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    (out / "named" / "P1").mkdir(parents=True)
    (out / "named" / "P1" / "001_Head.h5").write_text("mine")
    export(tmp_path / "in", out, metadata={}, volume={"name": PATTERN})
    assert (out / "named" / "P1" / "001_Head.h5").read_text() == "mine"
    assert "it stays" in caplog.text
    elsewhere.mkdir()
    (out / "named" / "CT").symlink_to(elsewhere)
    export(tmp_path / "in", out, metadata={}, volume={"name": "{Modality}/{SeriesNumber}"})
    assert list(elsewhere.iterdir()) == []


def test_a_series_that_goes_takes_its_names_along(tmp_path: Path) -> None:
    two_series(tmp_path / "in")
    out = tmp_path / "out"
    export(tmp_path / "in", out, metadata={}, volume={"name": PATTERN}, dicom={"max_lost": 1})
    for path in (tmp_path / "in" / "a").iterdir():
        path.unlink()
    export(tmp_path / "in", out, metadata={}, volume={"name": PATTERN}, dicom={"max_lost": 1})
    assert on_disk(out) == {"P1/001_head.h5"}


def test_media_of_a_file_keep_together(tmp_path: Path) -> None:
    ct_series(tmp_path / "in", n=2, uid="1.2", PatientID="P1")
    save(quick_dataset(PatientID="P1", Modality="US", InstanceNumber=9), tmp_path / "in" / "z")
    out = tmp_path / "out"
    name = "{PatientID}/{Modality}{InstanceNumber:02d}"
    export(tmp_path / "in", out, metadata={"text": True}, image={}, video={"series": True}, media={"name": name})
    assert on_disk(out) >= {"P1/CT01.png", "P1/CT01.txt", "P1/CT02.png", "P1/CT02.txt", "P1/CT01.mp4"}
    assert len(on_disk(out)) == len(named(out)) == len(list((out / "media").rglob("*.*")))


STEMS = st.lists(
    st.lists(st.sampled_from(["a", "A", "é", "e\u0301", "a.h5", "a_2", "b", "ß", "ss"]), min_size=1, max_size=3),
    min_size=1,
    max_size=14,
)


@given(STEMS, st.permutations(range(14)))
@settings(max_examples=150, deadline=None)
def test_no_two_files_share_a_name_on_any_file_system(
    tmp_path_factory: pytest.TempPathFactory, parts: list[list[str]], order: list[int]
) -> None:
    stems = ["/".join(some) for some in parts]

    def settled(numbers: list[int]) -> dict[str, str]:
        tree = LinkTree(Ledger(str(tmp_path_factory.mktemp("ledger") / "l")), "/nowhere")
        for number in numbers:
            endings = [".h5", ".nii.gz", ".json"] if number % 2 else [".frames/1.png", ".frames/2.png", ".mp4"]
            files = [(ending, Target(f"/{number:02d}{ending}", 1, "")) for ending in endings]
            tree.add(f"{number:02d}", stems[number], files)
        tree.settle()
        names = {source: name for _, source, name in tree.names()}
        tree._ledger.close()
        return names

    names = settled(list(range(len(stems))))
    assert names == settled([number for number in order if number < len(stems)]), "the order of adding counts"
    folded = [unicodedata.normalize("NFC", name.casefold()) for name in names.values()]
    assert len(set(folded)) == len(folded) == 3 * len(stems)
    folders = {"/".join(name.split("/")[:end]) for name in folded for end in range(1, name.count("/") + 1)}
    assert folders.isdisjoint(folded), "a file where a folder is"
    pictures = {name.rpartition("/")[0] for name in folded if name.endswith(".png")}
    assert len(pictures) == len(range(0, len(stems), 2)), "two cines share a folder"

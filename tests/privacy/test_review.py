"""What is held back: shown in the private folder, answered in a list, and let out as the answer says."""

from __future__ import annotations

import csv
import re
import sqlite3
import stat
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from PIL import Image
from pydicom import Dataset, dcmread
from support.burned import picture
from support.encapsulated import PDF, document
from support.factories import ct_series, quick_dataset, save
from support.faults import Faults, in_child, kill
from support.runs import config, content, rows
from support.videos import H264, clip, pictures, wrap

from crawler.cli.main import main
from crawler.cluster.merge import merge
from crawler.cluster.run_shard import run_shard
from crawler.config.loader import Config
from crawler.engine.run import run
from crawler.errors import ConfigError
from crawler.ledger.summary import Summary
from crawler.privacy.keys import make_key

SECONDARY = "1.2.840.10008.5.1.4.1.1.7"
OUTPUTS: dict[str, Any] = {
    "metadata": {},
    "media": {},
    "image": {"bits": 8, "window": "full"},
    "video": {"extension": "frames"},
    "volume": {"formats": ["hdf5"]},
}


def capture(path: Path, seed: int = 1, frames: int = 0, **keywords: Any) -> tuple[Path, np.ndarray]:
    """A secondary capture with writing, and its values."""
    values = picture("CT", seed, 14).values.astype(np.uint8)
    if frames:
        values = np.stack([np.roll(values, 7 * number, 1) for number in range(frames)])
        keywords["NumberOfFrames"] = frames
    made = quick_dataset(values, SOPClassUID=SECONDARY, Modality="OT", PatientName="Quasten^Ada", **keywords)
    return save(made, path), values


def job(folder: Path, out: str = "out", workers: int = 0, **sections: Any) -> Config:
    if not (folder / "key").exists():
        make_key(str(folder / "key"))
    section = {
        "private": str(folder / f"private-{out}"),
        "key": {"file": str(folder / "key")},
        "pixels": {"action": "hold"},
        **sections.pop("privacy", {}),
    }
    return config(folder / "in", folder / out, workers, **{**OUTPUTS, **sections}, privacy=section)


def items(folder: Path, out: str = "out") -> dict[str, str]:
    """Name of the original file -> item."""
    page = (folder / f"private-{out}" / "review" / "review.html").read_text()
    found = re.findall(r"<h3>([a-z2-7]{16})</h3>.*?<br>([^<]*)</p>", page, re.DOTALL)
    return {Path(true).name: item for item, true in found}


def answer(folder: Path, lines: dict[str, tuple[str, str]], out: str = "out") -> None:
    path = folder / f"private-{out}" / "review" / "answers.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["item", "answer", "boxes"])
        writer.writerows([item, *told] for item, told in lines.items())


def by_original(folder: Path, out: str = "out") -> dict[str, dict[str, Any]]:
    """Rows by the number that the series had."""
    return {str(row["SeriesNumber"]): row for row in rows(folder / out).values()}


def shown(folder: Path, row: dict[str, Any], out: str = "out") -> np.ndarray:
    return np.asarray(Image.open(folder / out / "media" / row["media_file"]))


def stored(folder: Path, row: dict[str, Any], out: str = "out") -> np.ndarray:
    with h5py.File(folder / out / "volumes" / row["volume_file"]) as file:
        return np.asarray(file["image"][()])


@pytest.fixture
def three(tmp_path: Path) -> list[np.ndarray]:
    """Three captures that are held back, and a CT that is not."""
    found = [capture(tmp_path / "in" / f"{n}" / f"{n}.dcm", n, SeriesNumber=n)[1] for n in (1, 2, 3)]
    ct_series(tmp_path / "in" / "ct", 2, SeriesNumber=9)
    return found


def test_what_is_held_is_shown_to_its_owner_alone(tmp_path: Path, three: list[np.ndarray]) -> None:
    run(job(tmp_path))
    review = tmp_path / "private-out" / "review"
    page = (review / "review.html").read_text()
    assert items(tmp_path).keys() == {"1.dcm", "2.dcm", "3.dcm"}
    assert "may have writing in its pixels" in page
    assert "3 held back, 3 without an answer" in page
    assert not re.search(r"https?://|//[a-z]", page.partition("<main>")[0].replace("http-equiv", ""))
    item = items(tmp_path)["1.dcm"]
    seen = np.asarray(Image.open(review / item / "frame 000001.png"))
    assert np.array_equal(seen, three[0])
    for path in [review, *review.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    with (review / "answers.csv").open() as file:
        assert {line["item"]: line["answer"] for line in csv.DictReader(file)} == dict.fromkeys(
            items(tmp_path).values(), ""
        )
    assert not list((tmp_path / "out").rglob("*review*"))
    for number in "123":
        row = by_original(tmp_path)[number]
        assert (row["outcome"], row["reason"], row["media_files"]) == ("skipped", "held by privacy", [])


def test_answers_are_obeyed_by_the_next_run_and_only_their_files_are_done(
    tmp_path: Path, three: list[np.ndarray]
) -> None:
    run(job(tmp_path))
    known = items(tmp_path)
    answer(
        tmp_path,
        {
            known["1.dcm"]: ("release", ""),
            known["2.dcm"]: ("mask", "0 0 512 60; 10 400 200 512"),
            known["3.dcm"]: ("drop", ""),
        },
    )
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.h5")}
    summary = run(job(tmp_path))
    assert summary.handled == 3
    found = by_original(tmp_path)
    assert all(path.stat().st_mtime_ns == time for path, time in times.items() if path.name != "pixel_data.h5")
    assert np.array_equal(shown(tmp_path, found["1"]), three[0])
    assert np.array_equal(stored(tmp_path, found["1"]).reshape(512, 512), three[0])
    assert found["1"]["header_notes"] == ["privacy: released in review"]
    masked = three[1].copy()
    masked[0:60, 0:512] = 0
    masked[400:512, 10:200] = 0
    assert np.array_equal(shown(tmp_path, found["2"]), masked)
    assert np.array_equal(stored(tmp_path, found["2"]).reshape(512, 512), masked)
    assert found["2"]["header_notes"] == ["privacy: 2 rectangles are masked, as its review says"]
    told = found["3"]
    assert (told["outcome"], told["stage"], told["reason"]) == ("skipped", "dropped in review", "held by privacy")
    assert (told["media_files"], told["volume_files"]) == ([], [])
    assert all(row["PatientName"].startswith("P-") for row in found.values())
    assert b"Quasten" not in (tmp_path / "out" / "metadata.jsonl").read_bytes()
    assert run(job(tmp_path)).handled == 0
    answer(tmp_path, {known["2.dcm"]: ("mask", "0 0 512 60")})  # 1 and 3 are held back again
    assert run(job(tmp_path)).handled == 3
    found = by_original(tmp_path)
    assert (found["1"]["reason"], found["1"]["media_files"]) == ("held by privacy", [])
    assert not found["3"]["stage"].startswith("dropped")
    masked = three[1].copy()
    masked[0:60] = 0
    assert np.array_equal(shown(tmp_path, found["2"]), masked)
    assert len(list((tmp_path / "out" / "media").rglob("*.png"))) == 1 + 2


def test_boxes_are_masked_in_all_frames(tmp_path: Path) -> None:
    _, values = capture(tmp_path / "in" / "a.dcm", frames=5)
    run(job(tmp_path))
    (item,) = items(tmp_path).values()
    names = sorted(path.name for path in (tmp_path / "private-out" / "review" / item).iterdir())
    assert names == ["frame 000001.png", "frame 000003.png", "frame 000005.png"]
    answer(tmp_path, {item: ("mask", "5 6 50 70")})
    run(job(tmp_path))
    (row,) = rows(tmp_path / "out").values()
    values[:, 6:70, 5:50] = 0
    assert np.array_equal(stored(tmp_path, row).reshape(values.shape), values)
    frames = sorted((tmp_path / "out" / "media").rglob("*.png"))
    assert len(frames) == 5
    for frame, one in zip(frames, values, strict=True):
        assert np.array_equal(np.asarray(Image.open(frame)), one)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (("aaaaaaaaaaaaaaaa", "release", ""), "nothing is held back as the item"),
        (("", "release", ""), "nothing is held back as the item"),
        (("ITEM", "let go", ""), "expected an answer of release, mask, drop"),
        (("ITEM", "mask", ""), "mask needs boxes"),
        (("ITEM", "mask", "0 0 10"), "four whole numbers"),
        (("ITEM", "mask", "0 0 513 10"), "outside of its picture of 512 columns and 512 rows"),
        (("ITEM", "mask", "10 0 10 10"), "outside of its picture"),
        (("ITEM", "drop", "0 0 5 5"), "boxes belong to the answer mask"),
        (("ITEM", "", "0 0 5 5"), "expected an answer of"),
        (("DOCUMENT", "mask", "0 0 5 5"), "no picture to be masked"),
    ],
)
def test_what_an_answer_cannot_mean_is_an_error_before_work(
    tmp_path: Path, line: tuple[str, str, str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capture(tmp_path / "in" / "a.dcm")
    document(tmp_path / "in" / "b.dcm", PDF)
    run(job(tmp_path))
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    known = items(tmp_path)
    given = {"ITEM": known["a.dcm"], "DOCUMENT": known["b.dcm"]}.get(line[0], line[0])
    answer(tmp_path, {known["b.dcm"]: ("", ""), given: line[1:]} if line[0] != "DOCUMENT" else {given: line[1:]})
    ct_series(tmp_path / "in" / "ct", 1)
    with pytest.raises(ConfigError, match=re.escape(told)) as error:
        run(job(tmp_path))
    assert re.search(r"answers\.csv:[23]: ", str(error.value))
    assert before == {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}


def test_two_answers_to_one_item_and_other_columns(tmp_path: Path) -> None:
    capture(tmp_path / "in" / "a.dcm")
    run(job(tmp_path))
    (item,) = items(tmp_path).values()
    path = tmp_path / "private-out" / "review" / "answers.csv"
    path.write_text(f"item,answer,boxes\n{item},drop,\n{item},release,\n")
    with pytest.raises(ConfigError, match="another answer"):
        run(job(tmp_path))
    path.write_text("name,word\na,b\n")
    with pytest.raises(ConfigError, match="expected CSV with the columns item, answer, boxes"):
        run(job(tmp_path))


def test_an_answer_is_to_what_the_file_held(tmp_path: Path) -> None:
    """Another picture in its place is held; the file at another place is let out, and in an archive."""
    path, values = capture(tmp_path / "in" / "a.dcm")
    run(job(tmp_path))
    answer(tmp_path, {items(tmp_path)["a.dcm"]: ("release", "")})
    run(job(tmp_path))
    data = path.read_bytes()
    assert [row["outcome"] for row in rows(tmp_path / "out").values()] == ["exported"]
    capture(path, seed=2)
    (tmp_path / "in" / "sub").mkdir()
    (tmp_path / "in" / "sub" / "b.dcm").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "in" / "c.zip", "w") as archive:
        archive.writestr("d.dcm", data)
    run(job(tmp_path))
    outcomes = sorted((row["dicom_file"].count("/"), row["outcome"]) for row in rows(tmp_path / "out").values())
    assert outcomes == [(0, "skipped"), (1, "exported"), (1, "exported")]
    for row in rows(tmp_path / "out").values():
        if row["outcome"] == "exported":
            assert np.array_equal(shown(tmp_path, row), values)
    assert len(items(tmp_path)) == 2  # equal files are one item


@pytest.mark.parametrize("way", ["tree", "archive", "workers", "shards"])
def test_answers_are_obeyed_in_every_way_of_running(tmp_path: Path, way: str, three: list[np.ndarray]) -> None:
    if way == "archive":
        with zipfile.ZipFile(tmp_path / "in" / "more.zip", "w") as archive:
            for number in (1, 2, 3):
                archive.write(tmp_path / "in" / f"{number}" / f"{number}.dcm", f"x/{number}.dcm")
                (tmp_path / "in" / f"{number}" / f"{number}.dcm").unlink()
    extra = {"dicom": {"group": "tree"}} if way == "tree" else {}
    given = job(tmp_path, workers=2 if way == "workers" else 0, **extra)

    def go() -> Summary | None:
        if way != "shards":
            return run(given)
        for number in (1, 2):
            run_shard(given, number, 2)
        return merge(given).summary

    go()
    known = items(tmp_path)
    assert known.keys() == {"1.dcm", "2.dcm", "3.dcm"}
    answer(tmp_path, {known["1.dcm"]: ("release", ""), known["2.dcm"]: ("mask", "0 0 512 60")})
    if way == "shards":
        run_shard(given, 1, 2)
        owed = merge(given)
        assert owed.summary is None
        assert [one.reason for one in owed.owed] == ["answers to what was held back are new or changed"]
    go()
    found = by_original(tmp_path)
    assert np.array_equal(shown(tmp_path, found["1"]), three[0])
    assert not shown(tmp_path, found["2"])[:60].any()
    assert found["3"]["outcome"] == "skipped"
    if way == "shards":
        one = job(tmp_path, "one")
        run(one)
        answer(tmp_path, {known["1.dcm"]: ("release", ""), known["2.dcm"]: ("mask", "0 0 512 60")}, "one")
        run(one)
        assert rows(tmp_path / "out") == rows(tmp_path / "one")
        assert content(tmp_path / "out") == content(tmp_path / "one")


def test_answers_survive_a_kill(tmp_path: Path, three: list[np.ndarray]) -> None:
    run(job(tmp_path))
    known = items(tmp_path)
    answer(tmp_path, {known["1.dcm"]: ("release", ""), known["2.dcm"]: ("mask", "0 0 512 60")})
    given = job(tmp_path)

    def deed() -> int:
        run(given)
        return 0

    calls = len(in_child(deed, Faults(-1, kill, tmp_path)).calls)
    assert calls > 100
    answer(tmp_path, {known["3.dcm"]: ("release", ""), known["2.dcm"]: ("mask", "0 0 512 60")})
    codes = [in_child(deed, Faults(at, kill, tmp_path)).code for at in range(5, calls, calls // 8)]
    assert sum(code != 0 for code in codes) > 2  # those that go on from a late one have less to do
    run(given)
    found = by_original(tmp_path)
    assert np.array_equal(shown(tmp_path, found["3"]), three[2])
    assert not shown(tmp_path, found["2"])[:60].any()
    assert found["1"]["outcome"] == "skipped"
    with sqlite3.connect(tmp_path / "private-out" / "metadata.jsonl.ledger") as ledger:
        assert ledger.execute("SELECT count(*) FROM scans WHERE digest = ''").fetchone() == (0,)


def test_a_document_that_is_released_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document(tmp_path / "in" / "a.dcm", PDF, PatientName="Quasten^Ada")
    run(job(tmp_path))
    (item,) = items(tmp_path).values()
    seen = tmp_path / "private-out" / "review" / item / "content.pdf"
    assert seen.read_bytes() == PDF
    assert not list((tmp_path / "out").rglob("*.pdf"))
    answer(tmp_path, {item: ("release", "")})
    run(job(tmp_path))
    (path,) = (tmp_path / "out").rglob("*.pdf")
    assert path.read_bytes() == PDF
    (row,) = rows(tmp_path / "out").values()
    assert "Doe" not in str(row)
    assert "Quasten" not in str(row)


def test_a_video_that_is_released_has_no_sound_and_is_masked(tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg", reason="pip install imageio-ffmpeg")
    stream = clip(tmp_path / "clip.mp4", *H264, sound="aac")
    wrap(stream, tmp_path / "in" / "a.dcm", "1.2.840.10008.1.2.4.102", Modality="ES")
    given = job(tmp_path, video={"extension": [".mp4", "frames"]})
    run(given)
    (item,) = items(tmp_path).values()
    names = sorted(path.name for path in (tmp_path / "private-out" / "review" / item).iterdir())
    assert names == ["frame 000001.png", "frame 000007.png", "frame 000012.png"]
    answer(tmp_path, {item: ("release", "")})
    run(given)
    (path,) = (tmp_path / "out" / "media").rglob("*.mp4")
    assert b"mp4a" not in path.read_bytes()
    assert stream.read_bytes()[:100] not in path.read_bytes()
    frames = sorted((tmp_path / "out" / "media").rglob("*.png"))
    assert len(frames) == 12
    whole = np.asarray(Image.open(frames[5]))
    answer(tmp_path, {item: ("mask", "0 0 64 20")})
    run(given)
    frames = sorted((tmp_path / "out" / "media").rglob("*.png"))
    assert len(frames) == 12
    for frame in frames:
        assert not np.asarray(Image.open(frame))[:20].any()
    assert np.array_equal(np.asarray(Image.open(frames[5]))[20:], whole[20:])
    (path,) = (tmp_path / "out" / "media").rglob("*.mp4")
    assert pictures(path, 48, 64)[:, :14].max() < 40  # black but for what the codec blurs


def test_a_waveform_that_is_released_has_names_of_leads_and_numbers(tmp_path: Path) -> None:
    item = Dataset()
    item.NumberOfWaveformChannels, item.NumberOfWaveformSamples, item.SamplingFrequency = 2, 8, 100
    item.ChannelDefinitionSequence = [Dataset(), Dataset()]
    item.ChannelDefinitionSequence[0].ChannelLabel = "Lead II"
    item.ChannelDefinitionSequence[1].ChannelLabel = "Quasten bedside"
    item.WaveformBitsAllocated, item.WaveformSampleInterpretation = 16, "SS"
    item.add_new(0x54001010, "OW", np.arange(16, dtype="<i2").tobytes())
    made = quick_dataset(SOPClassUID="1.2.840.10008.5.1.4.1.1.9.1.1", WaveformSequence=[item])
    for keyword in [element.keyword for element in made if element.tag.group in (0x28, 0x7FE0)]:
        delattr(made, keyword)
    save(made, tmp_path / "in" / "a.dcm")
    run(job(tmp_path))
    (one,) = items(tmp_path).values()
    answer(tmp_path, {one: ("release", "")})
    run(job(tmp_path))
    (path,) = (tmp_path / "out" / "media").rglob("*.csv")
    assert path.read_text().splitlines()[:2] == ["time [s],Lead II,channel 2", "0,0,1"]
    assert not [path for path in (tmp_path / "out" / "media").rglob("*.*") if b"bedside" in path.read_bytes()]


def test_dicom_written_back_obeys_the_answers(tmp_path: Path) -> None:
    values = [capture(tmp_path / "in" / f"{n}.dcm", n, SeriesNumber=n)[1] for n in (1, 2, 3)]
    document(tmp_path / "in" / "d.dcm", PDF, SeriesNumber=4)
    given = saved(tmp_path)
    assert main(["privacy", "dicom", given, str(tmp_path / "dicom")]) == 0
    assert not list((tmp_path / "dicom").rglob("*.dcm"))
    assert main(["privacy", "review", given]) == 0
    known = items(tmp_path)
    answer(
        tmp_path,
        {
            known["1.dcm"]: ("release", ""),
            known["2.dcm"]: ("mask", "0 0 512 60"),
            known["3.dcm"]: ("drop", ""),
            known["d.dcm"]: ("release", ""),
        },
    )
    assert main(["privacy", "dicom", given, str(tmp_path / "dicom")]) == 0
    found = {int(one.SeriesNumber): one for one in map(dcmread, (tmp_path / "dicom").rglob("*.dcm"))}
    assert found.keys() == {1, 2, 4}
    assert np.array_equal(found[1].pixel_array, values[0])
    values[1][:60] = 0
    assert np.array_equal(found[2].pixel_array, values[1])
    assert found[4].EncapsulatedDocument.rstrip(b"\0") == PDF
    assert found[4].MIMETypeOfEncapsulatedDocument == "application/pdf"
    assert "Doe" not in str(found[4])


def saved(folder: Path) -> str:
    """The configuration in a file."""
    make_key(str(folder / "key"))
    written = {
        "num_workers": 0,
        "dicom": {"dir": str(folder / "in")},
        "output": {"dir": str(folder / "out")},
        **OUTPUTS,
        "privacy": {
            "private": str(folder / "private-out"),
            "key": {"file": str(folder / "key")},
            "pixels": {"action": "hold"},
        },
    }
    (folder / "job.yml").write_text(yaml.safe_dump(written))
    return str(folder / "job.yml")


def test_the_command_writes_the_page_and_keeps_the_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], three: list[np.ndarray]
) -> None:
    given = saved(tmp_path)
    assert main(["privacy", "review", given]) == 0
    assert "Nothing is held back" in capsys.readouterr().out
    assert main([given, "-q"]) == 0
    known = items(tmp_path)
    path = tmp_path / "private-out" / "review" / "answers.csv"
    path.write_text(f"boxes,item,answer\n,{known['2.dcm']},drop")
    capsys.readouterr()
    assert main(["privacy", "review", given]) == 0
    assert "3 items, 2 without an answer" in capsys.readouterr().out
    lines = path.read_text().splitlines()
    assert lines[:2] == ["boxes,item,answer", f",{known['2.dcm']},drop"]
    assert sorted(lines[2:]) == sorted(f",{known[name]}," for name in ("1.dcm", "3.dcm"))
    assert '<option value="drop" selected>' in (path.parent / "review.html").read_text()


def test_a_name_on_the_page_is_text(tmp_path: Path) -> None:
    capture(tmp_path / "in" / "<script>alert(1)</script>".replace("/", "_") / "a&b.dcm")
    run(job(tmp_path))
    page = (tmp_path / "private-out" / "review" / "review.html").read_text()
    assert page.count("<script>") == 1
    assert "a&amp;b.dcm" in page


def test_a_face_that_is_released_joins_its_volume(tmp_path: Path) -> None:
    paths = ct_series(tmp_path / "in", 3, BodyPartExamined="HEAD", SliceThickness=1)
    values = np.stack([dcmread(path).pixel_array for path in paths])
    given = job(tmp_path, privacy={"faces": "hold"})
    run(given)
    assert len(items(tmp_path)) == 3
    answer(tmp_path, {item: ("release", "") for item in items(tmp_path).values()})
    run(given)
    found = list(rows(tmp_path / "out").values())
    assert {row["outcome"] for row in found} == {"exported"}
    assert sorted(stored(tmp_path, found[0]).ravel().tolist()) == pytest.approx(
        sorted((values.astype(float) * 1 + stored_offset(paths[0])).ravel().tolist())
    )


def stored_offset(path: Path) -> float:
    return float(dcmread(path).get("RescaleIntercept", 0))

"""`crawler/config/loader.py` and `checking.py`: what loads, what is refused and how, and what config.yml says."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import re
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from crawler.config import checking, yaml_nodes
from crawler.config.loader import Config, load_config
from crawler.config.sections import ImageSection, MediaSection, VideoSection
from crawler.config.sizes import read_size
from crawler.errors import ConfigError

REPOSITORY = Path(__file__).parents[2]
ALL_ON = {
    name: None for name in ("config", "metadata", "media", "image", "video", "volume", "preview", "select", "quality")
}
KEYS = list(checking.keys(Config))

# The configuration that the manual of the DICOM Media Exporter prints.
SEED = """\
num_workers: 4 # number of parallel processes used for the conversion. Use 0 to avoid creating child processes.
dicom:
  dir: <input directory path> # directory containing DICOM files
  recursive: true # whether to recursively search under `dir`
media:
  dir: <output directory path> # directory to write media files
  overwrite: false # whether to overwrite existing media files with matching filepaths.
metadata:
  file: <output file path> # JSON-lines file (usually *.jsonl) containing DICOM metadata
  append: false # whether to append if `file` already exists.
config:
  file: <output file path> # location to save a copy of provided config file for reproducibility
video:
  extension: ".mp4" # file extension for video files
  save_method_kwargs:
    encoding_format: "h264" # the encoding format passed to ffmpeg
    encoding_args: # any additional encoding options passed to ffmpeg
      pix_fmt: "yuv420p"
      options:
        crf: "17"
image:
  extension: ".png" # file extension for image files. Image encoding is inferred from extension.
  save_method_kwargs:
    pil_writer_params: {} # parameters for the Pillow image save function corresponding to `extension`
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Config]:
    """Write a text as c.yml in an empty current directory, and load it."""
    monkeypatch.chdir(tmp_path)

    def write_and_load(text: str) -> Config:
        Path("c.yml").write_text(text, encoding="utf-8")
        return load_config("c.yml")

    return write_and_load


def refusal(load: Callable[[str], Config], text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(text)
    return str(caught.value)


# ---- what loads


def test_seed_configuration_loads_as_printed(load: Callable[[str], Config]) -> None:
    config = load(SEED)
    assert config.num_workers == 4
    assert config.dicom.dir == "<input directory path>"
    assert config.metadata is not None
    assert config.metadata.append is False
    assert config.image == ImageSection()
    assert config.video == VideoSection()
    assert config.volume is None
    assert config.text == SEED


def test_seed_configuration_loads_with_paths(load: Callable[[str], Config], tmp_path: Path) -> None:
    text = SEED.replace("<input directory path>", "in").replace("<output directory path>", "out/media")
    text = text.replace("<output file path>", "out/rows.jsonl", 1).replace("<output file path>", "out/used.yml")
    config = load(text)
    assert config.roots == (str(tmp_path / "in"),)
    assert config.media_dir == str(tmp_path / "out" / "media")
    assert config.metadata_path == str(tmp_path / "out" / "rows.jsonl")
    assert config.copy_path == str(tmp_path / "out" / "used.yml")
    assert config.source == str(tmp_path / "c.yml")


def test_seed_text_is_the_seeds() -> None:
    page = REPOSITORY.parent / "shared" / "seeds" / "003_c927f137f3e32802.txt"
    if not page.exists():
        pytest.skip("the seed is not on this machine")
    printed = re.search(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert printed is not None
    assert yaml.safe_load(printed[1]) == yaml.safe_load(SEED)


def test_only_the_input_is_required(load: Callable[[str], Config], tmp_path: Path) -> None:
    config = load("dicom: {dir: in}")
    assert [getattr(config, name) for name in ALL_ON] == [None] * len(ALL_ON)
    assert (config.metadata_path, config.media_dir, config.volume_dir, config.copy_path) == (None,) * 4
    assert config.output_dir == str(tmp_path)
    assert config.num_workers == 4
    assert (config.limits.seconds, config.limits.memory, config.limits.pixels) == (120, 4 * 10**9, 2 * 10**9)


@pytest.mark.parametrize(
    ("section", "on"),
    [
        ("image:", {"media", "image"}),
        ("video: {fps: 30}", {"media", "video"}),
        ("media:", {"media", "image", "video"}),
        ("media:\nvideo:", {"media", "video"}),
        ("volume:", {"volume"}),
        ("quality: true", {"quality"}),
        ("metadata:", {"metadata"}),
        ("config:", {"config"}),
    ],
)
def test_present_section_is_on(load: Callable[[str], Config], section: str, on: set[str]) -> None:
    config = load(f"dicom: {{dir: in}}\n{section}")
    assert {name for name in ALL_ON if getattr(config, name) is not None} == on
    assert config.media in (None, MediaSection())


@pytest.mark.parametrize(
    ("text", "path", "kept"),
    [
        ("limits: {memory: 512 MB}", "limits.memory", 512 * 10**6),
        ("limits: {pixels: 1GiB}", "limits.pixels", 2**30),
        ("limits: {pixels: 1.5kb}", "limits.pixels", 1500),
        ("limits: {pixels: 1000}", "limits.pixels", 1000),
        ("limits: {seconds: 0.5}", "limits.seconds", 0.5),
        ("image: {extension: JPG}", "image.extension", ".jpg"),
        ("image: {bits: 8}", "image.bits", 8),
        ("image: {window: [40, 400]}", "image.window", (40.0, 400.0)),
        ("image: {save_method_kwargs: {pil_writer_params: {dpi: [72, 72]}}}",
         "image.save_method_kwargs.pil_writer_params", {"dpi": [72, 72]}),
        ("image: {save_method_kwargs: {pil_writer_params: }}", "image.save_method_kwargs.pil_writer_params", {}),
        ("video: {extension: mp4}", "video.extension", ".mp4"),
        ("video: {extension: [GIF, .frames]}", "video.extension", (".gif", "frames")),
        ("video: {fps: 29.97}", "video.fps", 29.97),
        ("video: {save_method_kwargs: {encoding_args: {options: {crf: 17, fast: true, x: 0.5, y: a}}}}",
         "video.save_method_kwargs.encoding_args.options", {"crf": "17", "fast": "1", "x": "0.5", "y": "a"}),
        ("video: {save_method_kwargs: {encoding_args: {bit_rate: 4000000, options: {}}}}",
         "video.save_method_kwargs.encoding_args.bit_rate", 4_000_000),
        ("metadata: {tables: []}", "metadata.tables", ()),
        ("media: {dir: 2024-01-31}", "media.dir", "2024-01-31"),  # not a date
        ("media: {dir: &folder out}\nvolume: {dir: *folder}", "volume.dir", "out"),
    ],
)  # fmt: skip
def test_value_is_kept(load: Callable[[str], Config], text: str, path: str, kept: object) -> None:
    value = attrgetter(path)(load(f"dicom: {{dir: in}}\n{text}"))
    assert value == kept
    assert type(value) is type(kept)


def test_relative_outputs_lie_in_the_output_folder(load: Callable[[str], Config], tmp_path: Path) -> None:
    config = load("dicom: {dir: in}\noutput: {dir: out}\nvolume:\nmetadata: {file: /rows/m.jsonl}")
    assert config.output_dir == str(tmp_path / "out")
    assert config.volume_dir == str(tmp_path / "out" / "volumes")
    assert config.metadata_path == os.path.abspath("/rows/m.jsonl")
    assert config.path("summary.json") == str(tmp_path / "out" / "summary.json")


def test_paths_do_not_follow_the_current_directory(
    load: Callable[[str], Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load("dicom: {dir: [in, ~/other]}\nvolume:")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir("/")
    assert config.roots == (str(tmp_path / "in"), str(tmp_path / "home" / "other"))
    assert config.volume_dir == str(tmp_path / "volumes")


def test_text_is_verbatim_but_for_the_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "c.yml"
    file.write_bytes(b"\xef\xbb\xbfdicom:\r\n  dir: caf\xc3\xa9 # here\r\n")
    config = load_config(file)
    assert config.text == "dicom:\r\n  dir: café # here\r\n"
    assert config.dicom.dir == "café"


def test_configuration_travels_to_another_process() -> None:
    config = Config.from_mapping({"dicom": {"dir": "in"}, **ALL_ON})
    assert pickle.loads(pickle.dumps(config)) == config


# ---- from Python


def test_from_mapping_equals_yaml(load: Callable[[str], Config]) -> None:
    written = load("dicom: {dir: [a, b]}\nimage: {window: [40, 400]}\nvideo:")
    mapping = {"dicom": {"dir": [Path("a"), "b"]}, "image": {"window": (40, 400)}, "video": {}}
    given_ = Config.from_mapping(mapping)
    assert dataclasses.replace(given_, source=written.source, text=written.text) == written
    assert given_.source is None
    again = Config.from_mapping(yaml.safe_load(given_.text))
    assert dataclasses.replace(again, text="") == dataclasses.replace(given_, text="")


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"dicom": {}}, "configuration: dicom.dir: required; expected a folder or a list"),
        ({"dicom": {"dir": "x"}, "num_workers": 2.0},
         "configuration: num_workers = 2.0: expected a whole number of at least 0"),
        ({"dicom": {"dir": "x"}, "volume": {"formats": [1j]}},
         "configuration: holds a value that YAML cannot write"),
    ],
)  # fmt: skip
def test_from_mapping_refuses(mapping: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.from_mapping(mapping)
    assert str(caught.value) == message


# ---- what is refused

INPUT = "dicom: {dir: in}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # text that is no configuration
        ("", "c.yml:1: the file is empty"),
        ("# nothing\n", "c.yml:1: the file is empty"),
        ("- dicom", 'c.yml:1: expected sections (key: value), not ["dicom"]'),
        ("dicom", 'c.yml:1: expected sections (key: value), not "dicom"'),
        ("dicom:\n  dir: [a, b\nimage:", "c.yml:3: not valid YAML: "),
        ("dicom:\n\tdir: a", "c.yml:2: not valid YAML: found character '\\t'"),
        ("dicom:\n  dir: a\x07", "c.yml:2: not valid YAML: a control character"),
        ("dicom: {dir: a}\n---\ndicom: {dir: b}", "c.yml:2: not valid YAML: but found another document"),
        ("[" * 5000, "c.yml:1: nested too deeply"),
        ("dicom: &all {dir: *all}", "c.yml:1: dicom.dir: an alias of what it lies in"),
        ("dicom: {dir: !path in}", "c.yml:1: dicom.dir: the tag '!path' has no meaning here"),
        ("dicom: {dir: in, recursive: !!bool 7}", 'c.yml:1: dicom.recursive = "7": not a value of type bool'),
        # keys
        ("num_workers: 2", "c.yml:1: dicom.dir: required; expected a folder or a list"),
        ("num_workers: 2\ndicom:\n  recursive: true", "c.yml:2: dicom.dir: required"),
        (INPUT + "vidoe:", "c.yml:2: vidoe = null: unknown key; nearest known key: video"),
        (INPUT + "Volume:", "nearest known key: volume"),
        ("dicom:\n  dir: in\n  recursiv: true",
         "c.yml:3: dicom.recursiv = true: unknown key; nearest known key: dicom.recursive"),
        (INPUT + "fps: 30", "c.yml:2: fps = 30: unknown key; nearest known key: video.fps"),
        (INPUT + "media: {zzz: 1}", "c.yml:2: media.zzz = 1: unknown key; known keys here: dir, overwrite"),
        (INPUT + "video:\n  save_method_kwargs:\n    encoding_args:\n      bitrate: 1",
         "c.yml:5: video.save_method_kwargs.encoding_args.bitrate = 1: unknown key; "
         "nearest known key: video.save_method_kwargs.encoding_args.bit_rate"),
        (INPUT + "image: {bits: 8}\nimage: {bits: 16}", "c.yml:3: image: given twice, first on line 2"),
        ("dicom:\n  dir: a\n  dir: b", "c.yml:3: dicom.dir: given twice, first on line 2"),
        (INPUT + "? [a, b]\n: 1", "c.yml:2: a key must be text"),
        (INPUT + '"a\\nb": 1', "c.yml:2: a\\nb = 1: unknown key"),
        # types
        (INPUT + "num_workers: true", "c.yml:2: num_workers = true: expected a whole number of at least 0"),
        (INPUT + 'num_workers: "2"', 'c.yml:2: num_workers = "2": expected a whole number'),
        (INPUT + "num_workers: 2.5", "c.yml:2: num_workers = 2.5: expected a whole number"),
        (INPUT + "num_workers:", "c.yml:2: num_workers = null: expected a whole number"),
        ("dicom:\n  dir: 12", "c.yml:2: dicom.dir = 12: expected a folder or a list; to be taken as text, put it"),
        ("dicom:\n  dir:\n  - a\n  - 7", "c.yml:4: dicom.dir[1] = 7: expected text"),
        ("dicom: {dir: {a: b}}", "expected a folder or a list"),
        ('dicom: {dir: "in", recursive: "yes"}', 'dicom.recursive = "yes": expected true or false'),
        (INPUT + "video: false", "c.yml:2: video = false: expected a section with extension, fps"),
        (INPUT + "quality: false", "; to switch a section off, leave it out"),
        (INPUT + "image: {window: [40]}", "image.window = [40]: expected auto, dicom, full, series, "),
        (INPUT + "image: {window: [40, wide]}", 'image.window[1] = "wide": expected a number'),
        (INPUT + "video: {save_method_kwargs: {encoding_args: {options: {crf: [17]}}}}",
         "options.crf = [17]: expected text"),
        (INPUT + "video: {save_method_kwargs: {encoding_args: {options: crf}}}", "expected keys, each with text"),
        # values
        (INPUT + "num_workers: -1", "c.yml:2: num_workers = -1: expected a whole number of at least 0"),
        (INPUT + "limits: {seconds: 0}", "limits.seconds = 0: expected a number above 0"),
        (INPUT + "limits: {seconds: .inf}", "limits.seconds = Infinity: expected a number above 0"),
        (INPUT + "limits: {memory: 4 gigs}", 'limits.memory = "4 gigs": expected a size of at least one byte'),
        (INPUT + "limits: {memory: 0.5B}", "expected a size of at least one byte"),
        (INPUT + "limits: {pixels: 0}", "limits.pixels = 0: expected a size of at least one byte"),
        (INPUT + "limits: {pixels: -2GB}", 'limits.pixels = "-2GB": expected a size'),
        ('dicom: {dir: ""}', 'dicom.dir = "": expected a folder or a list'),
        ('dicom: {dir: "a\\0b"}', 'dicom.dir = "a\\u0000b": expected a folder or a list'),
        ("dicom: {dir: []}", "dicom.dir = []: expected a folder or a list, at least 1"),
        ("dicom: {dir: in, group: patient}", 'dicom.group = "patient": expected folder or tree'),
        (INPUT + "metadata: {keys: Keywrd}", "expected keyword, name or tag; nearest: keyword"),
        (INPUT + "metadata: {tables: [csv, excel]}", 'metadata.tables[1] = "excel": expected csv, parquet or xlsx'),
        (INPUT + "metadata: {tables: [csv, csv]}", 'metadata.tables[1] = "csv": given twice'),
        (INPUT + "metadata: {tables: csv}", 'metadata.tables = "csv": expected a list of csv'),
        (INPUT + "image: {bits: 12}", "c.yml:2: image.bits = 12: expected 8, 16 or auto"),
        (INPUT + "image: {bits: 8.0}", "image.bits = 8.0: expected 8, 16 or auto"),
        (INPUT + "image: {extension: .pgn}",
         'image.extension = ".pgn": expected an image extension that Pillow writes; nearest: .png'),
        (INPUT + "image: {extension: .h5}", "expected an image extension that Pillow writes"),  # registered only
        (INPUT + "image: {extension: .xbm}", "expected an image extension that Pillow writes"),  # black and white
        (INPUT + "image: {extension: 8}", "image.extension = 8: expected text"),
        (INPUT + "image: {window: [40, 0]}", "c.yml:2: image.window = [40.0, 0.0]: expected a width above 0"),
        (INPUT + "image: {window: [40, .nan]}", "image.window[1] = NaN: expected a number"),
        (INPUT + "video: {fps: 0}", "video.fps = 0: expected auto or a number above 0"),
        (INPUT + "video: {fps: Auto}", "nearest: auto"),
        (
            INPUT + "video: {extension: .ogv}",
            'video.extension = ".ogv": expected .mp4, .mov, .mkv, .webm, .avi, .gif, frames or a list of them',
        ),
        (INPUT + "video: {extension: [.mp4, .mp4]}", "video.extension[1]"),
        (INPUT + "video: {extension: []}", "at least 1"),
        (INPUT + "image: {crop: banner}", 'image.crop = "banner": expected none or us_region'),
        (INPUT + "video:\n  save_method_kwargs:\n    encoding_args:\n      bit_rate: 9",
         "c.yml:5: video.save_method_kwargs.encoding_args.bit_rate = 9: excludes options.crf"),
        (INPUT + "volume: {formats: [nifty]}", "expected hdf5, nifti, nii, npz, metaimage, mhd or mat; nearest: nifti"),
        (INPUT + "volume: {formats: [nii.gz]}", "metaimage, mhd or mat; nearest: nifti"),
        (INPUT + "volume: {formats: [.mha]}", "metaimage, mhd or mat; nearest: metaimage"),
        (INPUT + "volume: {formats: [H5]}", "metaimage, mhd or mat; nearest: hdf5"),
        (INPUT + "volume: {formats: []}",
         "volume.formats = []: expected a list of hdf5, nifti, nii, npz, metaimage, mhd or mat"),
        (INPUT + "volume: {formats: [nii, hdf5, nifti]}", "choose nifti or nii: both write the same sidecars"),
        (INPUT + "volume: {irregular: splt}", "expected split, keep or refuse; nearest: split"),
        # paths
        ("dicom:\n  dir: [a, b, a]", 'dicom.dir[2] = "a": given twice'),
        ("dicom:\n  dir:\n  - a\n  - a/../a", "c.yml:4: dicom.dir[1] = "),
        ("dicom: {dir: [a, a/b]}", "overlaps with an earlier folder, its files would count twice"),
        ("dicom: {dir: [a/b, a]}", "overlaps with an earlier folder"),
        (INPUT + "media:\n  dir: ./in/", 'c.yml:3: media.dir = "./in/": lies where dicom.dir lies'),
        (INPUT + "output: {dir: in}\nvolume: {dir: .}", "volume.dir = \".\": lies where dicom.dir lies"),
        (INPUT + "metadata: {file: in}", "metadata.file = \"in\": lies where dicom.dir lies"),
        (INPUT + "metadata: {file: x}\nconfig: {file: x}", "c.yml:3: config.file = \"x\": lies where metadata.file"),
        (INPUT + "metadata: {file: c.yml}", "metadata.file = \"c.yml\": lies where this file lies"),
        (INPUT + "metadata: {file: x}\nmedia: {dir: x}", "media.dir = \"x\": lies where metadata.file lies"),
        (INPUT + "metadata: {file: x}\nvolume: {dir: x/y}", "volume.dir = \"x/y\": lies where metadata.file lies"),
    ],
)  # fmt: skip
def test_refusal(load: Callable[[str], Config], text: str, message: str) -> None:
    report = refusal(load, text)
    assert message in report
    assert "\n" not in report or all(line.startswith("c.yml:") for line in report.split("\n"))


def test_all_problems_are_reported_in_order_of_lines(load: Callable[[str], Config]) -> None:
    report = refusal(load, "image:\n  bits: 9\ndicom:\n  dri: x\nnum_workers: -1\nimage:\n")
    assert [line.split(":")[1] for line in report.splitlines()] == ["2", "3", "4", "5", "6"]


def test_long_value_is_cut(load: Callable[[str], Config]) -> None:
    assert len(refusal(load, f"dicom: {{dir: in, recursive: {'x' * 1000}}}")) < 200


@pytest.mark.parametrize("depth", [300, 900, 1100])
def test_what_is_nested_too_deeply_is_refused(load: Callable[[str], Config], depth: int) -> None:
    """libyaml takes some thousand levels, which is more than Python follows."""
    message = refusal(load, "dicom: " + "[" * depth + "]" * depth)
    assert "nested too deeply" in message or (depth == 300 and "dicom" in message)


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="PyYAML is built without libyaml")
@pytest.mark.parametrize(
    "text",
    [
        (REPOSITORY / "config.yml").read_text(encoding="utf-8"),
        "a: &x [1, 2.5, null, ~, yes, 0x1f, 1_000, 2024-01-31, '1', \"\\u00e9\"]\nb: *x\n? c\n: |\n  two\n  lines\n",
        "\ufeffa: é\r\nb:\r\n- c\x85- d\r\n",
        "a: !!str 1\n<<: {b: 1}\nc: >-\n  folded\n\n  text # no comment\n",
    ],
)
def test_both_readers_of_yaml_give_the_same(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = checking.parse(text, "c.yml")
    monkeypatch.delattr(yaml, "CSafeLoader")
    assert checking.parse(text, "c.yml") == fast


def test_aliases_cannot_fill_memory(load: Callable[[str], Config]) -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30))]
    assert f"more than {yaml_nodes.MAX_VALUES:,} values" in refusal(load, "\n".join(lines))


@pytest.mark.parametrize(
    "text",
    [
        "media: {dir: out}\nvolume: {dir: out}",
        "media: {dir: in/media}",  # inside the input: the pictures are counted there as not DICOM
        "config: {file: c.yml}",  # the copy is the file itself
        "output: {dir: in}\nvolume:",
    ],
)
def test_paths_that_may_share_a_place(load: Callable[[str], Config], text: str) -> None:
    assert load(INPUT + text).roots


def test_link_to_the_input_is_the_input(load: Callable[[str], Config], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    try:
        (tmp_path / "link").symlink_to(tmp_path / "in", target_is_directory=True)
    except OSError:
        pytest.skip("no links on this file system")
    assert "lies where dicom.dir lies" in refusal(load, INPUT + "media: {dir: link}")


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yml: cannot be read: "):
        load_config(tmp_path / "none.yml")
    (tmp_path / "latin.yml").write_bytes(b"dicom:\n  dir: caf\xe9\n")
    with pytest.raises(ConfigError, match=r"latin\.yml:2: not UTF-8 text"):
        load_config(tmp_path / "latin.yml")


# ---- what shapes outputs


def test_shaping_names_every_key_but_those_of_the_run() -> None:
    config = Config.from_mapping({"dicom": {"dir": "in"}, **ALL_ON})
    run_only = {"num_workers", "output.dir", "limits.seconds", "limits.memory", "limits.pixels"}
    run_only |= {
        "config.file",
        "metadata.append",
        "metadata.tables",
        "media.overwrite",
        "media.name",
        "volume.name",
        "output.layout",
    }
    run_only |= {
        "metadata.columns",
        "metadata.templates",
        "metadata.mr_clean",
        "output.report",
        "dicom.max_lost",
        "dicom.readers",
        "select.list",  # what it leaves out is kept beside these: `ratings` of the ledger
        "select.rated",
    }
    run_only |= {"output.mode", "output.staging", "output.durable", "output.layout", "output.min_free", "volume.name"}
    assert {
        key.path for key in KEYS if not key.path.startswith(("pacs.", "privacy.", "output.pack."))
    } - config.shaping().keys() == run_only
    config = Config.from_mapping({"pacs": PACS})
    assert not {path for path in config.shaping() if path.startswith("pacs.")}


def test_shaping_survives_json() -> None:
    shaping = Config.from_mapping({"dicom": {"dir": ["a", "b"]}, **ALL_ON, "image": {"window": [1, 2]}}).shaping()
    assert json.loads(json.dumps(shaping)) == shaping


def test_absent_section_shapes_nothing() -> None:
    shaping = Config.from_mapping({"dicom": {"dir": "in"}, "volume": None}).shaping()
    assert {path.partition(".")[0] for path in shaping} == {"dicom", "volume"}


def test_shaping_does_not_depend_on_how_a_value_is_written() -> None:
    def shaping(fps: object, crf: object, folder: object) -> dict[str, object]:
        args = {"encoding_args": {"options": {"crf": crf}}}
        video = {"extension": "mp4", "fps": fps, "save_method_kwargs": args}
        return Config.from_mapping({"dicom": {"dir": folder}, "video": video}).shaping()

    assert shaping(30, 17, "in") == shaping(30.0, "17", ["./in"])


def test_shaping_follows_outputs_that_move_together() -> None:
    def shaping(output: str, rows: str = "metadata.jsonl") -> dict[str, object]:
        sections = {"dicom": {"dir": "in"}, "output": {"dir": output}, "metadata": {"file": rows}, "volume": {}}
        return Config.from_mapping(sections).shaping()

    assert shaping("a") == shaping("b")
    assert shaping("a", "/rows/m.jsonl")["volume.dir"] != shaping("b", "/rows/m.jsonl")["volume.dir"]


# ---- sizes


@given(st.integers(0, 10**12), st.sampled_from(["", "B", "kB", "MB", "GB", "KiB", "MiB", "GiB"]), st.booleans())
def test_size_round_trip(number: int, unit: str, space: bool) -> None:
    factor = 1024 if "i" in unit else 1000
    power = " KMG".find((unit.rstrip("B").rstrip("i") or " ").upper())
    assert read_size(f"{number}{' ' * space}{unit}") == number * factor**power


@given(st.text(max_size=12))
def test_text_is_a_size_or_refused(text: str) -> None:
    try:
        size = read_size(text)
    except ValueError as error:
        assert "such as 4GB" in str(error)  # noqa: PT017 - either outcome is right, and each is checked
    else:
        assert isinstance(size, int)
        assert size >= 0


PACS = {"host": "pacs", "port": 104, "calling_port": 11112, "url": "http://pacs/web", "query": {"PatientID": "1"}}

# Any document at all is a configuration or a ConfigError, never another exception.
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(KEYS), PLAIN)
def test_any_value_is_kept_or_refused(key: checking.Key, value: object) -> None:
    *sections, last = key.path.split(".")
    document: dict[str, Any] = {"dicom": {"dir": "in"}}
    if key.path.startswith("pacs."):
        document["pacs"] = dict(PACS)
    inner = document
    for section in sections:
        inner = inner.setdefault(section, {})
    inner[last] = value
    try:
        config = Config.from_mapping(document)
    except ConfigError as error:
        assert key.path in str(error)  # noqa: PT017 - as above
    else:
        assert config.shaping()


# ---- config.yml


# The section pacs stands there as a comment: a demonstration has no server.
# So does privacy, which is no demonstration without a key.
_HEAD, _MARK, _PACS = (REPOSITORY / "config.yml").read_text(encoding="utf-8").partition("# pacs:\n")
_HEAD = _HEAD.replace("  # pack:", "  pack:")  # likewise: single files are the rule
CONFIG_YML = _HEAD + (_MARK + _PACS).replace("# ", "", 1).replace("\n# ", "\n")


def written(path: str) -> object:
    value = yaml.safe_load(CONFIG_YML)
    for name in path.split("."):
        assert name in value, f"config.yml does not mention {path}"
        value = value[name]
    return value


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.path)
def test_config_yml_shows_every_default(key: checking.Key) -> None:
    value = written(key.path)
    if key.path in {"dicom.dir", "output.dir"}:
        assert value == {"dicom.dir": "dicom_data", "output.dir": "output"}[key.path]  # the demonstration
        return
    kept = key.metadata["read"](value) if "read" in key.metadata else value
    assert (tuple(kept) if isinstance(kept, list) else kept) == key.default


def test_config_yml_loads_with_every_output_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    config = load_config("config.yml")
    assert all(getattr(config, name) is not None for name in ALL_ON)
    assert config.roots == (str(REPOSITORY / "dicom_data"),)
    assert {os.path.relpath(place, REPOSITORY / "output") for place in config.outputs().values()} == {
        "config.yml", "media", "metadata.jsonl", "previews", "volumes"
    }  # fmt: skip


def test_every_key_has_help() -> None:
    assert all(key.metadata["help"] and "\n" not in key.metadata["help"] for key in KEYS)
    assert {field.name for field in dataclasses.fields(Config) if "help" not in field.metadata} == {
        "source", "text", "directory"
    }  # fmt: skip


HUGE = ["1" * 20, "9" * 400, "9" * 5000, "0x" + "f" * 6000, "-0x" + "f" * 6000, "0b" + "1" * 20000, "1:" * 3000 + "1"]


@pytest.mark.parametrize("number", HUGE, ids=range(len(HUGE)))
@pytest.mark.parametrize(
    "key",
    ["num_workers", "limits.seconds", "limits.memory", "image.window", "video.fps", "image.bits", "preview.size"],
)
def test_huge_numbers_are_refused_in_one_line(load: Callable[[str], Config], key: str, number: str) -> None:
    section, _, name = key.partition(".")
    value = f"{{{name}: {number}}}" if name else number
    message = refusal(load, f"dicom: {{dir: a}}\n{section}: {value}")
    assert "\n" not in message
    assert len(message) < 400
    assert key in message


@pytest.mark.parametrize("number", [10**20, 10**5000, -(10**5000)], ids=["20", "5000", "-5000"])
def test_huge_numbers_of_python_are_refused(number: int) -> None:
    with pytest.raises(ConfigError, match="num_workers"):
        Config.from_mapping({"dicom": {"dir": "a"}, "num_workers": number})
    params = {"image": {"save_method_kwargs": {"pil_writer_params": {"quality": number}}}}
    json.dumps(Config.from_mapping({"dicom": {"dir": "a"}, **params}).shaping())


def test_a_pipe_is_no_configuration(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "c.yml")
    with pytest.raises(ConfigError, match=r"c\.yml: cannot be read: .*pipe"):
        load_config(tmp_path / "c.yml")


def test_names_in_messages_stay_on_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "a\x1b[31m\n2026 ERROR forged")
    assert "\x1b" not in str(caught.value)
    assert "\n" not in str(caught.value)

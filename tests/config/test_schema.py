"""The printed JSON Schema against the checker that it describes: it refuses nothing that the checker takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from test_config import PACS, PLAIN, SEED

from crawler.cli.main import main
from crawler.config import checking
from crawler.config.loader import Config
from crawler.config.schema import config_schema
from crawler.errors import ConfigError

ROOT = Path(__file__).parents[2]
SCHEMA = config_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
KEYS = list(checking.keys(Config))
INPUT: dict[str, Any] = {"dicom": {"dir": "in"}}


def at(path: str) -> dict[str, Any]:
    """The schema of one key."""
    place = SCHEMA
    for name in path.split("."):
        place = place["properties"][name]
    return place


def document(path: str, value: object) -> dict[str, Any]:
    """A configuration with one key set."""
    tree: dict[str, Any] = {"dicom": {"dir": "in"}}
    if path.startswith("pacs."):
        tree["pacs"] = dict(PACS)
    *sections, last = path.split(".")
    inner = tree
    for name in sections:
        inner = inner.setdefault(name, {})
    inner[last] = value
    return tree


def test_it_is_a_schema_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == SCHEMA


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.path)
def test_every_key_is_there_with_its_help(key: checking.Key) -> None:
    assert at(key.path)["description"] == key.metadata["help"]


def test_no_other_key_is_there() -> None:
    def paths(schema: dict[str, Any], above: str) -> list[str]:
        inner = schema.get("properties")
        if inner is None:
            return [above]
        return [path for name in inner for path in paths(inner[name], f"{above}.{name}".lstrip("."))]

    assert paths(SCHEMA, "") == [key.path for key in KEYS]


def test_defaults_are_valid_where_they_stand() -> None:
    for key in KEYS:
        schema = at(key.path)
        assert ("default" in schema) == (key.path != "dicom.dir")
        if "default" in schema:
            Draft202012Validator(schema).validate(schema["default"])


@pytest.mark.parametrize(
    "text",
    [
        (ROOT / "config.yml").read_text(encoding="utf-8"),
        SEED,
        "dicom: {dir: [a, b]}\nimage:\nvideo:\nvolume:\nmetadata:\noutput:\nlimits:\n",
        "dicom: {dir: in}\nlimits: {memory: 1.5 GiB, pixels: 512mb}\nvideo: {extension: MP4, fps: 12.5}",
        "dicom: {dir: in}\nvideo: {save_method_kwargs: {encoding_args: {options: {crf: 17}, bit_rate: null}}}",
        "dicom: {dir: in}\nimage: {window: [40, 400], bits: 8}",
        "pacs: {host: pacs, port: 104, query: {StudyDate: 20240101, ModalitiesInStudy: [CT, MR]}, rate: 5 MB}",
        "dicom: {group: tree}\npacs: {list: cohort.csv, window: '20:00-06:00 UTC', rate: 12.5, tls: {ca: a.pem}}",
        "dicom: {dir: 'dicom://pacs:104/AET/1.2.3'}\npacs:\n",
    ],
)
def test_good_configurations_are_valid(text: str) -> None:
    VALIDATOR.validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "text",
    [
        "num_workers: 2",
        "dicom: {recursive: true}",
        "pacs: {level: patient}",
        "pacs: {rate: fast}",
        "pacs: {window: at night}",
        "dicom:",
        "dicom: {dir: []}",
        "dicom: {dir: [a, a]}",
        'dicom: {dir: ""}',
        "dicom: {dir: 12}",
        "dicom: {dir: in, recursiv: true}",
        'dicom: {dir: in, recursive: "yes"}',
        "dicom: {dir: in, group: patient}",
        "dicom: {dir: in}\nvidoe:",
        "dicom: {dir: in}\nvideo: false",
        "dicom: {dir: in}\nnum_workers: -1",
        "dicom: {dir: in}\nnum_workers: true",
        "dicom: {dir: in}\nnum_workers:",
        "dicom: {dir: in}\nlimits: {seconds: 0}",
        "dicom: {dir: in}\nlimits: {memory: 4 gigs}",
        "dicom: {dir: in}\nmetadata: {keys: Keywrd}",
        "dicom: {dir: in}\nimage: {bits: 12}",
        "dicom: {dir: in}\nimage: {window: [40]}",
        "dicom: {dir: in}\nimage: {window: [40, wide]}",
        "dicom: {dir: in}\nvideo: {fps: 0}",
        "dicom: {dir: in}\nvideo: {extension: .ogv}",
        "dicom: {dir: in}\nvideo: {save_method_kwargs: {encoding_args: {options: {crf: [17]}}}}",
        "dicom: {dir: in}\nvolume: {formats: []}",
    ],
)
def test_bad_configurations_are_not(text: str) -> None:
    assert list(VALIDATOR.iter_errors(yaml.safe_load(text)))


NEAR = st.sampled_from(
    ["4GB", "1 kib", "auto", ".MP4", "mp4", ".png", 8, 16, 0, 0.5, ["csv"], ["hdf5"], [1, 2], {"a": 1}]
)


@given(st.sampled_from(KEYS), PLAIN | NEAR)
@example(next(key for key in KEYS if key.path == "limits.memory"), "4 KiB")
@example(next(key for key in KEYS if key.path == "video.extension"), "Mp4")
def test_what_the_checker_takes_is_valid(key: checking.Key, value: object) -> None:
    tree = document(key.path, value)
    try:
        Config.from_mapping(tree)
    except ConfigError:
        return
    VALIDATOR.validate(tree)

"""The form of a configuration and its YAML, both ways."""

from __future__ import annotations

import pytest
import yaml
from support.web import Web

from crawler.config import checking
from crawler.config.loader import Config, parse_config
from crawler.errors import ConfigError
from crawler.web.fields import sections
from crawler.web.goals import configuration
from crawler.web.words import GOALS
from crawler.web.yaml_edit import values_of, with_value

TEXT = """\
# mine
num_workers: 2  # as many as there are
output: {dir: out}  # here
dicom:
  dir: in
  # subfolders
  recursive: true
metadata:
volume:
  formats: [hdf5]  # for training
  split:
    - te
    - b
"""


def test_every_key_is_in_the_form() -> None:
    fields = {field.path for section in sections() for field in section.fields}
    assert fields == {key.path for key in checking.keys(Config)}


@pytest.mark.parametrize("goal", GOALS)
def test_every_goal_is_a_configuration(goal: str, tmp_path: object) -> None:
    source = "a: b # 'ä\" \\"
    config = parse_config(configuration(goal, source), "config.yml", "/job")
    assert config.dicom.dir == source
    assert config.output_dir == "/job/output"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("num_workers", "4"),
        ("output.dir", "'a: b'"),
        ("output.report", "false"),
        ("dicom.recursive", "false"),
        ("dicom.group", "tree"),
        ("metadata.tables", "[csv, parquet]"),
        ("volume.formats", "[npz, nifti]"),
        ("volume.split", "[te]"),
        ("volume.irregular", "refuse"),
        ("image.bits", "8"),
        ("select.where", "{EchoTime: {range: [1, 2]}}"),
        ("preview", ""),
        ("quality.share", "0.5"),
        ("video.save_method_kwargs.encoding_args.pix_fmt", "yuv444p"),
    ],
)
def test_a_key_is_set_and_the_rest_stays(path: str, value: str) -> None:
    changed = with_value(TEXT, path, value)
    wanted = yaml.safe_load(TEXT)
    place = wanted
    *above, last = path.split(".")
    for name in above:
        place[name] = place.get(name) or {}
        place = place[name]
    place[last] = yaml.safe_load(value) if value else None
    assert yaml.safe_load(changed) == wanted
    if path != "volume.split":
        kept = ("# mine", "# as many", "# subfolders", "# for training")
        assert all(comment in changed for comment in kept), changed
    parse_config(changed, "config.yml", "/job")
    assert with_value(changed, path, value) == changed


@pytest.mark.parametrize("path", ["num_workers", "dicom.recursive", "metadata", "volume.split", "volume", "output.dir"])
def test_a_key_is_taken_out(path: str) -> None:
    changed = with_value(TEXT, path, None)
    wanted = yaml.safe_load(TEXT)
    *above, last = path.split(".")
    place = wanted
    for name in above:
        place = place[name]
    del place[last]
    found = yaml.safe_load(changed)
    assert {name: value or None for name, value in found.items()} == {
        name: value or None for name, value in wanted.items()
    }


def test_what_is_not_there_is_taken_out_of_nothing() -> None:
    assert yaml.safe_load(with_value(TEXT, "image.bits", None)) == yaml.safe_load(TEXT)


@pytest.mark.parametrize("value", ["[", "a: b: c", "{", "*x", "\x00"])
def test_values_that_are_no_yaml(value: str) -> None:
    with pytest.raises(ConfigError):
        with_value(TEXT, "volume.formats", value)


def test_a_text_of_nothing() -> None:
    assert yaml.safe_load(with_value("", "dicom.dir", "x")) == {"dicom": {"dir": "x"}}
    assert yaml.safe_load(with_value("# only this\n", "volume.formats", "[npz]")) == {"volume": {"formats": ["npz"]}}


def test_values_are_those_of_the_text() -> None:
    values = values_of(TEXT)
    assert values["volume.formats"] == "[hdf5]"
    assert values["dicom.recursive"] == "true"
    assert "metadata" in values
    assert "image" not in values


def test_the_page_checks_as_a_run_does(web: Web) -> None:
    job = web.new_job()
    told = web.send(f"/jobs/{job}/check", {"yaml": "dicom: {dir: input}\nvolume: {formats: [hdf4]}\n"}).json
    [problem] = told["problems"]
    assert problem.startswith("config.yml:2: volume.formats")
    assert "hdf5" in problem
    told = web.send(f"/jobs/{job}/check", {"yaml": told["yaml"], "path": "volume.formats", "value": "[npz]"}).json
    assert told["problems"] == []
    assert told["yaml"] == "dicom: {dir: input}\nvolume: {formats: [npz]}\n"
    assert told["values"]["volume.formats"] == "[npz]"


def test_a_save_is_kept_right_or_wrong(web: Web) -> None:
    job = web.new_job()
    for text in ("dicom: {dir: input}\r\n", "nonsense: [1"):
        assert web.post(f"/jobs/{job}/edit", yaml=text).status == 303
        assert (web.workspace / "jobs" / job / "config.yml").read_text() == text.replace("\r", "")
        assert web.get(f"/jobs/{job}/edit").status == 200
        assert web.get(f"/jobs/{job}").status == 200

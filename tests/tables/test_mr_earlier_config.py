"""`mr_clean_config.json` of seeds/000: as it came it changes nothing; what was changed in it counts, or is told."""

from __future__ import annotations

import copy
import json
import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.factories import quick_dataset, save
from support.runs import export

from crawler.errors import ConfigError
from crawler.mr.earlier_config import EXPRESSIONS, FIXED, NUMBERS, TOKENS, WORDS
from crawler.mr.rules import RULES_FILE, load_rules
from crawler.mr.table import clean_mr, process_mr_dataframe

BOUNDS = ("t1_tr_max", "t1_te_max", "t2_tr_min", "t2_te_min", "pd_te_max", "flair_ti_min", "stir_ti_max")


def put(data: dict[str, Any], path: str, value: Any) -> None:
    *above, last = path.split(".")
    # Names of field strengths hold a point.
    if above[:2] == ["thresholds", "field_strength"]:
        above, last = [*above[:2], ".".join(above[2:])], last
    for name in above:
        data = data.setdefault(name, {})
    data[last] = value


def as_it_came() -> dict[str, Any]:
    """The file, put together from what is known of it."""
    data: dict[str, Any] = {}
    ours = load_rules().settings
    for path, (_, _, words) in WORDS.items():
        put(data, path, list(words))
    for path, (_, _, expression) in EXPRESSIONS.items():
        put(data, path, expression)
    for path, (_, tokens) in TOKENS.items():
        put(data, path, list(tokens))
    for path, name in NUMBERS.items():
        put(data, path, getattr(ours.physics, name))
    for path, value in FIXED.items():
        put(data, path, copy.deepcopy(value))
    for group in ("3.0T", "1.5T", "Low-Field", "default"):
        values = {name: getattr(ours.thresholds[group], name) for name in BOUNDS}
        data.setdefault("thresholds", {}).setdefault("field_strength", {})[group] = values
    data["fat_suppression"]["dixon_water_tokens"] = ["W", "WATER"]
    data["dynamic"]["exclude_sequence_classes"] = [
        "DWI",
        "DTI",
        "ADC",
        "FA",
        "MRS",
        "PWI",
        "ASL",
        "LOCALIZER",
        "DERIVED",
        "SUBTRACTION",
        "MAP",
        "fMRI_BOLD",
        "SWI",
        "T2",
    ]
    return data


def written(tmp_path: Path, data: dict[str, Any]) -> Path:
    path = tmp_path / "mr_clean_config.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def class_of(protocol: str, rules: Any, **cells: Any) -> str:
    return str(clean_mr(pd.DataFrame([{"ProtocolName": protocol, **cells}]), rules)["sequenceClass"][0])


def test_as_it_came_it_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert load_rules(written(tmp_path, as_it_came())).settings == load_rules().settings
    assert not caplog.messages


def test_words_are_added_and_taken_out(tmp_path: Path) -> None:
    data = as_it_came()
    put(data, "classification.ruleA.MRA.protocol_keywords", ["mra", "mrv", "inhance"])
    path = written(tmp_path, data)
    assert class_of("inhance_3d", path) == "MRA"
    assert class_of("inhance_3d", None) != "MRA"
    assert class_of("tof_3d", path) != "MRA"
    assert class_of("angio", path) == "MRA", "words that the file never had stay"


def test_a_class_of_its_own(tmp_path: Path) -> None:
    data = as_it_came()
    put(data, "classification.ruleA.KNEE.protocol_keywords", ["knee_study"])
    assert class_of("my knee-study 2", written(tmp_path, data)) == "KNEE"


def test_numbers_and_thresholds(tmp_path: Path) -> None:
    data = as_it_came()
    data["thresholds"]["field_strength"]["1.5T"]["t1_tr_max"] = 300
    put(data, "classification.dwi_b_value_min", 5000)
    settings = load_rules(written(tmp_path, data)).settings
    assert settings.thresholds["1.5T"].t1_tr_max == 300
    assert settings.physics.b_min == 5000
    series = {"MagneticFieldStrength": 1.5, "RepetitionTime": 500, "EchoTime": 10, "ScanningSequence": "SE"}
    assert class_of("x", None, **series).startswith("T1")
    assert not class_of("x", settings_file(tmp_path), **series).startswith("T1")


def settings_file(tmp_path: Path) -> Path:
    return tmp_path / "mr_clean_config.json"


def test_expressions_are_words_between_bars_or_patterns(tmp_path: Path) -> None:
    data = as_it_came()
    put(data, "atomic_features.contrast_protocol_regex", r"\+c|gd|enh|contrast|\u589e\u5f3a|dyn|dotarem")
    put(data, "atomic_features.motion_correction_protocol_regex", "propeller|blade|radial|star|mc[0-9]+x")
    rules = written(tmp_path, data)

    def flags(name: str) -> tuple[bool, bool]:
        found = clean_mr(pd.DataFrame([{"ProtocolName": name}]), rules)
        return bool(found["isContrastEnhanced"][0]), bool(found["hasMotionCorrection"][0])

    assert flags("t1 dotarem") == (True, False)
    assert flags("t1 post") == (False, False)
    assert flags("t1 mc12x") == (False, True)


def test_a_part_of_the_file_as_a_dictionary() -> None:
    table = pd.DataFrame([{"ProtocolName": "my_own 1"}])
    cfg = {"classification": {"ruleA": {"OWN": {"protocol_keywords": ["my_own"]}}}}
    found = process_mr_dataframe(table, cfg=cfg)
    assert found["sequenceClass"][0] == "OWN"
    assert list(found.columns[:1]) == ["ProtocolName"]


def test_our_own_rules_as_a_dictionary() -> None:
    rules = json.loads(RULES_FILE.read_text(encoding="utf-8"))
    table = pd.DataFrame([{"ProtocolName": "t1_tse"}])
    assert process_mr_dataframe(table, cfg=rules).equals(process_mr_dataframe(table))


def test_what_has_no_effect_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = as_it_came()
    put(data, "dynamic.list_round_decimals", 3)
    put(data, "fat_suppression.protocol_keyword", ["fs"])
    with caplog.at_level(logging.WARNING, "dme"):
        load_rules(written(tmp_path, data))
    told = "\n".join(caplog.messages)
    assert "dynamic.list_round_decimals has no counterpart here" in told
    assert "fat_suppression.protocol_keyword is unknown" in told
    assert "nearest: fat_suppression.protocol_keywords" in told
    assert len(caplog.messages) == 2


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("fat_suppression.protocol_keywords", "fs", "expected a list of texts"),
        ("classification.dwi_b_value_min", "high", "expected a number above 0"),
        ("atomic_features.contrast_protocol_regex", "(", "no regular expression"),
        ("dynamic.exclude_sequence_classes", ["NOTHING OF OURS"], "no class has this part"),
    ],
)
def test_wrong_values_are_refused(tmp_path: Path, path: str, value: Any, message: str) -> None:
    data = as_it_came()
    put(data, path, value)
    with pytest.raises(ConfigError, match=message):
        load_rules(written(tmp_path, data))


@pytest.mark.parametrize("where", ["tags", "."])
def test_a_run_takes_it_from_the_folder_of_templates_or_beside(tmp_path: Path, where: str) -> None:
    (tmp_path / "tags").mkdir()
    (tmp_path / "tags" / "mr.json").write_text('["Modality"]')
    data = as_it_came()
    put(data, "classification.ruleA.OWN.protocol_keywords", ["my_own"])
    written(tmp_path / where, data)
    save(quick_dataset(Modality="MR", ProtocolName="my_own"), tmp_path / "in" / "a.dcm")
    export(tmp_path / "in", tmp_path / "out", metadata={"mr_clean": True, "templates": str(tmp_path / "tags")})
    found = pd.read_csv(tmp_path / "out" / "mr_cleaned.csv")
    assert found["sequenceClass"].tolist() == ["OWN"]

"""The page on what changes of the configuration cost: it has every key, nothing on it is unequal, and samples hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.config_changes import SECTIONS, VALUES, measured, of_sections, untried
from support.pages import page, section
from support.source_changes import PACS, PRIVACY, of_pacs, of_privacy

NAME = "reference/changes.md"


def rows(title: str) -> dict[str, str]:
    """Key -> its cells."""
    lines = [line for line in section(NAME, title).splitlines() if line.startswith("| `")]
    return {line.split("`")[1]: line.partition(" | ")[2].rstrip(" |") for line in lines}


def test_every_key_is_tried_and_on_the_page() -> None:
    assert not untried(), "tests/support/config_changes.py, VALUES: give the key two values, and write the page again"
    assert rows("Keys").keys() == {"dicom.dir", *VALUES}
    assert rows("Keys of `pacs`").keys() == PACS.keys()
    assert rows("Keys of `privacy`").keys() == PRIVACY.keys()
    assert rows("Sections").keys() == set(SECTIONS)
    assert "NOT EQUAL" not in page(NAME)


@pytest.mark.parametrize("key", ["volume.formats", "metadata.keys", "output.report"])
def test_a_sample_is_as_the_page_says(key: str, tmp_path: Path) -> None:
    costs = measured(tmp_path, [key])[key]
    assert rows("Keys")[key] == " | ".join(cost.cell() for cost in costs)


@pytest.mark.parametrize("key", ["pacs.query", "pacs.rate"])
def test_a_sample_of_a_pacs_is_as_the_page_says(key: str, tmp_path: Path) -> None:
    costs = of_pacs(tmp_path, [key])[key]
    assert rows("Keys of `pacs`")[key] == " | ".join(cost.cell() for cost in costs)


@pytest.mark.parametrize("key", ["privacy.dates", "privacy.k"])
def test_a_sample_of_privacy_is_as_the_page_says(key: str, tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="pip install cryptography")
    costs = of_privacy(tmp_path, [key])[key]
    assert rows("Keys of `privacy`")[key] == " | ".join(cost.cell() for cost in costs)


@pytest.mark.slow
def test_sections_are_as_the_page_says(tmp_path: Path) -> None:
    for name, costs in of_sections(tmp_path).items():
        assert rows("Sections")[name] == " | ".join(cost.cell() for cost in costs)

"""`dme completion`: what a shell completes with the printed script."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from crawler.cli.completion import script
from crawler.cli.main import main

BASH = shutil.which("bash")


def completed(folder: Path, *words: str) -> list[str]:
    """What bash offers for the last of the words."""
    assert BASH
    typed = " ".join(f"'{word}'" for word in ("dme", *words))
    ask = f"COMP_WORDS=({typed}); COMP_CWORD={len(words)}; _dme_complete; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(
        [BASH, "--norc", "-c", f"{script('bash')}\n{ask}"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.skipif(BASH is None, reason="needs bash")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("conv",), ["convert"]),
        (("--dry",), ["--dry-run"]),
        (("mi",), ["mine.yml"]),
        (("mine.yml", "--reb"), ["--rebuild"]),
        (("init", "--goal", "n"), ["neuro"]),
        (("init", "study", "--g"), ["--goal"]),
        (("completion", "z"), ["zsh"]),
        (("pacs", "fi"), ["find"]),
        (("pacs", "find", "--level", "se"), ["series"]),
        (("convert", "--8"), ["--8bit"]),
        (("convert", "mi"), ["mine.yml"]),
    ],
)
def test_bash_completes(words: tuple[str, ...], offered: list[str], tmp_path: Path) -> None:
    (tmp_path / "mine.yml").touch()
    assert completed(tmp_path, *words) == offered


def test_zsh_reads_it_by_way_of_bash(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "zsh"]) == 0
    assert capsys.readouterr().out == f"autoload -U +X bashcompinit && bashcompinit\n{script('bash')}"

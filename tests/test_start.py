"""What a run loads: nothing that its outputs do not need. How long a start takes is for the benchmarks to say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
# Implicit VR, uncompressed, as headers ought to be; other folders of the sample are compressed, and load a decoder.
PLAIN = ROOT / "dicom_data" / "mr_spine"
# Each takes a part of a second, or of a hundredth of one.
NEVER = [
    *("pydicom", "PIL", "imagecodecs", "openjpeg", "nibabel", "scipy", "matplotlib", "pandas", "pyarrow", "xlsxwriter"),
    *("tqdm", "psutil", "ssl", "http", "email", "urllib.request", "tarfile", "zstandard"),
    *(
        "crawler.pixels.codecs",
        "crawler.display.display",
        "crawler.sinks.video",
        "crawler.sinks.waveform",
        "crawler.quality.measures",
    ),
    *(
        "crawler.tables.grid",
        "crawler.tables.metadata",
        "crawler.dryrun",
        "crawler.compat",
        "crawler.sample",
        "crawler.config.schema",
    ),
]


def loaded(code: str) -> set[str]:
    """Names of modules that are loaded at the end of a program."""
    code += "\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def of_run(tmp_path: Path, workers: int, **sections: object) -> set[str]:
    """The same after a run of the command that failed no file."""
    document = {
        "num_workers": workers,
        "output": {"dir": str(tmp_path / "out")},
        "dicom": {"dir": str(PLAIN)},
        "metadata": {"tables": []},
        **sections,
    }
    settings = tmp_path / "config.yml"
    settings.write_text(yaml.safe_dump(document))
    return loaded(f"from crawler.cli.main import main\nassert main([{str(settings)!r}, '-q']) == 0")


@pytest.mark.parametrize("workers", [0, 1])
def test_headers_load_no_library_of_pictures(tmp_path: Path, workers: int) -> None:
    found = of_run(tmp_path, workers)
    assert found & {*NEVER} == set()
    assert "h5py" not in found


def test_volumes_of_plain_files_load_their_format_and_no_decoder(tmp_path: Path) -> None:
    found = of_run(tmp_path, 0, volume={"formats": ["hdf5"]})
    assert {"h5py", "isal"} <= found
    assert found & {*NEVER} == set()


def test_a_run_of_nothing_to_do_loads_no_more(tmp_path: Path) -> None:
    of_run(tmp_path, 0)
    assert of_run(tmp_path, 0) & {*NEVER} == set()


@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_help_loads_nothing_of_the_run(argument: str) -> None:
    code = f"""
import contextlib, io
from crawler.cli.main import main
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    main([{argument!r}])
"""
    assert loaded(code) & {*NEVER, "numpy", "yaml", "crawler.engine", "crawler.config.loader"} == set()


def test_the_package_alone_is_cheap() -> None:
    found = loaded("import crawler")
    assert found & {*NEVER, "numpy", "yaml", "sqlite3", "logging", "dataclasses"} == set()


def test_reading_one_header_loads_no_pydicom() -> None:
    code = f"import os; from crawler import find, read_instance\n[read_instance(f) for f in find({str(PLAIN)!r})]"
    assert "pydicom" not in loaded(code)

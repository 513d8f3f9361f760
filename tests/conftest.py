"""Fixtures that every test may use, and one guard: no test downloads anything."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import data_store
import pydicom.data
import pytest
from hypothesis import settings
from pydicom.data import data_manager

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


def pytest_configure(config: pytest.Config) -> None:
    """Hide pydicom's list of files on the web, so that its look-ups end at the installed packages.

    A hook and not a fixture: test modules look files up while they are collected.
    """
    patch = pytest.MonkeyPatch()
    patch.setattr(data_manager, "get_url_map", dict)
    config.add_cleanup(patch.undo)
    settings.register_profile("any machine", deadline=None)  # a busy one takes no example for a slow one
    settings.load_profile("any machine")


@pytest.fixture(scope="session")
def dicom_files() -> list[Path]:
    """Every file of pydicom's test and character-set folders and of the package pydicom-data, damaged ones too."""
    return package_files()


def package_files() -> list[Path]:
    """Files that `dicom_files` gives."""
    bundled = Path(pydicom.data.__file__).parent
    folders = [bundled / "test_files", bundled / "charset_files", data_store.DataStore().data_path]
    found = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
    found = [path for path in found if path.suffix not in {".py", ".pyc"}]
    assert len(found) > 200, "pydicom or pydicom-data came without its files"
    return found


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real DICOM files that lies beside the checkout; tests over it are skipped elsewhere."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real DICOM files are not on this machine")
    return SHARED_DATA


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With `DME_SHUFFLE` (a seed), files come in another order, and tests within each: none leans on another."""
    seed = os.environ.get("DME_SHUFFLE")
    if seed is not None:
        places: dict[Path, list[pytest.Item]] = {}
        for item in items:
            places.setdefault(item.path, []).append(item)
        files, chance = list(places.values()), random.Random(seed)
        chance.shuffle(files)
        for tests in files:
            chance.shuffle(tests)
        items[:] = [item for tests in files for item in tests]


@pytest.fixture
def no_thread_of_zarr() -> Iterator[None]:
    """End the thread that Zarr keeps for its event loop: beside one, later tests' workers are spawned, not forked.

    Spawned ones lack what those tests patch.
    """
    yield
    if (sync := sys.modules.get("zarr.core.sync")) is None or sync.loop[0] is None:
        return
    sync.loop[0].call_soon_threadsafe(sync.loop[0].stop)
    sync.iothread[0].join()
    sync.loop[0].close()
    sync.loop[0] = sync.iothread[0] = None
    sync.cleanup_resources()

"""What workers will surely need, loaded once before they are forked: they share it, and none loads it for itself.

Where no picture is made, few files need a decoder or a lookup table: a worker loads them when it meets the first.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module

from crawler.config.loader import Config
from crawler.dicom import dictionary_tables

# By `volume.formats`: what the sinks import when they write.
_BY_FORMAT = {
    "hdf5": ("h5py", "isal.isal_zlib"),
    "nifti": ("nibabel.nifti1", "nibabel.nifti2", "isal.isal_zlib"),
    "nii": ("nibabel.nifti1", "nibabel.nifti2"),
    "npz": ("isal.isal_zlib",),
    "mat": ("scipy.io",),
}


def preload(config: Config) -> None:
    """Load the dictionary of elements, and the packages of the outputs that are on."""
    dictionary_tables.keywords()
    wanted = [
        module for name in (config.volume.formats if config.volume else ()) for module in _BY_FORMAT.get(name, ())
    ]
    if config.image or config.video or config.preview:
        # With pydicom, which reads padding and tables for a window, too: 0.2 s for four workers on two processors.
        wanted += ["crawler.pixels.codecs", "crawler.display.display", "isal.isal_zlib"]
    if config.preview or (config.image and config.image.extension != ".png"):
        wanted.append("PIL.Image")
    for module in wanted:
        with suppress(ImportError):  # the sink that needs it says so
            import_module(module)

"""pixel_data.h5: an index that links every HDF5 volume as scan_id/layout, so that one handle opens them all."""

from __future__ import annotations

import os

from crawler.config.loader import Config
from crawler.ledger.store import output_root
from crawler.tables.base import Context, View

ONLY = "1"  # what a scan's only layout is called here: a link needs a name


def path(config: Config) -> str | None:
    """In the output folder, when there are HDF5 volumes."""
    wanted = config.volume is not None and "hdf5" in config.volume.formats
    return config.own_path("pixel_data.h5") if wanted else None


def build(context: Context, target: str) -> None:
    """Write external links, relative to the index: the outputs may be moved together."""
    import h5py  # slow to load, and needed here only

    root = output_root(context.config, "volume")
    base = os.path.relpath(root, os.path.dirname(target))
    with h5py.File(target, "w", libver="earliest") as index:  # later groups hold the time of their making
        for scan_id, layout, file in context.ledger.volumes():
            name = os.fsdecode(file)
            if name.endswith(".h5"):
                index[f"{scan_id}/{layout or ONLY}"] = h5py.ExternalLink(os.path.join(base, name), "/image")


VIEW = View("index", path, build)

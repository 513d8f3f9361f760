"""Which files and folders a configuration makes: they are ours, and never input."""

from __future__ import annotations

import os

from crawler.config.loader import BIDS, Config
from crawler.ledger.live import live_path
from crawler.ledger.own_files import UNFINISHED
from crawler.ledger.store import ledger_of, output_roots
from crawler.pacs.names import manifest_files
from crawler.paths import TEMP
from crawler.sources.directory import Outputs
from crawler.tables import named, registry

BESIDE = ("-journal", ".compacted", UNFINISHED)  # what a killed run may leave beside a file of ours


def own_outputs(config: Config) -> Outputs:
    """Everything that runs of this configuration make, in case it lies inside the input.

    The current folder is not ours as a whole where no output.dir is given: there may be input beside our files.
    """
    roots = set(config.roots)
    placed = [config.media_dir, config.volume_dir, config.preview_dir, config.output_dir if config.output.dir else None]
    folders = [path for path in placed if path and path not in roots]
    folders += [named.folder(config)] if named.path(config) else []
    folders += [config.own_path(BIDS)] if config.output.layout == "bids" else []
    folders += [os.path.join(path, TEMP) for path in output_roots(config)]
    folders.append(config.shards_dir)
    folders += [config.path(config.output.pack.dir)] if config.output.pack else []
    folders += [config.output_address] if config.output_address else []
    files = [ledger_of(config), live_path(config), config.own_path("run.log"), *registry.paths(config)]
    files += [path for path in (config.metadata_path, config.copy_path, config.source) if path]
    if config.pacs_dir is not None:  # received files are input; the manifest and what is still arriving are not
        folders.append(os.path.join(config.pacs_dir, TEMP))
        files += manifest_files(config.pacs_dir)
    return Outputs(folders, [file + ending for file in files for ending in ("", *BESIDE)])

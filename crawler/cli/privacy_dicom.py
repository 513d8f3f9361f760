"""`dme privacy dicom CONFIG FOLDER`: the input as DICOM files under the policy of a configuration.

Names, UIDs, pseudonyms and shifts are those of the configuration's other outputs, which need not be there.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from crawler.cli.common import public_errors, shown
from crawler.config.loader import Config, load_config
from crawler.disk import created_as
from crawler.engine.own_outputs import own_outputs
from crawler.engine.privacy import made_with, shared_policy, show_held, with_public_names
from crawler.errors import ConfigError, FileError, NotDicom, OutputError
from crawler.export.held import Reviewer
from crawler.ledger.summary import EXIT_FAILED_FILES, EXIT_OK
from crawler.model import File
from crawler.paths import TEMP, readable, within
from crawler.privacy.dicom_files import HeldBack, clean_file, said_by_series, save
from crawler.privacy.held import true_text
from crawler.privacy.methods import CODES, earned
from crawler.privacy.policy import Policy
from crawler.privacy.standard import edition
from crawler.privacy.written import WrittenFiles
from crawler.sources.archive import expand, is_archive
from crawler.sources.directory import Outputs, Visited, roots_of, walk

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

MARK = "privacy_dicom.json"
MADE_BY = "dme privacy dicom"


def execute(options: argparse.Namespace) -> int:
    """Write the files; say how many, and why others are not there."""
    config = load_config(options.config, retrieves=False)
    if config.privacy is None or config.private_dir is None:
        raise ConfigError("privacy: there is no such section, or it has no folder private")
    with public_errors(config.private_dir), created_as(config.output.mode):
        counts, failed = _write_all(config, os.path.realpath(options.folder))
    for what, count in sorted(counts.items(), key=lambda one: (one[0] != "written", one[0])):
        print(f"{count:>10,}  {what}")
    print(f"In {shown(options.folder)}; which file is which, and what failed: privacy_dicom-*.csv in privacy.private")
    return EXIT_FAILED_FILES if failed else EXIT_OK


def _write_all(config: Config, folder: str) -> tuple[Counter[str], bool]:
    policy = shared_policy(config)
    assert policy is not None, "the caller looked for the section"
    private = config.private_dir or ""
    _require_apart(config, folder)
    mark = {"made_by": MADE_BY, **made_with(policy)}
    _require_ours(folder, mark)
    counts: Counter[str] = Counter()
    digest = hashlib.blake2b(os.fsencode(folder), digest_size=4).hexdigest()
    table = os.path.join(private, f"privacy_dicom-{digest}.csv")
    with WrittenFiles(folder, table) as written:
        taken: set[str] = set()
        reviewer = Reviewer(policy, private, config.limits.pixels)
        show = partial(reviewer, "", advance=lambda: None)
        known = said_by_series(_files(config, policy, folder, Counter()), policy)
        for file in _files(config, policy, folder, counts):
            target = _target(file, taken)
            clean = partial(clean_file, file, policy, config.limits.pixels, known)
            outcome, detail = _one(clean, written, target, true_text(file), show)
            counts[outcome] += 1
            if outcome != "written":
                written.note(true_text(file), outcome, detail)
        removed, changed = written.finish()  # of an earlier run: the original is gone, or is held back now
    if removed:
        counts["removed: written earlier, and not now"] += removed
    if changed:
        counts["failed: written earlier and not now, and changed meanwhile: it stays"] += changed
    show_held(policy, private)
    told = {**mark, "method_codes": [CODES[name][0] for name in earned(policy.section)], "files": dict(counts)}
    _put(os.path.join(folder, MARK), {**told, "standard": f"PS3.15 {edition()}"})
    return counts, any(outcome.startswith("failed") for outcome in counts)


def _one(
    clean: Callable[[], FileDataset], written: WrittenFiles, target: str, true: str, show: Callable[..., object]
) -> tuple[str, str]:
    """Write one file; return what became of it, and in private why."""
    try:
        dataset, scratch = clean(), written.scratch()
        save(dataset, scratch)
        written.put(scratch, target, true)
    except NotDicom as error:
        return "skipped: not DICOM", error.reason
    except HeldBack as held:
        if held.instance is not None:
            show(instance=held.instance)
        return f"held by privacy: {held}", ""
    except FileError as error:
        return f"failed: {error.reason}", error.detail
    return "written", ""


def _files(config: Config, policy: Policy, folder: str, counts: Counter[str]) -> Iterator[File]:
    """All files of the input, those in archives, too; what cannot be handed on is counted."""
    ours = own_outputs(config)
    outputs = Outputs([*ours.folders, folder, config.private_dir or ""], [*ours.files])
    roots = with_public_names(policy, roots_of(config.roots, config.dicom.readers))
    visited = Visited(roots)
    with tempfile.TemporaryDirectory(prefix="dme-dicom-", dir=config.private_dir) as spool:
        for root in roots:
            for one in walk(root, config.dicom.recursive, outputs, visited):
                counts.update(f"{outcome.outcome}: {outcome.reason}" for _, outcome in one.faults)
                for file in one.files():
                    if is_archive(os.path.basename(file.path)):
                        inside = expand(file, spool)
                        told = [inside.outcome, *(outcome for _, outcome in inside.faults)]
                        counts.update(f"{outcome.outcome}: {outcome.reason}" for outcome in told)
                        yield from inside.members
                    else:
                        yield file


def _target(file: File, taken: set[str]) -> str:
    """The file's name in outputs, with the ending that readers look for."""
    name = file.key if file.key.lower().endswith(".dcm") else f"{file.key}.dcm"
    while name.lower() in taken:
        name = f"{name}.dcm"
    taken.add(name.lower())
    return name


def _require_apart(config: Config, folder: str) -> None:
    """Refuse a folder that holds originals, or what identifies."""
    for name, place in (("dicom.dir", config.roots), ("privacy.private", (config.private_dir or "",))):
        for other in map(os.path.realpath, place):
            if within(folder, other):
                raise ConfigError(f"FOLDER lies in {name}; choose another")


def _require_ours(folder: str, mark: dict[str, str]) -> None:
    """Refuse a folder of others, and one of another key or other rules; mark a new one.

    Raises
    ------
    OutputError
        What is there stays as it is.
    """
    path = os.path.join(folder, MARK)
    try:
        os.makedirs(folder, exist_ok=True)
        names = os.listdir(folder)
    except OSError as error:
        raise OutputError(f"{readable(folder)} cannot be made: {error.strerror}") from None
    if not set(names) - {TEMP}:
        _put(path, mark)
        return
    try:
        known = orjson.loads(Path(path).read_bytes())
        same = all(known.get(name) == value for name, value in mark.items())
        ours = known.get("made_by") == MADE_BY
    except (OSError, ValueError, AttributeError):
        ours = same = False
    if not ours:
        raise OutputError(f"{readable(folder)} holds files of others; choose a new folder")
    if not same:
        raise OutputError(f"{readable(folder)} was made with another key or other rules; choose a new folder")


def _put(path: str, content: object) -> None:
    try:
        scratch = f"{path}.part"
        Path(scratch).write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))
        os.replace(scratch, path)
    except OSError as error:
        raise OutputError(f"{readable(path)} cannot be written: {error.strerror}") from None

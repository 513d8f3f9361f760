"""`dme privacy key FILE` makes a secret key; `audit CONFIG` searches a finished output; more here."""

from __future__ import annotations

import argparse
import csv
import os
import sys
from pathlib import Path

import orjson

from crawler.cli.common import program, shown
from crawler.config.loader import Config, load_config
from crawler.config.packaged import install
from crawler.config.privacy import resolved
from crawler.disk import put_private
from crawler.engine.own_outputs import own_outputs
from crawler.engine.privacy import LEDGER_KEY
from crawler.errors import ConfigError, OutputError
from crawler.ledger.status import reading
from crawler.ledger.store import ledger_of, output_roots
from crawler.ledger.summary import EXIT_FAILED_FILES, EXIT_OK
from crawler.paths import readable
from crawler.privacy.answers import NAME as ANSWERS
from crawler.privacy.answers import read_answers
from crawler.privacy.audit import MADE_BY, NAME, private_report, public_report, search
from crawler.privacy.harvest import harvest
from crawler.privacy.held import FOLDER, read_register
from crawler.privacy.keys import make_key, read_key
from crawler.privacy.linking import is_available, read_links
from crawler.privacy.review_page import write_review
from crawler.privacy.sealing import make_pair
from crawler.privacy.search import Needles
from crawler.sources.directory import roots_of

UIDS = ("study_uid", "public_study_uid", "series_uid", "public_series_uid", "sop_uid", "public_sop_uid")


def build_parser() -> argparse.ArgumentParser:
    """The parser of `dme privacy`."""
    parser = argparse.ArgumentParser(
        prog=f"{program()} privacy", description="What the section `privacy` of a configuration needs."
    )
    commands = parser.add_subparsers(dest="what", required=True, metavar="COMMAND")
    key = commands.add_parser("key", help="write a new secret key, for you alone")
    key.add_argument("file", metavar="FILE", help="where; a file that is there is not written over")
    link = commands.add_parser("link", help="print the linking table as CSV: it names persons")
    link.add_argument("config", metavar="CONFIG", help="the YAML file of the run, with its key")
    link.add_argument("--custodian", metavar="FILE", help="private key that the table was sealed to")
    pair = commands.add_parser("custodian", help="write a pair of keys for who alone shall open the linking table")
    pair.add_argument("file", metavar="FILE", help="the private key; the public one is FILE.pub (privacy.custodian)")
    audit = commands.add_parser("audit", help="search a finished output for what its originals say of persons")
    audit.add_argument("config", metavar="CONFIG", help="the YAML file of the run")
    review = commands.add_parser("review", help="write the page of what is held back, and the list that takes answers")
    review.add_argument("config", metavar="CONFIG", help="the YAML file of the run, with its key")
    dicom = commands.add_parser("dicom", help="write the input as de-identified DICOM files")
    dicom.add_argument("config", metavar="CONFIG", help="the YAML file, with the section privacy and its key")
    dicom.add_argument("folder", metavar="FOLDER", help="where: a new folder, or one that this command made")
    return parser


def execute(options: argparse.Namespace) -> int:
    """Do what was asked for."""
    if options.what == "dicom":
        from crawler.cli import privacy_dicom  # decodes pixels, and the other commands need nothing of it

        return privacy_dicom.execute(options)
    if options.what == "audit":
        return _audit(load_config(options.config, retrieves=False))
    if options.what == "review":
        return _review(load_config(options.config, retrieves=False))
    if options.what == "link":
        return _link(load_config(options.config, retrieves=False), options.custodian)
    if options.what == "custodian":
        if not is_available():
            raise ConfigError(f"privacy custodian needs cryptography: install with `{install('privacy')}`")
        print(f"{shown(make_pair(options.file))}: for privacy.custodian; {shown(options.file)} opens the linking table")
        return EXIT_OK
    make_key(options.file)
    print(f"{shown(options.file)}: keep it apart from the outputs; who has it can tell whose data they are")
    return EXIT_OK


def _link(config: Config, custodian: str | None) -> int:
    """Print the linking table."""
    if config.privacy is None or config.private_dir is None:
        raise ConfigError("privacy: there is no such section, or it has no folder private")
    key = read_key(resolved(config.privacy), config)
    if key.once and custodian is None:
        raise ConfigError("privacy.key: the linking table cannot be read without the key")
    writer = csv.writer(sys.stdout)
    writer.writerow(["public_file", "root", "file", "subject", "basis", "PatientID", *UIDS])
    for link in read_links(Path(config.private_dir), key, custodian):
        pairs = [uid for name in ("study", "series", "sop") for uid in link[name]]
        names = ("public", "root", "file", "subject", "basis", "patient_id")
        writer.writerow([*(link[name] for name in names), *pairs])
    return EXIT_OK


def _review(config: Config) -> int:
    """Write the page of what is held back, and say where it lies, and how much of it has no answer."""
    if config.privacy is None or config.private_dir is None:
        raise ConfigError("privacy: there is no such section, or it has no folder private")
    register = read_register(config.private_dir)
    answers = read_answers(os.path.join(config.private_dir, FOLDER, ANSWERS), register.items)
    if not register.now:
        print("Nothing is held back, or no run has noted it yet.")
        return EXIT_OK
    page = write_review(config.private_dir, register, answers)
    print(f"{'held back':<12}{len(register.now):>10,} items, {len(register.now - answers.keys()):,} without an answer")
    print(f"Look at them: {shown(page)}; answer in {ANSWERS} beside it, and run again. Both show persons.")
    return EXIT_OK


def _audit(config: Config) -> int:
    """Search, write both reports, and print what came of it; 3 when a text was found."""
    private = config.private_dir
    if config.privacy is None or private is None:
        raise ConfigError("privacy: there is no such section, or it has no folder private")
    with reading(ledger_of(config)) as ledger:
        if ledger is None:
            raise OutputError("a run is at work on this output: audit it when that has ended")
        made = ledger.get(LEDGER_KEY)
    if made is None:
        raise ConfigError("this output was not made under privacy")
    roots = [*output_roots(config), *([config.path(config.output.pack.dir)] if config.output.pack else [])]
    folders = [Path(folder) for folder in roots if folder != private]
    outer = [one for one in folders if not any(one != other and one.is_relative_to(other) for other in folders)]
    place = Path(config.output_dir) / NAME
    _require_ours(place)
    section = resolved(config.privacy)
    harvested = harvest(roots_of(config.roots), config.dicom.recursive, own_outputs(config))
    needles = Needles(harvested.texts)
    found = search([folder for folder in outer if folder.exists()], needles)
    rows = Path(config.metadata_path) if config.metadata_path else None
    public = public_report(section, made["key"], harvested, found, rows)
    _write(place, public)
    _write(Path(private) / "privacy_audit_private.json", private_report(harvested, found))
    print(f"{'searched':<12}{found.files:>10,} files, {found.bytes:,} bytes, for {len(needles.texts):,} texts")
    print(f"{'found':<12}{len(found.hits):>10,} texts")
    print(f"{'not opened':<12}{len(found.unopened):>10,} files")
    print(f"Reports: {shown(str(place))}; which text stands where, in privacy.private: privacy_audit_private.json")
    return EXIT_FAILED_FILES if found.hits or found.unopened else EXIT_OK


def _require_ours(path: Path) -> None:
    """Refuse to write over a file that no audit has written."""
    if not os.path.lexists(path):
        return
    try:
        ours = orjson.loads(path.read_bytes()).get("made_by") == MADE_BY
    except (OSError, ValueError, AttributeError):
        ours = False
    if not ours:
        raise OutputError(f"{readable(str(path))} is there, and no audit has written it; move it away")


def _write(path: Path, content: object) -> None:
    try:
        put_private(str(path), orjson.dumps(content, option=orjson.OPT_INDENT_2))
    except OSError as error:
        raise OutputError(f"{readable(str(path))} cannot be written: {error.strerror}") from None

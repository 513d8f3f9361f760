"""A run under the section `privacy`: its key, its policy, its private folder, and whether the output fits both.

What a value, a text or a pixel becomes is the business of `crawler/privacy/`.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, replace

import orjson

from crawler.config.loader import Config
from crawler.config.packaged import install
from crawler.config.privacy import resolved
from crawler.errors import ConfigError, LedgerError
from crawler.ledger.database import Ledger
from crawler.paths import readable
from crawler.privacy import ocr
from crawler.privacy.answers import NAME, read_answers
from crawler.privacy.coverage import require_covered
from crawler.privacy.devices import read_devices
from crawler.privacy.held import FOLDER, read_register
from crawler.privacy.keys import read_key
from crawler.privacy.linking import is_available
from crawler.privacy.policy import Policy
from crawler.privacy.private_tags import read_private_tags
from crawler.privacy.review_page import write_review
from crawler.privacy.roster import NOBODY, read_roster
from crawler.privacy.sealing import PUBLIC, read_half
from crawler.privacy.standard import edition
from crawler.sources.directory import Root

log = logging.getLogger("dme")

LEDGER_KEY = "privacy"
ANSWERS = "answers"
"""Keys of the ledger: what made the output, and the answers that it was made with."""
_NOT_OF_THE_POLICY = ("private", "key", "custodian", "patients", "k")


def policy_of(config: Config) -> Policy | None:
    """The policy of a configuration, and its private folder made; None without the section.

    Raises
    ------
    ConfigError
        It is not covered, or its key, roster or folder cannot be used.
    """
    require_covered(config)
    if config.privacy is None:
        return None
    section = resolved(config.privacy)
    key = read_key(section, config)
    _make_private(config.private_dir or "")
    if key.once:
        log.warning(
            "privacy.key is not given: a key for this run alone is used, and no later run can add to this output."
            " For one that can: dme privacy key FILE, and privacy: {key: {file: FILE}}"
        )
    if section.custodian is not None:
        if not is_available():
            raise ConfigError(f"privacy.custodian needs cryptography: install with `{install('privacy')}`")
        read_half(config.named(section.custodian), PUBLIC)
    elif not key.once and not is_available():
        log.warning("no linking table is written: it needs cryptography, install with `%s`", install("privacy"))
    if section.pixels.detect == "ocr":
        ocr.require()
    roster = read_roster(config.named(section.patients)) if section.patients else NOBODY
    listed = None
    if section.private_tags not in ("remove", "safe"):
        listed = read_private_tags(config.named(section.private_tags or ""))
    devices = read_devices(config.named(section.pixels.rules)) if section.pixels.rules is not None else None
    keys, private = config.metadata.keys if config.metadata else "keyword", config.private_dir or ""
    answers = read_answers(os.path.join(private, FOLDER, NAME), read_register(private).items)
    return Policy(section, key, keys, roster, listed, devices, answers)


def shared_policy(config: Config) -> Policy | None:
    """As `policy_of`, for an output that several processes make in shards: they need one key.

    Raises
    ------
    ConfigError
        As of `policy_of`, and where no key is given.
    """
    if config.privacy is not None and config.privacy.key.file is None and config.privacy.key.env is None:
        raise ConfigError("privacy.key: shards need one key, which each of them reads: dme privacy key FILE makes it")
    return policy_of(config)


def with_public_names(policy: Policy | None, roots: Sequence[Root]) -> list[Root]:
    """Inputs whose paths have public names, in the order of these."""
    if policy is None or policy.section.paths == "keep":
        return list(roots)
    named = [root._replace(public=policy.path) for root in roots]
    return sorted(named, key=lambda root: root.shown(root.prefix))


def agree(policy: Policy | None, ledger: Ledger) -> None:
    """Note the policy in the ledger, or refuse one that differs from that of what is there.

    Raises
    ------
    LedgerError
        Another key, or other rules: outputs of both would not fit together.
    """
    known = ledger.get(LEDGER_KEY)
    if policy is None:
        return  # an output under privacy has its ledger elsewhere
    now = made_with(policy)
    if known is not None and known["key"] != now["key"]:
        raise LedgerError(
            f"privacy.key: this output was made with the key {known['key']}, and the key now is {now['key']}: patients"
            " would have two pseudonyms; use that key, another output.dir, or --rebuild"
        )
    if known is not None and known != now:
        raise LedgerError(
            "privacy: the rules differ from those that this output was made with: set them back, choose another"
            " output.dir, or use --rebuild"
        )
    ledger.put(LEDGER_KEY, now)


def take_answers(policy: Policy | None, ledger: Ledger, private: str | None) -> None:
    """Have the series done again that hold files whose answer in review is another than when they were done.

    Parameters
    ----------
    private
        The private folder of the run, whose register says which files an item is.
    """
    if policy is None or private is None:
        return
    before, now = ledger.get(ANSWERS) or {}, answers_of(policy)
    changed = {item for item in before.keys() | now.keys() if before.get(item) != now.get(item)}
    if not changed:
        return
    names = read_register(private).names
    again = ledger.do_again({name for item in changed for name in names.get(item, ())})
    ledger.put(ANSWERS, now)
    if again:
        log.warning("answers to what was held back are new or changed: %d files are done again", again)


def show_held(policy: Policy | None, private: str | None) -> str | None:
    """Write the page of what is held back, and return its path; None where nothing is. Raises OutputError."""
    if policy is None or private is None:
        return None
    register = read_register(private)
    if not register.now:
        return None
    path = write_review(private, register, policy.answers)
    log.info("what is held back can be looked at and answered, by review.html in privacy.private")
    return path


def answers_of(policy: Policy) -> dict[str, str]:
    """The answers as the ledger keeps them."""
    return {item: answer.text for item, answer in sorted(policy.answers.items())}


def made_with(policy: Policy) -> dict[str, str]:
    """What tells outputs of one policy from those of another, and nothing of the key."""
    return {"key": policy.key.name, "policy": digest(policy), "edition": edition()}


def digest(policy: Policy) -> str:
    """Fingerprint of what shapes the outputs: the section without its places, and the roster."""
    section = {name: value for name, value in asdict(policy.section).items() if name not in _NOT_OF_THE_POLICY}
    if policy.listed is not None:  # what the file lists, and not where it lies
        elements = policy.listed.elements.items()
        section["private_tags"] = [[creator, sorted(listed.items())] for creator, listed in sorted(elements)]
    if policy.devices is not None:
        section["pixels"] = {**section["pixels"], "rules": policy.devices.said}
    text = orjson.dumps([section, dict(policy.roster.subjects), dict(policy.roster.texts)], option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=8, key=policy.key.secret).hexdigest()


def without_places(config: Config) -> Config:
    """For those who tell of a run in public: a configuration whose input has no name."""
    if config.privacy is None:
        return config
    return replace(config, dicom=replace(config.dicom, dir="(private)"))


def _make_private(folder: str) -> None:
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        os.chmod(folder, 0o700)
    except OSError as error:
        raise ConfigError(
            f"privacy.private: {readable(folder)} cannot be made for you alone: {error.strerror}"
        ) from None

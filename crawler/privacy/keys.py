"""The secret key and what is derived from it: UIDs, pseudonyms, tokens of paths, shifts of dates.

Everything follows from the key and the original alone, so that every worker, shard and later run comes to the same
without a state. HMAC-SHA256 (RFC 2104, FIPS 180-4) with a domain for each use; parts are prefixed with their lengths.
It opens the key's file and nothing else.
"""

from __future__ import annotations

import base64
import hmac
import os
import re
import secrets
import stat
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from crawler.config.loader import Config
from crawler.config.privacy import PrivacySection
from crawler.dicom.dictionary_tables import registered_uids
from crawler.errors import ConfigError
from crawler.paths import readable

KEY_BYTES = 32
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_TOKEN_BYTES = 10  # 80 bits: 16 letters and digits of RFC 4648 base 32
_WEEKS = (52, 469)  # at least a year back, at most ten: 469 values
_UID_BYTES = 16  # 128 bits below 2.25, as PS3.5 B.2 has UUIDs; at most 44 characters
# What a name may keep of its ending: it says how a file is read, and is from this list alone.
_ENDINGS = re.compile(r"(\.tar)?(\.(dcm|dicom|ima|img|dic|zip|tar|tgz|gz|bz2|xz))\Z", re.IGNORECASE)


@dataclass(frozen=True)
class Key:
    """The secret; it shows itself in no message.

    Attributes
    ----------
    once
        It was made for this run and is kept nowhere.
    """

    secret: bytes = field(repr=False)
    once: bool = False

    @cached_property
    def name(self) -> str:
        """What tells one key from another, and nothing else of it: 8 hexadecimal digits."""
        return self._digest("id").hex()[:8]

    def uid(self, uid: str) -> str:
        """The UID that stands for another; registered ones (PS3.6 A) stay, as they identify nobody."""
        return uid if uid in registered_uids() else _uid(self.secret, uid)

    def token(self, domain: str, *parts: str) -> str:
        """16 lower-case letters and digits."""
        return base64.b32encode(self._digest(domain, *parts)[:_TOKEN_BYTES]).decode().lower()

    def subject(self, *identity: str) -> str:
        """Pseudonym of a patient."""
        return f"P-{self.token('patient', *identity).upper()}"

    def days(self, *identity: str, weeks: bool = True) -> int:
        """How many days a patient's dates lie back: whole weeks, so that days of the week stay, or any number."""
        number = int.from_bytes(self._digest("date", *identity)[:8], "big")
        least, values = _WEEKS
        return 7 * (least + number % values) if weeks else 7 * least + number % (7 * values)

    def path(self, native: str) -> str:
        """A relative path, each component of it a token; a known ending stays."""
        return os.sep.join(_component(self.secret, part) for part in native.split(os.sep)) if native else ""

    def derived(self, domain: str) -> bytes:
        """A key of 32 bytes for another use."""
        return self._digest(domain)

    def _digest(self, domain: str, *parts: str) -> bytes:
        return _digest(self.secret, domain, *parts)


def _digest(secret: bytes, domain: str, *parts: str) -> bytes:
    message = b"".join(
        len(data).to_bytes(4, "big") + data
        for data in (part.encode("utf-8", "surrogateescape") for part in (domain, *parts))
    )
    return hmac.digest(secret, message, "sha256")


@lru_cache(65_536)
def _uid(secret: bytes, uid: str) -> str:
    return f"2.25.{int.from_bytes(_digest(secret, 'uid', uid)[:_UID_BYTES], 'big')}"


@lru_cache(65_536)
def _component(secret: bytes, name: str) -> str:
    token = base64.b32encode(_digest(secret, "path", name)[:_TOKEN_BYTES]).decode().lower()
    ending = _ENDINGS.search(name)
    return token + (ending[0].lower() if ending else "")


def read_key(section: PrivacySection, config: Config) -> Key:
    """The key that a configuration names, or a new one.

    Raises
    ------
    ConfigError
        It cannot be read, is no key, lies where outputs lie, or others may read it.
    """
    if section.key.file is not None and section.key.env is not None:
        raise ConfigError("privacy.key: choose file or env")
    if section.key.env is not None:
        return Key(_parsed(os.environ.get(section.key.env, ""), f"privacy.key.env: {section.key.env}"))
    if section.key.file is None:
        return Key(secrets.token_bytes(KEY_BYTES), once=True)
    path = os.path.realpath(config.named(section.key.file))
    name = f"privacy.key.file: {readable(section.key.file)}"
    if path.startswith(os.path.join(os.path.realpath(config.output_dir), "")):
        raise ConfigError(f"{name} lies below output.dir: who gets the outputs would get the key; move it")
    try:
        with open(path, encoding="ascii") as file:
            mode, text = os.fstat(file.fileno()).st_mode, file.read(200)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no key"
        raise ConfigError(f"{name} cannot be read: {why}") from None
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"{name} can be read by others than you: chmod 600")
    return Key(_parsed(text.strip(), name))


def make_key(path: str) -> None:
    """Write a new key to a file that is not there yet, for the user alone. Raises ConfigError."""
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(number, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
    except OSError as error:
        raise ConfigError(f"{readable(path)} cannot be made: {error.strerror}") from None


def _parsed(text: str, name: str) -> bytes:
    if not _HEX.fullmatch(text):
        raise ConfigError(f"{name} holds no key: expected 64 hexadecimal digits, as `dme privacy key FILE` makes them")
    return bytes.fromhex(text)

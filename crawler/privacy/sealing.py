"""Bytes sealed by a secret key, or to the public key of a custodian, who alone can open them then.

AES-256-GCM (NIST SP 800-38D). To a custodian: X25519 (RFC 7748) between a key for this one message and the custodian's,
and HKDF-SHA256 (RFC 5869). Needs the package `cryptography`. It opens the files of custodians' keys and nothing else.
"""

from __future__ import annotations

import os
import re
import secrets

from crawler.errors import ConfigError, OutputError
from crawler.paths import readable

_NONCE = 12  # bytes, NIST SP 800-38D 8.2
_KEY = 32
_FOR = b"dme linking table"
PUBLIC, PRIVATE = "dme-custodian-public", "dme-custodian-private"


def sealed(key: bytes, plain: bytes) -> bytes:
    """Nonce and ciphertext."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # an extra

    nonce = secrets.token_bytes(_NONCE)
    return nonce + bytes(AESGCM(key).encrypt(nonce, plain, None))


def opened(key: bytes, data: bytes) -> bytes:
    """What `sealed` was given. Raises OutputError."""
    from cryptography.exceptions import InvalidTag  # an extra
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return bytes(AESGCM(key).decrypt(data[:_NONCE], data[_NONCE:], None))
    except (InvalidTag, ValueError):
        raise OutputError("the linking table was made with another key, or is damaged") from None


def sealed_to(public: bytes, plain: bytes) -> bytes:
    """The public key of this message, then as `sealed`: nothing that is kept here can open it."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    once = X25519PrivateKey.generate()
    shared = once.exchange(X25519PublicKey.from_public_bytes(public))
    mine: bytes = once.public_key().public_bytes_raw()
    return mine + sealed(_derived(shared, mine + public), plain)


def opened_by(private: bytes, data: bytes) -> bytes:
    """What `sealed_to` was given, for the custodian. Raises OutputError."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    own = X25519PrivateKey.from_private_bytes(private)
    theirs, rest = data[:_KEY], data[_KEY:]
    try:
        shared = own.exchange(X25519PublicKey.from_public_bytes(theirs))
    except ValueError:
        raise OutputError("the linking table is damaged") from None
    return opened(_derived(shared, theirs + own.public_key().public_bytes_raw()), rest)


def _derived(shared: bytes, context: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return bytes(HKDF(SHA256(), _KEY, None, _FOR + context).derive(shared))


def make_pair(path: str) -> str:
    """Write a custodian's private key to a new file, for the user alone, and the public one beside; return its path.

    Raises
    ------
    ConfigError
        One of them is there, or cannot be made.
    """
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    private = X25519PrivateKey.generate()
    beside = f"{path}.pub"
    texts = (
        (path, f"{PRIVATE} {private.private_bytes_raw().hex()}\n", 0o600),
        (beside, f"{PUBLIC} {private.public_key().public_bytes_raw().hex()}\n", 0o644),
    )
    try:
        for place, text, mode in texts:
            with open(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="ascii") as file:
                file.write(text)
    except OSError as error:
        raise ConfigError(f"{readable(path)} cannot be made: {error.strerror}") from None
    return beside


def read_half(path: str, kind: str) -> bytes:
    """A custodian's key out of a file; `kind` is PUBLIC or PRIVATE. Raises ConfigError."""
    try:
        with open(path, encoding="ascii") as file:
            text = file.read(200).strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no key"
        raise ConfigError(f"privacy.custodian: {readable(path)} cannot be read: {why}") from None
    match = re.fullmatch(rf"{kind} ([0-9a-f]{{64}})", text)
    if match is None:
        raise ConfigError(
            f"privacy.custodian: {readable(path)} is no {kind.rpartition('-')[2]} key of `dme privacy custodian FILE`"
        )
    return bytes.fromhex(match[1])

"""Who may use the server: one token in a file that only its owner can read, and the cookie that a browser gets for it.

The token outlives the server, so that open pages go on after a restart. Deleting the file signs every browser out.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat

from crawler.errors import OutputError
from crawler.paths import readable

PRIVATE = ".dme-web"  # folder in the workspace: token, lock, what volumes were unpacked to
_BYTES = 32  # of the token: 256 bits


def private_folder(workspace: str) -> str:
    """The server's own folder in a workspace; made when absent, and closed to others.

    Raises
    ------
    OutputError
        It cannot be made, or is a link.
    """
    folder = os.path.join(workspace, PRIVATE)
    try:
        os.makedirs(workspace, exist_ok=True)
        if os.path.islink(folder):
            raise OutputError(f"{readable(folder)} is a link: it is not used")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        os.chmod(folder, 0o700)
    except OSError as error:
        raise OutputError(f"{readable(folder)} cannot be made: {error.strerror}") from None
    return folder


def read_token(workspace: str) -> str:
    """The token of a workspace; made when there is none.

    Raises
    ------
    OutputError
        It cannot be read or made, or others can read it.
    """
    path = os.path.join(private_folder(workspace), "token")
    try:
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            with open(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)), encoding="ascii") as file:
                mode = os.fstat(file.fileno()).st_mode
                text = file.read(1000).strip()
            if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
                raise OutputError(f"{readable(path)} can be read by others: delete it, and start again") from None
            if len(text) < _BYTES:
                raise OutputError(f"{readable(path)} holds no token: delete it, and start again") from None
            return text
        with open(handle, "w", encoding="ascii") as file:
            token = secrets.token_urlsafe(_BYTES)
            file.write(token)
        return token
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"{readable(path)} cannot be used ({type(error).__name__})") from None


def cookie_of(token: str) -> str:
    """What a browser keeps for the token: a thief of cookies does not learn the token itself."""
    return hmac.new(token.encode(), b"dme web session, version 1", hashlib.sha256).hexdigest()


def same(given: str, expected: str) -> bool:
    """Whether two secrets are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())

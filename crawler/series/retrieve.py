"""Series on a PACS, fetched into a temporary folder."""

from __future__ import annotations

import tempfile

from crawler.errors import PacsError


def retrieve(address: str) -> tempfile.TemporaryDirectory[str]:
    """Fetch what an address names; the folder goes with the object.

    Raises
    ------
    PacsError
        The server cannot be asked.
    """
    raise PacsError("reading from a PACS: use `dme pacs get`")

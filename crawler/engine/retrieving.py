"""The first half of a run with a section `pacs`: from the configuration to a retrieval, and its accounts.

What to retrieve and how is `crawler/pacs/`'s business; here the configuration's words become its values. Loaded only by
runs that have such a section.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path

from crawler.config.loader import Config
from crawler.config.pacs import PacsSection, env_folders
from crawler.engine.progress import Progress
from crawler.pacs.accounts import Accounts, Counts
from crawler.pacs.address import settings
from crawler.pacs.cohort import Cohort, read_cohort
from crawler.pacs.fetching import Transports
from crawler.pacs.manifest import open_manifest
from crawler.pacs.model import Finder, Match, Server, Timeouts, Tls, Transport
from crawler.pacs.pauses import Pauses
from crawler.pacs.planner import Accept
from crawler.pacs.retrieval import Retrieval
from crawler.pacs.schedule import Rate, Window
from crawler.pacs.transports import Way, open_finder, open_transport
from crawler.pacs.wanted import Ask

log = logging.getLogger("dme")

# Seconds that the process of a run that was killed may take to notice it, and to end its associations.
_ENDING = 10.0
DEFAULT_TITLE, ANY_TITLE = "DME", "ANY-SCP"


def retrieve(
    config: Config,
    progress: Progress,
    stopped: Callable[[], bool],
    complete: Callable[[str, str], None] = lambda study, series: None,
) -> tuple[Counts, str]:
    """Bring the folder of received files up to date with what is asked for.

    Parameters
    ----------
    complete
        Told of each (study, series) that is here as a whole, also of those that were before.

    Returns
    -------
    Counts
        What was found and what of it is here.
    str
        A fingerprint of all that tables say about it.

    Raises
    ------
    ConfigError
        The cohort cannot be used.
    PacsError
        The server cannot be used.
    OutputError, LedgerError
        What comes cannot be kept.
    """
    section = config.pacs
    assert section is not None, "only a run with a section pacs retrieves"
    cohort = cohort_of(config)
    asks = cohort.asks if cohort else (Ask(0, section.keys),)
    root = Path(config.pacs_dir or "")
    server = server_of(config)
    with open_manifest(root, _ENDING) as manifest:
        pauses = Pauses(root, stopped, Window.parse(section.window) if section.window else None, section.free_space)
        transports = transports_of(section, server)
        finder = finder_of(server)
        try:
            retrieval = Retrieval(
                manifest,
                finder,
                transports,
                pauses,
                level=section.level,
                workers=section.associations,
                rate=Rate.parse(section.rate) if section.rate is not None else Rate(),
                accept=accept_of(config),
                note=Notes(),
                show=progress.retrieving,
                complete=complete,
            )
            manifest.put("columns", cohort.columns if cohort else ())
            counts = retrieval.run(asks)
        finally:
            finder.close()
            transports.close()
        return counts, fingerprint(manifest, counts)


def cohort_of(config: Config) -> Cohort | None:
    """The list of requests; None where there is none."""
    if config.pacs is None or config.cohort_path is None:
        return None
    return read_cohort(Path(config.cohort_path), config.pacs.keys)


def server_of(config: Config) -> Server:
    """The server, with secrets out of the environment."""
    section = config.pacs
    assert section is not None, "only a run with a section pacs has a server"
    secrets = settings(env_folders(config.source, config.directory))
    name, password = secrets.get("PACS_USER"), secrets.get("PACS_PASSWORD")
    waits = section.timeouts
    return Server(
        section.host or "",
        section.port or 0,
        section.called_aet or ANY_TITLE,
        section.calling_aet or DEFAULT_TITLE,
        section.calling_port,
        section.url,
        _tls(config, section),
        Timeouts(waits.connect, waits.idle, waits.total),
        user=(name, password or "") if name else None,
        token=secrets.get("PACS_TOKEN", ""),
    )


def finder_of(server: Server) -> Finder:
    """What asks the server; nothing is sent yet."""
    return open_finder(server)


def transports_of(section: PacsSection, server: Server) -> Transports:
    """The ways to retrieve that the section asks for, none of them opened yet."""

    def maker(way: Way) -> Callable[[], Transport]:
        return lambda: open_transport(way, server, late=transports.late, note=log.info)

    transports = Transports({way: maker(way) for way in section.methods})
    return transports


def accept_of(config: Config) -> Accept:
    """Which series `select` would keep, by what the server says of them: the others need not be fetched."""
    wanted = set(config.select.modality or ()) if config.select else set()

    def accept(match: Match) -> bool:
        told = match.get("Modality")
        return not wanted or not told or told in wanted

    return accept


class Notes:
    """Logs what finds and transfers remark: each sentence once as a warning, its repetitions on request."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def __call__(self, text: str) -> None:
        """Note a sentence, which holds no identifiers."""
        log.log(logging.INFO if text in self._told else logging.WARNING, "pacs: %s", text)
        self._told.add(text)


def fingerprint(accounts: Accounts, counts: Counts) -> str:
    """What changes when anything changes that tables say of a retrieval."""
    digest = hashlib.blake2b(json.dumps(counts.to_json(), sort_keys=True).encode(), digest_size=16)
    for row in (*accounts.failures(), *accounts.requests()):
        digest.update(json.dumps(row).encode())
    return digest.hexdigest()


def _tls(config: Config, section: PacsSection) -> Tls | None:
    tls = section.tls
    if tls is None:
        return None
    ca, cert, key = (None if name is None else Path(config.named(name)) for name in (tls.ca, tls.cert, tls.key))
    return Tls(ca, cert, key, tls.hostname)

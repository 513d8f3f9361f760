"""What the two halves of `pacs/` share: a server's address, a request, what arrived, and what the server said of it.

Values and protocols only: no sockets, no files. Transports (`get`, `move`, `web`) fill `Received` and `Answer`; the
manifest and the gate judge them. A transport never decides whether a series is complete: it reports what it saw.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

Level = Literal["patient", "study", "series", "image"]
Match = dict[str, str | list[str]]
"""One answer of a find, by keywords: a string, a list for several values, "" for an attribute without a value.

An attribute that the server did not return is not a key: `NumberOfStudyRelatedInstances` is absent, not 0.
"""

OutcomeOfRequest = Literal["complete", "partial", "busy", "refused", "failed", "dropped", "silent", "stopped"]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait; `idle` begins anew with every byte that arrives and never bounds a whole exchange."""

    connect: float = 10.0
    idle: float = 60.0
    total: float | None = None


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM: the CA that must have signed the server's certificate, and a certificate of our own with its key.

    Without `ca` the system's authorities decide. `hostname` is the name that the server's certificate must bear, when
    it differs from the host that is connected to.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    hostname: str | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """A PACS, and who we are to it.

    Parameters
    ----------
    host, port
        Address of the DIMSE service; port 0 when there is only DICOMweb.
    called_aet, calling_aet
        AE titles of the server and of ourselves, at most 16 characters (PS3.5 6.2).
    calling_port
        Where our own C-STORE SCP listens for C-MOVE; None when it does not, 0 for any free port.
    url
        Root of the DICOMweb services, "http://host:8042/dicom-web"; None when there are none.
    tls
        For DIMSE, and for an https `url`; None for plain DIMSE (https then trusts the system's authorities).
    headers, user, token
        Sent with each HTTP request; (name, password) for basic authentication, and a token (RFC 6750) that goes before
        them. Never printed.
    """

    host: str
    port: int
    called_aet: str = "ANY-SCP"
    calling_aet: str = "DME"
    calling_port: int | None = None
    url: str | None = None
    tls: Tls | None = None
    timeouts: Timeouts = Timeouts()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    user: tuple[str, str] | None = field(default=None, repr=False)
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Request:
    """What to fetch: a study, one of its series, or some instances of a series (empty `instance_uids`: all).

    An association has room for 128 presentation contexts, so hints from a find save associations: `sop_classes`, when
    given, are all that there are; else `modalities` say which classes to try first. `transfer_syntaxes` are tried
    beside the common ones.
    """

    study_uid: str
    series_uid: str | None = None
    instance_uids: tuple[str, ...] = ()
    sop_classes: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    transfer_syntaxes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Received:
    """An instance that arrived whole, in a temporary file that the taker renames or removes.

    Parameters
    ----------
    sop_uid, sop_class
        As the server announced them: in the C-STORE command (PS3.7 9.1.1), over DICOMweb in the part's file meta
        information. The dataset itself may say otherwise; who needs to know reads it.
    transfer_syntax
        UID of the syntax that the dataset's bytes are in.
    path
        A file of PS3.10 with its file meta information, flushed and closed.
    size, xxh3
        Bytes of that file, and their XXH3-64 in hexadecimal.
    seconds
        From the command (or the part's header) to the last byte.
    """

    sop_uid: str
    sop_class: str
    transfer_syntax: str
    path: Path
    size: int
    xxh3: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that did not go through although the exchange went on.

    `kind` "context": `uid` is a SOP class, `syntax` a transfer syntax, `code` the result of PS3.8 table 9-18.
    "instance": `uid` is a SOP instance ("" when the server did not say which), `code` a DIMSE or HTTP status.
    """

    kind: Literal["context", "instance"]
    uid: str
    code: int
    syntax: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """How a request ended, in the server's words and in ours.

    Parameters
    ----------
    transport
        "get", "move" or "web".
    outcome
        "complete": the server says all went well, and as many arrived as it claims; "partial": some failed, or fewer
        arrived than it claims; "busy": out of resources (0xA7xx, 0x0122 apart; HTTP 429, 503), worth a pause;
        "refused": it will not do this, asking again is of no use (no such context, not supported, not authorised, 4xx);
        "failed": any other failure status; "dropped": the connection was refused, reset or aborted; "silent": nothing
        came for the idle time-out, or the total one passed; "stopped": by `stop`.
    status
        Status of the last response (DIMSE, PS3.7 annex C) or HTTP status; None when none came.
    completed, failed, warning
        Sub-operations as the server counts them (PS3.7 9.1.3, 9.1.4); None when it does not say.
    received
        Instances that were delivered, counted by us.
    reason
        One short sentence without identifiers; empty when all is well.
    wait
        Seconds that the server asks to be left alone; 0 when it does not say.
    """

    transport: str
    outcome: OutcomeOfRequest
    status: int | None = None
    completed: int | None = None
    failed: int | None = None
    warning: int | None = None
    received: int = 0
    refused: tuple[Refusal, ...] = ()
    reason: str = ""
    wait: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the server claims success, and nothing that we saw speaks against it."""
        return self.outcome == "complete"

    @property
    def again(self) -> bool:
        """Whether the same request may do better later."""
        return self.outcome in {"busy", "dropped", "silent", "failed", "partial"}


Deliver = Callable[[Received], None]
Late = Callable[[Received], bool]
"""Takes an instance that comes after its request has ended; whether it was wanted, which the sender is told."""

Note = Callable[[str], None]


class Transport(Protocol):
    """A way to get instances out of a server. `fetch` may run in several threads at once, an association each."""

    @property
    def name(self) -> str:
        """Return "get", "move" or "web"."""
        ...

    def fetch(self, request: Request, temp: Path, deliver: Deliver, stop: threading.Event) -> Answer:
        """Retrieve instances, each delivered as soon as its file is complete.

        Parameters
        ----------
        temp
            Folder for temporary files, on the file system of the final ones. What is not delivered is removed.
        deliver
            Called with each instance, in a thread of the transport's; what it raises ends the exchange and is raised.
        stop
            Ends the exchange within a fraction of a second once it is set.

        Raises
        ------
        PacsError
            It cannot work at all: the host is unknown, the certificate is wrong, the port is taken.
        OutputError
            The temporary file cannot be written.
        """
        ...

    def close(self) -> None:
        """Close connections and listeners; idempotent."""
        ...


class Finder(Protocol):
    """A way to ask what a server holds."""

    def find(self, level: Level, keys: Mapping[str, str], note: Note | None = None) -> Iterator[Match]:
        """Ask, and ask in pieces where an answer seems cut off.

        Parameters
        ----------
        keys
            Keyword to value, with the wildcards and ranges of PS3.4 C.2.2.2 (several UIDs joined by a backslash);
            "" asks for the attribute to be returned.
        note
            Told in one sentence without identifiers of each split, and of what may still be incomplete.

        Yields
        ------
        Match
            Unique by the level's UID (PatientID and issuer at level "patient").

        Raises
        ------
        PacsError
            A key is no attribute, or the server cannot be used.
        RequestError
            The server failed this query.
        """
        ...

    def close(self) -> None:
        """Close connections; idempotent."""
        ...

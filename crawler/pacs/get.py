"""C-GET (PS3.4 C.4.3): instances come over the association that asks for them, so no port of ours is needed.

The first association proposes what the request's hints say; others follow only while the server counts failures, each
with other SOP classes or with the contexts that were refused. It does not judge what a series should hold.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from crawler.errors import RequestError
from crawler.pacs import command as dimse
from crawler.pacs import contexts, pdu
from crawler.pacs.association import Association
from crawler.pacs.command import Command
from crawler.pacs.contexts import STUDY_GET, Plan
from crawler.pacs.model import Answer, Deliver, Received, Refusal, Request, Server
from crawler.pacs.negotiation import associate
from crawler.pacs.retrieve import CHUNK, converse, failed_uids, identifier
from crawler.pacs.status import judge
from crawler.pacs.storing import StoreScp, temporary_names


@dataclass(slots=True)
class _Progress:
    """What one `fetch` has got so far, over all its associations."""

    deliver: Deliver
    rounds: int = 0
    uids: dict[str, int] = field(default_factory=dict)  # by the association that brought them
    received: int = 0
    refused: list[Refusal] = field(default_factory=list)

    def take(self, received: Received, command: Command) -> bool:
        """Deliver an instance, unless an earlier association did: that one had its own syntax to choose."""
        if self.uids.setdefault(received.sop_uid, self.rounds) == self.rounds:
            self.deliver(received)
            self.received += 1
        else:
            received.path.unlink()
        return True


class GetTransport:
    """Retrieves by C-GET; each `fetch` opens associations of its own."""

    name = "get"

    def __init__(self, server: Server) -> None:
        self._server = server
        self._names = temporary_names()

    def close(self) -> None:
        """Nothing stays open between two fetches."""

    def fetch(self, request: Request, temp: Path, deliver: Deliver, stop: threading.Event) -> Answer:
        """Retrieve instances; see `Transport`."""
        progress = _Progress(deliver)
        asked = request
        claimed = 0  # instances that there are, as the server counts them
        answer: Answer | None = None
        plans = contexts.plans(request.sop_classes, request.modalities, request.transfer_syntaxes, contexts.LIMIT - 1)
        for plan in _with_refused(plans, progress):
            progress.rounds += 1
            try:
                latest, failed = self._round(asked, plan, temp, progress, stop)
            except RequestError as error:
                return _broken(error, answer, progress)
            if latest is None:
                continue  # no context of this plan was accepted
            claimed = max(claimed, sum(n or 0 for n in (latest.completed, latest.failed, latest.warning)))
            answer = _joined(answer, latest, progress, claimed)
            if not latest.failed or progress.received >= claimed:
                break
            if failed and request.series_uid:
                asked = replace(request, instance_uids=failed)
        if answer is None:
            return Answer(
                self.name,
                "refused",
                refused=tuple(progress.refused),
                reason="the server accepts none of the SOP classes and transfer syntaxes",
            )
        return answer

    def _round(
        self, request: Request, plan: Plan, temp: Path, progress: _Progress, stop: threading.Event
    ) -> tuple[Answer | None, tuple[str, ...]]:
        """Ask over one association; also the UIDs that the server says it could not send."""
        proposed: list[tuple[str, Sequence[str]]] = [(STUDY_GET, contexts.PLAIN)]
        proposed += [(sop_class, (syntax,)) for sop_class, syntax in plan]
        association = associate(self._server, proposed, stop, scp=dict(plan))
        try:
            progress.refused += [
                Refusal("context", context.sop_class, context.result, context.syntaxes[0])
                for context in association.refused
                if context.sop_class != STUDY_GET
            ]
            found = association.context_for(STUDY_GET)
            if found is None:
                raise RequestError("the server does not support C-GET", "refused")
            if len(association.contexts) < 2:
                association.release()
                return None, ()
            answer, failed = self._ask(association, found, request, temp, progress)
        except BaseException:
            association.abort()
            raise
        association.release()
        return answer, failed

    def _ask(
        self, association: Association, context: pdu.Context, request: Request, temp: Path, progress: _Progress
    ) -> tuple[Answer, tuple[str, ...]]:
        """Ask for the whole, or for lists of instances in turn."""
        store = StoreScp(association, self._names, lambda _: temp, progress.take, answers_first=True)
        answers: list[Answer] = []
        failed: tuple[str, ...] = ()
        try:
            for at in range(0, max(len(request.instance_uids), 1), CHUNK):
                wanted = request.instance_uids[at : at + CHUNK]
                before = store.received
                command = Command(
                    dimse.GET, STUDY_GET, association.next_message(), priority=dimse.MEDIUM, data=dimse.WITH_DATA
                )
                final, body = converse(
                    association,
                    context.number,
                    command,
                    identifier(request, wanted, context.syntaxes[0]),
                    store,
                    self._server.timeouts.idle,
                    lambda: store.received,
                )
                failed += failed_uids(body, context.syntaxes[0])
                answers.append(judge(self.name, final, store.received - before, len(wanted)))
        finally:
            store.discard()
            progress.refused += store.refused
        return summed(answers), failed


def _with_refused(plans: Iterator[Plan], progress: _Progress) -> Iterator[Plan]:
    """Yield plans; after each, one of the contexts that it was refused for no reason that lasts.

    A server may have no room for as many contexts, or take one for each SOP class; it is asked for the others apart.
    """
    for plan in plans:
        before = len(progress.refused)
        yield plan
        again = [
            (refusal.uid, refusal.syntax)
            for refusal in progress.refused[before:]
            if refusal.kind == "context" and refusal.code in {pdu.USER_REJECTION, pdu.NO_REASON}
        ]
        if again and len(again) < len(plan):
            yield again


def summed(answers: Sequence[Answer]) -> Answer:
    """The answers to the lists of one request as one; the first that is not well decides."""
    worst = next((answer for answer in answers if not answer.ok), answers[-1])
    return replace(
        worst,
        completed=_sum(answer.completed for answer in answers),
        failed=_sum(answer.failed for answer in answers),
        warning=_sum(answer.warning for answer in answers),
        received=sum(answer.received for answer in answers),
    )


def _sum(counts: Iterator[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _joined(answer: Answer | None, latest: Answer, progress: _Progress, claimed: int) -> Answer:
    """The answer over all associations: later ones fetch what earlier ones had no context for."""
    refused = () if latest.ok else tuple(progress.refused)  # proposals that turned out to be needless
    if answer is None:
        return replace(latest, received=progress.received, refused=refused)
    missing = claimed - progress.received
    if missing <= 0:
        return Answer("get", "complete", latest.status, progress.received, 0, 0, progress.received, refused)
    return replace(
        latest if latest.received else answer,
        completed=progress.received,
        failed=missing,
        received=progress.received,
        refused=refused,
    )


def _broken(error: RequestError, answer: Answer | None, progress: _Progress) -> Answer:
    """What is known when an association broke, was refused or fell silent."""
    known = answer or Answer("get", "failed")
    if answer is not None and error.outcome == "refused":
        return replace(answer, refused=tuple(progress.refused))  # a later association was one too many
    return replace(
        known,
        outcome=error.outcome,  # type: ignore[arg-type]  # an OutcomeOfRequest, see RequestError
        status=error.status if error.status is not None else known.status,
        received=progress.received,
        refused=tuple(progress.refused),
        reason=error.reason,
    )

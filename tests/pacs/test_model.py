"""Values that the two halves of `pacs/` share."""

from __future__ import annotations

import pytest

from crawler.pacs.model import Answer, OutcomeOfRequest, Server


def test_secrets_are_not_printed() -> None:
    server = Server("pacs", 104, headers={"Authorization": "Bearer s3cret"}, user=("me", "s3cret"))
    assert "s3cret" not in repr(server)


@pytest.mark.parametrize(
    ("outcome", "ok", "again"),
    [("complete", True, False), ("partial", False, True), ("busy", False, True), ("refused", False, False)],
)
def test_what_an_answer_is_worth(outcome: OutcomeOfRequest, ok: bool, again: bool) -> None:
    answer = Answer("get", outcome)
    assert (answer.ok, answer.again) == (ok, again)

"""New UIDs, below 2.25 (PS3.5 B.2): random, decimal, at most 44 characters. They tell nothing of the machine."""

from __future__ import annotations

import uuid


def new_uid() -> str:
    """Make a UID that no one else has."""
    return f"2.25.{uuid.uuid4().int}"

"""Encapsulated documents (PS3.3 A.45)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.factories import quick_dataset, save

STORAGE = "1.2.840.10008.5.1.4.1.1.104."
PDF = b"%PDF-1.4\n" + bytes(range(1, 256)) * 20 + b"\n%%EOF\n"


def document(path: Path, content: bytes, sop_class: str = STORAGE + "1", **keywords: Any) -> Path:
    """An object that holds `content`, padded to an even length as the standard wants."""
    dataset = quick_dataset(
        SOPClassUID=sop_class,
        Modality="DOC",
        DocumentTitle="../../Doe^Jane.exe",
        EncapsulatedDocument=content + b"\0" * (len(content) % 2),
        **keywords,
    )
    for keyword in [element.keyword for element in dataset if element.tag.group in (0x28, 0x7FE0)]:
        delattr(dataset, keyword)
    return save(dataset, path)

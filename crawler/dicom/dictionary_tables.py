"""pydicom's tables of the data dictionaries (PS3.6 and makers' elements), without pydicom.

To import one of its modules by name executes the whole package first, with decoders, Pillow and an HTTP client: 0.15 s,
half of a start. The tables are modules of literals that import nothing; loaded by their place they take 4 ms each, and
still are pydicom's. How a tag is looked up in them is `dictionary.py`'s business.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from types import ModuleType

Entry = tuple[str, str, str, str, str]
"""VR, VM, name, "Retired" or nothing, keyword."""
PrivateEntry = tuple[str, str, str, str]
"""As `Entry`, without a keyword."""


@cache
def public() -> Mapping[int, Entry]:
    """Elements by tag, without those of repeating groups."""
    entries: Mapping[int, Entry] = _tables("_dicom_dict").DicomDictionary
    return entries


@cache
def repeating() -> Mapping[str, Entry]:
    """Elements of repeating groups (PS3.5 7.6), by tag with an x for every digit that varies: "60xx3000"."""
    entries: Mapping[str, Entry] = _tables("_dicom_dict").RepeatersDictionary
    return entries


@cache
def keywords() -> Mapping[str, int]:
    """Tags by keyword, without those of repeating groups."""
    return {entry[4]: tag for tag, entry in public().items()}


@cache
def private() -> Mapping[str, Mapping[str, PrivateEntry]]:
    """Private elements by creator and by tag, in which "xx" stands for the block."""
    entries: Mapping[str, Mapping[str, PrivateEntry]] = _tables("_private_dict").private_dictionaries
    return entries


@cache
def registered_uids() -> frozenset[str]:
    """UIDs of PS3.6 Annex A: SOP classes, transfer syntaxes, frames of reference and others that everybody shares."""
    return frozenset(_tables("_uid_dict").UID_dictionary)


@cache
def _tables(name: str) -> ModuleType:
    """A module of pydicom that imports no other: the loaded one, else one of our own."""
    if loaded := sys.modules.get(f"pydicom.{name}"):
        return loaded
    package = find_spec("pydicom")  # of a package this executes nothing
    spec = PathFinder.find_spec(name, package.submodule_search_locations) if package else None
    if spec is None or spec.loader is None:
        raise ImportError(f"pydicom has no module {name}", name=f"pydicom.{name}")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

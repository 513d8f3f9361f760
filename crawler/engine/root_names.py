"""The names of inputs in outputs, which stay as they are when an input is added: rows and outputs keep their paths.

The only input of a first run has no name, so that outputs begin below it; those that are added later have one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from crawler.errors import SourceError
from crawler.ledger.database import Ledger
from crawler.paths import portable, readable
from crawler.sources.directory import Root, names_of
from crawler.stores.access import is_there

KEY = "prefixes"
"""Where the ledger keeps them: path of an input -> its name."""


def keep_names(ledger: Ledger, roots: Sequence[Root]) -> list[Root]:
    """Name inputs as earlier runs did, and new ones so that no two names meet.

    Raises
    ------
    SourceError
        A folder appeared in the input without a name that is called as another input is.
    """
    known: dict[str, str] = ledger.get(KEY, {})
    if not known:
        ledger.put(KEY, {portable(root.path): root.prefix for root in roots})
        return list(roots)
    taken = {name.casefold() for name in known.values()}
    nameless = [path for path, name in known.items() if not name]
    named: list[Root] = []
    for root in roots:
        name = known.get(portable(root.path))
        if name is None:
            (base,) = names_of([root.path])
            name, number = base, 1
            while name.casefold() in taken or (nameless and _is_used(ledger, roots, nameless, name)):
                number += 1
                name = f"{base}-{number}"
            taken.add(name.casefold())
        named.append(root._replace(prefix=name))
    _refuse_met(named)
    ledger.put(KEY, {**known, **{portable(root.path): root.prefix for root in named}})
    return named


def _is_used(ledger: Ledger, roots: Sequence[Root], nameless: Sequence[str], name: str) -> bool:
    """Whether the input without a name holds, or held, something of this name."""
    here = any(is_there(os.path.join(root.path, name)) for root in roots if portable(root.path) in nameless)
    return here or ledger.count_below(portable(name)) > 0


def _refuse_met(roots: Sequence[Root]) -> None:
    names = {root.prefix for root in roots if root.prefix}
    for root in roots:
        for name in sorted(names) if not root.prefix and not root.is_file else ():
            if is_there(os.path.join(root.path, name)):
                raise SourceError(
                    f"dicom.dir: {readable(os.path.join(root.path, name))} has the name that outputs of another input"
                    " have; rename the folder, or make all outputs anew with --rebuild"
                )

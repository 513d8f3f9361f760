"""What a field answers as a dictionary, that sets the field where it is set.

``a.tags[2] = values`` would change a copy otherwise, and nobody would be told. ``dict(a.tags)`` is a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn


class WrittenThrough(dict[int, Any]):
    """Values of slices; a value that is set goes to the array, too.

    Parameters
    ----------
    values
        By the number of the slice.
    put
        Sets those of some slices in the array.
    """

    def __init__(self, values: Mapping[int, Any], put: Callable[[Mapping[int, Any]], None]) -> None:
        super().__init__(values)
        self._put = put

    def __setitem__(self, number: int, value: Any) -> None:
        self._put({number: value})
        super().__setitem__(number, value)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)

    def _refuse(self, *arguments: Any, **named: Any) -> NoReturn:
        raise TypeError("slices are neither added nor taken away here: index the array")

    __delitem__ = _refuse
    clear = _refuse
    pop = _refuse
    popitem = _refuse
    setdefault = _refuse
    update = _refuse

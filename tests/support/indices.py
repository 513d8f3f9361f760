"""Indices of numpy for laws: slices, integers, a list or a mask, an ellipsis, a new axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st


def keys(shape: Sequence[int]) -> st.SearchStrategy[tuple[Any, ...]]:
    """Indices into an array of four axes."""
    plain = st.tuples(*[_part(length) for length in shape])
    lists = st.tuples(*[_list(length) for length in shape])
    place = st.sampled_from([None, *range(len(shape))])
    return st.tuples(plain, place, lists, st.integers(0, 7), st.integers(0, 9)).map(_key)


def _part(length: int) -> st.SearchStrategy[Any]:
    bound = st.none() | st.integers(-length - 1, length + 1)
    step = st.sampled_from([None, 1, 2, 3, -1, -2])
    return st.tuples(bound, bound, step).map(lambda ends: slice(*ends)) | st.integers(-length, length - 1)


def _list(length: int) -> st.SearchStrategy[Any]:
    mask = st.lists(st.booleans(), min_size=length, max_size=length)
    return st.lists(st.integers(-length, length - 1), min_size=1, max_size=4) | mask


def _key(drawn: tuple[Any, ...]) -> tuple[Any, ...]:
    plain, at, listed, dots, new = drawn
    key = list(plain)
    if at is not None:
        key[at] = listed[at]
    if dots < len(plain):
        key = [*key[:dots], Ellipsis]
    if new <= len(key):
        key.insert(new, None)
    return tuple(key)

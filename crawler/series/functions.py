"""Which of numpy's functions are followed, and how: a table from function to handler.

A function that is not here works on plain arrays and returns one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from crawler.series.axis import Axes
from crawler.series.combining import common
from crawler.series.description import joined, stacked
from crawler.series.state import State

Handler = Callable[..., Any]


def plain(value: Any) -> Any:
    """A value, or a tuple, list or dictionary of some, with arrays of numpy in place of series."""
    if isinstance(value, State):
        return value.values
    if isinstance(value, (tuple, list)) and any(map(_holds_series, value)):
        return type(value)(plain(one) for one in value)
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    return value


def _holds_series(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return any(map(_holds_series, value))
    return isinstance(value, State)


def reduce_axes(axis: Any, axes: Axes) -> tuple[int, ...]:
    """Numbers of axes that are given as a number, a name, several of them, or None for all."""
    if axis is None:
        return tuple(range(len(axes)))
    if isinstance(axis, (tuple, list)):
        return tuple(number for one in axis for number in reduce_axes(one, axes))
    if isinstance(axis, str):
        found = axes.find(axis)
        if found is None:
            raise np.exceptions.AxisError(f"no axis {axis!r}: axes are {', '.join(axes.names)}")
        return (found,)
    number = int(axis)
    if not -len(axes) <= number < len(axes):
        raise np.exceptions.AxisError(number, len(axes))
    return (number % len(axes),)


def _reduction(function: Callable[..., Any]) -> Handler:
    def handler(a: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(a, State) or kwargs.get("out") is not None:
            return function(plain(a), *plain(args), **plain(kwargs))
        given = list(args)
        axis = kwargs.pop("axis", None)
        if given and function not in _SECOND_IS_Q:
            axis, given = given[0], given[1:]
        elif len(given) > 1:
            axis, given = given[1], [given[0], *given[2:]]
        if function in _SECOND_IS_Q and np.ndim(plain(given[0] if given else kwargs.get("q"))):
            return function(a.values, *plain(given), axis=axis, **plain(kwargs))  # several quantiles: a new first axis
        options = plain(kwargs)
        reduced: Any = a
        return reduced._reduced(
            lambda values, axis: function(values, *plain(given), axis=axis, **options), axis, options, function.__name__
        )

    return handler


def _elementwise(function: Callable[..., Any]) -> Handler:
    """The result has the shape of the first array, and its place."""

    def handler(*args: Any, **kwargs: Any) -> Any:
        result = function(*plain(args), **plain(kwargs))
        arrays = [*args, *kwargs.values()]
        first: Any = next((one for one in arrays if isinstance(one, State)), None)
        if first is None or kwargs.get("out") is not None:
            return kwargs["out"] if kwargs.get("out") is not None else result
        numeric = [one for one in args if isinstance(one, (State, np.ndarray, int, float))]
        return first._described(result, common(numeric if numeric else [first]), function.__name__)

    return handler


def _of_shape(function: Callable[..., Any]) -> Handler:
    """New arrays of the shape of another."""

    def handler(a: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs.pop("subok", None)
        result = function(plain(a), *plain(args), **plain(kwargs))
        if not isinstance(a, State) or result.shape != a.shape:
            return result
        series: Any = a  # values are others now: written with UIDs that are kept, they would pass for those of the file
        return series._described(result, a._description, function.__name__)

    return handler


def _concatenate(arrays: Sequence[Any], axis: Any = 0, out: Any = None, **options: Any) -> Any:
    listed = list(arrays)
    if out is not None or axis is None or not all(isinstance(one, State) for one in listed):
        return np.concatenate([plain(one) for one in listed], axis=axis, out=plain(out), **options)
    (number,) = reduce_axes(axis, listed[0]._description.axes)
    result = np.concatenate([one.values for one in listed], axis=number, **options)
    names = {one._description.axes.names for one in listed}
    if len(names) != 1:
        return result
    return listed[0]._made(result, joined([one._description for one in listed], number))


def _stack(arrays: Sequence[Any], axis: int = 0, out: Any = None, **options: Any) -> Any:
    listed = list(arrays)
    result = np.stack([plain(one) for one in listed], axis=axis, **options)
    if out is not None or not all(isinstance(one, State) for one in listed):
        return result if out is None else np.stack([plain(one) for one in listed], axis=axis, out=plain(out))
    if len({one._description.axes.names for one in listed}) != 1:
        return result
    return listed[0]._made(result, stacked([one._description for one in listed], axis % result.ndim))


def _pad(array: Any, pad_width: Any, mode: Any = "constant", **options: Any) -> Any:
    result = np.pad(plain(array), pad_width, mode, **plain(options))
    if not isinstance(array, State):
        return result
    if isinstance(pad_width, Mapping):
        widths = [(0, 0)] * array.ndim
        for axis, width in pad_width.items():
            one = np.broadcast_to(width, 2)
            widths[int(axis)] = (int(one[0]), int(one[1]))
    else:
        widths = [(int(before), int(behind)) for before, behind in np.broadcast_to(pad_width, (array.ndim, 2))]
    return array._made(result, array._description.padded(widths))


def _flip(m: Any, axis: Any = None) -> Any:
    if not isinstance(m, State):
        return np.flip(plain(m), axis)
    series: Any = m
    gone = reduce_axes(axis, m._description.axes)
    return series[tuple(slice(None, None, -1) if n in gone else slice(None) for n in range(m.ndim))]


def _take(a: Any, indices: Any, axis: Any = None, **options: Any) -> Any:
    if not isinstance(a, State) or axis is None or options or np.ndim(indices) > 1:
        return np.take(plain(a), plain(indices), axis=axis, **options)
    (number,) = reduce_axes(axis, a._description.axes)
    series: Any = a
    return series[(*[slice(None)] * number, indices if np.ndim(indices) == 0 else np.asarray(indices))]


def _moveaxis(a: Any, source: Any, destination: Any) -> Any:
    axes = a._description.axes
    start, end = reduce_axes(source, axes), [number % a.ndim for number in np.atleast_1d(destination).tolist()]
    order = [number for number in range(a.ndim) if number not in start]
    for at, number in sorted(zip(end, start, strict=True)):
        order.insert(at, number)
    return a.transpose(order)


def _swapaxes(a: Any, axis1: Any, axis2: Any) -> Any:
    (one,), (other,) = reduce_axes(axis1, a._description.axes), reduce_axes(axis2, a._description.axes)
    order = list(range(a.ndim))
    order[one], order[other] = other, one
    return a.transpose(order)


def _expand_dims(a: Any, axis: Any) -> Any:
    places = sorted(number % (a.ndim + np.size(axis)) for number in np.atleast_1d(axis).tolist())
    key: list[Any] = [slice(None)] * a.ndim
    for place in places:
        key.insert(place, None)
    return a[tuple(key)]


def _split(function: Callable[..., Any]) -> Handler:
    def handler(ary: Any, indices_or_sections: Any, axis: Any = 0) -> Any:
        if not isinstance(ary, State):
            return function(plain(ary), indices_or_sections, axis)
        (number,) = reduce_axes(axis, ary._description.axes)
        series: Any = ary
        parts = function(np.arange(ary.shape[number]), indices_or_sections)
        whole = (slice(None),) * number
        return [
            series[(*whole, slice(int(part[0]), int(part[-1]) + 1) if len(part) else slice(0, 0))] for part in parts
        ]

    return handler


def _copy(a: Any, order: str = "K", subok: bool = False) -> Any:
    series: Any = a
    return series.copy() if isinstance(a, State) else np.copy(plain(a))


def _same_array(function: Callable[..., Any]) -> Handler:
    """The result has the shape of the array: values along an axis are summed up, and stay where they are."""

    def handler(a: Any, *args: Any, **kwargs: Any) -> Any:
        result = function(plain(a), *plain(args), **plain(kwargs))
        if not isinstance(a, State) or kwargs.get("out") is not None or result.shape != a.shape:
            return result
        meta = a._description.meta.derived(function.__name__)
        return a._made(result, replace(a._description, meta=meta))

    return handler


_SECOND_IS_Q: tuple[Callable[..., Any], ...] = (np.percentile, np.quantile, np.nanpercentile, np.nanquantile)
_REDUCTIONS: tuple[Callable[..., Any], ...] = (
    np.sum, np.prod, np.mean, np.std, np.var, np.min, np.max, np.amin, np.amax, np.median, np.ptp, np.any, np.all,
    np.argmin, np.argmax, np.count_nonzero, np.average, np.nansum, np.nanprod, np.nanmean, np.nanstd, np.nanvar,
    np.nanmin, np.nanmax, np.nanmedian, np.nanargmin, np.nanargmax, *_SECOND_IS_Q,
)  # fmt: skip
_ELEMENTWISE: tuple[Callable[..., Any], ...] = (
    np.clip, np.round, np.around, np.nan_to_num, np.real, np.imag, np.angle, np.where, np.isclose, np.fix, np.i0,
    np.sinc, np.isneginf, np.isposinf, np.isreal, np.iscomplex, np.real_if_close, np.unwrap, np.digitize, np.isin,
    np.interp,
)  # fmt: skip
_SHAPED: tuple[Callable[..., Any], ...] = (np.zeros_like, np.ones_like, np.empty_like, np.full_like)

# Methods of arrays that are functions of numpy, by their names.
_METHODS: tuple[Callable[..., Any], ...] = (
    np.sum, np.prod, np.mean, np.std, np.var, np.min, np.max, np.any, np.all, np.argmin, np.argmax, np.clip, np.round,
    np.cumsum, np.cumprod, np.take, np.swapaxes,
)  # fmt: skip

HANDLERS: dict[Callable[..., Any], Handler] = {
    **{function: _reduction(function) for function in _REDUCTIONS},
    **{function: _elementwise(function) for function in _ELEMENTWISE},
    **{function: _of_shape(function) for function in _SHAPED},
    **{function: _same_array(function) for function in (np.cumsum, np.cumprod, np.nancumsum, np.nancumprod)},
    **{function: _split(function) for function in (np.split, np.array_split)},
    np.concatenate: _concatenate,
    np.stack: _stack,
    np.pad: _pad,
    np.flip: _flip,
    np.fliplr: lambda m: _flip(m, 1),
    np.flipud: lambda m: _flip(m, 0),
    np.take: _take,
    np.transpose: lambda a, axes=None: a.transpose(axes),
    np.moveaxis: _moveaxis,
    np.swapaxes: _swapaxes,
    np.squeeze: lambda a, axis=None: a.squeeze(axis),
    np.expand_dims: _expand_dims,
    np.copy: _copy,
    np.shape: lambda a: a.shape,
    np.ndim: lambda a: a.ndim,
    np.size: lambda a, axis=None: a.size if axis is None else a.shape[axis],
}
METHODS: dict[str, Handler] = {function.__name__: HANDLERS[function] for function in _METHODS} | {
    "min": HANDLERS[np.min],
    "max": HANDLERS[np.max],
    "round": HANDLERS[np.round],
}

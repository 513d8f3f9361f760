"""The array: numpy's protocols, indices and arithmetic over voxels that know where they are.

A duck array, not a subclass of ndarray: a numpy function whose effect on axes and geometry is not known returns a plain
array, never a series with wrong axes. Which functions are followed stands in `functions.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from numpy.lib.mixins import NDArrayOperatorsMixin

from crawler.series.axis import SAMPLE, Axis
from crawler.series.combining import common
from crawler.series.description import Description
from crawler.series.functions import HANDLERS, METHODS, plain, reduce_axes
from crawler.series.indexing import select
from crawler.series.state import Array, State

CHANNELS = {"R": 0, "G": 1, "B": 2, "A": 3}
_MOVING = ("sort", "partition", "resize")
"""Methods of numpy's arrays that put values to other places in the array itself."""
# The steps of an outer product or of a partial reduction have no place: their results are plain arrays.
_PLAIN_METHODS = ("outer", "reduceat", "at")


class SeriesArray(State, NDArrayOperatorsMixin):
    """What a series is as an array."""

    __array_priority__ = 20.0
    __hash__ = None  # type: ignore[assignment] # as of numpy's arrays

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.array(self.values, dtype=dtype, copy=copy)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of an array without axes")
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        for number in range(len(self)):
            yield self[number]

    def __bool__(self) -> bool:
        return bool(self.values)

    def __int__(self) -> int:
        return int(self.values)

    def __float__(self) -> float:
        return float(self.values)

    def __complex__(self) -> complex:
        return complex(self.values)

    def __index__(self) -> int:
        return self.values.__index__()

    def __contains__(self, value: object) -> bool:
        return bool((self.values == value).any())

    def __getitem__(self, key: Any) -> Any:
        key = self._named(key)
        selection = select(key, self.shape)
        if selection is None:
            return self.values[plain(key)]
        data: Any = self._data[selection.key]
        if not np.shape(data) and not hasattr(data, "read"):
            return data
        return self._made(data, self._description.indexed(selection))

    def __setitem__(self, key: Any, value: Any) -> None:
        values = self.values
        if not values.flags.writeable:
            values = self._data = values.copy()
        values[plain(self._named(key))] = plain(value)
        if not self._description.meta.is_derived:  # values are others now: not those of the files
            self._description = replace(self._description, meta=self._description.meta.derived("assigned"))

    def _named(self, key: Any) -> Any:
        """An index in which a colour channel stands by its letter, as a number."""
        if not isinstance(key, str):
            return key
        names = self._description.axes.names
        labels = list(self._description.axes[names.index(SAMPLE)]) if SAMPLE in names else []
        if key in labels:
            return (*[slice(None)] * names.index(SAMPLE), labels.index(key))
        if key not in CHANNELS or CHANNELS[key] >= len(labels) or any(isinstance(label, str) for label in labels):
            raise IndexError(f"no field {key!r}: axes are {', '.join(names)}")
        return (*[slice(None)] * names.index(SAMPLE), CHANNELS[key])

    def sel(self, **values: Any) -> Any:
        """Take steps by the values of their axes: ``a.sel(te=30)``, ``a.sel(b=[0, 400])``.

        Parameters
        ----------
        **values
            Axis name -> a value (the axis goes), a list of values, or a slice of values, both ends included.

        Raises
        ------
        KeyError
            No such axis, or no such value on it.
        """
        key: list[Any] = [slice(None)] * self.ndim
        for name, value in values.items():
            number = self._description.axes.find(name)
            if number is None:
                raise KeyError(f"no axis {name!r}: axes are {', '.join(self._description.axes.names)}")
            key[number] = _steps_of(self._description.axes[number], value)
        listed = [number for number, part in enumerate(key) if isinstance(part, list)]
        taken: Any = self
        for number in listed[1:]:  # one list after the other: numpy would pair them
            taken = taken[(*[slice(None)] * number, key[number])]
            key[number] = slice(None)
        return taken[tuple(key)]

    def isel(self, **steps: Any) -> Any:
        """Take steps by their numbers on named axes: ``a.isel(time=0, slice=slice(2, 5))``."""
        unknown = set(steps) - set(self._description.axes.names)
        if unknown:
            raise KeyError(f"no axis {sorted(unknown)[0]!r}: axes are {', '.join(self._description.axes.names)}")
        return self[tuple(steps.get(name, slice(None)) for name in self._description.axes.names)]

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if method in _PLAIN_METHODS:
            plain_inputs = [plain(one) for one in inputs]
            return getattr(ufunc, method)(*plain_inputs, **{name: plain(one) for name, one in options.items()})
        if method == "reduce" and options.get("out") in (None, (None,)):
            return self._reduced_by(ufunc, inputs[0], options)
        outputs = options.pop("out", None)
        description = common([*inputs, options.get("where")]) if method == "__call__" else common(inputs)
        options = {name: plain(one) for name, one in options.items()}
        if outputs is not None:
            options["out"] = tuple(_writable(one) for one in outputs)
        result = getattr(ufunc, method)(*[plain(one) for one in inputs], **options)
        if outputs is not None:
            for one in outputs:
                if isinstance(one, State):
                    one._description = replace(one._description, meta=one._description.meta.derived(ufunc.__name__))
            return outputs[0] if len(outputs) == 1 else outputs
        if isinstance(result, tuple):
            return tuple(self._described(one, description, ufunc.__name__) for one in result)
        return self._described(result, description, ufunc.__name__)

    def _reduced_by(self, ufunc: np.ufunc, array: Any, options: Mapping[str, Any]) -> Any:
        kept = {name: plain(one) for name, one in options.items() if name not in ("axis", "out")}
        axis = options.get("axis", 0)
        if not isinstance(array, SeriesArray):
            return ufunc.reduce(plain(array), axis=axis, **kept)
        return array._reduced(lambda values, axis: ufunc.reduce(values, axis=axis, **kept), axis, kept, ufunc.__name__)

    def _reduced(self, function: Callable[..., Any], axis: Any, options: Mapping[str, Any], how: str) -> Any:
        """Apply a function that makes some axes one step each."""
        axes = reduce_axes(axis, self._description.axes)
        result = function(self.values, axis=None if axis is None else axes[0] if len(axes) == 1 else axes)
        if not isinstance(result, np.ndarray) or result.ndim == 0:
            return result
        description = self._description.reduced(axes, bool(options.get("keepdims", False)), how)
        return self._made(result, description) if result.shape == description.shape else result

    def _described(self, result: Any, description: Description | None, how: str) -> Any:
        if not isinstance(result, np.ndarray) or description is None or result.shape != description.shape:
            return result
        if result.ndim == 0:
            return result[()]
        return self._made(result, replace(description, meta=description.meta.derived(how)))

    def __array_function__(
        self, function: Callable[..., Any], types: Sequence[type], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        handler = HANDLERS.get(function)
        if handler is not None:
            return handler(*args, **kwargs)
        return function(*plain(args), **plain(kwargs))

    def __getattr__(self, name: str) -> Any:
        """Methods of numpy's arrays: those that are followed, others on the values, which return plain arrays."""
        if name in METHODS:
            return partial(METHODS[name], self)
        if name in _MOVING:
            raise TypeError(f"{name}() would move values away from their places: take np.{name}, a plain array")
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")
        return getattr(self.values, name)

    def copy(self, order: str = "C") -> Self:
        """A copy, voxels and all."""
        return self._like(np.array(self.values, order="C" if order == "C" else "K"))

    __copy__ = copy

    def __deepcopy__(self, memo: Any) -> Self:
        return self.copy()

    def astype(self, dtype: npt.DTypeLike, **options: Any) -> Self:
        """The same voxels in another type."""
        return self._like(self.values.astype(dtype, **options))

    def transpose(self, *axes: Any) -> Self:
        """With the axes in another order, by number or by name; reversed by default. No voxel moves in the patient."""
        wanted: Any = axes[0] if len(axes) == 1 and not isinstance(axes[0], (int, str)) else axes
        wanted = range(self.ndim)[::-1] if wanted is None or not len(wanted) else wanted
        order = [reduce_axes(axis, self._description.axes)[0] for axis in wanted]
        return self._made(self.values.transpose(order), self._description.transposed(order))

    @property
    def T(self) -> Self:
        """With the axes in reverse order."""
        return self.transpose()

    def squeeze(self, axis: Any = None) -> Any:
        """Without axes of one step."""
        axes = self._description.axes
        gone = [n for n, one in enumerate(axes) if len(one) == 1] if axis is None else reduce_axes(axis, axes)
        if any(len(axes[number]) != 1 for number in gone):
            raise ValueError("only axes of one step are squeezed")
        return self[tuple(0 if number in gone else slice(None) for number in range(self.ndim))]


def _steps_of(axis: Axis, value: Any) -> Any:
    if isinstance(value, slice):
        numbers = axis.values.astype(float)
        low = -np.inf if value.start is None else float(value.start)
        high = np.inf if value.stop is None else float(value.stop)
        return np.flatnonzero((numbers >= low) & (numbers <= high)).tolist()
    if isinstance(value, (list, np.ndarray)):
        return [axis.index_of(one) for one in value]
    return axis.index_of(value)


def _writable(output: Any) -> Any:
    if isinstance(output, State):
        if not output.values.flags.writeable:
            output._data = output.values.copy()
        return output.values
    return output

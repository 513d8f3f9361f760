"""Expressions over series: arithmetic, comparisons, indices, and a list of functions of numpy by their names.

An expression is parsed and walked. It is never run as Python: a name, an attribute or a form that is not listed here is
refused before anything is computed.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from crawler.series.errors import SeriesError

LETTERS = "abcdefghijklmnopqrstuvwxyz"
_FUNCTIONS = (
    "abs absolute sqrt square exp exp2 expm1 log log2 log10 log1p sin cos tan arcsin arccos arctan arctan2 sinh cosh "
    "tanh hypot rint floor ceil trunc sign negative reciprocal power fmod mod remainder maximum minimum fmax fmin clip "
    "round where isnan isinf isfinite nan_to_num real imag angle conj mean sum std var min max median prod any all "
    "nanmean nansum nanstd nanvar nanmin nanmax nanmedian percentile nanpercentile count_nonzero cumsum flip fliplr "
    "flipud transpose squeeze concatenate stack pad logical_and logical_or logical_not logical_xor zeros_like "
    "ones_like deg2rad rad2deg divide multiply add subtract true_divide floor_divide equal not_equal greater less "
    "greater_equal less_equal"
)
FUNCTIONS = frozenset(_FUNCTIONS.split())
CONSTANTS = {"pi": np.pi, "e": np.e, "nan": np.nan, "inf": np.inf}
TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
_LENGTH, _DEPTH = 4000, 60
"""Characters of an expression, and forms inside of each other: more is no arithmetic, but an attack on the parser."""

_BINARY: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.BitAnd: operator.and_, ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
}  # fmt: skip
_UNARY: dict[type[ast.AST], Callable[[Any], Any]] = {
    ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Invert: operator.invert,
}  # fmt: skip
_COMPARE: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}  # fmt: skip


class ExpressionError(SeriesError, ValueError):
    """An expression is not arithmetic over the given series."""


def evaluate(expression: str, names: Mapping[str, Any]) -> Any:
    """Compute an expression.

    Parameters
    ----------
    expression
        As ``"(a + b) / 2"``, ``"sqrt(a) * 3"``, ``"where(a > 10, a, 0)"``, ``"a[0] - mean(b, axis=0)"``; ``np.`` in
        front of a function may be there.
    names
        Series by their letters.

    Raises
    ------
    ExpressionError
        It is none, or uses what is not listed.
    """
    if len(expression) > _LENGTH:
        raise ExpressionError(f"the expression has more than {_LENGTH} characters")
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ExpressionError(f"the expression cannot be understood ({type(error).__name__})") from None
    _check(tree.body, names, 0)
    return _value(tree.body, names)


def _check(node: ast.AST, names: Mapping[str, Any], depth: int) -> None:
    """Refuse what is not listed, before anything is computed."""
    if depth > _DEPTH:
        raise ExpressionError("the expression is too deep")
    known = (
        ast.Constant, ast.Name, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call, ast.Subscript, ast.Slice, ast.Tuple,
        ast.List, ast.keyword, ast.Load, ast.operator, ast.unaryop, ast.cmpop, ast.Attribute,
    )  # fmt: skip
    if not isinstance(node, known):
        raise ExpressionError(f"{type(node).__name__} is not allowed in an expression")
    if isinstance(node, ast.Constant) and not _is_constant(node.value):
        raise ExpressionError(f"a constant is a number, not {type(node.value).__name__}")
    if isinstance(node, ast.Call):
        _function(node.func)
        children: list[ast.AST] = [*node.args, *[keyword.value for keyword in node.keywords]]
        if any(keyword.arg not in ("axis", "keepdims", "dtype", "mode", "nan") for keyword in node.keywords):
            raise ExpressionError("functions take axis, keepdims, dtype, mode and nan by name")
    elif isinstance(node, ast.Attribute):
        raise ExpressionError(f"attribute {node.attr!r} is not allowed in an expression")
    elif isinstance(node, ast.Name):
        if node.id not in names and node.id not in CONSTANTS and node.id not in TYPES:
            raise ExpressionError(f"no series {node.id!r}: there are {', '.join(names) or 'none'}")
        children = []
    else:
        children = list(ast.iter_child_nodes(node))
    for child in children:
        _check(child, names, depth + 1)


def _is_constant(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(value, int) and not isinstance(value, bool):
        number = abs(value) < 2**63
    return number or value is None or value is Ellipsis or isinstance(value, bool) or value in TYPES


def _function(node: ast.AST) -> Callable[..., Any]:
    name = node.id if isinstance(node, ast.Name) else ""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("np", "numpy"):
        name = node.attr
    if name not in FUNCTIONS:
        raise ExpressionError(f"no function {name or ast.unparse(node)!r}: see the list of functions in the manual")
    function: Callable[..., Any] = getattr(np, name)
    return function


def _value(node: ast.AST, names: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return names[node.id] if node.id in names else CONSTANTS.get(node.id, node.id)
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left, names), _value(node.right, names)
        if isinstance(node.op, ast.Pow):
            return np.power(np.float64(left), right) if isinstance(left, (int, float)) else left**right
        if type(node.op) not in _BINARY:
            raise ExpressionError(f"operator {type(node.op).__name__} is not allowed in an expression")
        return _BINARY[type(node.op)](left, right)
    if isinstance(node, ast.UnaryOp):
        if type(node.op) not in _UNARY:
            raise ExpressionError("write logical_not(a) for not a")
        return _UNARY[type(node.op)](_value(node.operand, names))
    if isinstance(node, ast.Compare):
        if len(node.ops) != 1 or type(node.ops[0]) not in _COMPARE:
            raise ExpressionError("compare two values at a time: (a > 1) & (a < 5)")
        return _COMPARE[type(node.ops[0])](_value(node.left, names), _value(node.comparators[0], names))
    if isinstance(node, ast.Call):
        keywords = {str(keyword.arg): _value(keyword.value, names) for keyword in node.keywords}
        return _function(node.func)(*[_value(one, names) for one in node.args], **keywords)
    if isinstance(node, ast.Subscript):
        return _value(node.value, names)[_value(node.slice, names)]
    if isinstance(node, ast.Slice):
        ends = (node.lower, node.upper, node.step)
        return slice(*[None if end is None else _value(end, names) for end in ends])
    assert isinstance(node, (ast.Tuple, ast.List))
    listed = [_value(one, names) for one in node.elts]
    return tuple(listed) if isinstance(node, ast.Tuple) else listed

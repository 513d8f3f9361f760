"""Our `dataclass` against the standard library's."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from crawler import frozen
from crawler.model import Outcome, Plane

Make = Callable[..., Any]


def sample(make: Make, **options: Any) -> Any:
    """A class with every kind of field."""

    class Sample:
        """Of no use."""

        name: str
        size: int = 3
        parts: list[int] = dataclasses.field(default_factory=list)
        hidden: str = dataclasses.field(default="x", repr=False, compare=False, metadata={"help": "nothing"})

        def double(self) -> int:
            return 2 * self.size

    return make(frozen=True, slots=True, **options)(Sample)


@dataclasses.dataclass(frozen=True, slots=True)
class Theirs:
    """Pickled by name."""

    a: int
    b: tuple[int, ...] = ()


@frozen.dataclass(frozen=True, slots=True)
class Ours:
    """Pickled by name."""

    a: int
    b: tuple[int, ...] = ()


@frozen.dataclass(frozen=True, slots=True)
class Child(Ours):
    """Adds a field."""

    c: str = "c"


BOTH = pytest.mark.parametrize("make", [dataclasses.dataclass, frozen.dataclass], ids=["theirs", "ours"])


@BOTH
def test_values_defaults_and_factories(make: Make) -> None:
    kind = sample(make)
    one, other = kind("a"), kind("a", 4, [1], hidden="y")
    assert (one.name, one.size, one.parts, one.hidden, one.double()) == ("a", 3, [], "x", 6)
    assert (other.size, other.parts, other.hidden) == (4, [1], "y")
    assert kind("b").parts is not one.parts
    assert not hasattr(one, "__dict__")
    for wrong in ((), ("a", 1, [], "x", 5)):
        with pytest.raises(TypeError, match=r"Sample\.__init__\(\) (missing 1 required|takes from 2 to 5) positional"):
            kind(*wrong)
    with pytest.raises(TypeError, match="unexpected keyword argument 'nonsense'"):
        kind("a", nonsense=1)


@BOTH
def test_nothing_can_be_set_or_deleted(make: Make) -> None:
    one = sample(make)("a")
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'name'"):
        one.name = "b"
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):  # TypeError: a slip of Python 3.11's
        one.other = 1
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'name'"):
        del one.name


@BOTH
def test_equality_and_hash(make: Make) -> None:
    kind = sample(make)
    assert kind("a", hidden="y") == kind("a")
    assert kind("a") != kind("b")
    assert kind("a") != sample(make)("a"), "another class"
    assert hash(kind("a", parts=())) == hash(("a", 3, ()))
    with pytest.raises(TypeError, match="unhashable"):
        hash(kind("a"))
    same = sample(make, eq=False)
    assert same("a") != same("a")
    assert isinstance(hash(same("a")), int)


@BOTH
def test_text_signature_and_tools(make: Make) -> None:
    kind = sample(make)
    one = kind("a")
    assert repr(one) == f"{kind.__qualname__}(name='a', size=3, parts=[])"
    assert list(inspect.signature(kind).parameters) == ["name", "size", "parts", "hidden"]
    assert [field.name for field in dataclasses.fields(one)] == ["name", "size", "parts", "hidden"]
    assert dataclasses.replace(one, size=5) == kind("a", 5)
    assert dataclasses.asdict(one) == {"name": "a", "size": 3, "parts": [], "hidden": "x"}
    assert kind.__match_args__ == ("name", "size", "parts", "hidden")
    assert dataclasses.fields(kind)[3].metadata == {"help": "nothing"}


@BOTH
def test_parameters_by_name_only(make: Make) -> None:
    kind = sample(make, kw_only=True)
    assert kind(size=1, name="a").size == 1
    with pytest.raises(TypeError, match="takes 1 positional argument but 2"):
        kind("a")


@BOTH
def test_own_methods_stay(make: Make) -> None:
    class Sample:
        """Shows itself and looks at itself."""

        a: int

        def __post_init__(self) -> None:
            if self.a < 0:
                raise ValueError("negative")

        def __repr__(self) -> str:
            return "mine"

    kind = make(frozen=True, slots=True)(Sample)
    assert repr(kind(1)) == "mine"
    with pytest.raises(ValueError, match="negative"):
        kind(-1)


@BOTH
def test_what_is_not_frozen_is_the_standard_librarys(make: Make) -> None:
    class Sample:
        """Changes."""

        a: int = 1

    one = make(slots=True)(Sample)()
    one.a = 2
    assert one == type(one)(2)


@pytest.mark.parametrize("kind", [Theirs, Ours])
def test_copies_are_equal(kind: Any) -> None:
    one = kind(1, (2, 3))
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(one, protocol)) == one
    assert copy.copy(one) == copy.deepcopy(one) == one


def test_a_child_has_the_fields_of_both() -> None:
    child = Child(1, c="d")
    assert (child.a, child.b, child.c) == (1, (), "d")
    assert child != Ours(1)
    assert pickle.loads(pickle.dumps(child)) == child
    with pytest.raises(dataclasses.FrozenInstanceError):
        child.a = 2  # type: ignore[misc]


def test_types_of_the_pipeline_are_made_so() -> None:
    assert "freeze" in Plane.__setattr__.__code__.co_name
    assert Outcome("failed", "header") == Outcome(outcome="failed", stage="header")

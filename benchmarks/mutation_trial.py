"""A trial of the tests: small changes to the source, one at a time, and which of them no test notices.

``python benchmarks/mutation_trial.py`` changes comparisons, arithmetic, "and" and "or", whole numbers and truth values
of the modules in `TESTS`, and runs the tests named there for each change. A process that has loaded the libraries forks
for each change, replaces the one module in memory, and runs pytest; no file is changed. Only tests that reach the
changed line run, the fastest first; those that run the program as a process of its own do not count. It takes a second
or two of a core for each change, so it does not run in CI.

A change that survives is a gap in the tests, or an equivalent one: it makes no difference that could be tested. Those
that were read and found equivalent are in ``equivalent_changes.yml``, each with its reason; they count as not tried.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[1]
EQUIVALENT = Path(__file__).with_name("equivalent_changes.yml")
SECONDS = 1800  # for all tests of a module, traced, on a machine that is busy
SLOWER = 10  # times the usual, and then a test hangs
DISPLAY = ("tests/display",)
LEDGER = (
    *(f"tests/engine/test_{name}.py" for name in ("changed_config", "disk_errors", "hostile_places", "input_lost")),
    *(f"tests/engine/test_{name}.py" for name in ("lost_outputs", "meanwhile", "missing", "order")),
    *("tests/ledger", "tests/tables/test_named.py"),
)
RUNS = (
    *(f"tests/engine/test_{name}.py" for name in ("archive_run", "disk_errors", "input_lost", "losses", "meanwhile")),
    *(f"tests/engine/test_{name}.py" for name in ("order", "run", "told", "tree")),
)
EXPORT = (
    "tests/export",
    "tests/engine/test_run.py",
    "tests/engine/test_losses.py",
    "tests/engine/test_changed_config.py",
)
LAYOUT = tuple(
    f"tests/layout/test_{name}.py"
    for name in (
        *("axes", "columns", "derived", "layout", "plane_record", "planes", "repeats", "scan", "sequence"),
        *("series_parts", "unplaced", "verdict", "whole_volumes"),
    )
)
TESTS: dict[str, Sequence[str]] = {
    "crawler/display/attributes.py": DISPLAY,
    "crawler/display/colour.py": DISPLAY,
    "crawler/display/crop.py": ("tests/display", "tests/export/test_media.py"),
    "crawler/display/display.py": DISPLAY,
    "crawler/display/entries.py": ("tests/display/test_lookup_tables.py",),
    "crawler/display/grey_range.py": DISPLAY,
    "crawler/display/lut.py": ("tests/display/test_lookup_tables.py", "tests/display/test_display.py"),
    "crawler/display/overlays.py": ("tests/display/test_overlays.py", "tests/display/test_display.py"),
    "crawler/display/palette.py": ("tests/display/test_lookup_tables.py", "tests/display/test_display.py"),
    "crawler/display/voi.py": ("tests/display/test_windows.py", "tests/display"),
    "crawler/pixels/modality.py": ("tests/pixels/test_modality.py",),
    "crawler/pixels/bits.py": ("tests/pixels/test_bits.py",),
    "crawler/pixels/codestream.py": ("tests/pixels",),
    "crawler/pixels/frames.py": ("tests/pixels",),
    "crawler/instance/acquisition.py": ("tests/instance/test_acquisition.py",),
    "crawler/instance/component.py": ("tests/instance/test_component.py",),
    "crawler/instance/describe.py": ("tests/instance/test_header.py", "tests/instance"),
    "crawler/instance/functional.py": ("tests/instance/test_functional.py", "tests/instance"),
    "crawler/instance/mosaic.py": ("tests/instance/test_mosaic.py",),
    "crawler/instance/multiframe.py": ("tests/instance/test_multiframe.py",),
    "crawler/instance/real_world.py": ("tests/instance/test_acquisition.py", "tests/sinks/test_meaning.py"),
    "crawler/instance/segments.py": ("tests/instance/test_segments.py", "tests/sinks/test_meaning.py"),
    "crawler/instance/traits.py": ("tests/instance",),
    "crawler/instance/vendor.py": ("tests/instance/test_vendor.py",),
    "crawler/instance/vendor_acquisition.py": ("tests/instance/test_acquisition.py",),
    **{
        f"crawler/layout/{name}.py": LAYOUT
        for name in (
            *(
                "axes",
                "clocks",
                "columns",
                "layouts",
                "planes",
                "repeats",
                "scan",
                "sequence",
                "series_parts",
                "unplaced",
            ),
            "verdict",
        )
    },
    "crawler/layout/derived.py": ("tests/layout/test_derived.py",),
    "crawler/layout/empty_slices.py": ("tests/layout/test_derived.py",),
    "crawler/sinks/bids.py": ("tests/sinks/test_bids.py", "tests/sinks/test_sink_nifti.py"),
    "crawler/sinks/bids_mr.py": ("tests/sinks/test_bids.py", "tests/sinks/test_timing.py"),
    "crawler/sinks/bids_pet.py": ("tests/sinks/test_bids.py",),
    "crawler/sinks/gradients.py": ("tests/sinks/test_gradients.py",),
    "crawler/sinks/hdf5.py": ("tests/sinks/test_sink_hdf5.py", "tests/sinks/test_volume_base.py"),
    "crawler/sinks/metaimage.py": ("tests/sinks/test_sink_metaimage.py",),
    "crawler/sinks/npz.py": ("tests/sinks/test_sink_npz.py",),
    "crawler/sinks/provenance.py": tuple(
        f"tests/sinks/test_{name}.py" for name in ("meaning", "readers", "sink_hdf5", "sink_metaimage")
    ),
    "crawler/sinks/volume_base.py": ("tests/sinks/test_volume_base.py",),
    "crawler/sinks/nifti.py": ("tests/sinks/test_sink_nifti.py",),
    "crawler/sinks/timing.py": ("tests/sinks/test_timing.py", "tests/sinks/test_bids.py"),
    **{
        f"crawler/engine/{name}.py": RUNS
        for name in ("crawl", "known", "own_outputs", "plan", "recorder", "root_names", "run", "survey", "tree")
    },
    "crawler/engine/pool.py": ("tests/engine/test_pool_events.py", "tests/engine/test_pool.py"),
    "crawler/engine/worker.py": ("tests/engine/test_pool.py",),
    **{
        f"crawler/ledger/{name}.py": LEDGER
        for name in (
            *("changed_config", "database", "lost", "own_files", "products", "recovery", "rows", "store", "temporary"),
            "visits",
        )
    },
    "crawler/disk.py": LEDGER,
    **{
        f"crawler/export/{name}.py": EXPORT
        for name in ("companions", "earlier", "foreign", "layouts", "media", "result", "scan", "tasks")
    },
    "crawler/geometry.py": ("tests/test_geometry.py", "tests/layout/test_layout.py"),
}
# Tests that take most of the time and are not needed to notice a change.
LEFT_OUT = (
    *("test_to_rgb_of_every_colour_there_is", "test_every_file_that_decodes_is_shown", "test_real_series"),
    *("test_time_is_linear", "test_ten_thousand_planes"),
)

SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq},
    **{ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And},
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Div},
    **{ast.Mod: ast.Add, ast.Pow: ast.Mult, ast.MatMult: ast.Mult},
    **{ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd},
}


def sites(tree: ast.Module) -> Iterator[tuple[ast.AST, str, int]]:
    """Places that can be changed: node, field, position in a list of operators; annotations and messages left out."""

    def walk(node: ast.AST) -> Iterator[tuple[ast.AST, str, int]]:
        if isinstance(node, ast.JoinedStr | ast.Raise) or (isinstance(node, ast.Expr) and _is_note(node)):
            return
        if isinstance(node, ast.keyword) and node.arg == "strict":  # of zip: an assertion
            return
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and node in anything:
            return
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "reshape":
            anything.update(node.args)  # any negative number leaves the length to NumPy
        match node:
            case ast.Compare():
                yield from ((node, "ops", place) for place in range(len(node.ops)))
            case ast.BinOp() | ast.BoolOp() | ast.AugAssign():
                yield node, "op", 0
            case ast.Constant(value=bool() | int() | float()):
                yield node, "value", 0
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "type_params", "decorator_list"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from walk(child)

    anything: set[ast.AST] = set()
    for statement in tree.body:
        if not isinstance(statement, ast.Import | ast.ImportFrom) and not _is_typing(statement):
            yield from walk(statement)


def _is_note(node: ast.Expr) -> bool:
    """Whether an expression is a docstring, or makes a note for people."""
    call = node.value
    return isinstance(call, ast.Constant) or (
        isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "note"
    )


def _is_typing(statement: ast.stmt) -> bool:
    """Whether a statement is an alias of types, or guarded by TYPE_CHECKING."""
    if isinstance(statement, ast.If):
        return isinstance(statement.test, ast.Name)
    value = statement.value if isinstance(statement, ast.Assign) else None
    return isinstance(value, ast.Subscript) or (isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitOr))


class Change(NamedTuple):
    """A change of a module: its line and the change in words, the head of the changed statement, and the module."""

    words: str
    head: str
    module: ast.Module


def changes(tree: ast.Module, numbers: Sequence[int] | None = None) -> Iterator[Change]:
    """Change one site after the other, all of them or those of some numbers; a change lasts until the next is asked."""
    places = list(sites(tree))
    holders = {id(part): one for one in ast.walk(tree) if isinstance(one, ast.stmt) for part in ast.walk(one)}
    for number in range(len(places)) if numbers is None else numbers:
        node, name, place = places[number]
        before = ast.unparse(node)
        undo = _change(node, name, place)
        head = ast.unparse(holders[id(node)]).partition("\n")[0]
        yield Change(f"{getattr(node, 'lineno', 0)}: {before}  ->  {ast.unparse(node)}", head, tree)
        undo()


def _change(node: Any, name: str, place: int) -> Callable[[], None]:
    """Change a node; returns what undoes it."""
    old: Any = list(node.ops) if name == "ops" else getattr(node, name)
    if name == "value":
        node.value = not old if isinstance(old, bool) else old + 1
    elif name == "ops":
        node.ops[place] = SWAPS[type(old[place])]()
    else:
        node.op = SWAPS[type(old)]()
    return lambda: setattr(node, name, old)


def equivalents() -> dict[str, dict[str, str]]:
    """Changes that make no difference: path of a module -> head of the changed statement -> reason."""
    found: dict[str, dict[str, str]] = yaml.safe_load(EQUIVALENT.read_text(encoding="utf-8"))
    return found


class _Replaced(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module from changed code."""

    def __init__(self, module: str, path: Path, code: CodeType) -> None:
        self.module, self.path, self.code = module, path, code

    def find_spec(self, name: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if name != self.module:
            return None
        return importlib.util.spec_from_file_location(name, self.path, loader=self)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(self.code, module.__dict__)


class _Lines:
    """A plug-in of pytest that notes which lines of some files each test reaches, and how long it takes."""

    def __init__(self, files: Sequence[str]) -> None:
        self.found: dict[str, dict[str, list[int]]] = {}
        self.seconds: dict[str, float] = {}
        self._files, self._lines = set(files), set[tuple[str, int]]()

    def pytest_runtest_protocol(self, item: Any, nextitem: Any) -> bool:
        from _pytest.runner import runtestprotocol

        self._lines = set()
        begun = time.monotonic()
        threading.settrace(self._enter)
        sys.settrace(self._enter)
        try:
            runtestprotocol(item, nextitem=nextitem, log=False)
        finally:
            sys.settrace(None)
            threading.settrace(None)
        self.seconds[item.nodeid] = time.monotonic() - begun
        for file, line in self._lines:
            self.found.setdefault(file, {}).setdefault(item.nodeid, []).append(line)
        return True  # it has run

    def _enter(self, frame: FrameType, event: str, value: object) -> Any:
        return self._step if frame.f_code.co_filename in self._files else None

    def _step(self, frame: FrameType, event: str, value: object) -> Any:
        self._lines.add((frame.f_code.co_filename, frame.f_lineno))
        return self._step


class _Chosen:
    """A plug-in of pytest that leaves some tests, the fastest first."""

    def __init__(self, seconds: Mapping[str, float]) -> None:
        self._seconds = seconds

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = sorted((item for item in items if item.nodeid in self._seconds), key=self._of)

    def _of(self, item: Any) -> float:
        return self._seconds[item.nodeid]


class Reach:
    """Which tests reach the lines of modules.

    Attributes
    ----------
    seconds
        How long each test takes.
    lines
        Path of a module -> test -> lines of it that the test reaches.
    """

    def __init__(self, paths: Sequence[str], tests: Sequence[str]) -> None:
        with tempfile.NamedTemporaryFile("r", suffix=".json") as file:
            if not _child(lambda: self._record(paths, tests, file.name)):
                raise SystemExit(f"{', '.join(tests)}: they fail without a change")
            found, self.seconds = json.load(file)
        self.lines = {path: found.get(str(ROOT / path), {}) for path in paths}

    def _record(self, paths: Sequence[str], tests: Sequence[str], target: str) -> int:
        noted = _Lines([str(ROOT / path) for path in paths])
        code = _pytest(tests, noted)
        Path(target).write_text(json.dumps([noted.found, noted.seconds]))
        return code

    def of(self, path: str, node: ast.AST, tree: ast.Module) -> dict[str, float]:
        """Tests that reach a place, with their seconds; all of the module's where it is reached on loading."""
        for part in (node, *_around(tree, node)):
            span = range(part.lineno, (part.end_lineno or part.lineno) + 1)  # type: ignore[attr-defined]
            found = [test for test, lines in self.lines[path].items() if any(line in span for line in lines)]
            if found:
                return {test: self.seconds[test] for test in found}
        return {test: self.seconds[test] for test in self.lines[path]}


def _around(tree: ast.Module, node: ast.AST) -> list[ast.stmt]:
    """The statement that a node is a part of, without those in it; of a function or class no more than its head."""
    holders = [
        one
        for one in ast.walk(tree)
        if isinstance(one, ast.stmt) and not hasattr(one, "body") and any(part is node for part in ast.walk(one))
    ]
    return holders[-1:]


def _pytest(tests: Sequence[str], *plugins: object) -> int:
    import pytest

    skipped = " and ".join(f"not {name}" for name in LEFT_OUT)
    flags = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow", "-k", skipped, "--rootdir", str(ROOT)]
    return int(pytest.main([*flags, *(str(ROOT / test) for test in tests)], list(plugins)))


def _child(work: Callable[[], int], seconds: float = SECONDS) -> bool:
    """Whether work in a process of its own returns 0; False too when it hangs."""
    child = os.fork()
    if child == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        os.setsid()
        code = 1
        try:
            code = work()
        finally:
            os._exit(code)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def affordable(seconds: Mapping[str, float], budget: float) -> dict[str, float]:
    """The fastest tests of so many seconds, one at least."""
    chosen: dict[str, float] = {}
    for test, took in sorted(seconds.items(), key=lambda item: item[1]):
        if chosen and sum(chosen.values()) + took > budget:
            break
        chosen[test] = took
    return chosen


def survives(path: str, code: CodeType, seconds: Mapping[str, float]) -> bool:
    """Whether the tests pass with a module's code replaced."""

    def work() -> int:
        sys.meta_path.insert(0, _Replaced(path.removesuffix(".py").replace("/", "."), ROOT / path, code))
        return _pytest(sorted({test.partition("::")[0] for test in seconds}), _Chosen(seconds))

    return not seconds or _child(work, 60 + SLOWER * sum(seconds.values()))


def main() -> int:
    """Run the trial; prints every survivor and the share that was noticed, and returns 1 below the share asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("modules", nargs="*", help=f"of {', '.join(TESTS)}; all by default")
    parser.add_argument("--share", type=float, default=1.0, help="of the changes to try, at random")
    parser.add_argument("--seed", type=int, default=0, help="of the choice: another one tries other changes")
    parser.add_argument("--budget", type=float, default=60, help="seconds of tests for a change: more are left out")
    parser.add_argument("--least", type=float, default=0.95, help="share to be noticed")
    options = parser.parse_args()
    os.chdir(ROOT)
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    for heavy in ("numpy", "pydicom", "pydicom.pixels", "imagecodecs", "pytest", "h5py"):
        importlib.import_module(heavy)  # once, for all children
    rng, tried, survivors, known = random.Random(options.seed), 0, 0, equivalents()
    paths = options.modules or list(TESTS)
    groups: dict[Sequence[str], Reach] = {}
    for tests in dict.fromkeys(TESTS[path] for path in paths):
        groups[tests] = Reach([path for path in paths if TESTS[path] == tests], tests)
    for path in paths:
        tree, reach = ast.parse((ROOT / path).read_text(encoding="utf-8")), groups[TESTS[path]]
        places = list(sites(tree))
        numbers = [number for number in range(len(places)) if rng.random() < options.share]
        alive = skipped = 0
        for number, (words, head, mutant) in zip(numbers, changes(tree, numbers), strict=True):
            if head in known.get(path, {}):
                skipped += 1
                continue
            code = compile(ast.fix_missing_locations(mutant), str(ROOT / path), "exec")
            if survives(path, code, affordable(reach.of(path, places[number][0], tree), options.budget)):
                alive += 1
                print(f"{path}:{words}\n    {head}", flush=True)
        count = len(numbers) - skipped
        print(f"{path}: {count - alive} of {count} noticed, {skipped} equivalent", flush=True)
        tried, survivors = tried + count, survivors + alive
    noticed = 1 - survivors / max(tried, 1)
    print(f"{tried - survivors} of {tried} noticed, {noticed:.1%}")
    return int(noticed < options.least)


if __name__ == "__main__":
    sys.exit(main())

"""How the input is divided, and what tasks of arrays read of it in their environment."""

from __future__ import annotations

import random
from array import array

import pytest
from support.runs import config

from crawler.cli import batch_system
from crawler.cluster.plan import divide
from crawler.cluster.shards import Shard, number_of
from crawler.errors import StopError


@pytest.mark.parametrize("shards", [3, 16, 100])
def test_shards_are_balanced_over_three_orders_of_magnitude(shards):
    chance = random.Random(shards)
    sizes = array("q", (int(10 ** chance.uniform(6, 9)) for _ in range(40 * shards)))
    taken = divide(sizes, shards)
    load = [sum(size for size, shard in zip(sizes, taken, strict=True) if shard == one + 1) for one in range(shards)]
    assert min(taken) == 1
    assert max(taken) == shards
    assert max(load) <= max(1.2 * sum(sizes) / shards, max(sizes))


def test_equal_sizes_and_no_sizes_are_spread():
    assert sorted(divide(array("q", [0] * 6), 3)) == [1, 1, 2, 2, 3, 3]
    assert list(divide(array("q"), 3)) == []
    assert list(divide(array("q", [5, 9]), 3, array("i", [2, 0]))) == [2, 1]


def test_the_hash_of_a_folder_is_the_same_everywhere():
    assert [number_of(key, 7) for key in ("", "a/b", "Röntgen/\\xff")] == [1, 6, 1]


def task(number: int, first: int, last: int, count: int, step: int | None = None) -> dict[str, str]:
    names = {"ID": number, "MIN": first, "MAX": last, "COUNT": count} | ({"STEP": step} if step is not None else {})
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in names.items()}


@pytest.mark.parametrize(
    ("environ", "shard"),
    [
        (task(0, 0, 3, 4, 1), Shard(1, 4)),
        (task(3, 0, 3, 4), Shard(4, 4)),
        (task(4, 1, 4, 4, 1), Shard(4, 4)),
        (task(30, 10, 50, 5, 10), Shard(3, 5)),
        (task(7, 7, 7, 1, 1), Shard(1, 1)),
        ({}, None),
    ],
)
def test_an_array_task_is_the_shard_at_its_place(environ, shard):
    assert batch_system.shard_of(None, environ) == shard
    assert batch_system.shard_of("2/9", environ) == Shard(2, 9)
    assert batch_system.shard_of("all", environ) is None


@pytest.mark.parametrize("environ", [task(5, 1, 9, 3, 1), task(2, 1, 9, 3), {"SLURM_ARRAY_TASK_ID": "1"}])
def test_arrays_that_do_not_say_a_place_are_refused(environ):
    with pytest.raises(StopError, match="add --shard"):
        batch_system.shard_of(None, environ)


@pytest.mark.parametrize("text", ["0/4", "5/4", "1/0", "x", "1", "1/2/3", "-1/4"])
def test_shards_that_are_not_there_are_refused(text):
    with pytest.raises(StopError, match="shard"):
        batch_system.shard_of(text, {})


def test_workers_and_memory_are_those_of_the_job(tmp_path):
    settings = config(tmp_path, tmp_path / "out", workers=4)
    job = {"SLURM_CPUS_PER_TASK": "8", "SLURM_MEM_PER_CPU": "1000"}
    given = batch_system.with_resources(settings, None, job)
    assert given.num_workers == 8
    assert given.limits.memory == int(8000 * 2**20 * 0.9 - 500e6) // 8
    assert batch_system.with_resources(settings, 2, job).num_workers == 2
    assert batch_system.with_resources(settings, None, {"SLURM_MEM_PER_NODE": "0"}) == settings
    roomy = batch_system.with_resources(settings, None, {"SLURM_MEM_PER_NODE": "100000"})
    assert roomy.limits.memory == settings.limits.memory

"""Replay by DuckDB does what replay in memory does."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from effortctl import ConfigError, StoreError
from effortctl.harness.evaluation import Threshold, replay_parquet
from effortctl.policies import run_ladder

ARMS = ("small", 'it\'s "mid"', "big")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A Parquet file of 500 tasks, and the arrays it was made of."""
    duckdb = pytest.importorskip("duckdb")
    rng = np.random.default_rng(0)
    score = (rng.random((500, 3)) < [0.5, 0.7, 0.9]).astype(float)
    cost = rng.random((500, 3)) * [1, 3, 9]
    passed = rng.random((500, 3)) < 0.6
    hard = rng.random(500)
    path = tmp_path_factory.mktemp("big") / "outcomes.parquet"
    base = duckdb.connect()
    base.execute(
        "CREATE TABLE t (query_id TEXT, arm TEXT, score DOUBLE, cost_usd DOUBLE, verdict TEXT, "
        "difficulty DOUBLE)"
    )
    rows = [
        (f"q{i}", arm, score[i, j], cost[i, j], "pass" if passed[i, j] else "fail", hard[i])
        for i in range(500)
        for j, arm in enumerate(ARMS)
    ]
    base.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", rows)
    base.execute("INSERT INTO t VALUES ('hole', 'small', 1, 1, 'pass', 0)")
    base.execute(f"COPY t TO '{path}' (FORMAT parquet)")
    base.close()
    return path, score, cost, passed, hard


@pytest.mark.parametrize("ladder", [(0,), (2,), (0, 2), (1, 0, 2)])
@pytest.mark.parametrize("verifier", ["exact", "none", "recorded"])
def test_ladders_cost_and_score_what_they_do_in_memory(world, ladder, verifier):
    path, score, cost, passed, _ = world
    said = {"exact": score > 0.5, "none": passed | True, "recorded": passed}[verifier]
    dollars, quality = run_ladder(ladder, score, said, cost_usd=cost)
    names = {"it": [ARMS[j] for j in ladder], "all": list(ARMS)}
    found = replay_parquet(path, names, verifier=verifier)["it"]
    assert found.tasks == 500
    assert found.cost_usd == pytest.approx(dollars.mean())
    assert found.quality == pytest.approx(quality.mean())
    assert found.cost_error == pytest.approx(dollars.std(ddof=1) / 500**0.5)


def test_thresholds_choose_by_their_column(world):
    path, score, cost, _, hard = world
    arm = np.digitize(hard, [0.3, 0.6])
    rows = np.arange(500)
    found = replay_parquet(path, {"it": Threshold("difficulty", (0.3, 0.6), ARMS)})["it"]
    assert found.cost_usd == pytest.approx(cost[rows, arm].mean())
    assert found.quality == pytest.approx(score[rows, arm].mean())


@pytest.mark.parametrize(
    ("policies", "options"),
    [
        ({}, {}),
        ({"a": []}, {}),
        ({"a": ["x", "x"]}, {}),
        ({"a": "x"}, {}),
        ({"a": ["x"]}, {"verifier": "?"}),
    ],
)
def test_policies_that_make_no_sense_are_refused(policies, options):
    with pytest.raises(ConfigError):
        replay_parquet("no.parquet", policies, **options)


def test_thresholds_that_do_not_part_the_arms_are_refused():
    with pytest.raises(ConfigError, match="one fewer than arms"):
        Threshold("difficulty", (0.6, 0.3), ARMS)


def test_files_that_cannot_be_replayed_are_named(world, tmp_path):
    path = world[0]
    with pytest.raises(StoreError, match="cannot be replayed"):
        replay_parquet(tmp_path / "missing.parquet", {"a": ["small"]})
    with pytest.raises(StoreError, match="no task with an outcome of each of huge"):
        replay_parquet(path, {"a": ["huge"]})
    with pytest.raises(StoreError, match="lacks column 'length'"):
        replay_parquet(path, {"a": Threshold("length", (), ("small",))})


def test_without_duckdb_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(ConfigError, match=r"effortctl\[big\]"):
        replay_parquet("x.parquet", {"a": ["small"]})

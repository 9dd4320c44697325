"""Results of evaluations become tables and inspect logs."""

import csv
import importlib.util
import json
import re
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from effortctl._errors import ConfigError, StoreError
from effortctl.harness._result import EvalResult
from effortctl.harness.formats import export_result, import_outcomes

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def result():
    point = {"quality_ci95": [0.2, 0.8], "cost_ci95": [0.001, 0.002]}
    plan = {"quality": 0.5, "cost_usd": 0.0015, **point}
    return EvalResult.model_validate(
        {
            "name": "sums",
            "n_tasks": 2,
            "n_clusters": 2,
            "verifier": "exact",
            "arms": {
                "m@low": {
                    **plan,
                    "model": "m",
                    "effort": "low",
                    "latency_p50_s": 1.5,
                }
            },
            "policies": {
                "plan": {**plan, "metrics": {"regret": 0.1, "auc": None}},
                "fixed_ladder": {**plan, "arms": ["m@low", "m@high"], "simulated": True},
            },
            "best_fixed_arm": "m@low",
            "best_fixed_ladder": ["m@low"],
            "oracle": {"quality": 1, "cost_usd": 0.001},
            "cost_at_equal_quality": {
                "plan": {"cost_usd": 0.001, "ratio_to_best_fixed_arm": 0.5, "ci95": [0.4, 0.6]},
                "fixed_ladder": None,
            },
            "frontier": {},
            "verdict": {
                "decision": "route",
                "policy": "plan",
                "baseline": "m@low",
                "saving": 0.5,
                "ci95": [0.4, 0.6],
                "quality_difference": 0,
                "quality_ci95": [-0.1, 0.1],
                "reason": "It pays.",
            },
            "provenance": {"seed": 1},
            "tasks": {
                "ids": ["a", "b"],
                "clusters": ["c1", None],
                "scores": {"m@low": [1, 0]},
                "costs_usd": {"m@low": [0.001, 0.002]},
                "policies": {
                    "plan": {
                        "cost_usd": [0.001, 0.002],
                        "quality": [1, 0],
                        "calls": [["m@low"], ["m@low", "m@high"]],
                        "returned": ["m@low", None],
                    }
                },
            },
        }
    )


def read(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_csv_has_a_row_per_arm_and_policy_and_a_table_of_tasks_beside_it(result, tmp_path):
    files = export_result(result, tmp_path / "out" / "r.csv", to="csv")
    assert [path.name for path in files] == ["r.csv", "r.tasks.csv"]
    policies, tasks = map(read, files)
    assert [(row["kind"], row["name"]) for row in policies] == [
        ("arm", "m@low"),
        ("policy", "plan"),
        ("policy", "fixed_ladder"),
        ("oracle", "oracle"),
    ]
    assert (policies[0]["latency_p50_s"], policies[0]["effort"]) == ("1.5", "low")
    assert (policies[1]["equal_quality_ratio"], policies[1]["metric.regret"]) == ("0.5", "0.1")
    assert (policies[2]["arms"], policies[2]["equal_quality_ratio"]) == ("m@low > m@high", "")
    assert [(row["task_id"], row["name"], row["quality"], row["calls"]) for row in tasks] == [
        ("a", "m@low", "1.0", ""),
        ("a", "plan", "1.0", "m@low"),
        ("b", "m@low", "0.0", ""),
        ("b", "plan", "0.0", "m@low > m@high"),
    ]
    assert not list(tmp_path.glob("**/*.part"))


def test_a_result_without_tasks_has_no_table_of_tasks(result, tmp_path):
    short = result.model_copy(update={"tasks": None})
    assert export_result(short, tmp_path / "r.csv", to="csv") == (tmp_path / "r.csv",)


def test_parquet_holds_the_same_rows(result, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    files = export_result(result, tmp_path / "r.parquet", to="parquet")
    policies, tasks = (parquet.read_table(path).to_pylist() for path in files)
    assert policies[1]["metric.regret"] == 0.1
    assert policies[0]["simulated"] is None
    assert [row["cost_usd"] for row in tasks] == [0.001, 0.001, 0.002, 0.002]


def test_json_is_the_result_itself(result, tmp_path):
    (path,) = export_result(result, tmp_path / "r.json", to="json")
    assert EvalResult.load(path) == result


def test_an_inspect_log_has_a_scorer_per_arm_and_policy(result, tmp_path):
    (path,) = export_result(result, tmp_path / "r.json", to="inspect", now=NOW)
    log = json.loads(path.read_text())
    assert (log["version"], log["status"]) == (2, "success")
    assert log["eval"]["created"] == "2026-11-23T12:00:00+00:00"
    assert log["eval"]["model"] == "effortctl/plan"
    assert [score["name"] for score in log["results"]["scores"]] == [
        "arm:m@low",
        "plan",
        "fixed_ladder",
    ]
    second = log["samples"][1]
    assert (second["id"], second["input"], second["metadata"]) == ("b", "b", {"cluster": None})
    assert second["scores"]["plan"] == {
        "value": 0,
        "metadata": {"cost_usd": 0.002, "calls": ["m@low", "m@high"], "returned": None},
    }


def test_an_exported_inspect_log_can_be_imported(result, tmp_path):
    (path,) = export_result(result, tmp_path / "r.json", to="inspect", now=NOW)
    found = import_outcomes(path, scorer="plan")
    assert [(row.query_id, row.score) for row in found.rows] == [("sums/a", 1.0), ("sums/b", 0.0)]


def test_an_inspect_log_in_a_folder_gets_a_name_that_inspect_view_lists(result, tmp_path):
    (path,) = export_result(result, tmp_path / "logs", to="inspect", now=NOW)
    assert path.parent == tmp_path / "logs"
    assert re.fullmatch(r"2026-11-23T12-00-00-00-00_sums_[0-9a-f]{22}\.json", path.name)


READER = """
import json, os, sys
from inspect_ai.log import list_eval_logs
assert len(list_eval_logs(os.path.dirname(sys.argv[1]))) == 1
from inspect_ai.log import read_eval_log, read_eval_log_samples
log = read_eval_log(sys.argv[1])
samples = list(read_eval_log_samples(sys.argv[1]))
print(json.dumps({
    "task": log.eval.task,
    "means": {s.name: s.metrics["mean"].value for s in log.results.scores},
    "scores": {s.id: s.scores["plan"].value for s in samples},
    "usd": {s.id: s.scores["plan"].metadata["cost_usd"] for s in samples},
}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("inspect_ai"), reason="inspect_ai not installed")
def test_inspects_own_reader_opens_the_log(result, tmp_path):
    (path,) = export_result(result, tmp_path / "logs", to="inspect", now=NOW)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", READER, str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "task": "sums",
        "means": {"arm:m@low": 0.5, "plan": 0.5, "fixed_ladder": 0.5},
        "scores": {"a": 1, "b": 0},
        "usd": {"a": 0.001, "b": 0.002},
    }


def test_an_unknown_format_and_an_unwritable_file_are_refused(result, tmp_path):
    with pytest.raises(ConfigError, match="choose from csv, parquet, json, inspect"):
        export_result(result, tmp_path / "r.xlsx", to="excel")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="not written"):
        export_result(result, tmp_path / "file" / "r.csv", to="csv")

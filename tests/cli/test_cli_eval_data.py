"""`effortctl eval import`, `export`, `convert` and `batch-requests`."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from effortctl.cli import _eval_data
from effortctl.harness._result import EvalResult
from effortctl.stores import read_outcomes


@pytest.fixture
def data():
    """Runs a command line of these commands alone."""
    app = typer.Typer()
    _eval_data.register(app)

    def run(*arguments):
        return CliRunner().invoke(app, [str(a) for a in arguments], prog_name="effortctl eval")

    return run


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "gsm8k.csv"
    path.write_text("prompt,small,big\nTwo plus two?,True,True\nNine nines?,False,True\n")
    return path


def test_import_writes_outcomes_and_says_what_it_found(data, table, tmp_path):
    output = tmp_path / "o.jsonl.gz"
    done = data("import", table, "--from", "auto", "-o", output, "--price", "big=0.004/call")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines() == [
        "4 outcomes of 2 tasks and 2 arms (routellm)",
        "Arms: small, big",
        "Dollars of 2 answers: user",
        "Dollars unknown for 2 answers of small; set --price small=IN/OUT",
        f"Written to {output}",
    ]
    matrix = read_outcomes(output)
    assert matrix.score.tolist() == [[1, 1], [0, 1]]
    assert matrix.cost_usd[:, 1].tolist() == [0.004, 0.004]


def test_import_answers_in_json_too(data, table, tmp_path):
    done = data("import", table, "-o", tmp_path / "o.csv", "--json")
    assert json.loads(done.stdout) == {
        "output": str(tmp_path / "o.csv"),
        "format": "routellm",
        "outcomes": 4,
        "tasks": 2,
        "arms": ["small", "big"],
        "left_out": {},
        "price_sources": {},
        "unknown_cost": {"small": 2, "big": 2},
        "notes": [],
    }


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--from", "xml"), "unknown format 'xml'"),
        (("--price", "big"), "is not a price"),
        (("--metric", "exact"), "give --dataset FILE too"),
        (("--from", "otel"), "not JSON"),
        (("--dataset", "nowhere.csv"), "nowhere.csv cannot be read"),
    ],
)
def test_a_mistake_ends_with_one_sentence_and_code_3(data, table, *, tmp_path, arguments, told):
    output = tmp_path / "o.jsonl"
    done = data("import", table, "-o", output, *arguments)
    assert done.exit_code == 3
    assert told in done.stderr
    assert not output.exists()


def test_convert_writes_the_same_outcomes_as_another_kind(data, table, tmp_path):
    first, second = tmp_path / "a.jsonl.gz", tmp_path / "b.csv"
    assert data("import", table, "-o", first).exit_code == 0
    assert data("convert", first, "-o", second).stdout == f"Written to {second}\n"
    assert read_outcomes(second).score.tolist() == read_outcomes(first).score.tolist()


def test_batch_requests_and_their_results_round_trip(data, tmp_path):
    tasks = tmp_path / "tasks.csv"
    tasks.write_text("id,input,target,note\na,2+2?,4,x\nb,3+3?,6,y\n")
    arms = "gpt-6-luna@low,gpt-6-luna@high"
    done = data("batch-requests", tasks, "--arms", arms, "-o", tmp_path / "b", "--json")
    assert done.exit_code == 0, done.stderr
    assert "column 'note' is not used" in done.stderr
    (requests,) = json.loads(done.stdout)["files"]
    results = tmp_path / "results.jsonl"
    with Path(requests).open() as lines, results.open("w") as out:
        for line in lines:
            body = {
                "model": "gpt-6-luna",
                "status": "completed",
                "output": [{"type": "message", "content": [{"type": "output_text", "text": "4"}]}],
                "usage": {"input_tokens": 10, "output_tokens": 5},
            }
            record = {
                "custom_id": json.loads(line)["custom_id"],
                "response": {"status_code": 200, "body": body},
            }
            out.write(json.dumps(record) + "\n")
    output = tmp_path / "o.jsonl"
    done = data("import", results, requests, "--dataset", tasks, "-o", output)
    assert done.exit_code == 0, done.stderr
    matrix = read_outcomes(output)
    assert matrix.arms == ("gpt-6-luna@low", "gpt-6-luna@high")
    assert matrix.score.tolist() == [[1, 1], [0, 0]]


def test_batch_requests_take_a_ladder_by_name(data, tmp_path):
    tasks = tmp_path / "tasks.csv"
    tasks.write_text("id,input,target\na,2+2?,4\nb,3+3?,6\n")
    done = data("batch-requests", tasks, "--arms", "openai", "-o", tmp_path, "--limit", 1)
    assert done.exit_code == 0, done.stderr
    assert "requests-gpt" in done.stdout


def test_export_writes_tables(data, tmp_path):
    point = {"quality": 1, "cost_usd": 1, "quality_ci95": [1, 1], "cost_ci95": [1, 1]}
    source, target = tmp_path / "r.json", tmp_path / "t.csv"
    EvalResult.model_validate(
        {
            "name": "x",
            "n_tasks": 1,
            "n_clusters": 1,
            "verifier": "exact",
            "arms": {"m": point},
            "policies": {},
            "best_fixed_arm": "m",
            "best_fixed_ladder": ["m"],
            "oracle": {"quality": 1, "cost_usd": 1},
            "cost_at_equal_quality": {},
            "frontier": {},
            "verdict": {
                "decision": "keep_fixed",
                "policy": "m",
                "baseline": "m",
                "saving": 0,
                "ci95": [0, 0],
                "quality_difference": 0,
                "quality_ci95": [0, 0],
                "reason": "One arm.",
            },
        }
    ).save(source)
    assert data("export", source, "--to", "csv", "-o", target).stdout == f"Written to {target}\n"
    assert target.read_text().startswith("kind,name,model")
    wrong = data("export", source, "--to", "xml", "-o", target, "--json")
    assert wrong.exit_code == 3
    assert "unknown format" in json.loads(wrong.stdout)["error"]["message"]

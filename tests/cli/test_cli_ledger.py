import csv
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from effortctl._types import Cost
from effortctl.stores import SqliteLedger, default_ledger_path


@pytest.fixture
def booked(tmp_path):
    """A ledger with three settled calls of two arms."""
    path = tmp_path / "booked.sqlite3"
    with SqliteLedger(path) as ledger:
        for arm, usd in (("a@low", "0.01"), ("a@low", "0.02"), ("b@high", "0.5")):
            ticket = ledger.reserve(Decimal(1), budgets=(), trace_id="t")
            row = {"arm": arm, "model": arm[0], "input_tokens": 100, "output_tokens": 10}
            ledger.settle(ticket, Cost(usd=Decimal(usd), source="user"), row=row)
    return path


def test_calls_tokens_and_dollars_are_added_up_per_arm(cli, booked):
    done = cli("ledger", "show", "--ledger", booked)
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.strip()}
    assert rows["a@low"] == ["2", "200", "20", "0", "0.0", "$0.03"]
    assert rows["total"] == ["3", "300", "30", "0", "0.0", "$0.53"]


@pytest.mark.parametrize(("by", "names"), [("arm", 2), ("model", 2), ("day", 1)])
def test_groups_as_json_add_up_to_the_total(cli, booked, by, names):
    document = json.loads(cli("ledger", "show", "--by", by, "--ledger", booked, "--json").stdout)
    assert len(document["groups"]) == names
    total = sum(Decimal(group["cost_usd"]) for group in document["groups"].values())
    assert total == Decimal(document["total"]["cost_usd"]) == Decimal("0.53")


@pytest.mark.parametrize("since", ["1h", "1d", "2w", str(datetime.now(UTC).date())])
def test_since_takes_ages_and_days(cli, booked, since):
    assert "$0.53" in cli("ledger", "show", "--since", since, "--ledger", booked).stdout


def test_what_is_older_is_left_out(cli, booked):
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    done = cli("ledger", "show", "--since", tomorrow, "--ledger", booked)
    assert done.stdout.startswith("Nothing booked yet in ")
    assert cli("ledger", "show", "--since", "soon", "--ledger", booked).exit_code == 2


def test_an_export_has_every_entry_in_both_formats(cli, booked, tmp_path):
    target = tmp_path / "out.csv"
    assert cli("ledger", "export", "--ledger", booked, "-o", target).stdout == ""
    rows = list(csv.DictReader(target.read_text().splitlines()))
    assert [row["cost_usd"] for row in rows] == ["0.01", "0.02", "0.5"]
    lines = cli("ledger", "export", "--format", "jsonl", "--ledger", booked).stdout.splitlines()
    assert [json.loads(line)["arm"] for line in lines] == ["a@low", "a@low", "b@high"]


def test_an_export_that_cannot_be_written_is_code_3(cli, booked, tmp_path):
    done = cli("ledger", "export", "--ledger", booked, "-o", tmp_path / "no" / "such" / "place")
    assert done.exit_code == 3
    assert done.stderr.startswith("Error: cannot write ")


def test_looking_makes_no_file(cli):
    done = cli("ledger", "show")
    assert done.exit_code == 0
    assert done.stdout.startswith("Nothing booked yet in ")
    assert cli("ledger", "export").stdout == ""
    assert not default_ledger_path().exists()


def test_a_named_ledger_that_is_not_there_is_code_3(cli, tmp_path):
    done = cli("ledger", "show", "--ledger", tmp_path / "none", "--json")
    assert done.exit_code == 3
    assert json.loads(done.stdout)["error"]["type"] == "StoreError"


def test_an_unreadable_ledger_is_one_sentence(cli, tmp_path):
    path = tmp_path / "bad.sqlite3"
    path.write_text("no database " * 99)
    done = cli("ledger", "show", "--ledger", path)
    assert done.exit_code == 3
    assert done.stderr.count("\n") == 1
    assert path.read_text() == "no database " * 99

import datetime as dt
import json
from decimal import Decimal

import pytest

from effortctl._types import Cost
from effortctl.stores import SqliteLedger

DAY = "2026-11-20"


@pytest.fixture
def booked(tmp_path):
    """A ledger with one call that reported its usage and one that was cut off."""
    path = tmp_path / "booked.sqlite3"
    noon = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
    with SqliteLedger(path, clock=lambda: noon) as ledger:
        for usd, source in (("1.00", "user"), ("0.50", "worst_case")):
            ticket = ledger.reserve(Decimal(usd), budgets=(), trace_id="t")
            ledger.settle(ticket, Cost(usd=Decimal(usd), source=source), row={"model": "m"})
    return path


@pytest.fixture
def bill(tmp_path):
    def write(usd, header="date,model,cost"):
        path = tmp_path / "bill.csv"
        path.write_text(f"{header}\n{DAY},m,{usd}\n")
        return path

    return write


def spent(path):
    with SqliteLedger(path) as ledger:
        return sum(entry.cost_usd for entry in ledger.entries())


def test_a_difference_that_estimates_explain_is_shown_and_not_booked(cli, booked, bill):
    done = cli("ledger", "reconcile", bill("1.20"), "--ledger", booked)
    assert done.exit_code == 0
    (row,) = [line.split() for line in done.stdout.splitlines() if line.startswith(DAY)]
    assert row[1:] == ["m", "$1.00", "$0.50", "$1.20", "-$0.30", "explained"]
    assert "With --apply, 1 estimated entries are adjusted to the bill: -$0.30." in done.stdout
    assert spent(booked) == Decimal("1.50")


def test_with_apply_an_adjustment_is_booked_once(cli, booked, bill):
    for adjusted in (1, 0):
        done = cli("ledger", "reconcile", bill("1.20"), "--ledger", booked, "--apply", "--json")
        document = json.loads(done.stdout)
        assert done.exit_code == 0
        assert document["agrees"] is True
        assert document["adjusted_entries"] == adjusted
        assert spent(booked) == Decimal("1.20")
    assert document["lines"][0]["status"] == "equal"


@pytest.mark.parametrize("case", [("9.99", "provider_more"), ("0.10", "provider_less")])
def test_a_difference_nobody_can_explain_is_code_4_and_never_booked(cli, booked, bill, case):
    usd, status = case
    done = cli("ledger", "reconcile", bill(usd), "--ledger", booked, "--apply", "--json")
    document = json.loads(done.stdout)
    assert done.exit_code == 4
    assert document["agrees"] is False
    assert [line["status"] for line in document["lines"]] == [status]
    assert spent(booked) == Decimal("1.50")


def test_columns_rows_and_models_can_be_mapped(cli, booked, tmp_path):
    path = tmp_path / "bill.csv"
    path.write_text(f"when,what,paid,key\n{DAY},Big M,1.5,a\n{DAY},Big M,7,b\n")
    columns = ["--column", "date=when", "--column", "model=what", "--column", "cost=paid"]
    done = cli(
        "ledger", "reconcile", path, "--ledger", booked, *columns, "--only", "key=a",
        "--model", "Big M=m", "--json",
    )  # fmt: skip
    assert done.exit_code == 0
    assert json.loads(done.stdout)["lines"][0]["provider_usd"] == "1.5"


def test_bad_input_is_code_3_and_a_bad_option_code_2(cli, booked, bill, tmp_path):
    assert cli("ledger", "reconcile", bill("much"), "--ledger", booked).exit_code == 3
    assert cli("ledger", "reconcile", tmp_path / "no.csv", "--ledger", booked).exit_code == 3
    missing = cli("ledger", "reconcile", bill("1"), "--ledger", tmp_path / "none")
    assert missing.exit_code == 3
    assert not (tmp_path / "none").exists()
    wrong = cli("ledger", "reconcile", bill("1"), "--ledger", booked, "--only", "key")
    assert wrong.exit_code == 2


def test_a_bill_without_rows_says_so(cli, booked, tmp_path):
    path = tmp_path / "bill.csv"
    path.write_text("date,model,cost\n")
    done = cli("ledger", "reconcile", path, "--ledger", booked)
    assert (done.exit_code, done.stdout.startswith("The bill has no rows")) == (0, True)

"""The ledger against what the server would have billed, and against kill -9: the scripts of evals/soak, small.

The full runs (50,000 calls, 200 rounds) are committed in evals/soak with their figures.
"""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[2] / "evals" / "soak"


def run_script(name, *options):
    done = subprocess.run(
        [sys.executable, SOAK / name, *options],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_over_faulty_calls_the_ledger_is_what_the_provider_would_bill():
    figures = run_script("soak.py", "--tasks", "1000", "--seed", "7")
    compared = figures["comparison"]
    assert compared["reported"] > 700
    assert compared["wrong"] == 0, "calls with usage differ by nothing"
    assert compared["estimated"] > 20
    assert compared["too_low"] == 0, (
        "cut, cancelled and timed out calls are booked, and not too low"
    )
    assert compared["billed_free"] == 0, "what was booked as free was free"
    assert compared["unpaired"] == 0
    assert figures["left_reserved_usd"] == "0"
    assert figures["ledger_problems"] == []
    assert figures["rss_growth_mb"] <= 20
    assert figures["kept"]


@pytest.mark.slow
def test_killed_writers_lose_nothing_that_was_acknowledged():
    figures = run_script("kill_nine.py", "--rounds", "4")
    assert figures["acknowledged"] > 12
    assert figures["acknowledged_lost"] == 0
    assert figures["orphans_booked_at_another_amount"] == 0
    assert figures["kept"]


def committed(name):
    return json.loads((SOAK / "results" / name).read_text())


def test_the_committed_soak_kept_its_promises():
    figures = committed("soak.json")
    assert figures["tasks"] >= 50_000
    assert figures["faulty_share"] == pytest.approx(0.2, abs=0.01)
    assert figures["ledger_exact"]
    assert figures["rss_growth_mb"] <= 20
    assert figures["kept"]


def test_the_committed_kills_lost_nothing():
    figures = committed("kill_nine.json")
    assert figures["rounds"] >= 200
    assert figures["acknowledged_lost"] == 0
    assert figures["kept"]


# --- the comparison itself can tell right from wrong -----------------------------------------------------


@pytest.fixture(scope="module")
def soak():
    spec = importlib.util.spec_from_file_location("soak_script", SOAK / "soak.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def entry(soak, cost, *, estimated=False, source="user"):
    from datetime import UTC, datetime
    from decimal import Decimal

    moment = datetime(2026, 11, 23, tzinfo=UTC)
    return soak.LedgerEntry(
        time=moment,
        settled_at=moment,
        kind="settled",
        reservation="r",
        trace_id="t",
        cost_usd=Decimal(cost),
        reserved_usd=Decimal(1),
        price_source=source,
        price_version="",
        estimated=estimated,
        scopes=(),
        task_id="t5",
    )


def hit(soak, output_tokens):
    from effortctl._types import Usage

    usage = None if output_tokens is None else Usage(input_tokens=0, output_tokens=output_tokens)
    body = {"input": "Say the number 5."}
    return soak.Hit(
        path="/v1/responses", model="m", effort="low", fault=None, status=200,
        would_bill_usage=usage, stream=False, body=body, headers={}, n=1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("booked", "billed", "exact"),
    [
        ({"cost": "0.001"}, 100, True),
        ({"cost": "0.00099999"}, 100, False),
        ({"cost": "0.002", "estimated": True}, 100, True),
        ({"cost": "0.0005", "estimated": True}, 100, False),
        ({"cost": "0", "estimated": True}, None, False),
        ({"cost": "0", "source": "rejected"}, None, True),
        ({"cost": "0", "source": "rejected"}, 100, False),
    ],
)
def test_the_comparison_finds_every_kind_of_difference(soak, booked, billed, exact):
    compared = soak.compare([entry(soak, **booked)], [hit(soak, billed)])
    assert compared.exact is exact


def test_the_comparison_finds_a_call_that_was_never_booked(soak):
    assert not soak.compare([], [hit(soak, 100)]).exact


def test_the_committed_limits_are_those_the_guide_names():
    figures = committed("limits.json")
    assert figures["past_deadline_median_ms"] <= 100
    gaps = figures["event_loop_longest_gap_ms"]
    assert max(gaps.values()) <= 50
    assert figures["cancellation"]["all_booked_after_s"] <= 1
    assert figures["cancellation"]["left_reserved_usd"] == "0"
    assert all(share <= 1.1 for share in figures["requests_per_task_in_an_outage"]["after"])

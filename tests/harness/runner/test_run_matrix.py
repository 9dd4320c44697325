"""The runner fills the matrix, does only what is missing, and tells errors from wrong answers."""

import errno
import gzip
import json
import os
from dataclasses import replace
from decimal import Decimal

import pytest
from runner_worlds import ONE, Fake, arm, inputs_of, rows, run

from effortctl._errors import (
    BackendError,
    ConfigError,
    EffortctlWarning,
    StoreError,
    TransientBackendError,
    UnknownPriceError,
    UnsupportedEffortError,
)
from effortctl._pricing import GenaiPriceBook
from effortctl._types import Answer, Arm, Budget, Usage
from effortctl.harness.runner import OUTCOMES, estimate_run, merge_runs, read_header, rescore_run
from effortctl.harness.runner import _merge as merge_module
from effortctl.harness.runner._config import PolicySpec
from effortctl.harness.runner._run import budget_of
from effortctl.stores import DiskCache, SqliteLedger, read_outcomes


def table(folder):
    matrix = read_outcomes(folder / OUTCOMES)
    return {
        (task, name): (matrix.score[i, j], matrix.cost_usd[i, j], matrix.n_samples[i, j])
        for i, task in enumerate(matrix.task_ids)
        for j, name in enumerate(matrix.arms)
    }


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


# --- filling -----------------------------------------------------------------------------------------


def test_every_arm_answers_every_task_as_often_as_asked(folder):
    backend = Fake()
    inputs = inputs_of(5, arms=[arm("a"), arm("b")], epochs=3)
    summary = run(inputs, folder, backend)
    assert sorted(backend.asked()) == sorted(
        (name, f"s{n}", epoch) for name in "ab" for n in range(5) for epoch in range(3)
    )
    assert (summary.done, summary.total, summary.rows) == (30, 30, 10)
    assert summary.complete
    assert all(value[2] == 3 for value in table(folder).values())


def test_an_answer_costs_what_its_tokens_cost(folder):
    run(inputs_of(6), folder, Fake())
    assert table(folder)["s5", "a"][1] == pytest.approx((10 * 1 + 5 * 10) / 1e6)


def test_scores_are_those_of_the_metric(folder):
    summary = run(inputs_of(8), folder, Fake(lambda call, _: "7" if call.task.id == "s3" else None))
    assert table(folder)["s3", "a"][0] == 0
    assert summary.quality == {"a": 7 / 8}


@pytest.mark.parametrize("epochs", [1, 2])
def test_the_table_is_the_same_whether_made_during_the_run_or_from_its_journal(folder, epochs):
    inputs = inputs_of(130, arms=[arm("a"), arm("b")], epochs=epochs)
    run(inputs, folder, Fake(lambda call, _: "7" if call.task.id == "s3" else None))
    during = gzip.decompress((folder / OUTCOMES).read_bytes())
    assert run(inputs, folder, Fake()).called == 0
    assert gzip.decompress((folder / OUTCOMES).read_bytes()) == during
    assert during.count(b"\n") == 260


def test_an_answer_that_was_cut_off_is_wrong_whatever_it_says(folder):
    cut = Answer(text="6", finish="truncated", usage=Usage(input_tokens=1, output_tokens=1))
    summary = run(inputs_of(4), folder, Fake(lambda call, _: cut if call.task.id == "s3" else None))
    assert table(folder)["s3", "a"][0] == 0
    assert any("cut off" in note for note in summary.notes)


def test_run_time_checks_are_recorded_beside_the_score(folder):
    inputs = inputs_of(3, verify="regex:^[0-4]$")
    run(inputs, folder, Fake())
    matrix = read_outcomes(folder / OUTCOMES)
    verdicts = dict(zip(matrix.task_ids, matrix.verdict[:, 0], strict=True))
    assert set(matrix.score[:, 0]) == {1.0}
    assert {verdicts["s0"], verdicts["s1"], verdicts["s2"]} == {1}


def test_a_check_alone_scores_where_there_is_no_reference(folder):
    cases = [{"id": "x", "input": "1 plus 1", "verify": "number:2"}]
    assert run(inputs_of(metric="verifier", cases=cases), folder, Fake()).quality == {"a": 1.0}


def test_a_slow_check_does_not_delay_keeping_the_answer(folder):
    seen = []

    def slow(answer):
        lines = [p.read_text() for p in folder.glob("journal-*.jsonl")]
        seen.append("".join(lines).count('"k":"done"'))
        return True

    run(inputs_of(1, metric="verifier", verify=slow), folder, Fake())
    assert seen == [1]


# --- again -------------------------------------------------------------------------------------------


def test_the_same_command_again_calls_nothing_and_gives_the_same_table(folder):
    first = Fake()
    run(inputs_of(5), folder, first)
    before, again = table(folder), Fake()
    summary = run(inputs_of(5), folder, again)
    assert again.calls == []
    assert table(folder) == before
    assert summary.spent_usd == 0
    assert summary.total_spent_usd > 0


def test_a_changed_config_only_runs_the_new_cells(folder):
    run(inputs_of(4), folder, Fake())
    backend = Fake()
    summary = run(inputs_of(6, arms=[arm("a"), arm("b")], epochs=2), folder, backend)
    assert summary.complete
    known = {("a", f"s{n}", 0) for n in range(4)}
    assert not known & set(backend.asked())
    assert len(backend.calls) == 6 * 2 * 2 - 4


def test_an_arm_that_means_something_else_now_is_refused(folder):
    run(inputs_of(3), folder, Fake())
    with pytest.raises(ConfigError, match=r"'a' was something else .* --out"):
        run(inputs_of(3, arms=[arm("a", cap=50)]), folder, Fake())


def test_a_task_that_asks_something_else_now_is_refused(folder):
    run(inputs_of(3), folder, Fake())
    changed = rows(3)
    changed[1]["input"] = "1 times 2"
    with pytest.raises(ConfigError, match="task 's1' asked something else"):
        run(inputs_of(cases=changed), folder, Fake())


def test_a_corrected_reference_scores_again_without_a_call(folder):
    run(inputs_of(3), folder, Fake())
    changed = rows(3)
    changed[2]["target"] = "5"
    backend = Fake()
    summary = run(inputs_of(cases=changed), folder, backend)
    assert backend.calls == []
    assert summary.scored == 1
    assert table(folder)["s2", "a"][0] == 0


def test_a_torn_last_line_is_ignored_and_its_call_made_again(folder):
    run(inputs_of(5, max_concurrency=1), folder, Fake())
    before = table(folder)
    journal = folder / "journal-0001.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    last = max(n for n, line in enumerate(lines) if b'"k":"done"' in line)
    journal.write_bytes(b"".join(lines[:last]) + lines[last][:40])
    backend = Fake()
    summary = run(inputs_of(5), folder, backend)
    assert len(backend.calls) == 1
    assert table(folder) == before
    assert any("cut short" in note for note in summary.notes)


def test_a_line_damaged_in_the_middle_is_told_with_its_number(folder):
    run(inputs_of(5), folder, Fake())
    journal = folder / "journal-0001.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:2], b"{nonsense\n", *lines[2:]]))
    with pytest.raises(StoreError, match=r"journal-0001.jsonl, line 3: not JSON"):
        run(inputs_of(5), folder, Fake())


def test_a_full_disk_stops_the_run_and_loses_nothing_that_was_written(folder, monkeypatch):
    writes = []

    def write(fd, data):
        writes.append(fd)
        if len(writes) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data)

    real = os.write
    monkeypatch.setattr(os, "write", write)
    with pytest.raises(StoreError, match="No space left on device; make room and resume"):
        run(inputs_of(30, max_concurrency=1), folder, Fake())
    monkeypatch.undo()
    assert run(inputs_of(30), folder, Fake()).complete


def test_the_response_cache_knows_which_repetition_an_answer_was(tmp_path):
    inputs = inputs_of(4, epochs=2)
    with DiskCache(tmp_path / "cache") as cache:
        first = Fake()
        run(inputs, tmp_path / "one", first, cache=cache)
        assert len(first.calls) == 8
        second = Fake()
        summary = run(inputs, tmp_path / "two", second, cache=cache)
        third = Fake()
        run(inputs_of(4, epochs=3), tmp_path / "three", third, cache=cache)
    assert second.calls == []
    assert summary.cached == 8
    assert summary.spent_usd == 0
    assert table(tmp_path / "one") == table(tmp_path / "two")
    assert {epoch for _, _, epoch in third.asked()} == {2}


# --- errors ------------------------------------------------------------------------------------------


def down(kind="server", status=503):
    return TransientBackendError("it is down", kind=kind, status=status)


def test_a_call_that_fails_is_tried_again_and_its_dollars_count(folder):
    billed = TransientBackendError("lost the reply", kind="connection", billed=True)
    backend = Fake(lambda _call, n: billed if n == 1 else None)
    summary = run(inputs_of(1), folder, backend)
    assert summary.complete
    assert len(backend.calls) == 2
    assert table(folder)["s0", "a"][1] > 0.001  # the worst case of the lost one: 100 output tokens


def test_errors_are_no_wrong_answers(folder):
    backend = Fake(lambda call, _: down() if call.task.id == "s1" else None)
    summary = run(inputs_of(3), folder, backend)
    assert summary.failed == {"server": 1}
    assert (summary.done, summary.total) == (2, 3)
    assert ("s1", "a") not in table(folder)
    assert summary.quality == {"a": 1.0}
    assert any("left out of the table" in note for note in summary.notes)


def test_errors_count_as_wrong_where_that_was_asked_for(folder):
    backend = Fake(lambda call, _: down() if call.task.id == "s1" else None)
    summary = run(inputs_of(4, errors="wrong"), folder, backend)
    assert summary.quality == {"a": 0.75}
    assert any("count as wrong" in note for note in summary.notes)


def test_errors_are_tried_again_by_the_next_session(folder):
    run(inputs_of(3), folder, Fake(lambda call, _: down() if call.task.id == "s1" else None))
    backend = Fake()
    summary = run(inputs_of(3), folder, backend)
    assert backend.asked() == [("a", "s1", 0)]
    assert summary.complete
    assert not summary.failed


def test_an_arm_without_a_key_is_given_up_and_the_others_go_on(folder):
    def script(call, _n):
        return (
            BackendError("no such key", kind="auth", status=401) if call.arm.name == "a" else None
        )

    backend = Fake(script)
    inputs = inputs_of(40, arms=[arm("a"), arm("b")], max_concurrency=2)
    summary = run(inputs, folder, backend)
    assert sum(name == "a" for name, _, _ in backend.asked()) <= 2
    assert summary.quality == {"b": 1.0}
    assert any("a was given up: no such key" in note for note in summary.notes)


def test_an_effort_the_endpoint_refuses_is_replaced_for_the_whole_run(folder):
    asking = Arm(name="a", model="gpt-6-luna", effort="xhigh", price=arm().price)

    def script(call, _n):
        if call.arm.sent_effort == "xhigh":
            return UnsupportedEffortError("no xhigh", supported=("low", "high"), status=400)
        return None

    backend = Fake(script)
    with pytest.warns(EffortctlWarning, match="is not accepted"):
        summary = run(
            inputs_of(5, arms=[asking], max_concurrency=1),
            folder,
            backend,
            backends={"openai": backend},
        )
    assert summary.complete
    assert len(backend.calls) == 6
    assert any("refused its effort" in note for note in summary.notes)


def test_a_check_that_cannot_tell_leaves_the_answer_unscored(folder):
    def crash(_answer):
        raise ValueError("no idea")

    with pytest.warns(EffortctlWarning, match="check crash raised ValueError"):
        summary = run(inputs_of(2, metric="verifier", verify=crash), folder, Fake())
    assert summary.failed == {"unchecked": 2}
    assert summary.rows == 0


# --- money -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["0.003", "0.01", "0.0300"])
def test_the_budget_holds_with_eight_calls_in_flight(tmp_path, limit):
    dear = Answer(text="0", usage=Usage(input_tokens=20, output_tokens=100))
    backend = Fake(lambda _call, _n: dear, latency_s=0.001)
    inputs = inputs_of(200, max_concurrency=8, budget_usd=limit)
    with SqliteLedger(tmp_path / "ledger.sqlite3") as ledger:
        summary = run(inputs, tmp_path / "run", backend, ledger=ledger)
        header = read_header(tmp_path / "run")
        budget = budget_of(inputs, header)
        assert ledger.spent(budget) <= Decimal(limit)
        assert ledger.reserved(budget) == 0
        assert ledger.check() == []
    really = len(backend.calls) * Decimal("0.00102")
    assert summary.total_spent_usd == really
    assert really <= Decimal(limit)
    assert summary.stopped == "budget"
    # Not so careful that the money goes unused: the worst case of one call is under $0.0011.
    assert really >= Decimal(limit) - Decimal("0.0023")


def test_a_larger_budget_goes_on_where_the_smaller_one_ended(folder):
    small = run(inputs_of(30, budget_usd="0.005"), folder, Fake())
    assert small.stopped == "budget"
    backend = Fake()
    large = run(inputs_of(30, budget_usd="1"), folder, backend)
    assert large.complete
    assert len(backend.calls) == 30 - small.done
    assert large.total_spent_usd == small.spent_usd + large.spent_usd


def test_spending_of_earlier_sessions_counts(folder):
    run(inputs_of(10, limit=5, budget_usd="1"), folder, Fake())
    spent = run(inputs_of(10, limit=5, budget_usd="1"), folder, Fake()).total_spent_usd
    summary = run(inputs_of(10, budget_usd=str(spent)), folder, Fake())
    assert summary.stopped == "budget"
    assert summary.called == 0


def test_the_ledger_is_touched_once_for_many_calls_and_adds_up(tmp_path):
    inputs = inputs_of(600, budget_usd="1000", max_concurrency=50)
    with SqliteLedger(tmp_path / "ledger.sqlite3") as ledger:
        summary = run(inputs, tmp_path / "run", Fake(), ledger=ledger)
        entries = list(ledger.entries())
        totals = ledger.totals("arm")
    assert 3 <= len(entries) <= 4
    assert totals["a"].cost_usd == summary.spent_usd
    assert totals["a"].input_tokens == 600 * 10
    assert totals["a"].output_tokens == sum(n % 50 for n in range(600))
    assert totals["a"].estimated_usd == 0


def test_a_budget_needs_prices(folder):
    unknown = Arm(name="a", model="nobody-knows", endpoint=arm().endpoint)
    with pytest.raises(UnknownPriceError):
        run(inputs_of(2, arms=[unknown], budget_usd="1"), folder, Fake())


def test_without_a_price_there_are_no_dollars_in_the_table(folder):
    unknown = Arm(name="a", model="nobody-knows", endpoint=arm().endpoint)
    with pytest.warns(EffortctlWarning, match="dollars are left out"):
        summary = run(inputs_of(2, arms=[unknown]), folder, Fake())
    assert summary.cost_usd == {}
    assert summary.quality == {"a": 1.0}


# --- parts -------------------------------------------------------------------------------------------


@pytest.fixture
def reopened(monkeypatch):
    """Lets folders of made-up datasets be opened again."""

    def use(make):
        monkeypatch.setattr(merge_module, "prepare", lambda config, shard=None: make(config, shard))

    return use


def remade(count, arms=ONE, metric=None):
    def make(config, shard):
        made = inputs_of(count, arms=arms, metric=metric or config.metric or "number")
        return replace(made, config=config, shard=shard)

    return make


def test_shards_merged_equal_the_whole(tmp_path, reopened):
    arms = [arm("a"), arm("b")]
    reopened(remade(20, arms))
    run(inputs_of(20, arms=arms), tmp_path / "whole", Fake())
    parts = []
    for index in (1, 2, 3):
        parts.append(tmp_path / f"part{index}")
        run(inputs_of(20, arms=arms, shard=(index, 3)), parts[-1], Fake())
    summary = merge_runs(parts, tmp_path / "merged")
    assert summary.complete
    assert table(tmp_path / "merged") == table(tmp_path / "whole")


def test_a_part_is_not_continued_as_another_part(folder):
    run(inputs_of(6, shard=(1, 2)), folder, Fake())
    with pytest.raises(ConfigError, match="holds part 1 of 2, not part 2 of 2"):
        run(inputs_of(6, shard=(2, 2)), folder, Fake())


def test_runs_that_answer_the_same_cell_differently_are_not_merged(tmp_path, reopened):
    reopened(remade(3))
    run(inputs_of(3), tmp_path / "one", Fake())
    run(inputs_of(3), tmp_path / "two", Fake(lambda _call, _n: "9"))
    with pytest.raises(ConfigError, match="hold different answers"):
        merge_runs([tmp_path / "one", tmp_path / "two"], tmp_path / "both")


def test_runs_of_different_evaluations_are_not_merged(tmp_path, reopened):
    reopened(remade(3))
    run(inputs_of(3), tmp_path / "one", Fake())
    run(inputs_of(3, seed=4), tmp_path / "two", Fake())
    with pytest.raises(ConfigError, match="`seed` is 4, not 0"):
        merge_runs([tmp_path / "one", tmp_path / "two"], tmp_path / "both")


def test_rescoring_calls_nothing_and_keeps_the_new_metric(folder, reopened):
    reopened(remade(4))
    run(inputs_of(4), folder, Fake(lambda call, _: f"Is it {2 * int(call.task.text.split()[0])}?"))
    assert {value[0] for value in table(folder).values()} == {1.0}
    summary = rescore_run(folder, metric="exact")
    assert summary.scored == 4
    assert summary.quality == {"a": 0.0}
    assert read_header(folder).config.metric == "exact"
    backend = Fake()
    again = run(inputs_of(4, metric="exact"), folder, backend)
    assert backend.calls == []
    assert again.quality == {"a": 0.0}


# --- live policies -----------------------------------------------------------------------------------


def test_a_ladder_run_live_stops_at_the_first_pass_and_is_charged_for_all(folder):
    def script(call, _n):
        wrong = call.arm.name == "cheap" and int(call.task.text.split()[0]) % 2
        return "-1" if wrong else None

    spec = PolicySpec(kind="ladder", arms=("cheap", "dear"))
    inputs = inputs_of(
        6, arms=[arm("cheap"), arm("dear")], verify="metric", policy=(spec,), budget_usd="1"
    )
    summary = run(inputs, folder, Fake(script))
    assert summary.quality == {"cheap": 0.5, "dear": 1.0, "policy:ladder": 1.0}
    live = read_outcomes(folder / "policies.jsonl.gz")
    arms = read_outcomes(folder / OUTCOMES)
    assert live.arms == ("policy:ladder",)
    assert set(arms.arms) == {"cheap", "dear"}
    text = (folder / "journal-0001.jsonl").read_text()
    journal = [json.loads(line) for line in text.splitlines()]
    tried = {j["cell"][1]: j["tried"] for j in journal if j.get("tried")}
    assert tried["s1"] == ["cheap", "dear"]
    assert tried["s2"] == ["cheap"]


def test_a_policy_needs_a_check_to_know_when_to_stop(folder):
    with pytest.raises(ConfigError, match="has no run-time check"):
        run(inputs_of(2, policy=(PolicySpec(kind="ladder"),)), folder, Fake())


# --- estimates ---------------------------------------------------------------------------------------


def test_before_anything_is_recorded_an_estimate_says_that_it_is_a_guess(folder):
    found = estimate_run(inputs_of(10, arms=[arm(cap=4096)]), folder, prices=GenaiPriceBook())
    assert found.calls == 10
    assert "a guess" in found.arms[0].basis
    assert 0 < found.low_usd < found.usd < found.high_usd <= found.worst_usd


def test_an_estimate_from_recorded_answers_covers_what_the_rest_costs(folder):
    run(inputs_of(400, limit=100), folder, Fake())
    before = run(inputs_of(400, limit=100), folder, Fake()).total_spent_usd
    found = estimate_run(inputs_of(400), folder, prices=GenaiPriceBook())
    assert found.arms[0].basis == "100 recorded answers"
    assert found.calls == 300
    really = float(run(inputs_of(400), folder, Fake()).total_spent_usd - before)
    assert found.usd == pytest.approx(really, rel=0.25)
    assert found.low_usd < found.high_usd < found.worst_usd


def test_earlier_runs_lend_their_costs(tmp_path):
    run(inputs_of(20), tmp_path / "old", Fake())
    found = estimate_run(
        inputs_of(30), tmp_path / "new", prices=GenaiPriceBook(), earlier=[tmp_path / "old"]
    )
    assert found.arms[0].recorded
    assert found.calls == 30


def test_progress_counts_to_the_end(folder):
    told = []
    run(inputs_of(25), folder, Fake(), on_progress=told.append)
    assert (told[-1].done, told[-1].total) == (25, 25)
    assert told[-1].spent_usd > 0
    assert [p.done for p in told] == sorted(p.done for p in told)


def test_the_scope_of_a_run_is_its_own(tmp_path):
    headers = []
    for name in ("one", "two"):
        run(inputs_of(1), tmp_path / name, Fake())
        headers.append(read_header(tmp_path / name))
    scopes = {budget_of(inputs_of(1), header).scope for header in headers}
    assert len(scopes) == 2
    assert all(isinstance(budget_of(inputs_of(1), header), Budget) for header in headers)

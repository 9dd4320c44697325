"""Inspect logs, OTel spans and our own traces become outcome rows."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from effortctl import Answer, Task
from effortctl._errors import ConfigError, StoreError
from effortctl._types import Attempt, Case, Cost, Trace, Usage, Verdict
from effortctl.harness.datasets import load_dataset
from effortctl.harness.formats import import_outcomes
from effortctl.stores import OutcomeRow, TraceStore, write_outcomes


@pytest.fixture
def saved(tmp_path):
    def write(document, name="log.json"):
        path = tmp_path / name
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return path

    return write


# --- inspect ---------------------------------------------------------------------------------------


def sample(**fields):
    return {
        "id": 1,
        "epoch": 1,
        "input": "What is 2 + 2?",
        "target": "4",
        "output": {"choices": [{"message": {"role": "assistant", "content": "4"}}]},
        "scores": {"match": {"value": "C"}},
        "model_usage": {
            "openai/gpt-4o-mini": {
                "input_tokens": 100,
                "input_tokens_cache_read": 50,
                "output_tokens": 30,
                "reasoning_tokens": 10,
            }
        },
        "started_at": "2026-11-01T12:00:00+00:00",
        "total_time": 2.5,
        **fields,
    }


def log(*samples, **spec):
    return {
        "version": 2,
        "status": "success",
        "eval": {
            "task": "sums",
            "model": "openai/gpt-4o-mini",
            "model_generate_config": {"reasoning_effort": "low"},
            **spec,
        },
        "samples": list(samples),
    }


def test_an_inspect_sample_is_a_row_with_cached_tokens_in_its_input(saved):
    found = import_outcomes(saved(log(sample())))
    assert found.format == "inspect"
    (row,) = found.rows
    assert (row.query_id, row.arm, row.model) == (
        "sums/1",
        "openai/gpt-4o-mini@low",
        "openai/gpt-4o-mini",
    )
    assert (row.effort, row.score, row.query, row.answer) == ("low", 1.0, "What is 2 + 2?", "4")
    assert (row.input_tokens, row.cached_tokens, row.output_tokens) == (150, 50, 30)
    assert (row.reasoning_tokens, row.latency_s, row.category) == (10, 2.5, "sums")


def test_an_inspect_sample_without_dollars_is_priced_from_the_book(saved):
    found = import_outcomes(saved(log(sample())))
    (source,) = found.price_sources
    assert source.startswith("genai-prices")
    assert 0 < found.rows[0].cost_usd < 0.001


def test_dollars_of_graders_are_part_of_the_cost(saved):
    usage = {
        "openai/gpt-4o-mini": {"input_tokens": 1, "output_tokens": 1, "total_cost": 0.25},
        "mystery/judge": {"input_tokens": 9, "output_tokens": 9, "total_cost": 0.5},
    }
    assert import_outcomes(saved(log(sample(model_usage=usage)))).rows[0].cost_usd == 0.75
    del usage["mystery/judge"]["total_cost"]
    found = import_outcomes(saved(log(sample(model_usage=usage))))
    assert found.rows[0].cost_usd is None
    assert found.unknown_cost == {"mystery/judge": 1}


def test_a_sample_without_usage_has_an_unknown_cost(saved):
    found = import_outcomes(saved(log(sample(model_usage={}), sample(id=2, model_usage=None))))
    assert {row.cost_usd for row in found.rows} == {None}
    assert found.unknown_cost == {"openai/gpt-4o-mini@low": 2}


def test_epochs_of_a_sample_are_averaged(saved):
    marks = ["C", "I", "C", "P"]
    samples = [
        sample(epoch=epoch, scores={"match": {"value": mark}}) for epoch, mark in enumerate(marks)
    ]
    (row,) = import_outcomes(saved(log(*samples))).rows
    assert (row.score, row.n_samples) == (0.625, 4)


@pytest.mark.parametrize(
    ("value", "score"), [("C", 1), ("N", 0), (True, 1), (0.25, 0.25), ("0.5", 0.5), ("yes", 1)]
)
def test_inspect_scores_may_be_letters_words_and_numbers(saved, value, score):
    found = import_outcomes(saved(log(sample(scores={"s": {"value": value}}))))
    assert found.rows[0].score == score


def test_what_cannot_be_used_of_a_log_is_counted(saved):
    found = import_outcomes(
        saved(
            log(
                sample(),
                sample(id=2, error={"message": "timeout"}),
                sample(id=3, scores=None),
                sample(id=4, scores={"s": {"value": {"a": 1}}}),
            )
        )
    )
    assert len(found.rows) == 1
    assert found.left_out == {"the sample ended in an error": 1, "no score in the file": 2}


def test_one_of_several_scores_is_named(saved):
    path = saved(log(sample(scores={"a": {"value": "C"}, "b": {"value": "I"}})))
    assert import_outcomes(path).rows[0].score == 1
    assert "took 'a' of a, b" in import_outcomes(path).notes[0]
    assert import_outcomes(path, scorer="b").rows[0].score == 0
    with pytest.raises(StoreError, match="no score 'c'; there are a, b"):
        import_outcomes(path, scorer="c")


def test_a_conversation_keeps_its_readable_text(saved):
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image"}]},
    ]
    assert import_outcomes(saved(log(sample(input=turns)))).rows[0].query == "Be brief.\nHi"


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"eval": {}, "samples": 3}, "expected an inspect log"),
        ({"eval": {}, "samples": [3]}, "sample 1: a JSON int"),
        (log(sample(id=None)), "sample 1: id is missing"),
        (log(sample(scores={"s": {"value": "great"}})), "scores are 'great'"),
        (log(sample(model_usage={"openai/gpt-4o-mini": 3})), "a JSON int, expected an object"),
        (log(sample(scores={"s": {"value": 7}})), "the score is 7, expected 0..1"),
    ],
)
def test_a_log_that_makes_no_sense_is_refused_with_its_place(saved, document, told):
    with pytest.raises(StoreError, match=r"log\.json") as error:
        import_outcomes(saved(document), format="inspect")
    assert told in str(error.value)


# --- OTel ------------------------------------------------------------------------------------------


def attribute(key, value):
    kind = {bool: "boolValue", int: "intValue", float: "doubleValue", str: "stringValue"}
    if isinstance(value, list):
        return {
            "key": key,
            "value": {"arrayValue": {"values": [{"stringValue": v} for v in value]}},
        }
    shown = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    return {"key": key, "value": {kind[type(value)]: shown}}


def span(trace="t1", *, events=(), start=1_000_000_000, **attributes):
    named = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.provider.name": "openai",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        **{key.replace("__", "."): value for key, value in attributes.items()},
    }
    return {
        "traceId": trace,
        "spanId": "1",
        "name": "chat",
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + 500_000_000),
        "attributes": [attribute(key, value) for key, value in named.items() if value is not None],
        "events": [
            {
                "name": "gen_ai.evaluation.result",
                "attributes": [attribute(*pair) for pair in e.items()],
            }
            for e in events
        ],
    }


def export(*spans):
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": list(spans)}]}]}


GOOD = {"gen_ai.evaluation.name": "correct", "gen_ai.evaluation.score.value": 1.0}


def test_a_span_with_an_evaluation_is_a_row(saved):
    messages = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "Hi"}]}])
    document = export(
        span(
            events=[GOOD],
            gen_ai__input__messages=messages,
            gen_ai__output__messages=messages.replace("user", "assistant"),
            gen_ai__usage__reasoning__output_tokens=15,
            operation__cost=0.25,
            effortctl__effort="high",
        )
    )
    found = import_outcomes(saved(document))
    assert found.format == "otel"
    (row,) = found.rows
    assert (row.query_id, row.arm, row.score, row.query) == ("t1", "gpt-4o-mini@high", 1.0, "Hi")
    assert (row.cost_usd, row.latency_s, row.answer, row.reasoning_tokens) == (0.25, 0.5, "Hi", 15)


def test_spans_without_dollars_are_priced_from_the_book_and_unknown_models_are_counted(saved):
    other = {"gen_ai__request__model": "mystery-1", "gen_ai__provider__name": "nobody"}
    found = import_outcomes(saved(export(span(events=[GOOD]), span("t2", events=[GOOD], **other))))
    assert found.rows[0].cost_usd > 0
    assert found.rows[1].cost_usd is None
    assert found.unknown_cost == {"mystery-1": 1}


def test_an_evaluation_anywhere_in_a_trace_of_one_arm_counts(saved):
    judge = span(gen_ai__operation__name="evaluate", gen_ai__evaluation__score__label="Fail")
    found = import_outcomes(saved(export(span(), span(start=2_000_000_000), judge)))
    (row,) = found.rows
    assert (row.score, row.input_tokens, row.latency_s) == (0.0, 200, 1.0)
    two_arms = export(span(), span(gen_ai__request__model="gpt-4o"), judge)
    with pytest.raises(StoreError, match=r"no score in the file \(2\)"):
        import_outcomes(saved(two_arms))


def test_one_export_per_line_is_read_too(saved):
    lines = "\n".join(json.dumps(export(span(f"t{n}", events=[GOOD]))) for n in range(3))
    assert len(import_outcomes(saved(lines, "spans.jsonl")).rows) == 3


def test_spans_can_be_scored_with_a_dataset_by_an_attribute(saved):
    answer = json.dumps([{"role": "assistant", "content": "4"}])
    document = export(
        span("t1", task__id="a", gen_ai__output__messages=answer),
        span("t2", task__id="b", gen_ai__output__messages=answer),
        span("t3", task__id="z", gen_ai__output__messages=answer),
        span("t4", task__id="a", gen_ai__request__model="gpt-4o"),
    )
    dataset = load_dataset(
        [{"id": "a", "input": "2+2?", "target": 4}, {"id": "b", "input": "3+3?", "target": 6}]
    )
    found = import_outcomes(saved(document), dataset=dataset, task_attribute="task.id")
    assert [(row.query_id, row.score, row.query) for row in found.rows] == [
        ("a", 1.0, "2+2?"),
        ("b", 0.0, "3+3?"),
    ]
    assert found.left_out == {"the task is not in the dataset": 1, "no answer text to score": 1}


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"spans": []}, "no resourceSpans"),
        (export({"name": "x"}), "span 1: traceId is missing"),
        (
            export(span(gen_ai__usage__input_tokens="many", events=[GOOD])),
            "input tokens are 'many'",
        ),
        (export(span(operation__cost=-1.0, events=[GOOD])), "dollars are '-1.0'"),
    ],
)
def test_spans_that_make_no_sense_are_refused_with_their_place(saved, document, told):
    with pytest.raises(StoreError, match=r"log\.json") as error:
        import_outcomes(saved(document), format="otel")
    assert told in str(error.value)


def test_dollars_in_another_currency_are_not_taken_for_dollars(saved):
    fields = {"gen_ai__usage__cost__amount": 3.0, "gen_ai__usage__cost__currency": "EUR"}
    found = import_outcomes(saved(export(span(events=[GOOD], **fields))))
    assert found.rows[0].cost_usd < 0.01


# --- our own files ---------------------------------------------------------------------------------


def attempt(arm, text, status):
    return Attempt(
        arm=arm,
        model="m",
        requested_effort="low",
        effective_effort="low",
        max_output_tokens=100,
        answer=Answer(text=text, usage=Usage(input_tokens=5, output_tokens=3)),
        verdict=Verdict(status=status),
        cost=Cost(usd=Decimal("0.001"), source="user"),
    )


@pytest.fixture
def traces(tmp_path):
    store = TraceStore(tmp_path / "traces.jsonl", store_text=True)
    store.write(
        Trace(
            id="1",
            task_id="a",
            outcome="accepted",
            attempts=(attempt("small", "5", "fail"), attempt("big", "4", "pass")),
            policy="ladder",
            started_at=datetime(2026, 11, 1, tzinfo=UTC),
        )
    )
    return store.path


def test_our_traces_need_a_dataset_or_trusted_verdicts(traces):
    with pytest.raises(StoreError, match="trust_verdicts"):
        import_outcomes(traces)
    trusted = import_outcomes(traces, trust_verdicts=True)
    assert trusted.format == "traces"
    assert [(row.arm, row.score, row.cost_usd) for row in trusted.rows] == [
        ("small", 0.0, 0.001),
        ("big", 1.0, 0.001),
    ]
    cases = [Case(task=Task(id="a", input="1+4?"), reference=5)]
    scored = import_outcomes(traces, dataset=load_dataset(cases))
    assert [(row.score, row.query) for row in scored.rows] == [(1.0, "1+4?"), (0.0, "1+4?")]


def test_our_outcome_files_pass_through(tmp_path):
    rows = [OutcomeRow(query_id="a", arm="m@low", score=1, cost_usd=0.5, answer="x")]
    for name in ("o.jsonl", "o.csv"):
        write_outcomes(tmp_path / name, rows)
        found = import_outcomes(tmp_path / name)
        assert (found.format, found.rows) == ("outcomes", tuple(rows))


def test_a_batch_without_a_dataset_is_refused(saved):
    with pytest.raises(ConfigError, match="--dataset"):
        import_outcomes(saved('{"custom_id": "a", "response": null}', "out.jsonl"))


# --- files that somebody got wrong -----------------------------------------------------------------


def exported(**values):
    attributes = {"gen_ai.request.model": "gpt-4o-mini", **values}
    written = [{"key": key, "value": value if isinstance(value, dict) else {"stringValue": value}}
               for key, value in attributes.items()]  # fmt: skip
    return {
        "resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "t", "attributes": written}]}]}]
    }


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        (log(sample(scores={"match": {"value": 10**400}})), "scores are '1000"),
        (log(sample(model_usage={"openai/gpt-4o-mini": {"input_tokens": 1e300, "output_tokens": 1}})),
         "input tokens are 1e.300, expected a whole number"),
        (exported(**{"gen_ai.operation.name": {"stringValue": []}}), "no outcome can be used"),
        (exported(**{"gen_ai.operation.name": {"stringValue": {"a": 1}}}), "no outcome can be used"),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_kind_is_refused_by_name_and_place(saved, document, complaint):
    with pytest.raises(StoreError, match=complaint):
        import_outcomes(saved(document))


def test_half_a_character_in_a_models_name_stops_nothing(saved):
    score = {"gen_ai.evaluation.score.value": {"doubleValue": 1.0}}
    tokens = {f"gen_ai.usage.{side}_tokens": {"intValue": "3"} for side in ("input", "output")}
    found = import_outcomes(
        saved(exported(**{"gen_ai.request.model": "m\ud800"}, **score, **tokens))
    )
    assert len(found.rows) == 1
    assert found.rows[0].cost_usd is None

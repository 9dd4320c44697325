"""Spans have the names of the conventions, the times of the trace, and are read back as outcomes."""

import asyncio
import importlib
import json
import subprocess
import sys
from datetime import timedelta

import pytest
from watched import START, attempt, expecting, trace

from effortctl import Arm, AsyncController, ConfigError, Controller, Endpoint
from effortctl.harness.formats import import_outcomes
from effortctl.observers import OtelObserver
from effortctl.testing import AsyncFakeBackend, FakeBackend

pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode


@pytest.fixture
def exported():
    return InMemorySpanExporter()


@pytest.fixture
def provider(exported):
    made = TracerProvider()
    made.add_span_processor(SimpleSpanProcessor(exported))
    yield made
    made.shutdown()


@pytest.fixture
def spans(provider, exported):
    """Writes a trace; gives the span of the task and those of its attempts."""

    def write(of, **options):
        exported.clear()
        OtelObserver(tracer_provider=provider, **options).write(of)
        *attempts, task = exported.get_finished_spans()
        return task, attempts

    return write


def names_of_conventions():
    found = {"gen_ai.request.reasoning.level"}  # newer than the package
    for module in ("gen_ai", "error", "openai"):
        constants = importlib.import_module(
            f"opentelemetry.semconv._incubating.attributes.{module}_attributes"
        )
        found |= {value for value in vars(constants).values() if isinstance(value, str)}
    return found


def test_a_task_holds_its_attempts(spans):
    task, (first, second) = spans(trace(attempt("fail"), attempt(arm="gpt-6-sol@high")))
    assert (task.name, task.kind) == ("invoke_workflow effortctl", SpanKind.INTERNAL)
    assert (first.name, first.kind) == ("chat gpt-6-luna", SpanKind.CLIENT)
    assert first.parent.span_id == second.parent.span_id == task.context.span_id
    assert task.attributes["effortctl.outcome"] == "accepted"
    assert task.attributes["effortctl.verified"] is True
    assert {span.attributes["effortctl.decision"] for span in (task, first, second)} == {"trace-0"}
    assert second.attributes["effortctl.effort"] == "high"
    assert task.status.status_code is StatusCode.UNSET


def test_every_standard_name_is_one_of_the_conventions(spans):
    task, attempts = spans(
        trace(attempt("fail"), attempt(answered=False), attempt(expected=expecting(0.5))),
        record_text=True,
        prompt_of=lambda _trace: "hello",
    )
    used = set()
    for span in (task, *attempts):
        used |= set(span.attributes)
        for event in span.events:
            used |= set(event.attributes)
    own = {name for name in used if name.startswith("effortctl.")} | {"operation.cost"}
    assert used - own <= names_of_conventions()
    assert {
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.cache_read.input_tokens",
        "error.type",
    } <= used


def test_every_standard_value_is_one_of_the_conventions(spans):
    module = importlib.import_module(
        "opentelemetry.semconv._incubating.attributes.gen_ai_attributes"
    )
    task, (first,) = spans(trace(attempt()))
    operations = {each.value for each in module.GenAiOperationNameValues}
    assert {span.attributes["gen_ai.operation.name"] for span in (task, first)} <= operations
    providers = {each.value for each in module.GenAiProviderNameValues}
    assert first.attributes["gen_ai.provider.name"] in providers


def test_times_are_those_of_the_trace(spans):
    sent = START + timedelta(seconds=3)
    task, (late, lost, early, hit) = spans(
        trace(
            attempt("fail", at=sent, latency_s=1.5),
            attempt(answered=False),
            attempt("fail", at=sent + timedelta(seconds=4), latency_s=0.25),
            attempt("pass", at=START - timedelta(days=3), latency_s=60, cached=True),
        )
    )
    zero = START.timestamp() * 1e9
    known = [(s.start_time - zero) / 1e9 for s in (late, lost, early, hit)]
    assert known == pytest.approx([3, 5, 7, 7.75])
    ended = [(s.end_time - zero) / 1e9 for s in (late, lost, early, hit)]
    assert ended == pytest.approx([4.5, 7, 7.25, 7.75])
    assert (task.end_time - task.start_time) / 1e9 == pytest.approx(10)


def test_a_recorded_answer_that_took_longer_than_its_replay_ends_before_its_task(spans):
    task, (first,) = spans(trace(attempt(latency_s=60), latency_s=0.01))
    assert task.start_time <= first.start_time <= first.end_time <= task.end_time


def test_an_attempt_that_was_retried_begins_when_the_one_before_it_ended(spans):
    sent = START + timedelta(seconds=5)
    retried = attempt(at=sent, latency_s=1.0).model_copy(update={"calls": 3})
    _, (first, second) = spans(trace(attempt("fail", at=START, latency_s=2.0), retried))
    assert (second.start_time - first.end_time) / 1e9 == pytest.approx(0.5)  # the check
    assert (second.end_time - START.timestamp() * 1e9) / 1e9 == pytest.approx(6)


def test_attempts_nobody_answered_share_the_time_by_their_calls(spans):
    lost = attempt(answered=False)
    thrice = lost.model_copy(update={"calls": 3})
    answered = attempt(at=START + timedelta(seconds=8), latency_s=1.0)
    _, (one, three, last) = spans(trace(lost, thrice, answered))
    times = [(s.start_time - one.start_time, s.end_time - one.start_time) for s in (one, three)]
    assert times == [(0, 2_000_000_000), (2_000_000_000, 8_000_000_000)]
    assert last.start_time == three.end_time


def test_dollars_are_on_attempts_so_that_sums_count_them_once(spans):
    task, attempts = spans(trace(attempt("fail", usd="0.25"), attempt(usd="0.5")))
    assert sum(span.attributes["operation.cost"] for span in attempts) == 0.75
    assert "operation.cost" not in task.attributes
    assert task.attributes["effortctl.cost_usd"] == 0.75


def test_tokens_of_a_cached_answer_are_not_counted_again(spans):
    _, (first,) = spans(trace(attempt(cached=True, usd="0")))
    assert first.attributes["effortctl.cached"] is True
    assert not [name for name in first.attributes if name.startswith("gen_ai.usage.")]


def test_faults_are_errors_and_failed_checks_are_not(spans):
    task, (wrong, lost) = spans(trace(attempt("fail"), attempt(answered=False), outcome="failed"))
    assert wrong.status.status_code is StatusCode.UNSET
    assert lost.status.status_code is StatusCode.ERROR
    assert lost.attributes["error.type"] == "TransientBackendError"
    assert (task.status.status_code, task.attributes["error.type"]) == (StatusCode.ERROR, "failed")


def test_a_task_is_an_error_when_nobody_answered_but_not_when_no_answer_passed(spans):
    task, _ = spans(trace(attempt("fail"), attempt(answered=False), outcome="exhausted"))
    assert task.status.status_code is StatusCode.UNSET
    task, _ = spans(trace(attempt(answered=False), outcome="exhausted"))
    assert task.status.status_code is StatusCode.ERROR
    assert task.attributes["error.type"] == "TransientBackendError"


def test_what_a_fault_said_is_written_with_the_texts_only(spans):
    _, (lost,) = spans(trace(attempt(answered=False)))
    assert lost.status.description == "TransientBackendError"
    _, (lost,) = spans(trace(attempt(answered=False)), record_text=True)
    assert lost.status.description.startswith("TransientBackendError: 503")


def test_the_level_of_reasoning_is_what_was_sent_and_absent_where_nothing_was(spans):
    _, (low, plain) = spans(trace(attempt("fail"), attempt(arm="gpt-6-sol")))
    assert low.attributes["gen_ai.request.reasoning.level"] == "low"
    assert "gen_ai.request.reasoning.level" not in plain.attributes


def test_nothing_that_was_said_is_written_unless_asked_for(spans, exported):
    told = trace(attempt("fail"), attempt(answered=False), attempt())
    spans(told)
    assert "secret" not in "".join(span.to_json() for span in exported.get_finished_spans())
    _, attempts = spans(told, record_text=True, prompt_of=lambda t: f"prompt of {t.task_id}")
    said = json.loads(attempts[-1].attributes["gen_ai.output.messages"])
    assert said[0]["parts"] == [{"type": "text", "content": "the secret answer"}]
    assert said[0]["finish_reason"] == "stop"
    assert "prompt of task-0" in attempts[0].attributes["gen_ai.input.messages"]


@pytest.mark.parametrize(
    ("arm", "name"), [("gpt-6-luna@low", "openai"), ("nobody-knows@low", "_OTHER")]
)
def test_the_provider_is_the_home_of_the_model(spans, arm, name):
    _, (span,) = spans(trace(attempt(arm=arm)))
    assert span.attributes["gen_ai.provider.name"] == name


@pytest.mark.parametrize(
    ("endpoint", "name"),
    [
        (Endpoint(name="mine", price_provider="google"), "gcp.gemini"),
        (Endpoint(name="vllm:gpu1", self_hosted=True), "vllm"),
    ],
)
def test_the_provider_is_the_endpoint_of_an_arm_that_is_known(spans, endpoint, name):
    arm = Arm(name="gpt-6-luna@low", model="gpt-6-luna", effort="low", endpoint=endpoint)
    _, (span,) = spans(trace(attempt()), arms=[arm])
    assert span.attributes["gen_ai.provider.name"] == name


# --- metrics ---------------------------------------------------------------------------------------


def counted(*attempts):
    """The points of both histograms after a trace, by name of the metric."""
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader])
    OtelObserver(tracer_provider=TracerProvider(), meter_provider=meters).write(trace(*attempts))
    data = reader.get_metrics_data()
    meters.shutdown()
    if data is None:
        return {}
    scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics]
    return {m.name: list(m.data.data_points) for scope in scopes for m in scope.metrics}


def test_metrics_have_the_names_of_the_conventions_and_count_every_attempt():
    found = counted(attempt("fail"), attempt(arm="gpt-6-sol@high"), attempt(answered=False))
    module = importlib.import_module("opentelemetry.semconv._incubating.metrics.gen_ai_metrics")
    assert set(found) == {
        module.GEN_AI_CLIENT_TOKEN_USAGE,
        module.GEN_AI_CLIENT_OPERATION_DURATION,
    }
    seconds = found[module.GEN_AI_CLIENT_OPERATION_DURATION]
    assert sum(point.count for point in seconds) == 3
    assert [p.attributes["error.type"] for p in seconds if "error.type" in p.attributes] == [
        "TransientBackendError"
    ]
    for point in (p for points in found.values() for p in points):
        assert set(point.attributes) <= names_of_conventions()


def test_metrics_leave_out_cached_answers_and_guessed_tokens():
    assert counted(attempt(cached=True, usd="0")) == {}
    guessed = attempt()
    usage = guessed.answer.usage.model_copy(update={"estimated": True})
    answer = guessed.answer.model_copy(update={"usage": usage})
    found = counted(guessed.model_copy(update={"answer": answer}))
    assert set(found) == {"gen_ai.client.operation.duration"}


# --- below the span of the program -----------------------------------------------------------------


@pytest.mark.parametrize("asynchronous", [False, True])
def test_spans_stand_below_the_span_of_the_program(provider, exported, asynchronous):
    observer = OtelObserver(tracer_provider=provider)
    with provider.get_tracer("app").start_as_current_span("request") as above:
        if asynchronous:
            fake = AsyncFakeBackend(["42"])
            asyncio.run(
                AsyncController("openai", backends={"openai": fake}, traces=observer).run("q")
            )
        else:
            Controller("openai", backends={"openai": FakeBackend(["42"])}, traces=observer).run("q")
    task = next(s for s in exported.get_finished_spans() if s.name.startswith("invoke"))
    assert task.parent.span_id == above.get_span_context().span_id


def test_a_task_that_was_cancelled_leaves_its_spans_below_its_caller(provider, exported):
    class Silent:
        async def complete(self, call):
            await asyncio.sleep(60)

    async def give_up():
        ctl = AsyncController(
            "openai",
            backends={"openai": Silent()},
            traces=OtelObserver(tracer_provider=provider),
        )
        with provider.get_tracer("app").start_as_current_span("request"):
            await asyncio.wait_for(ctl.run("q"), 0.05)

    with pytest.raises(TimeoutError):
        asyncio.run(give_up())
    lost, task, above = exported.get_finished_spans()
    assert task.parent.span_id == above.context.span_id
    assert lost.parent.span_id == task.context.span_id
    assert {span.status.status_code for span in (lost, task)} == {StatusCode.ERROR}
    assert lost.end_time <= task.end_time


# --- through a file, and back ----------------------------------------------------------------------


def test_spans_of_the_file_exporter_are_read_back_as_outcomes(tmp_path):
    exporter = pytest.importorskip("opentelemetry.exporter.otlp.json.file.trace_exporter")
    path = tmp_path / "spans.jsonl"
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter.FileSpanExporter(path)))
    observer = OtelObserver(tracer_provider=provider, prompt_of=lambda t: f"Q {t.task_id}")
    for number in range(3):
        observer.write(
            trace(
                attempt("fail", usd="0.001", latency_s=1.25),
                attempt(arm="gpt-6-sol@high", usd="0.02", latency_s=2.5),
                number=number,
            )
        )
    provider.shutdown()
    found = import_outcomes(path)
    assert {(row.arm, row.score) for row in found.rows} == {
        ("gpt-6-luna@low", 0),
        ("gpt-6-sol@high", 1),
    }
    assert len(found.rows) == 6
    for row in found.rows:
        assert row.cost_usd == pytest.approx(0.001 if "luna" in row.arm else 0.02)
        assert row.latency_s == pytest.approx(1.25 if "luna" in row.arm else 2.5)
        assert (row.input_tokens, row.output_tokens, row.reasoning_tokens) == (40, 20, 12)
        assert row.query.startswith("Q task-")


# --- without OpenTelemetry -------------------------------------------------------------------------

WITHOUT = """
import sys
sys.modules["opentelemetry"] = None
from effortctl.observers import OtelObserver
from effortctl import ConfigError
try:
    OtelObserver()
except ConfigError as error:
    print(error)
"""


def test_without_the_extra_the_message_names_it():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True
    )
    assert "pip install 'effortctl[otel]'" in done.stdout


def test_importing_observers_loads_no_opentelemetry():
    probe = "import effortctl.observers, sys; print('opentelemetry' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_error_is_one_of_ours(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ConfigError, match="otel"):
        OtelObserver()

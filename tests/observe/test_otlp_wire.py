"""What a collector receives over OTLP/HTTP, decoded with OpenTelemetry's own protobuf classes."""

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from watched import attempt, trace

from effortctl import AsyncController, Controller, Task, load_ladder
from effortctl.observers import OtelObserver
from effortctl.stores import SqliteLedger
from effortctl.testing import MockServer

pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")
pytest.importorskip(
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    reason="opentelemetry-exporter-otlp-proto-http is not installed",
)

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor


class Collector:
    """An OTLP/HTTP receiver on loopback that keeps what it was sent."""

    def __init__(self):
        self.trace_requests, self.metric_requests = [], []
        kinds = {
            "/v1/traces": (ExportTraceServiceRequest, self.trace_requests),
            "/v1/metrics": (ExportMetricsServiceRequest, self.metric_requests),
        }

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                message, kept = kinds[self.path]
                body = self.rfile.read(int(self.headers["content-length"]))
                kept.append(message.FromString(body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def url(self, path):
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def spans(self):
        return [
            span
            for request in self.trace_requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def named(self, start):
        return [span for span in self.spans if span.name.startswith(start)]


@pytest.fixture
def collector():
    made = Collector()
    yield made
    made.close()


@pytest.fixture
def provider(collector):
    made = TracerProvider(resource=Resource({"service.name": "support-bot"}))
    exporter = OTLPSpanExporter(collector.url("/v1/traces"))
    made.add_span_processor(SimpleSpanProcessor(exporter))
    yield made
    made.shutdown()


@pytest.fixture
def server():
    """Answers rightly from medium effort on."""
    with MockServer(lambda r: "408" if r.effort in {"medium", "high"} else "407") as made:
        yield made


@pytest.fixture
def arms(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    return [
        arm.model_copy(
            update={"endpoint": arm.endpoint.model_copy(update={"base_url": server.base_url})}
        )
        for arm in load_ladder("openai").arms
    ]


def of(span):
    """The attributes of a span, each with the type it has on the wire."""
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes
    }


def nested(inner, outer):
    return (
        inner.trace_id == outer.trace_id
        and inner.parent_span_id == outer.span_id
        and outer.start_time_unix_nano <= inner.start_time_unix_nano
        and inner.end_time_unix_nano <= outer.end_time_unix_nano
    )


def test_an_escalated_task_arrives_whole_below_the_span_of_the_program(collector, provider, arms):
    observer = OtelObserver(arms, tracer_provider=provider)
    with (
        Controller(arms, verify="number:408", traces=observer) as ctl,
        provider.get_tracer("bot").start_as_current_span("POST /ask"),
    ):
        outcome = ctl.run(Task(input="17*24?", id="ticket-1"))
    (above,), (task,) = collector.named("POST"), collector.named("invoke")
    first, second = sorted(collector.named("chat"), key=lambda span: span.start_time_unix_nano)
    assert nested(task, above)
    assert nested(first, task)
    assert nested(second, task)
    assert first.end_time_unix_nano <= second.start_time_unix_nano
    assert (task.kind, first.kind) == (Span.SPAN_KIND_INTERNAL, Span.SPAN_KIND_CLIENT)
    assert [of(span)["gen_ai.request.reasoning.level"] for span in (first, second)] == [
        "none",
        "medium",
    ]
    (verdict,) = second.events
    assert verdict.name == "gen_ai.evaluation.result"
    assert verdict.time_unix_nano >= second.end_time_unix_nano
    assert of(task)["effortctl.decision"] == outcome.trace.id
    assert of(task)["effortctl.verified"] is True


def test_numbers_keep_their_types_on_the_wire(collector, provider):
    OtelObserver(tracer_provider=provider).write(trace(attempt(usd="0.25")))
    (span,) = collector.named("chat")
    assert type(of(span)["gen_ai.usage.input_tokens"]) is int
    assert type(of(span)["operation.cost"]) is float
    assert type(of(span)["effortctl.cached"]) is bool
    (reasons,) = [a.value for a in span.attributes if a.key == "gen_ai.response.finish_reasons"]
    assert [value.string_value for value in reasons.array_value.values] == ["stop"]


def test_resource_and_scope_say_who_made_the_spans(collector, provider):
    OtelObserver(tracer_provider=provider).write(trace(attempt()))
    (resource,) = collector.trace_requests[0].resource_spans
    assert of(resource.resource)["service.name"] == "support-bot"
    (scope,) = resource.scope_spans
    assert scope.scope.name == "effortctl"
    assert scope.scope.version


def test_a_task_nobody_answered_arrives_as_an_error_with_its_attempts_in_order(collector, provider):
    lost = [attempt(answered=False, arm=f"gpt-6-sol@{e}") for e in ("low", "medium", "high")]
    OtelObserver(tracer_provider=provider).write(trace(*lost, outcome="exhausted", latency_s=6.0))
    (task,) = collector.named("invoke")
    assert task.status.code == Status.STATUS_CODE_ERROR
    assert of(task)["error.type"] == "TransientBackendError"
    tried = collector.named("chat")
    assert [of(span)["effortctl.effort"] for span in tried] == ["low", "medium", "high"]
    starts = [(span.start_time_unix_nano - tried[0].start_time_unix_nano) / 1e9 for span in tried]
    assert starts == pytest.approx([0, 2, 4])


def test_tasks_of_threads_and_of_asyncio_stand_below_their_own_caller(collector, provider, arms):
    observer = OtelObserver(arms, tracer_provider=provider)
    tracer = provider.get_tracer("bot")

    def in_thread(ctl, number):
        with tracer.start_as_current_span(f"thread {number}"):
            ctl.run(Task(input=f"thread {number}", id=f"thread {number}"))

    async def in_task(actl, number):
        with tracer.start_as_current_span(f"task {number}"):
            await actl.run(Task(input=f"task {number}", id=f"task {number}"))

    async def together():
        async with AsyncController(arms, verify="number:408", traces=observer) as actl:
            await asyncio.gather(*(in_task(actl, number) for number in range(3)))

    with (
        Controller(arms, verify="number:408", traces=observer) as ctl,
        ThreadPoolExecutor(3) as pool,
    ):
        list(pool.map(in_thread, [ctl] * 3, range(3)))
    asyncio.run(together())
    by_id = {span.span_id: span for span in collector.spans}
    tasks = collector.named("invoke")
    assert len(tasks) == 6
    assert all(by_id[s.parent_span_id].name == of(s)["effortctl.task_id"] for s in tasks)
    assert all(by_id[s.parent_span_id] in tasks for s in collector.named("chat"))


def test_metrics_arrive_with_the_buckets_of_the_conventions(collector):
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(collector.url("/v1/metrics")))
    meters = MeterProvider([reader])
    observer = OtelObserver(tracer_provider=TracerProvider(), meter_provider=meters)
    observer.write(trace(attempt("fail"), attempt(answered=False), attempt(cached=True, usd="0")))
    meters.shutdown()
    (request,) = collector.metric_requests
    found = {
        metric.name: metric
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    tokens = found["gen_ai.client.token.usage"]
    assert tokens.unit == "{token}"
    assert {of(p)["gen_ai.token.type"]: p.sum for p in tokens.histogram.data_points} == {
        "input": 40,
        "output": 20,
    }
    seconds = found["gen_ai.client.operation.duration"]
    failed, answered = sorted(
        seconds.histogram.data_points, key=lambda p: "error.type" not in of(p)
    )
    assert (answered.count, answered.sum) == (1, 2.0)
    assert of(failed)["error.type"] == "TransientBackendError"
    assert of(answered)["gen_ai.request.reasoning.level"] == "low"
    assert list(answered.explicit_bounds)[:3] == [0.01, 0.02, 0.04]
    assert answered.explicit_bounds[-1] == pytest.approx(81.92)


# --- a crash in the middle of a task ---------------------------------------------------------------

CRASH = """
import os, sys
from effortctl import Controller
from effortctl.observers import OtelObserver
from effortctl.stores import SqliteLedger
from effortctl.testing import FakeBackend
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(sys.argv[1])))

def check(text):
    if text == "crash":
        os.kill(os.getpid(), 9)
    return True

ctl = Controller(
    "openai", backends={"openai": FakeBackend(["fine", "crash"])}, verify=check, budget="$1/day",
    ledger=SqliteLedger(sys.argv[2]), traces=OtelObserver(tracer_provider=provider),
)
ctl.run("first")
ctl.run("second")
"""


def test_a_crash_keeps_the_spans_of_finished_tasks_and_the_money_of_the_one_under_way(
    collector, tmp_path
):
    ledger = tmp_path / "ledger.sqlite3"
    done = subprocess.run(
        [sys.executable, "-c", CRASH, collector.url("/v1/traces"), str(ledger)], check=False
    )
    assert done.returncode == -9
    (task,) = collector.named("invoke")
    with SqliteLedger(ledger) as kept:
        entries = list(kept.entries())
    assert len(entries) == 2
    assert of(task)["effortctl.decision"] == entries[0].trace_id
    assert entries[1].trace_id != entries[0].trace_id

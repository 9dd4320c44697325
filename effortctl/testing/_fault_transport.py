"""Fault modes of the connection: resets, cut and dripping bodies, hangs, broken streams.

The pretend provider did the work before the connection failed, so these are billed unless the spec
says `billed=no`; a caller cannot know, and must not book them as free.
"""

from __future__ import annotations

from dataclasses import replace

from effortctl.testing._faults import FaultSpec, mode
from effortctl.testing._plans import Plan, honest, stream
from effortctl.testing._records import Completion
from effortctl.testing._wire import Event, error_body, events_of

DRIP_INTERVAL_S = 0.02


@mode("reset", "the connection is reset before any byte of the reply")
def _reset(completion: Completion, _spec: FaultSpec) -> Plan:
    return replace(honest(completion), hidden=True, ending="reset")


@mode("disconnect", "the connection is closed before any byte of the reply")
def _disconnect(completion: Completion, _spec: FaultSpec) -> Plan:
    return replace(honest(completion), hidden=True, ending="close")


@mode("reset-mid-body", "the connection is reset half way through the body")
def _reset_mid_body(completion: Completion, _spec: FaultSpec) -> Plan:
    return replace(_half(honest(completion)), ending="reset")


@mode("truncated-body", "half the declared body arrives, then the connection is closed")
def _truncated_body(completion: Completion, _spec: FaultSpec) -> Plan:
    return replace(_half(honest(completion)), ending="close")


def _half(plan: Plan) -> Plan:
    body = plan.body
    sent = body[: len(body) // 2]
    return replace(plan, chunks=(sent,), framing="length", missing=len(body) - len(sent))


@mode("slow", "an honest reply that takes its time; set `delay`")
def _slow(completion: Completion, spec: FaultSpec) -> Plan:
    return replace(honest(completion), delay_s=0.0 if "delay" in spec.options else 0.2)


@mode("drip-body", "the body arrives byte by byte", interval="seconds between bytes, default 0.02")
def _drip_body(completion: Completion, spec: FaultSpec) -> Plan:
    plan = honest(completion)
    single = tuple(bytes([byte]) for byte in plan.body)
    return replace(plan, chunks=single, pause_s=spec.number("interval", DRIP_INTERVAL_S))


@mode(
    "drip-headers",
    "the header arrives byte by byte",
    interval="seconds between bytes, default 0.02",
)
def _drip_headers(completion: Completion, spec: FaultSpec) -> Plan:
    interval = spec.number("interval", DRIP_INTERVAL_S)
    return replace(honest(completion), header_pause_s=interval)


@mode("hang", "nothing is ever sent")
def _hang(completion: Completion, _spec: FaultSpec) -> Plan:
    return replace(honest(completion), hidden=True, stall=True)


@mode("hang-after-headers", "the header arrives, the body never does")
def _hang_after_headers(completion: Completion, _spec: FaultSpec) -> Plan:
    plan = honest(completion)
    missing = len(plan.body) if plan.framing == "length" else 1
    return replace(plan, chunks=(), missing=missing, stall=True)


@mode("hang-mid-body", "half the body arrives, then nothing")
def _hang_mid_body(completion: Completion, _spec: FaultSpec) -> Plan:
    return replace(_half(honest(completion)), stall=True)


# --- broken streams --------------------------------------------------------------------------------


def _first_half(completion: Completion) -> list[Event]:
    """The events a client gets before the stream breaks: half the text, if there is any."""
    events = events_of(completion)
    pieces = [index for index, event in enumerate(events) if event.piece]
    last = pieces[len(pieces) // 2] if pieces else 0
    return events[: last + 1]


def _broken(completion: Completion, events: list[Event]) -> Plan:
    """A stream of these events; a request that does not stream gets half a body instead."""
    if not completion.request.stream:
        return _truncated_body(completion, FaultSpec("truncated-body"))
    return stream(completion, events)


@mode("stream-cut", "stream: the connection is closed in the middle, with no sign of an error")
def _stream_cut(completion: Completion, _spec: FaultSpec) -> Plan:
    plan = _broken(completion, _first_half(completion))
    if plan.framing == "length":
        return plan
    return replace(plan, framing="close", ending="close")


@mode("stream-cut-chunked", "stream: closed in the middle, without the final chunk")
def _stream_cut_chunked(completion: Completion, _spec: FaultSpec) -> Plan:
    plan = _broken(completion, _first_half(completion))
    return replace(plan, missing=max(1, plan.missing), ending="close")


@mode("stream-reset", "stream: the connection is reset in the middle")
def _stream_reset(completion: Completion, _spec: FaultSpec) -> Plan:
    plan = _broken(completion, _first_half(completion))
    return replace(plan, missing=max(1, plan.missing), ending="reset")


@mode("stream-error", "stream: an error event in the middle")
def _stream_error(completion: Completion, _spec: FaultSpec) -> Plan:
    text = "The server had an error while generating."
    events = _first_half(completion)
    if completion.request.api == "chat":
        failure = Event(None, error_body(text, kind="server_error", code="server_error"))
    else:
        data = {
            "type": "error",
            "code": "server_error",
            "message": text,
            "param": None,
            "sequence_number": len(events),
        }
        failure = Event("error", data)
    return _broken(completion, [*events, failure])


@mode("stream-failed", "stream: Responses ends with response.failed; Chat with an error event")
def _stream_failed(completion: Completion, spec: FaultSpec) -> Plan:
    if completion.request.api == "chat":
        return _stream_error(completion, spec)
    events = events_of(completion)
    last = events[-1].data
    if not isinstance(last, dict):
        return _stream_error(completion, spec)
    error = {"code": "server_error", "message": "The server had an error while generating."}
    response = last["response"] | {"status": "failed", "error": error, "output": []}
    failed = last | {"type": "response.failed", "response": response}
    return _broken(completion, [*events[:-1], Event("response.failed", failed)])


@mode("stream-no-terminal", "stream: ends in good order, but without its terminal events")
def _stream_no_terminal(completion: Completion, _spec: FaultSpec) -> Plan:
    events = [event for event in events_of(completion) if not event.terminal]
    if completion.request.api == "chat":
        events.append(Event(None, "[DONE]"))
    return _broken(completion, events)


@mode("stream-no-done", "stream: whole, but Chat's [DONE] is missing")
def _stream_no_done(completion: Completion, _spec: FaultSpec) -> Plan:
    events = [event for event in events_of(completion) if event.data != "[DONE]"]
    return _broken(completion, events)


@mode("stream-bad-json", "stream: an event in the middle is not JSON")
def _stream_bad_json(completion: Completion, _spec: FaultSpec) -> Plan:
    events = events_of(completion)
    middle = len(events) // 2
    return _broken(completion, [*events[:middle], Event(None, '{"oops'), *events[middle:]])


@mode("stream-stall", "stream: stops in the middle and never goes on")
def _stream_stall(completion: Completion, _spec: FaultSpec) -> Plan:
    plan = _broken(completion, _first_half(completion))
    return replace(plan, missing=max(1, plan.missing), ending="keep", stall=True)


@mode(
    "stream-slow",
    "stream: honest, with a pause between events",
    interval="seconds between events, default 0.02",
)
def _stream_slow(completion: Completion, spec: FaultSpec) -> Plan:
    plan = honest(completion)
    return replace(plan, pause_s=spec.number("interval", DRIP_INTERVAL_S))

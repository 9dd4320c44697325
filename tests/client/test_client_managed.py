"""Calls whose model or effort is handed over: the loop runs, the SDK's own type comes back."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import openai
import pytest
from openai.types.chat import ChatCompletion, ParsedChatCompletion
from openai.types.responses import ParsedResponse, Response
from sdk_calls import API, Invoice

import effortctl
from effortctl import BudgetExceededError, ConfigError, NotAcceptedError, stores, verifiers
from effortctl.stores import MemoryLedger, TraceStore, read_traces
from effortctl.testing import FakeClock, MockReply, MockServer

LADDER = ["gpt-6-luna@none", "gpt-6-luna@medium", "gpt-6-sol@high"]
PROMPT = "What is 17*24?"
ASK = {
    "chat": {"messages": [{"role": "user", "content": PROMPT}]},
    "responses": {"input": PROMPT},
}
EFFORT = {
    "chat": lambda effort: {"reasoning_effort": effort},
    "responses": lambda effort: {"reasoning": {"effort": effort}},
}


def by_effort(request):
    return "408" if request.effort == "high" else "41"


@pytest.fixture
def server():
    with MockServer(by_effort) as running:
        yield running


class Client:
    """A wrapped client of either kind, called in the same way."""

    def __init__(self, server, kind, **options):
        self.kind = kind
        self.ledger = MemoryLedger()
        self.clock = FakeClock()
        sleep = self.clock.sleep if kind == "sync" else self.clock.asleep
        self.options = {"ladder": LADDER, "ledger": self.ledger, "sleep": sleep} | options
        self.url = server.base_url

    def make(self):
        cls = openai.OpenAI if self.kind == "sync" else openai.AsyncOpenAI
        return effortctl.wrap(cls(base_url=self.url, api_key="k"), **self.options)

    def call(self, api, method="create", **kwargs):
        if self.kind == "sync":
            with self.make() as client:
                return getattr(API[api](client), method)(**kwargs)
        return asyncio.run(self._acall(api, method, kwargs))

    async def _acall(self, api, method, kwargs):
        async with self.make() as client:
            return await getattr(API[api](client), method)(**kwargs)


@pytest.fixture(params=["sync", "async"])
def kind(request):
    return request.param


@pytest.fixture(params=["chat", "responses"])
def api(request):
    return request.param


def text_of(response):
    if isinstance(response, ChatCompletion):
        return response.choices[0].message.content
    return response.output_text


def test_auto_climbs_until_the_check_passes(server, kind, api):
    reply = Client(server, kind, verify="number:408").call(api, model="auto", **ASK[api])
    assert isinstance(reply, ChatCompletion if api == "chat" else Response)
    assert text_of(reply) == "408"
    known = effortctl.info(reply)
    assert (known.arm, known.model, known.effort) == ("gpt-6-sol@high", "gpt-6-sol", "high")
    assert (known.attempts, known.accepted, known.verified) == (3, True, True)
    assert known.managed
    assert [(hit.model, hit.effort) for hit in server.hits] == [
        ("gpt-6-luna", "none"),
        ("gpt-6-luna", "medium"),
        ("gpt-6-sol", "high"),
    ]


def test_the_next_arm_sees_the_failed_answer_and_why(server, kind, api):
    Client(server, kind, verify="number:408").call(api, model="auto", **ASK[api])
    turns = server.hits[-1].body["messages" if api == "chat" else "input"]
    assert turns[0]["content"] == PROMPT
    assert turns[1] == {"role": "assistant", "content": "41"}
    assert "A check rejected this answer" in turns[2]["content"]
    assert "408" not in str(turns), "the reference answer must never travel"


def test_effort_auto_of_a_named_model_tries_the_efforts_it_takes(server, kind, api):
    client = Client(server, kind, verify="number:408")
    reply = client.call(api, model="gpt-6-sol", **EFFORT[api]("auto"), **ASK[api])
    assert {hit.model for hit in server.hits} == {"gpt-6-sol"}
    assert [hit.effort for hit in server.hits] == ["none", "low", "medium", "high"]
    assert effortctl.info(reply).arm == "gpt-6-sol@high"


def test_a_model_with_several_arms_on_the_ladder_keeps_to_them(server, kind, api):
    client = Client(server, kind, on_not_accepted="return", verify="number:1")
    reply = client.call(api, model="gpt-6-luna", **EFFORT[api]("auto"), **ASK[api])
    assert [hit.effort for hit in server.hits] == ["none", "medium"]
    assert not effortctl.info(reply).accepted


def test_auto_model_with_a_named_effort_keeps_to_that_effort(server, api):
    client = Client(server, "sync")
    client.call(api, model="auto", **EFFORT[api]("high"), **ASK[api])
    assert [(hit.model, hit.effort) for hit in server.hits] == [("gpt-6-sol", "high")]
    with pytest.raises(ConfigError, match="no arm of ladder 'custom' has effort 'low'"):
        client.call(api, model="auto", **EFFORT[api]("low"), **ASK[api])


def test_effort_auto_of_a_model_nobody_knows_says_what_to_do(server):
    with pytest.raises(ConfigError, match="unknown model 'mine'"):
        Client(server, "sync").call("chat", model="mine", reasoning_effort="auto", **ASK["chat"])


def test_without_a_check_the_first_complete_answer_is_taken(server, kind, api):
    reply = Client(server, kind).call(api, model="auto", **ASK[api])
    known = effortctl.info(reply)
    assert (known.attempts, known.accepted, known.verified) == (1, True, False)


def test_the_other_wishes_of_the_caller_are_kept(server):
    Client(server, "sync").call(
        "responses",
        model="auto",
        input=PROMPT,
        instructions="Be brief.",
        reasoning={"effort": "auto", "summary": "auto"},
        metadata={"k": "v"},
        previous_response_id="resp_1",
        extra_body={"mine": 1},
        extra_headers={"x-team": "blue"},
    )
    (hit,) = server.hits
    assert hit.body["instructions"] == "Be brief."
    assert hit.body["reasoning"] == {"summary": "auto", "effort": "none"}
    assert hit.body["metadata"] == {"k": "v"}
    assert hit.body["previous_response_id"] == "resp_1"
    assert hit.body["mine"] == 1
    assert hit.headers["x-team"] == "blue"
    assert hit.body["input"] == PROMPT


def test_a_cap_of_the_caller_is_never_raised(server, kind, api):
    cap = "max_completion_tokens" if api == "chat" else "max_output_tokens"
    server.script(["truncated"] * 3)
    with pytest.raises(NotAcceptedError, match="cut off at 16 tokens"):
        Client(server, kind).call(api, model="auto", **{cap: 16}, **ASK[api])
    assert [hit.body[cap] for hit in server.hits] == [16, 16, 16]


def test_a_truncated_answer_gets_a_larger_cap(server, kind, api):
    server.script(["truncated"])
    Client(server, kind).call(api, model="auto", **ASK[api])
    cap = "max_completion_tokens" if api == "chat" else "max_output_tokens"
    assert server.hits[1].body[cap] == 2 * server.hits[0].body[cap]


def test_retries_have_one_owner(server, kind, api):
    client = Client(server, kind)
    server.script(["429:retry-after=2", "500", "ok"])
    reply = client.call(api, model="auto", **ASK[api])
    assert server.count() == 3
    assert client.clock.sleeps[0] == 2.0
    assert effortctl.info(reply).trace.calls == 3


def test_faults_of_a_managed_call_are_ours(server, kind, api):
    server.script(["401"])
    with pytest.raises(effortctl.BackendError, match="refused the key") as caught:
        Client(server, kind).call(api, model="auto", **ASK[api])
    assert caught.value.kind == "auth"
    assert caught.value.__context__ is None, "the SDK's error holds the key and the prompt"
    assert effortctl.info(caught.value).trace.outcome == "failed"


def test_no_answer_accepted_raises_with_the_best_one(server, kind, api):
    with pytest.raises(NotAcceptedError) as caught:
        Client(server, kind, verify="number:1").call(api, model="auto", **ASK[api])
    assert len(caught.value.trace.attempts) == 3
    assert effortctl.info(caught.value).cost_usd == caught.value.trace.cost_usd > 0
    assert PROMPT not in str(caught.value)


def test_a_refusal_is_returned_as_the_sdk_returns_it(server, kind):
    server.script(["refusal"])
    reply = Client(server, kind, verify="number:1").call("chat", model="auto", **ASK["chat"])
    assert reply.choices[0].message.refusal
    assert effortctl.info(reply).trace.outcome == "refused"
    assert server.count() == 1


def test_a_rejected_effort_is_resolved_again(server, kind, api):
    server.script(["unsupported-effort"])
    reply = Client(server, kind).call(api, model="auto", **ASK[api])
    assert server.count() == 2
    assert effortctl.info(reply).attempts == 1


def test_the_books_agree_with_the_provider(server, kind, api):
    client = Client(server, kind, verify="number:408", budget="$1")
    server.script(["500", "ok", "truncated"])
    reply = client.call(api, model="auto", **ASK[api])
    booked = sum((entry.cost_usd for entry in client.ledger.entries()), Decimal(0))
    assert booked == effortctl.info(reply).cost_usd


def test_a_budget_stops_before_the_call_that_would_break_it(server, kind, api):
    with pytest.raises(BudgetExceededError):
        Client(server, kind, budget="$0.000001").call(api, model="auto", **ASK[api])
    assert server.count() == 0


def test_tools_and_schemas_count_towards_the_worst_case(server):
    def needed(**more):
        with pytest.raises(BudgetExceededError) as caught:
            Client(server, "sync", budget="$0.000001").call(
                "responses", model="gpt-6-luna", input=PROMPT, max_output_tokens=10, **more
            )
        return caught.value.needed

    tool = {"type": "function", "name": "f", "parameters": {"type": "object", "x": "y" * 4000}}
    assert needed(tools=[tool]) > needed() * 5
    assert needed(service_tier="priority") >= 2 * needed()


def test_several_answers_are_reserved_for(server):
    def needed(n):
        with pytest.raises(BudgetExceededError) as caught:
            Client(server, "sync", budget="$0.0000001").call(
                "chat", model="gpt-6-luna", n=n, max_completion_tokens=1000, **ASK["chat"]
            )
        return caught.value.needed

    assert needed(4) > 3 * needed(1)


def test_a_deadline_holds_for_the_whole_call(server, kind, api):
    server.script(["hang"])
    with pytest.raises(effortctl.DeadlineExceededError):
        Client(server, kind, deadline_s=0.2).call(api, model="auto", **ASK[api])


def test_traces_hold_both_kinds_of_calls(server, kind, api, tmp_path):
    traces = TraceStore(tmp_path / "traces.jsonl")
    client = Client(server, kind, traces=traces)
    managed = client.call(api, model="auto", **ASK[api])
    passed = client.call(api, model="gpt-6-sol", **ASK[api])
    stored = {trace.id: trace for trace in read_traces(traces.path)}
    assert stored.keys() == {effortctl.info(r).decision_id for r in (managed, passed)}
    assert stored[effortctl.info(passed).decision_id].policy == "pass_through"


@pytest.mark.parametrize(
    ("kwargs", "named"),
    [
        ({"n": 2}, "n="),
        ({"functions": [{"name": "f", "parameters": {}}]}, "functions="),
        ({"modalities": ["audio"], "audio": {"voice": "x", "format": "wav"}}, "audio="),
    ],
)
def test_what_cannot_be_managed_is_refused_by_name(server, kwargs, named):
    with pytest.raises(ConfigError, match=named):
        Client(server, "sync").call("chat", model="auto", **ASK["chat"], **kwargs)
    assert server.count() == 0


@pytest.mark.parametrize(
    ("kwargs", "named"),
    [
        ({"background": True}, "background="),
        ({"prompt": {"id": "pmpt_1"}}, "prompt="),
        ({"conversation": "conv_1"}, "conversation="),
    ],
)
def test_what_responses_cannot_hand_over_is_refused_by_name(server, kwargs, named):
    client = Client(server, "sync").make()
    with pytest.raises(ConfigError, match=named):
        client.responses.create(model="auto", input="x", **kwargs)
    assert server.count() == 0
    client.close()


def test_sampling_an_arm_refuses_is_left_out_with_a_warning(kind, api):
    with MockServer(by_effort, enforce_catalog=True) as server:
        client = Client(server, kind, verify="number:408")
        with pytest.warns(effortctl.EffortctlWarning, match="takes no temperature"):
            client.call(api, model="auto", temperature=0.2, **ASK[api])
    assert ["temperature" in hit.body for hit in server.hits] == [True, False, False]


@pytest.mark.parametrize("model", ["auto", "gpt-6-luna"])
def test_feedback_on_a_call_is_kept_beside_its_trace(server, kind, model, tmp_path):
    path = tmp_path / "traces.jsonl"
    client = Client(server, kind, traces=TraceStore(path))
    reply = client.call("responses", model=model, input=PROMPT)
    effortctl.info(reply).feedback(0.5, "half right")
    known = effortctl.info(reply)
    (given,) = stores.read_feedback(stores.feedback_path(path))
    assert (given.trace_id, given.score, given.note) == (known.decision_id, 0.5, "half right")
    assert stores.find_trace(path, given.trace_id).cost_usd == known.cost_usd
    with pytest.raises(ConfigError, match="score"):
        known.feedback(2)


@pytest.mark.parametrize("mode", ["commit_first", "buffer_until_verified"])
@pytest.mark.parametrize("model", ["auto", "gpt-6-luna"])
def test_feedback_can_be_given_on_streams_and_failures(server, mode, model, tmp_path):
    path = tmp_path / "traces.jsonl"
    client = Client(server, "sync", stream=mode, traces=TraceStore(path)).make()
    stream = client.chat.completions.create(model=model, stream=True, **ASK["chat"])
    list(stream)
    effortctl.info(stream).feedback(1)
    server.script(["400"])
    with pytest.raises((openai.BadRequestError, effortctl.BackendError)) as caught:
        client.chat.completions.create(model=model, **ASK["chat"])
    effortctl.info(caught.value).feedback(0)
    client.close()
    given = list(stores.read_feedback(stores.feedback_path(path)))
    assert [each.score for each in given] == [1, 0]


def test_feedback_on_a_step_of_a_session_goes_to_the_sessions_traces(server, tmp_path):
    path = tmp_path / "traces.jsonl"
    inner = openai.OpenAI(base_url=server.base_url, api_key="k")
    with effortctl.Session(inner, ladder=LADDER, traces=TraceStore(path)) as session:
        effortctl.info(session.client.responses.create(model="auto", input=PROMPT)).feedback(1)
        session.steps[0].feedback(0.25)
    inner.close()
    assert [each.score for each in stores.read_feedback(stores.feedback_path(path))] == [1, 0.25]


def test_feedback_needs_somewhere_to_be_kept(server):
    known = effortctl.info(Client(server, "sync").call("responses", model="auto", input=PROMPT))
    with pytest.raises(ConfigError, match="traces=TraceStore"):
        known.feedback(1)


@pytest.mark.parametrize("way", ["dump", "copy", "deepcopy", "json"])
def test_info_is_found_from_copies(server, api, way):
    reply = Client(server, "sync").call(api, model="auto", **ASK[api])
    copies = {
        "dump": reply.model_dump(),
        "copy": reply.model_copy(),
        "deepcopy": reply.model_copy(deep=True),
        "json": type(reply).model_validate_json(reply.model_dump_json()),
    }
    assert effortctl.info(copies[way]) == effortctl.info(reply)
    assert "effortctl" not in reply.model_dump_json()


def test_info_of_a_stranger_is_an_error():
    with pytest.raises(ConfigError, match="nothing is known"):
        effortctl.info({"id": "resp_of_somebody_else"})


def test_an_async_check_works_with_an_async_client_only(server):
    async def check(text):
        await asyncio.sleep(0)
        return text == "408"

    reply = Client(server, "async", verify=check).call("chat", model="auto", **ASK["chat"])
    assert text_of(reply) == "408"
    with pytest.raises(ConfigError, match="wrap an AsyncOpenAI"):
        Client(server, "sync", verify=check).make()


@pytest.mark.parametrize(
    "options",
    [
        {"stream": "sometimes"},
        {"on_not_accepted": "shrug"},
        {"cache": object()},
        {"backends": {"openai": object()}},
        {"ladder": ["gpt-6-luna", "openrouter/openai/gpt-6-luna"]},
        {"policy": 5},
        {"budget": "a lot"},
        {"max_calls": 0},
    ],
)
def test_options_that_make_no_sense_are_refused_at_once(server, options):
    with pytest.raises(ConfigError):
        Client(server, "sync", **options).make()


def test_one_client_serves_many_threads(server):
    client = Client(server, "sync", verify="number:408", budget="$5").make()
    seen = []
    barrier = threading.Barrier(8)

    def work(number):
        barrier.wait()
        name = "auto" if number % 2 else "gpt-6-sol"
        reply = client.responses.create(
            model=name, input=f"{PROMPT} {number}", max_output_tokens=900
        )
        seen.append((name, effortctl.info(reply).managed))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert sorted(seen) == [("auto", True)] * 4 + [("gpt-6-sol", False)] * 4
    client.close()


def test_one_client_serves_many_tasks(server):
    async def run():
        async with Client(server, "async", verify="number:408", budget="$5").make() as client:
            calls = [
                client.responses.create(
                    model="auto" if n % 2 else "gpt-6-sol",
                    input=f"{PROMPT} {n}",
                    max_output_tokens=900,
                )
                for n in range(16)
            ]
            return [effortctl.info(reply).managed for reply in await asyncio.gather(*calls)]

    assert asyncio.run(run()) == [False, True] * 8


def test_a_judge_is_asked_through_the_same_client(kind, api):
    def model(request):
        return (
            MockReply("verdict: fail") if "rubric" in request.text.lower() else by_effort(request)
        )

    with MockServer(model) as server:
        check = verifiers.judge("Is it polite?", arm="gpt-6-astra@low")
        client = Client(server, kind, verify=check, on_not_accepted="return")
        client.call(api, model="auto", **ASK[api])
        assert server.count(model="gpt-6-astra") >= 1


PARSE = {
    "chat": ({"messages": [{"role": "user", "content": "bill"}], "response_format": Invoice}),
    "responses": ({"input": "bill", "text_format": Invoice}),
}


def test_parse_escalates_with_the_validation_error(kind, api):
    def model(request):
        good = request.effort != "none"
        return '{"number": "A1", "total": 9.5}' if good else '{"number": "A1", "total": "much"}'

    with MockServer(model) as server:
        reply = Client(server, kind).call(api, "parse", model="auto", **PARSE[api])
    assert isinstance(reply, ParsedChatCompletion if api == "chat" else ParsedResponse)
    parsed = reply.choices[0].message.parsed if api == "chat" else reply.output_parsed
    assert parsed == Invoice(number="A1", total=9.5)
    assert effortctl.info(reply).attempts == 2
    assert reply._request_id
    assert "At $.total: Input should be a valid number" in str(server.hits[1].body)


def test_parse_that_never_fits_raises_ours_or_returns_as_the_sdk_would(kind, api):
    with MockServer(lambda _: "no json") as server:
        with pytest.raises(NotAcceptedError):
            Client(server, kind).call(api, "parse", model="auto", **PARSE[api])
        with pytest.raises(ValueError, match="Invalid JSON"):
            Client(server, kind, on_not_accepted="return").call(
                api, "parse", model="auto", **PARSE[api]
            )

"""OpenAI Batch files: requests out, results in."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effortctl import Task
from effortctl._errors import ConfigError, StoreError
from effortctl._types import Arm, Case, Endpoint, Message
from effortctl.harness.datasets import load_dataset
from effortctl.harness.formats import _batch, import_outcomes, write_batch_requests
from effortctl.harness.formats._batch import CustomId, request_line

LOW = Arm(name="luna|low", model="gpt-6-luna", effort="low", api="responses")
HIGH = Arm(name="luna|high", model="gpt-6-luna", effort="high", api="responses")
CHAT = Arm(name="mini", model="gpt-4o-mini", api="chat", effort_style="fixed")
DATASET = load_dataset(
    [
        {"id": "a|1", "input": "2+2?", "target": 4, "category": "sums", "cluster": "c"},
        {"id": "ü/2", "messages": [{"role": "user", "content": "3+3?"}], "target": 6},
    ]
)


def lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


NOVEMBER = 1_794_000_000
SEPTEMBER = 1_790_000_000


def reply(request, text, *, status="completed", created=NOVEMBER):
    """What the Batch API gives back for a request."""
    usage = {
        "input_tokens": 100,
        "output_tokens": 50,
        "prompt_tokens": 100,
        "completion_tokens": 50,
    }
    body = {"model": request["body"]["model"], "usage": usage, "created_at": created}
    if request["url"] == "/v1/responses":
        content = [{"type": "output_text", "text": text}]
        body |= {"status": status, "output": [{"type": "message", "content": content}]}
    else:
        message = {"role": "assistant", "content": text}
        body |= {"choices": [{"message": message, "finish_reason": "stop"}]}
    return {
        "id": "batch_req_1",
        "custom_id": request["custom_id"],
        "response": {"status_code": 200, "request_id": "r", "body": body},
        "error": None,
    }


def save(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_there_is_one_file_per_model_and_every_request_is_whole(tmp_path):
    files = write_batch_requests(tmp_path / "b", DATASET.cases, [LOW, HIGH, CHAT], samples=2)
    assert [path.name for path in files] == [
        "requests-gpt-6-luna-responses-001.jsonl",
        "requests-gpt-4o-mini-chat-001.jsonl",
    ]
    responses, chat = map(lines, files)
    assert (len(responses), len(chat)) == (8, 4)
    assert len({record["custom_id"] for record in responses}) == 8
    first = responses[0]
    assert (first["method"], first["url"]) == ("POST", "/v1/responses")
    assert first["body"] == {
        "model": "gpt-6-luna",
        "max_output_tokens": 4096,
        "reasoning": {"effort": "low"},
        "store": False,
        "input": [{"role": "user", "content": "2+2?"}],
    }
    assert chat[0]["url"] == "/v1/chat/completions"
    assert chat[0]["body"]["messages"] == [{"role": "user", "content": "2+2?"}]


def test_extra_fields_of_an_arm_are_part_of_the_body():
    arm = CHAT.model_copy(update={"extra_body": {"service_tier": "flex"}})
    body = json.loads(request_line(DATASET.cases[0], arm))["body"]
    assert body["service_tier"] == "flex"
    assert "extra_body" not in body


def test_a_file_never_holds_more_than_the_api_takes(tmp_path, monkeypatch):
    monkeypatch.setattr(_batch, "MAX_REQUESTS", 3)
    files = write_batch_requests(tmp_path, DATASET.cases, [LOW], samples=4)
    assert [len(lines(path)) for path in files] == [3, 3, 2]
    monkeypatch.setattr(_batch, "MAX_BYTES", 10)
    assert len(write_batch_requests(tmp_path, DATASET.cases, [LOW])) == 2


def test_requests_and_results_round_trip_in_any_order(tmp_path):
    files = write_batch_requests(tmp_path, DATASET.cases, [LOW, HIGH, CHAT], samples=2)
    requests = [record for path in files for record in lines(path)]
    right = {"a|1": "4", "ü/2": "6"}
    results = []
    for request in requests:
        custom = CustomId.parse(request["custom_id"])
        good = custom.arm != "luna|low" or custom.sample_index == 0
        results.append(reply(request, right[custom.task_id] if good else "no idea"))
    output = save(tmp_path / "out.jsonl", results[::-1])
    found = import_outcomes(output, *files, dataset=DATASET)
    assert found.format == "batch"
    table = {(row.query_id, row.arm): row for row in found.rows}
    assert len(table) == 6
    assert {key: row.score for key, row in table.items() if key[1] == "luna|low"} == {
        ("a|1", "luna|low"): 0.5,
        ("ü/2", "luna|low"): 0.5,
    }
    row = table["a|1", "luna|high"]
    assert (row.score, row.n_samples, row.model, row.effort) == (1.0, 2, "gpt-6-luna", "high")
    assert (row.query, row.category, row.cluster) == ("2+2?", "sums", "c")
    assert (row.input_tokens, row.output_tokens) == (100, 50)


def test_dollars_are_those_of_the_batch_tier(tmp_path):
    request = json.loads(request_line(DATASET.cases[0], CHAT))
    found = import_outcomes(save(tmp_path / "o.jsonl", [reply(request, "4")]), dataset=DATASET)
    (source,) = found.price_sources
    assert source.startswith("genai-prices")
    # 100 input and 50 output tokens at half of $0.15 and $0.60 per million.
    assert found.rows[0].cost_usd == pytest.approx((100 * 0.075 + 50 * 0.30) / 1e6)


def test_a_discount_that_the_price_book_does_not_know_is_not_made_up(tmp_path):
    request = json.loads(request_line(DATASET.cases[0], CHAT))
    old = save(tmp_path / "o.jsonl", [reply(request, "4", created=SEPTEMBER)])
    found = import_outcomes(old, dataset=DATASET)
    (source,) = found.price_sources
    assert source.endswith("no batch price known for that date")


def test_ids_of_other_programs_name_the_task_and_requests_tell_the_effort(tmp_path):
    request = json.loads(request_line(DATASET.cases[0], HIGH)) | {"custom_id": "a|1"}
    output = save(tmp_path / "o.jsonl", [reply(request, "4")])
    alone = import_outcomes(output, dataset=DATASET)
    assert (alone.rows[0].query_id, alone.rows[0].arm) == ("a|1", "gpt-6-luna")
    assert "effort of some answers is unknown" in alone.notes[0]
    joined = import_outcomes(output, save(tmp_path / "i.jsonl", [request]), dataset=DATASET)
    assert joined.rows[0].arm == "gpt-6-luna@high"


def test_failed_requests_are_left_out_and_cut_off_answers_are_wrong(tmp_path):
    first, second = (json.loads(request_line(case, HIGH)) for case in DATASET.cases)
    third = json.loads(request_line(DATASET.cases[0], LOW))
    fourth = json.loads(request_line(DATASET.cases[1], LOW))
    failed = {"custom_id": second["custom_id"], "response": None, "error": {"code": "expired"}}
    refused = reply(third, "x")
    refused["response"] = {"status_code": 400, "body": {"error": {"message": "bad"}}}
    output = save(tmp_path / "o.jsonl", [reply(first, "4", status="incomplete"), failed, refused])
    found = import_outcomes(output, save(tmp_path / "i.jsonl", [first, fourth]), dataset=DATASET)
    assert [row.score for row in found.rows] == [0.0]
    assert found.left_out == {"the request failed": 2, "the request has no result": 1}


@pytest.mark.parametrize(
    ("records", "told"),
    [
        ([{"response": {}}], "line 1: custom_id is missing"),
        ([{"custom_id": "a", "response": None}] * 2, "line 2: the result of 'a' comes twice"),
        ([{"custom_id": "a", "response": None}], r"the request failed \(1\)"),
        ([{"custom_id": "a", "response": {"body": 3}}], r"the request failed \(1\)"),
    ],
)
def test_results_that_make_no_sense_are_refused(tmp_path, records, told):
    with pytest.raises(StoreError, match=told):
        import_outcomes(save(tmp_path / "o.jsonl", records), dataset=DATASET, format="batch")


def test_a_batch_needs_cases_and_arms_with_a_batch_api(tmp_path):
    with pytest.raises(ConfigError, match="at least one case"):
        write_batch_requests(tmp_path, (), [LOW])
    local = LOW.model_copy(update={"endpoint": Endpoint(name="local", kind="local")})
    with pytest.raises(ConfigError, match="has no Batch API"):
        write_batch_requests(tmp_path, DATASET.cases, [local])
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="not written"):
        write_batch_requests(tmp_path / "file", DATASET.cases, [LOW])


TEXT = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=30)


@given(task_id=TEXT, arm=TEXT, index=st.integers(0, 10**6))
def test_every_id_survives_the_round_trip(task_id, arm, index):
    custom = CustomId(task_id, arm, index)
    assert CustomId.parse(str(custom)) == custom
    assert str(custom).isprintable()


@given(TEXT.filter(lambda text: not text.startswith("effortctl|")))
def test_every_foreign_id_is_the_task(text):
    assert CustomId.parse(text) == CustomId(text)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4, unique_by=lambda pair: pair[0]))
def test_any_conversation_survives_the_round_trip(tmp_path_factory, pairs):
    cases = [
        Case(
            task=Task(
                id=name.strip() or f"x{n}",
                input=(Message(role="system", content=text), Message(role="user", content=text)),
            ),
            reference=text,
        )
        for n, (name, text) in enumerate(pairs)
    ]
    if len({case.task.id for case in cases}) < len(cases):
        return
    folder = tmp_path_factory.mktemp("batch")
    dataset = load_dataset(cases, metric="exact")
    (file,) = write_batch_requests(folder, cases, [CHAT])
    requests = lines_of(file)
    assert [r["body"]["messages"][1]["content"] for r in requests] == [text for _, text in pairs]
    answers = [
        reply(request, case.reference) for request, case in zip(requests, cases, strict=True)
    ]
    found = import_outcomes(save(folder / "o.jsonl", answers), file, dataset=dataset)
    assert [(row.query_id, row.score) for row in found.rows] == [(c.task.id, 1.0) for c in cases]


def lines_of(path):
    """As `lines`, but breaking at line feeds only: prompts hold other separators."""
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


@pytest.mark.parametrize("body", [None, "x", 3, []])
def test_a_request_whose_body_is_no_object_is_refused_with_its_line(tmp_path, body):
    path = save(tmp_path / "b.jsonl", [{"custom_id": "a|1", "body": body}])
    with pytest.raises(StoreError, match=r"b\.jsonl, line 1, body: a JSON .*expected an object"):
        import_outcomes(path, dataset=DATASET)

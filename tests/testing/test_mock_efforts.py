import pytest
from mock_wire import CHAT, RESPONSES, post

from effortctl.testing import MockServer
from effortctl.testing._efforts import EFFORT_WORDINGS

LISTS_NONE = {"openai-parameter", "openai-unrecognized", "xai", "gemini", "anthropic"}


def test_openais_words_on_chat(mock_server):
    spec = "unsupported-effort:supported=none/low/medium/high"
    seen = post(mock_server, model=f"gpt-5.1+fault={spec}", reasoning_effort="minimal")
    assert seen.status == 400
    assert seen.json()["error"] == {
        "message": "Unsupported value: 'reasoning_effort' does not support 'minimal' with this "
        "model. Supported values are: 'none', 'low', 'medium', and 'high'.",
        "type": "invalid_request_error",
        "param": "reasoning_effort",
        "code": "unsupported_value",
    }


def test_openais_words_on_responses(mock_server):
    seen = post(
        mock_server,
        RESPONSES,
        model="gpt-5.1+fault=unsupported-effort",
        reasoning={"effort": "minimal"},
    )
    error = seen.json()["error"]
    assert error["param"] == "reasoning.effort"
    assert "'minimal' is not supported with the 'gpt-5.1' model" in error["message"]


@pytest.mark.parametrize("style", sorted(EFFORT_WORDINGS))
def test_every_style_rejects_in_its_own_words(mock_server, style):
    spec = f"unsupported-effort:style={style},supported=low/high"
    seen = post(mock_server, model=f"m+fault={spec}", reasoning_effort="xhigh")
    text = seen.body.decode().lower()
    assert seen.status == 400
    assert "reasoning" in text or "effort" in text or "level" in text
    if style not in LISTS_NONE:
        assert "low" in text
        assert "high" in text.replace("xhigh", "")
    assert mock_server.hits[0].would_bill_usage is None


def test_all_wordings_differ(mock_server):
    texts = set()
    for style in EFFORT_WORDINGS:
        spec = f"unsupported-effort:style={style},supported=low/high"
        texts.add(post(mock_server, model=f"m+fault={spec}", reasoning_effort="xhigh").body)
    assert len(texts) == len(EFFORT_WORDINGS)


@pytest.mark.parametrize("effort", [None, "low", "high"])
def test_a_supported_effort_gets_an_honest_answer(mock_server, effort):
    fields = {"reasoning_effort": effort} if effort else {}
    assert post(mock_server, model="m+fault=unsupported-effort", **fields).status == 200


@pytest.fixture
def strict_server():
    with MockServer(enforce_catalog=True) as server:
        yield server


def test_the_catalog_rejects_an_effort_the_model_lacks(strict_server):
    seen = post(strict_server, RESPONSES, model="gpt-6-astra", reasoning={"effort": "none"})
    assert seen.status == 400
    assert "Supported values are: 'low', 'medium'" in seen.json()["error"]["message"]
    assert (
        post(strict_server, RESPONSES, model="gpt-6-astra", reasoning={"effort": "low"}).status
        == 200
    )


def test_the_catalog_rejects_unknown_and_ended_models(strict_server):
    for model in ("gpt-99-nonesuch", "o4-mini"):
        seen = post(strict_server, RESPONSES, model=model)
        assert (seen.status, seen.json()["error"]["code"]) == (404, "model_not_found")


def test_the_catalog_rejects_tools_with_effort_on_chat_only(strict_server):
    tools = [{"type": "function", "function": {"name": "f"}}]
    seen = post(strict_server, CHAT, model="gpt-5.5", reasoning_effort="low", tools=tools)
    assert seen.status == 400
    assert "Function tools with reasoning_effort" in seen.json()["error"]["message"]
    assert post(strict_server, RESPONSES, model="gpt-5.5", tools=tools).status == 200


def test_the_catalog_rejects_sampling_while_reasoning(strict_server):
    seen = post(strict_server, CHAT, model="gpt-6-sol", reasoning_effort="low", temperature=0.2)
    assert (seen.status, seen.json()["error"]["param"]) == (400, "temperature")
    assert (
        post(
            strict_server, CHAT, model="gpt-6-sol", reasoning_effort="none", temperature=0.2
        ).status
        == 200
    )


def test_scripts_apply_to_requests_that_keep_the_rules(strict_server):
    strict_server.script(["503"])
    assert post(strict_server, model="gpt-99-nonesuch").status == 404
    assert post(strict_server, model="gpt-6-sol").status == 503

"""The mock server can fail in every way that was asked of it, on every API."""

from __future__ import annotations

import subprocess
import sys

import pytest

from effortctl.catalog import load_catalog
from effortctl.testing import FAULTS, MockServer
from effortctl.testing._efforts import EFFORT_WORDINGS
from effortctl.testing._faults import parse_fault

WANTED = {
    "every status": "400 401 403 404 408 409 413 422 429 500 502 503 504 529",
    "retry-after, three forms": "429:retry-after=1 429:retry-after-ms=9 503:retry-after-date=9",
    "resets": "reset reset-mid-body disconnect",
    "truncated bodies": "truncated-body",
    "dripping bytes": "drip-body drip-headers",
    "hangs": "hang hang-after-headers hang-mid-body",
    "a page instead of a reply": "html-200 html-502",
    "an error with status 200": "error-in-200",
    "no choices": "null-choices empty-choices wrong-type-choices null-content",
    "broken text": "bad-utf8 malformed-json empty-body bad-gzip",
    "10 MB": "huge-body:mb=10",
    "wrong counts": "usage-negative usage-string usage-missing usage-null usage-nan usage-huge",
    "silent cuts": "stream-cut stream-cut-chunked stream-reset",
    "errors in a stream": "stream-error stream-failed stream-bad-json",
    "no last event": "stream-no-terminal stream-no-done",
    "stalls": "stream-stall stream-slow",
    "what no retry cures": "insufficient-quota context-length-exceeded prompt-filtered refusal",
}


@pytest.mark.parametrize("specs", WANTED.values(), ids=WANTED)
def test_every_wanted_fault_is_there(specs):
    assert {parse_fault(spec).name for spec in specs.split()} <= set(FAULTS)


def test_there_are_more_than_thirty():
    assert len(FAULTS) >= 70


def test_every_provider_that_words_a_rejected_effort_has_its_wording():
    providers = {"openai", "anthropic", "gemini", "groq", "kimi", "ollama", "sglang", "vllm", "xai"}
    assert providers <= {style.partition("-")[0] for style in EFFORT_WORDINGS}
    named = {card.provider for card in load_catalog().cards.values()}
    assert "openai" in named


@pytest.mark.parametrize("path", ["/responses", "/chat/completions", "/decisions"])
@pytest.mark.parametrize("how", ["model", "header"])
def test_model_and_header_choose_a_fault_on_every_api(path, how):
    import httpx2

    questions = [{"type": "predicate", "instructions": "right?"}]
    body = {"input": "1", "messages": [{"role": "user", "content": "1"}], "questions": questions}
    body |= {"model": "m+fault=503" if how == "model" else "m"}
    headers = {"x-mock-fault": "503"} if how == "header" else {}
    with MockServer() as server, httpx2.Client() as http:
        assert http.post(server.base_url + path, json=body, headers=headers).status_code == 503
        body["model"] = "m"
        assert http.post(server.base_url + path, json=body).status_code == 200
        assert server.count() == 2
        assert server.high_water == 1
        assert server.billed_usage.input_tokens > 0


def test_the_command_lists_every_fault():
    done = subprocess.run(
        [sys.executable, "-m", "effortctl.testing.server", "--list-faults"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(FAULTS)

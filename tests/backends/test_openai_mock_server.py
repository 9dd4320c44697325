"""Every fault the mock server knows, through a real socket: typed, and never retried below us."""

from __future__ import annotations

import contextlib

import pytest
from openai_wire import APIS, Api, endpoint, make_call

from effortctl._errors import EffortctlError, UnsupportedEffortError
from effortctl.backends import OpenAIBackend
from effortctl.testing import FAULTS, MockServer
from effortctl.testing._efforts import EFFORT_WORDINGS


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_every_fault_ends_in_an_answer_or_a_typed_error_after_one_request(
    fault: str, api: Api, mock_server: MockServer
) -> None:
    where = endpoint(base_url=mock_server.base_url)
    call = make_call(api, endpoint=where, timeout_s=0.7, model=f"model-x+fault={fault}")
    with OpenAIBackend(where) as backend, contextlib.suppress(EffortctlError):
        backend.complete(call).model_dump_json()
    assert len(mock_server.hits) == 1


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("style", sorted(EFFORT_WORDINGS))
def test_every_wording_of_a_rejected_effort_is_understood(
    style: str, api: Api, mock_server: MockServer
) -> None:
    where = endpoint(base_url=mock_server.base_url)
    model = f"model-x+fault=unsupported-effort:style={style}"
    with OpenAIBackend(where) as backend, pytest.raises(UnsupportedEffortError) as caught:
        backend.complete(make_call(api, endpoint=where, model=model, effort="xhigh"))
    assert caught.value.supported in ((), ("low", "medium", "high"))

import subprocess
import sys
import threading
import warnings
from datetime import date, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effortctl._errors import ConfigError, EffortctlWarning
from effortctl._types import EFFORTS, Arm, Endpoint
from effortctl.catalog import (
    ArmRequest,
    Catalog,
    ModelCard,
    choose_effort,
    load_catalog,
    narrow,
    parse_arm,
    resolve,
    stale_note,
    sunset_notes,
)

CATALOG = load_catalog()
REAL_EFFORTS = EFFORTS[1:]
POLICIES = ("error", "nearest_up", "nearest_down")


def fresh_catalog() -> Catalog:
    """A catalog of its own, so that what it learns is forgotten again."""
    return Catalog(CATALOG.cards.values(), CATALOG.endpoints.values())


def place_of(card: ModelCard) -> str:
    return card.endpoints[0] if card.endpoints else card.home or "vllm"


@pytest.mark.parametrize("card", CATALOG.cards.values(), ids=lambda card: card.id)
def test_every_card_resolves_every_effort_to_an_accepted_one_or_says_no(card: ModelCard):
    model = card.names[0].replace("*", "x")
    for effort, policy in product(EFFORTS, POLICIES):
        request = ArmRequest(
            model=model, effort=effort, endpoint=place_of(card), on_unsupported=policy
        )
        accepted = CATALOG.card(model, place_of(card)).efforts
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", EffortctlWarning)
            try:
                arm = resolve(request)
            except ConfigError:
                assert policy == "error"
                assert effort not in accepted
                continue
        assert arm.effort == effort
        assert arm.effective_effort in accepted or arm.effective_effort == "default"
        assert (arm.effective_effort == "default") == (effort == "default" or not accepted)
        assert arm.max_output_tokens <= arm.max_output_tokens_limit


accepted_sets = st.sets(st.sampled_from(REAL_EFFORTS)).map(
    lambda s: tuple(sorted(s, key=EFFORTS.index))
)


@given(st.sampled_from(REAL_EFFORTS), accepted_sets)
def test_nearest_up_never_goes_down_unless_nothing_is_above(wanted, accepted):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        chosen = choose_effort(wanted, accepted, on_unsupported="nearest_up")
    higher = [e for e in accepted if EFFORTS.index(e) >= EFFORTS.index(wanted)]
    if higher:
        assert chosen == higher[0]
        assert not told
    else:
        assert chosen == (accepted[-1] if accepted else "default")
        assert told[0].category is EffortctlWarning


@given(st.sampled_from(REAL_EFFORTS), accepted_sets)
def test_nearest_down_never_goes_up_unless_nothing_is_below(wanted, accepted):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EffortctlWarning)
        chosen = choose_effort(wanted, accepted, on_unsupported="nearest_down")
    lower = [e for e in accepted if EFFORTS.index(e) <= EFFORTS.index(wanted)]
    assert chosen == (lower[-1] if lower else accepted[0] if accepted else "default")


@given(st.sampled_from(EFFORTS), accepted_sets, st.sampled_from(["nearest_up", "nearest_down"]))
def test_resolving_what_was_resolved_changes_nothing(wanted, accepted, policy):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EffortctlWarning)
        once = choose_effort(wanted, accepted, on_unsupported=policy)
    assert choose_effort(once, accepted, on_unsupported=policy) == once


def test_none_asked_of_a_model_that_cannot_be_off_goes_up():
    assert not CATALOG.card("o3").can_switch_off
    assert resolve("o3@none").effective_effort == "low"


def test_default_is_always_allowed_and_sends_no_effort():
    arm = resolve(ArmRequest(model="gpt-5-pro", on_unsupported="error"))
    assert arm.effective_effort == "default"
    assert "reasoning" not in arm.responses_kwargs()


def test_a_refused_effort_says_which_are_accepted():
    request = ArmRequest(model="o3", effort="max", on_unsupported="error")
    with pytest.raises(ConfigError, match=r"o3@max: effort 'max'.*low, medium, high.*nearest_up"):
        resolve(request)


@pytest.mark.parametrize(
    ("text", "endpoint", "model", "effort"),
    [
        ("gpt-6-luna", None, "gpt-6-luna", "default"),
        ("gpt-6-luna@low", None, "gpt-6-luna", "low"),
        ("ollama/qwen3:8b@none", "ollama", "qwen3:8b", "none"),
        ("ollama:gpu2/qwen3:8b@none", "ollama:gpu2", "qwen3:8b", "none"),
        ("openrouter/openai/gpt-6-luna@max", "openrouter", "openai/gpt-6-luna", "max"),
        ("Qwen/Qwen3-8B@high", None, "Qwen/Qwen3-8B", "high"),
    ],
)
def test_an_arm_is_read_from_one_word(text, endpoint, model, effort):
    request = parse_arm(text)
    assert (request.endpoint, request.model, request.effort) == (endpoint, model, effort)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gpt-6-luna@lo", "unknown effort 'lo'"),
        ("@low", "no model"),
        ("ollama/@low", "no model"),
        ("", "no model"),
        ("gpt-oss-20b@low", "served in many places; say where"),
        ("foo/bar@low", "unknown model 'foo/bar'"),
    ],
)
def test_a_wrong_word_is_a_config_error(text, said):
    with pytest.raises(ConfigError, match=said):
        resolve(text)


def test_the_output_cap_grows_with_the_effort_that_is_really_sent():
    caps = [resolve(f"gpt-6-luna@{e}").max_output_tokens for e in REAL_EFFORTS]
    assert caps == [2048, 4096, 4096, 8192, 16_384, 32_768, 65_536]
    assert resolve("claude-haiku-4-5@xhigh").max_output_tokens_limit == 64_000
    assert resolve("smollm2-135m@high").max_output_tokens == 512


def test_a_cap_above_what_the_model_can_generate_is_refused():
    with pytest.raises(ConfigError, match="at most 128000"):
        resolve(ArmRequest(model="gpt-6-luna", max_output_tokens=200_000))
    arm = resolve(ArmRequest(model="x", endpoint="vllm", max_output_tokens=200_000))
    assert arm.max_output_tokens_limit == 200_000


def test_each_style_travels_in_its_own_fields():
    param = resolve("gpt-6-luna@low")
    assert (param.api, param.responses_kwargs()["reasoning"]) == ("responses", {"effort": "low"})
    toggle = resolve("deepseek-v4-pro@none").chat_kwargs()
    assert toggle["extra_body"] == {"thinking": {"type": "disabled"}}
    assert "reasoning_effort" not in toggle
    template = resolve("vllm/Qwen/Qwen3-8B@none").chat_kwargs()
    assert template["extra_body"] == {"chat_template_kwargs": {"enable_thinking": False}}
    budget = resolve("claude-sonnet-4-5@medium").chat_kwargs()
    assert budget["extra_body"]["thinking"]["budget_tokens"] == 2048
    assert resolve("gpt-4o@none").responses_kwargs().keys() == {"model", "max_output_tokens"}
    assert resolve("smollm2-135m@low").effort_style == "prompt"


def test_openrouter_translates_every_effort_itself():
    for model in ("deepseek/deepseek-v4-pro", "qwen/qwen3-8b", "openai/gpt-6-luna"):
        kwargs = resolve(f"openrouter/{model}@high").chat_kwargs()
        assert kwargs["reasoning_effort"] == "high"
        assert "extra_body" not in kwargs
    assert resolve("openrouter/openai/gpt-4o@none").effort_style == "fixed"


def test_an_endpoint_that_lacks_the_responses_api_gets_chat():
    assert resolve("openrouter/openai/gpt-6-luna@low").api == "chat"
    assert resolve("bedrock/openai.gpt-5.5@low").api == "responses"


def test_effort_spent_on_samples_comes_from_the_card_unless_asked_otherwise():
    high = resolve("local/any.gguf@high")
    assert (high.samples, high.resample_temperature) == (3, 0.8)
    low = resolve("local/any.gguf@low")
    assert (low.samples, low.resample_temperature) == (1, None)
    assert resolve(ArmRequest(model="smollm2-135m", effort="high", samples=5)).samples == 5


def test_servers_that_know_only_the_older_cap_are_marked():
    for name in ("deepseek", "ollama", "openrouter"):
        assert CATALOG.preset(name).max_tokens_field == "max_tokens"
    assert resolve("ollama/qwen3:8b").endpoint.max_tokens_field == "max_tokens"


def test_the_region_of_an_endpoint_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    arm = resolve("bedrock/openai.gpt-5.5@low")
    assert arm.endpoint.base_url == "https://bedrock-mantle.eu-west-1.api.aws/openai/v1"
    monkeypatch.delenv("AWS_REGION")
    with pytest.raises(ConfigError, match="needs the environment variable AWS_REGION"):
        resolve("bedrock/openai.gpt-5.5@low")


def test_an_inline_endpoint_starts_from_the_preset_it_is_named_after():
    table = {"name": "ollama:gpu1", "base_url": "http://127.0.0.2:11434/v1"}
    arm = resolve(ArmRequest(model="qwen3:8b", effort="none", endpoint=table))
    assert arm.endpoint.self_hosted
    assert arm.endpoint.max_tokens_field == "max_tokens"
    assert arm.endpoint.base_url == "http://127.0.0.2:11434/v1"
    with pytest.raises(ConfigError, match=r"endpoint: `url` is not a known key"):
        resolve(ArmRequest(model="x", endpoint={"name": "mine", "url": "http://127.0.0.1"}))


def test_a_ready_endpoint_is_taken_as_it_is():
    mine = Endpoint(name="mine", base_url="http://127.0.0.1:9/v1")
    arm = resolve(ArmRequest(model="whatever", effort="xhigh", endpoint=mine))
    assert arm.endpoint is mine
    assert (arm.api, arm.effective_effort) == ("chat", "xhigh")


def test_a_refusal_narrows_the_card_for_this_process():
    catalog = fresh_catalog()
    arm = resolve("vllm/new-model@xhigh", catalog=catalog)
    with pytest.warns(EffortctlWarning, match="'high' is used"):
        narrower = narrow(arm, ["low", "medium", "high", "ultra"], catalog=catalog)
    assert (narrower.effort, narrower.effective_effort) == ("xhigh", "high")
    assert narrower.name == arm.name
    again = resolve("vllm/new-model@none", catalog=catalog)
    assert again.effective_effort == "low"
    elsewhere = resolve("ollama/new-model@none", catalog=catalog)
    assert elsewhere.effective_effort == "none"


def test_a_refusal_that_lists_nothing_drops_the_effort():
    catalog = fresh_catalog()
    arm = resolve("vllm/new-model@low", catalog=catalog)
    with pytest.warns(EffortctlWarning, match="'default' is used"):
        narrower = narrow(arm, [], catalog=catalog)
    assert narrower.effective_effort == "default"
    assert "reasoning_effort" not in narrower.chat_kwargs()
    assert narrow(narrower, [], catalog=catalog) is narrower


def test_the_refused_effort_is_never_chosen_again():
    catalog = fresh_catalog()
    arm = resolve("vllm/new-model@low", catalog=catalog)
    assert narrow(arm, ["low", "high"], catalog=catalog).effective_effort == "high"


def test_who_wants_an_error_for_an_effort_that_is_refused_gets_one():
    catalog = fresh_catalog()
    request = ArmRequest(model="new-model", effort="low", endpoint="vllm", on_unsupported="error")
    arm = resolve(request, catalog=catalog)
    with pytest.raises(
        ConfigError, match=r"new-model@low: effort 'low' is not accepted .* choose one"
    ):
        narrow(arm, ["medium", "high"], catalog=catalog)


def test_a_narrowed_switch_keeps_to_what_it_can_send():
    catalog = fresh_catalog()
    arm = resolve("deepseek-v4-pro@low", catalog=catalog)
    narrower = narrow(arm, ["medium", "high"], catalog=catalog)
    assert narrower.effective_effort == "high"
    assert narrower.extra_body["reasoning_effort"] == "high"


def test_narrowing_from_many_threads_agrees():
    catalog = fresh_catalog()
    arm = resolve("vllm/new-model@minimal", catalog=catalog)
    found: list[Arm] = []
    threads = [
        threading.Thread(target=lambda: found.append(narrow(arm, ["low", "high"], catalog=catalog)))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {a.effective_effort for a in found} == {"low"}
    assert len(found) == 16


def test_a_model_past_or_near_its_end_is_noted_once():
    arms = [resolve(t) for t in ("o4-mini@low", "o3@low", "o3@high", "gpt-4o", "gpt-6-luna")]
    notes = sunset_notes(arms, date(2026, 11, 23))
    assert [note.split(";")[0] for note in notes] == [
        "o4-mini was shut down on 2026-10-23",
        "o3 is shut down on 2026-12-11, in 18 days",
        "gpt-4o is shut down on 2027-01-14, in 52 days",
    ]
    assert sunset_notes(arms, date(2026, 1, 1)) == []
    assert len(sunset_notes(arms, date(2026, 12, 11))) == 3
    ended = sunset_notes(arms, date(2026, 11, 23), notice=timedelta(0))
    assert ended == notes[:1]


def test_recorded_answers_and_own_servers_know_no_shutdown():
    arm = resolve("o4-mini@low")
    mine = arm.model_copy(update={"endpoint": Endpoint(name="x", kind="recorded")})
    assert sunset_notes([mine, resolve("vllm/o4-mini@low")], date(2026, 11, 23)) == []


def test_a_model_that_ended_on_an_unknown_day_is_noted():
    arm = resolve("gemini-3-pro-preview@low")
    assert "no longer served" in sunset_notes([arm], date(2026, 1, 1))[0]


def test_importing_the_catalog_loads_no_provider_and_parses_nothing():
    code = (
        "import sys, effortctl.catalog as c, effortctl.catalog._catalog as k;"
        "bad = {'openai', 'sklearn', 'diskcache', 'genai_prices'} & set(sys.modules);"
        "assert not bad, bad; assert k._load.cache_info().currsize == 0"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_raised_cap_stays_within_what_hosted_models_take():
    for card in CATALOG.cards.values():
        if card.home is None or card.max_output is not None:
            continue
        arm = resolve(ArmRequest(model=card.names[0].replace("*", "x"), endpoint=card.home))
        assert arm.max_output_tokens_limit <= 128_000


def test_old_knowledge_of_hosted_models_is_noted():
    hosted, own = resolve("gpt-6-luna@low"), resolve("ollama/qwen3:8b@none")
    small = resolve("recorded/qwen2.5-coder-0.5b@none")
    assert stale_note([hosted, own], date(2027, 5, 22)) is None
    note = stale_note([own, hosted], date(2027, 5, 23))
    assert "read on 2026-11-23, 181 days ago; upgrade" in note
    assert stale_note([own, small], date(2036, 1, 1)) is None

from datetime import date
from pathlib import Path
from typing import get_args

import pytest
from openai.types.shared import ReasoningEffort
from pydantic import ValidationError

from effortctl._errors import ConfigError
from effortctl._types import EFFORTS, Endpoint
from effortctl.catalog import ModelCard, load_catalog
from effortctl.catalog._catalog import COMPATIBLE

CATALOG = load_catalog()
CARDS = list(CATALOG.cards.values())


def test_the_effort_words_are_those_of_the_openai_api_and_default():
    literal, nothing = get_args(ReasoningEffort)
    assert nothing is type(None)
    assert ("default", *get_args(literal)) == EFFORTS


def test_every_model_family_we_promise_has_a_card():
    asked = [
        *("gpt-6-astra", "gpt-6.1-sol", "gpt-6.2-sol", "gpt-6-sol", "gpt-6-luna", "gpt-6.1-terra"),
        *("gpt-5.6-terra", "gpt-5.5", "gpt-5.4-mini", "gpt-5.2", "gpt-5.1", "gpt-5.5-pro", "gpt-5"),
        *("gpt-4.1", "gpt-4o", "o3", "o4-mini", "o3-mini", "o1", "deepseek-v4-pro", "grok-4.5"),
        *("claude-opus-5", "gemini-4-argon", "glm-5.3", "mistral-large-4", "kimi-k3"),
        *("smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"),
    ]
    for model in asked:
        assert CATALOG.card(model).id, model
    for endpoint in ("vllm", "ollama", "llamacpp", "groq"):
        assert CATALOG.card("gpt-oss-20b", endpoint).id.startswith("gpt-oss")
        assert CATALOG.card("qwen3-32b", endpoint).id.startswith("qwen3")


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)
def test_every_card_names_places_that_exist_and_dates_that_agree(card: ModelCard):
    assert {*card.endpoints, card.home} - {None} <= set(CATALOG.endpoints)
    assert card.default_effort in {None, *card.efforts}
    ended = card.sunset is not None and card.sunset <= card.verified_on
    assert (card.status == "ended") == ended or card.sunset is None
    assert (card.status == "current") == (card.sunset is None and card.status != "ended")


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)
def test_every_card_is_found_by_each_of_its_own_names(card: ModelCard):
    for name in card.names:
        if "*" not in name:
            endpoint = card.endpoints[0] if card.endpoints else card.home or "vllm"
            assert CATALOG.card(name, endpoint).names.count(name) == 1


def test_a_budget_leaves_room_for_the_answer_under_the_default_cap():
    from effortctl.catalog import resolve

    for card in CARDS:
        if card.effort_style == "budget":
            for effort in card.efforts:
                arm = resolve(f"{card.endpoints[0]}/{card.names[0]}@{effort}")
                budget = arm.extra_body["thinking"].get("budget_tokens", 0)
                assert budget + 1024 <= arm.max_output_tokens


@pytest.mark.parametrize(
    ("model", "endpoint", "card"),
    [
        ("gpt-5.5-2026-04-23", None, "gpt-5.5"),
        ("gpt-4o-2024-08-06", None, "gpt-4o"),
        ("gpt-4o-2024-05-13", None, "gpt-4o-2024-05-13"),
        ("claude-haiku-4-5-20251001", None, "claude-budget"),
        ("anthropic/claude-opus-5.5", "openrouter", "claude-always-on@openrouter"),
        ("openai/gpt-6-luna", "openrouter", "gpt-6-luna"),
        ("global.openai.gpt-6-sol", "bedrock", "gpt-6-sol"),
        ("openai.gpt-oss-20b-1:0", "bedrock-oss", "gpt-oss"),
        ("gpt-oss:20b", "ollama", "gpt-oss"),
        ("ggml-org/gpt-oss-20b-GGUF", "llamacpp", "gpt-oss@llamacpp"),
        ("Qwen/Qwen3-8B", "vllm", "qwen3"),
        ("Qwen/Qwen3-8B", "vllm:gpu1", "qwen3"),
        ("qwen3-coder-30b-a3b", "vllm", "qwen3-without-thinking"),
        ("Qwen3-30B-A3B-Thinking-2507", "vllm", "qwen3-thinking"),
        ("qwen/qwen3.8-27b", "groq", "qwen3.8"),
        ("qwen/qwen3-32b", "groq", "qwen3@groq"),
        ("deepseek-v4-flash", None, "deepseek-v4@deepseek"),
        ("deepseek/deepseek-v4-flash", "openrouter", "deepseek-v4"),
        ("my-own-model.gguf", "local", "gguf"),
    ],
)
def test_the_closest_card_valid_at_the_endpoint_is_found(model, endpoint, card):
    assert CATALOG.card(model, endpoint).id == card


def test_an_unknown_model_is_a_config_error_with_close_names_and_the_fix(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("EFFORTCTL_CATALOG", "mine.toml")
    with pytest.raises(
        ConfigError, match=r"unknown model 'gpt-6-lunna', did you mean gpt-6-luna"
    ) as e:
        CATALOG.card("gpt-6-lunna")
    assert "[[model]]" in str(e.value)
    assert "mine.toml" in str(e.value)


def test_a_makers_own_endpoint_does_not_serve_what_others_make():
    with pytest.raises(ConfigError, match="unknown model 'gpt-oss-20b' at endpoint 'openai'"):
        CATALOG.card("gpt-oss-20b", "openai")
    with pytest.raises(ConfigError, match="at endpoint 'anthropic'"):
        CATALOG.card("gpt-6-luna", "anthropic")


def test_a_server_that_may_serve_anything_gets_a_permissive_card():
    card = CATALOG.card("something-new", "vllm")
    assert card.efforts == EFFORTS[1:]
    assert CATALOG.card("something-new", allow_unknown=True).effort_style == "param"
    own = Endpoint(name="mine", base_url="http://127.0.0.1:9/v1")
    assert CATALOG.preset_of(own) is COMPATIBLE
    assert CATALOG.card("something-new", own).provider == "unknown"


def test_an_unknown_endpoint_is_a_config_error_with_the_known_ones():
    with pytest.raises(ConfigError, match="unknown endpoint 'olama', did you mean ollama"):
        CATALOG.preset("olama")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"effort_style": "toggle"}, "needs `bodies`"),
        ({"bodies": {"low": {"x": 1}}}, "sends no `bodies`"),
        ({"status": "ending"}, "needs a `sunset`"),
        ({"efforts": ["default"]}, "always accepted"),
        ({"colour": "red"}, "Extra inputs"),
        ({"source": ""}, "at least 1"),
    ],
)
def test_a_card_that_contradicts_itself_is_refused(change, said):
    card = {"id": "m", "provider": "p", "efforts": ["low"], "source": "s"}
    with pytest.raises(ValidationError, match=said):
        ModelCard.model_validate(card | {"verified_on": date(2026, 1, 1)} | change)


def test_a_users_file_changes_and_adds_cards_and_endpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    mine = tmp_path / "mine.toml"
    mine.write_text(
        """
        [[model]]
        id = "gpt-6-luna"
        efforts = ["low"]
        default_effort = "low"

        [[model]]
        id = "in-house"
        home = "rack"
        provider = "us"
        efforts = ["none", "high"]
        source = "our own tests"
        verified_on = 2026-11-01

        [[endpoint]]
        name = "rack"
        base_url = "http://127.0.0.1:8001/v1"
        self_hosted = true
        source = "our own server"
        verified_on = 2026-11-01
        """
    )
    monkeypatch.setenv("EFFORTCTL_CATALOG", str(mine))
    catalog = load_catalog()
    luna = catalog.card("gpt-6-luna")
    assert luna.efforts == ("low",)
    assert luna.context == 1_050_000, "fields not named keep their shipped value"
    assert catalog.card("in-house").home == "rack"
    assert catalog.preset("rack").self_hosted
    assert load_catalog() is catalog
    assert load_catalog(mine) is catalog


def test_a_catalog_file_in_the_configuration_folder_is_used(tmp_path: Path):
    from effortctl.catalog import user_config_dir

    folder = user_config_dir()
    folder.mkdir(parents=True)
    (folder / "catalog.toml").write_text('[[model]]\nid = "o3"\nefforts = ["high"]\n')
    assert load_catalog().card("o3").efforts == ("high",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[model]\n", "not valid TOML.*line 1"),
        ("[model]\nid = 'x'\n", "expected tables"),
        ("[[model]]\nprovider = 'x'\n", "no `id`"),
        ("[[modle]]\nid = 'x'\n", "unknown key `modle`"),
        ("[[model]]\nid = 'x'\nefforts = ['low']\n", "model 'x': `provider` is missing"),
        ("[[model]]\nid = 'o3'\nefort = 1\n", "`efort` is not a known key"),
        ("[[model]]\nid = 'o3'\nefforts = ['lots']\n", "model 'o3': `efforts.0`"),
        ("[[endpoint]]\nname = 'y'\n", "endpoint 'y': `source` is missing"),
    ],
)
def test_a_wrong_user_file_is_one_sentence_that_names_it(tmp_path: Path, text: str, said: str):
    mine = tmp_path / "mine.toml"
    mine.write_text(text)
    with pytest.raises(ConfigError, match=said) as error:
        load_catalog(mine)
    assert "mine.toml" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_named_file_that_is_missing_is_a_config_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EFFORTCTL_CATALOG", "/nowhere/at/all.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_catalog()

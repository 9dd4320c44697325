from decimal import Decimal
from pathlib import Path

import pytest
from genai_prices import Usage, calc_price

from effortctl._errors import ConfigError, EffortctlWarning
from effortctl._types import Arm, Price
from effortctl.catalog import (
    ArmRequest,
    Ladder,
    load_ladder,
    resolve,
    shipped_ladders,
    user_config_dir,
)

LOCAL_ARMS = {
    "smollm2@none",
    "qwen2.5-coder-0.5b@none",
    "qwen2.5-coder-0.5b@low",
    "qwen2.5-coder-0.5b@high",
    "qwen2.5-coder-1.5b@none",
    "qwen2.5-coder-1.5b@low",
}


def ladder_file(folder: Path, text: str) -> Path:
    file = folder / "mine.toml"
    file.write_text(text)
    return file


def names(ladder: Ladder) -> list[str]:
    return [arm.name for arm in ladder.arms]


@pytest.mark.parametrize("name", shipped_ladders())
def test_every_shipped_ladder_loads_without_a_warning(name: str):
    ladder = load_ladder(name)
    assert ladder.name == name
    assert ladder.description
    assert all(arm.effective_effort == arm.effort for arm in ladder.arms), "no effort is bent"


@pytest.mark.parametrize("name", shipped_ladders())
def test_every_hosted_arm_of_a_shipped_ladder_has_a_price(name: str):
    for arm in load_ladder(name).arms:
        if arm.endpoint.self_hosted:
            assert arm.endpoint.price_provider is None
            continue
        usage = Usage(input_tokens=1000, output_tokens=1000)
        price = calc_price(usage, arm.model, provider_id=arm.endpoint.price_provider)
        assert price.total_price > 0


@pytest.mark.parametrize("name", ["openai", "openai-fast", "openrouter", "deepseek", "groq"])
def test_hosted_ladders_climb_in_price(name: str):
    usage = Usage(input_tokens=1000, output_tokens=1000)

    def worst(arm: Arm) -> Decimal:
        price = calc_price(usage, arm.model, provider_id=arm.endpoint.price_provider)
        return price.output_price * arm.max_output_tokens

    costs = [worst(arm) for arm in load_ladder(name).arms]
    assert costs == sorted(costs)


def test_no_shipped_ladder_uses_a_model_with_an_announced_end():
    from datetime import date

    from effortctl.catalog import sunset_notes

    for name in shipped_ladders():
        assert sunset_notes(load_ladder(name).arms, date(2030, 1, 1)) == []


def test_the_local_ladders_are_those_of_the_recording():
    assert set(names(load_ladder("local-all"))) == LOCAL_ARMS
    assert names(load_ladder("local")) == [
        "qwen2.5-coder-0.5b@none",
        "qwen2.5-coder-1.5b@none",
        "qwen2.5-coder-1.5b@low",
    ]
    for arm in load_ladder("local-all").arms:
        assert arm.endpoint.kind == "recorded"
        assert arm.effort_style == "prompt"
        assert arm.price == Price()
        assert arm.max_output_tokens_limit == arm.max_output_tokens
    high = {arm.name: arm for arm in load_ladder("local-all").arms}["qwen2.5-coder-0.5b@high"]
    assert (high.samples, high.resample_temperature) == (3, 0.8)
    live = load_ladder("local-live")
    assert [arm.effort for arm in live.arms] == ["none", "low", "medium", "high"]
    assert {arm.endpoint.kind for arm in live.arms} == {"local"}


def test_a_ladder_file_may_set_everything_an_arm_has(tmp_path: Path):
    file = ladder_file(
        tmp_path,
        """
        [ladder]
        name = "mine"
        description = "two places"
        endpoint = "openai"

        [[arm]]
        model = "gpt-6-luna"
        effort = "minimal"
        name = "quick"
        max_output_tokens = 900
        temperature = 0.2
        price = { input_usd_per_mtok = "0.1", output_usd_per_mtok = "0.5" }

        [[arm]]
        model = "in-house"
        effort = "high"
        samples = 4
        resample_temperature = 0.9
        endpoint = { name = "rack", base_url = "http://127.0.0.1:8001/v1", self_hosted = true }
        """,
    )
    for source in (file, str(file)):
        ladder = load_ladder(source)
        quick, rack = ladder.arms
        assert (quick.name, quick.effort, quick.sent_effort) == ("quick", "minimal", "low")
        assert (quick.max_output_tokens, quick.temperature) == (900, 0.2)
        assert quick.price == Price(
            input_usd_per_mtok=Decimal("0.1"), output_usd_per_mtok=Decimal("0.5")
        )
        assert (rack.name, rack.samples, rack.endpoint.name) == ("in-house@high", 4, "rack")
        assert ladder.name == "mine"


def test_a_users_ladder_of_the_same_name_comes_first():
    folder = user_config_dir() / "ladders"
    folder.mkdir(parents=True)
    (folder / "openai.toml").write_text('[[arm]]\nmodel = "gpt-6-sol"\n')
    (folder / "team.toml").write_text('[[arm]]\nmodel = "gpt-6-luna"\n')
    assert names(load_ladder("openai")) == ["gpt-6-sol@default"]
    assert load_ladder("team").name == "team"


def test_a_ladder_may_be_a_list_of_anything_that_names_an_arm():
    arm = resolve("gpt-6-sol@low")
    request = ArmRequest(model="gpt-6-sol", effort="high")
    ladder = load_ladder(
        ["gpt-6-luna@low", {"model": "gpt-6-luna", "effort": "high"}, arm, request]
    )
    assert names(ladder) == ["gpt-6-luna@low", "gpt-6-luna@high", "gpt-6-sol@low", "gpt-6-sol@high"]
    assert ladder.arms[2] is arm
    assert load_ladder(ladder) is ladder


def test_two_arms_that_make_the_same_call_are_merged_with_a_warning_naming_both():
    arms = ["mistral-large-4@low", "mistral-large-4@high", "mistral-large-4@none"]
    with pytest.warns(EffortctlWarning, match=r"'mistral-large-4@low' and 'mistral-large-4@high'"):
        ladder = load_ladder(arms)
    assert names(ladder) == ["mistral-large-4@low", "mistral-large-4@none"]


def test_arms_that_differ_in_what_the_endpoint_sees_are_kept():
    base = {"model": "gpt-6-luna", "effort": "low"}
    ladder = load_ladder(
        [
            base,
            base | {"name": "long", "max_output_tokens": 9000},
            base | {"name": "warm", "temperature": 1.0},
            base | {"name": "far", "endpoint": "openrouter"},
        ]
    )
    assert names(ladder) == ["gpt-6-luna@low", "long", "warm", "far"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[ladder\n", r"mine\.toml: not valid TOML.*line 1"),
        ("[[arm]]\nmodel = 'gpt-6-luna'\n\n[[arm]]\nmodel = \n", "not valid TOML.*line 5"),
        ("", "the ladder is empty"),
        ("[ladder]\nname = 'x'\n", "the ladder is empty"),
        ("[ladder]\nnmae = 'x'\n", r"\[ladder\]: unknown key `nmae`"),
        ("[[rung]]\nmodel = 'x'\n", "unknown key `rung`"),
        ("ladder = 3\n", r"expected one \[ladder\] table"),
        ("arm = [1]\n", r"expected one \[ladder\] table"),
        ("[[arm]]\nmodel = 'o3'\nendpoint = 3\n", "`endpoint"),
        (
            "[[arm]]\nmodel = 'gpt-6-luna'\nefort = 'low'\n",
            r"arm 1 \(line 1\): `efort` is not a known key",
        ),
        ("[[arm]]\neffort = 'low'\n", "`model` is missing"),
        ("\n\n[[arm]]\nmodel = 'gpt-6-lunna'\n", r"arm 1 \(line 3\): unknown model 'gpt-6-lunna'"),
        ("[[arm]]\nmodel = 'gpt-6-luna'\neffort = 'lots'\n", "`effort`: Input should be"),
        ("[[arm]]\nmodel = 'o3'\neffort = 'max'\non_unsupported = 'error'\n", "not accepted"),
        (
            "[[arm]]\nmodel = 'o3'\nendpoint = 'opnai'\n",
            "unknown endpoint 'opnai', did you mean openai",
        ),
        ("[[arm]]\nmodel = 'o3'\nprice = { usd = 1 }\n", "`price.usd` is not a known key"),
        ("[[arm]]\nmodel = 'o3'\n[[arm]]\nmodel = 'o3'\n", "two arms are named 'o3@default'"),
        ("[[arm]]\nmodel = 'o3'\nsamples = 0\n", "`samples`"),
    ],
)
def test_a_wrong_ladder_is_one_sentence_that_says_where(tmp_path: Path, text: str, said: str):
    with pytest.raises(ConfigError, match=said) as error:
        load_ladder(ladder_file(tmp_path, text))
    assert "mine.toml" in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_ladder_offers_a_close_name():
    with pytest.raises(ConfigError, match="unknown ladder 'opnai', did you mean openai"):
        load_ladder("opnai")


def test_a_missing_ladder_file_is_a_config_error(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_ladder(tmp_path / "nothing.toml")


def test_an_empty_list_is_refused():
    with pytest.raises(ConfigError, match="empty"):
        load_ladder([])

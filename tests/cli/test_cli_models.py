import json
from datetime import date

import pytest

from effortctl._types import EFFORTS
from effortctl.catalog import load_catalog, load_ladder, shipped_ladders
from effortctl.cli._models import _shutdown, effort_ranges


def test_every_card_is_listed_with_efforts_and_price(cli):
    done = cli("models")
    assert done.exit_code == 0
    assert "low..xhigh" in done.stdout, "only at spaces are efforts broken into lines"
    for card in load_catalog().cards.values():
        assert card.id in done.stdout
    assert "gpt-6-luna" in done.stdout
    assert "ended" in done.stdout
    assert max(len(line.rstrip()) for line in done.stdout.splitlines()) <= 80


def test_models_as_json_hold_every_fact_of_the_card(cli):
    document = json.loads(cli("models", "--json").stdout)
    cards = {card["id"]: card for card in document["models"]}
    luna = cards["gpt-6-luna"]
    assert luna["efforts"] == list(load_catalog().cards["gpt-6-luna"].efforts)
    assert float(luna["output_usd_per_mtok"]) > float(luna["input_usd_per_mtok"]) > 0
    assert cards["smollm2-135m"]["price"] == "local"
    assert cards["gpt-6.2"]["price"] == "unknown"
    assert cards["gpt-6.2"]["input_usd_per_mtok"] is None
    assert cards["o3"]["days_left"] is not None
    assert document["ladders"] == list(shipped_ladders())


def test_a_group_of_models_shows_the_range_of_their_prices(cli):
    done = cli("models", "--endpoint", "anthropic")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("claude-5 ")]
    prices = {card["id"]: card for card in json.loads(cli("models", "--json").stdout)["models"]}
    group = prices["claude-5"]
    each = group["prices"]
    assert (group["price"], group["input_usd_per_mtok"]) == ("by model", None)
    opus, sonnet = each["claude-opus-5"], each["claude-sonnet-5"]
    assert opus["input_usd_per_mtok"] != sonnet["input_usd_per_mtok"]
    known = [price for price in each.values() if price["price"] == "known"]
    ends = [
        "-".join(sorted({min(part, key=float), max(part, key=float)}, key=float))
        for part in (
            [price[f"{side}_usd_per_mtok"] for price in known] for side in ("input", "output")
        )
    ]
    assert ends[0] in line


def test_a_model_or_a_group_is_shown_by_name_with_exact_prices(cli):
    (sonnet,) = json.loads(cli("models", "claude-sonnet-5", "--json").stdout)["models"]
    assert (sonnet["id"], sonnet["price"]) == ("claude-5", "known")
    shown = cli("models", "claude-sonnet-5").stdout
    assert f"{sonnet['input_usd_per_mtok']} / {sonnet['output_usd_per_mtok']}" in shown
    group = cli("models", "claude-5").stdout
    assert all(name in group for name in load_catalog().cards["claude-5"].match)
    assert "gpt-6-luna" in cli("models", "openai/gpt-6-luna").stdout
    assert cli("models", "no-such-model").exit_code == 3
    assert cli("models", "gpt-6-luna", "--ladder", "openai").exit_code == 2


def test_a_model_whose_day_is_past_has_ended(cli, tmp_path, monkeypatch):
    path = tmp_path / "catalog.toml"
    path.write_text('[[model]]\nid = "o3"\nsunset = 2026-01-01\n')
    monkeypatch.setenv("EFFORTCTL_CATALOG", str(path))
    (card,) = json.loads(cli("models", "o3", "--json").stdout)["models"]
    assert load_catalog().cards["o3"].status == "ending"
    assert card["status"] == "ended"


def test_an_endpoint_narrows_the_list(cli):
    listed = json.loads(cli("models", "--endpoint", "deepseek", "--json").stdout)["models"]
    assert {card["id"] for card in listed} == {"deepseek-v4@deepseek"}
    anything = json.loads(cli("models", "--endpoint", "openrouter", "--json").stdout)["models"]
    assert "deepseek-v4" in {card["id"] for card in anything}
    assert cli("models", "--endpoint", "opnai").exit_code == 3


@pytest.mark.parametrize("name", shipped_ladders())
def test_every_shipped_ladder_can_be_shown_in_both_ways(cli, name):
    shown = cli("models", "--ladder", name)
    assert shown.exit_code == 0, shown.stderr
    document = json.loads(cli("models", "--ladder", name, "--json").stdout)
    assert [arm["name"] for arm in document["arms"]] == [a.name for a in load_ladder(name).arms]


def test_requested_and_effective_effort_are_both_shown(cli, tmp_path):
    path = tmp_path / "one.toml"
    path.write_text('[[arm]]\nmodel = "gpt-6-astra"\neffort = "none"\n')
    assert "none -> low" in cli("models", "--ladder", path).stdout
    (arm,) = json.loads(cli("models", "--ladder", path, "--json").stdout)["arms"]
    assert (arm["requested_effort"], arm["effective_effort"]) == ("none", "low")


def test_an_hourly_price_is_shown_as_such(cli, tmp_path):
    path = tmp_path / "one.toml"
    path.write_text(
        '[[arm]]\nmodel = "smollm2-135m"\neffort = "none"\nprice = { usd_per_hour = "0.05" }\n'
    )
    assert "$0.05/h" in cli("models", "--ladder", path).stdout


def test_an_unknown_ladder_is_code_3_with_the_names_there_are(cli):
    done = cli("models", "--ladder", "locl", "--json")
    assert done.exit_code == 3
    assert "did you mean local?" in json.loads(done.stdout)["error"]["message"]


@pytest.mark.parametrize(
    ("efforts", "short"),
    [
        (EFFORTS[1:], "none..max"),
        (("none", "low", "medium", "high"), "none, low..high"),
        (("none", "high"), "none, high"),
        (("low", "medium"), "low, medium"),
        ((), ""),
    ],
)
def test_efforts_are_shortened_without_loss(efforts, short):
    assert effort_ranges(efforts) == short


def test_days_left_are_counted_to_the_day():
    card = load_catalog().cards["o3"]
    assert card.sunset is not None
    assert _shutdown(card, card.sunset) == "ended"
    assert _shutdown(card, date.fromordinal(card.sunset.toordinal() - 3)) == "3 d"
    assert _shutdown(load_catalog().cards["gpt-6-luna"], date(2026, 1, 1)) == ""

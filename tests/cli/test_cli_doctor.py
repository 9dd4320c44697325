import json
import tomllib
from pathlib import Path

from effortctl.stores import SqliteLedger

FOR_DEVELOPERS = {"docs", "dev", "interop"}


def findings(done):
    return {
        (finding["area"], finding["status"]): finding["text"]
        for finding in json.loads(done.stdout)["findings"]
    }


def test_a_healthy_machine_is_code_0_and_says_so(cli):
    done = cli("doctor")
    assert done.exit_code == 0, done.stdout
    assert done.stdout.splitlines()[-1] == "Nothing is broken."
    assert max(len(line.rstrip()) for line in done.stdout.splitlines()) <= 80
    for area in ("python", "packages", "extras", "keys", "sandbox", "ledger", "cache", "ladder"):
        assert area in done.stdout


def test_every_extra_of_the_package_is_looked_at(cli):
    told = json.loads(cli("doctor", "--json").stdout)["findings"]
    extras = {each["text"].split(":")[0] for each in told if each["area"] == "extras"}
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
    assert extras == set(project["project"]["optional-dependencies"]) - FOR_DEVELOPERS


def test_keys_are_named_and_their_values_never_shown(cli, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    done = cli("doctor", "--json")
    assert "sk-very-secret" not in done.stdout + done.stderr
    assert findings(done)["keys", "ok"] == "set: OPENAI_API_KEY"


def test_a_broken_ledger_is_code_3(cli, tmp_path):
    path = tmp_path / "bad.sqlite3"
    path.write_text("no database " * 99)
    done = cli("doctor", "--ledger", path, "--json")
    assert done.exit_code == 3
    assert json.loads(done.stdout)["ok"] is False
    assert ("ledger", "broken") in findings(done)


def test_a_good_ledger_is_found_consistent(cli, tmp_path):
    path = tmp_path / "good.sqlite3"
    SqliteLedger(path).close()
    assert (
        "readable and consistent"
        in findings(cli("doctor", "--ledger", path, "--json"))["ledger", "ok"]
    )


def test_a_ladder_is_warned_about_shutdowns_merged_unpriced_and_keyless_arms(cli, tmp_path):
    path = tmp_path / "risky.toml"
    path.write_text(
        '[[arm]]\nmodel = "o4-mini"\neffort = "low"\n'
        '[[arm]]\nmodel = "gpt-6.2-sol"\neffort = "low"\n'
        '[[arm]]\nmodel = "gpt-6-astra"\neffort = "low"\n'
        '[[arm]]\nmodel = "gpt-6-astra"\neffort = "none"\nmax_output_tokens = 4096\n'
    )
    done = cli("doctor", "--ladder", path, "--json")
    assert done.exit_code == 0
    warned = " ".join(
        f["text"] for f in json.loads(done.stdout)["findings"] if f["status"] == "warning"
    )
    assert "o4-mini was shut down" in warned
    assert "make the same call" in warned
    assert "gpt-6.2-sol@low has no known price" in warned
    assert "needs the key OPENAI_API_KEY" in warned


def test_a_malformed_ladder_or_catalog_is_broken(cli, tmp_path, monkeypatch):
    path = tmp_path / "bad.toml"
    path.write_text("[ladder\n")
    assert ("ladder", "broken") in findings(cli("doctor", "--ladder", path, "--json"))
    monkeypatch.setenv("EFFORTCTL_CATALOG", str(path))
    done = cli("doctor", "--json")
    assert done.exit_code == 3
    assert ("catalog", "broken") in findings(done)

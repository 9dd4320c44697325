"""EVAL.toml: fifteen lines are enough, and every mistake is named with its line."""

from decimal import Decimal

import pytest

from effortctl._errors import ConfigError
from effortctl.harness.runner import load_config, prepare, read_header, read_shard
from effortctl.harness.runner._folder import new_header, write_header

GOOD = """\
name = "mine"
dataset = "tasks.csv"
arms = ["gpt-6-luna@none", "gpt-6-luna@high"]
metric = "number"
budget_usd = 0.1
max_concurrency = 8
out = "runs/first"

[[policy]]
kind = "ladder"
"""


@pytest.fixture
def toml(tmp_path):
    (tmp_path / "tasks.csv").write_text("id,input,target\n1,one plus one,2\n2,two plus two,4\n")

    def write(text=GOOD):
        path = tmp_path / "EVAL.toml"
        path.write_text(text)
        return path

    return write


def test_paths_are_taken_from_the_folder_of_the_file(toml, tmp_path):
    config = load_config(toml())
    assert config.dataset == str(tmp_path / "tasks.csv")
    assert config.out == str(tmp_path / "runs/first")


def test_amounts_are_what_was_written_and_not_its_binary_neighbour(toml):
    assert load_config(toml()).budget_usd == Decimal("0.1")


def test_a_config_is_prepared_to_arms_and_cases(toml):
    inputs = prepare(load_config(toml()))
    assert list(inputs.cases) != []
    assert [arm.name for arm in inputs.arms] == ["gpt-6-luna@none", "gpt-6-luna@high"]
    assert inputs.total == 2 * 3


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('metric = "number"', 'metrc = "number"', "line 4: `metrc` is not a known key; known are"),
        ("budget_usd = 0.1", "budget_usd = -1", "line 5: `budget_usd`"),
        ("max_concurrency = 8", "max_concurrency = 0", "line 6: `max_concurrency`"),
        ('kind = "ladder"', 'kind = "plan"', "line 9: `policy.0`: a plan needs file"),
        ('name = "mine"', 'name = "a/b"', "line 1: `name`: 'a/b' names a folder"),
        ('name = "mine"\n', "", "`name` is missing; add it"),
        ('arms = ["gpt-6-luna@none", "gpt-6-luna@high"]\n', "", "give either `ladder"),
        ('metric = "number"', "metric = number", "not valid TOML"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_its_cure(toml, old, new, said):
    with pytest.raises(ConfigError) as raised:
        load_config(toml(GOOD.replace(old, new)))
    assert said in str(raised.value)
    assert "EVAL.toml" in str(raised.value)


def test_a_policy_must_climb_arms_of_the_run(toml):
    text = GOOD + 'arms = ["gpt-6-luna@low"]\n'
    with pytest.raises(ConfigError, match="no arm of this run"):
        prepare(load_config(toml(text)))


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b", ""])
def test_a_shard_that_makes_no_sense_is_refused(text):
    with pytest.raises(ConfigError, match="i/N"):
        read_shard(text)


def test_shards_part_the_tasks_and_limits_nest(toml, tmp_path):
    names = "".join(f"{n},question {n},{n}\n" for n in range(40))
    (tmp_path / "tasks.csv").write_text(f"id,input,target\n{names}")
    config = load_config(toml())
    parts = [set(prepare(config, shard=(i, 3)).cases) for i in (1, 2, 3)]
    assert set.union(*parts) == set(map(str, range(40)))
    assert sum(map(len, parts)) == 40
    few, more = (set(prepare(config.changed(limit=n)).cases) for n in (10, 20))
    assert len(few) == 10
    assert few < more
    assert few != set(prepare(config.changed(limit=10, seed=5)).cases)


def test_a_run_folder_can_move_together_with_its_files(toml, tmp_path):
    config = load_config(toml())
    folder = tmp_path / "runs" / "first"
    folder.mkdir(parents=True)
    write_header(folder, new_header(config))
    assert str(tmp_path) not in (folder / "config.json").read_text()
    header = read_header(folder)
    assert header is not None
    inputs = prepare(header.config)
    assert len(inputs.cases) == 2

"""The closed loop on the command line: run, judge, learn from the traces, run with what was learned."""

import json
import shutil
from pathlib import Path

import pytest

from effortctl import Controller, Task, load_ladder
from effortctl.stores import FeedbackStore, OutcomeRow, TraceStore, feedback_path, write_outcomes
from effortctl.testing import MockServer

EASY = "Please say hello to person number {}"
HARD = "Prove that the permutation polynomial {} is irreducible"
TASKS, EVERYONE = 240, 80


def solves(request):
    """The high effort solves everything but one task in twelve, the low one only what is easy."""
    text = request.body["messages"][-1]["content"]
    number = int("".join(filter(str.isdigit, text)) or 1)
    if number % 12 == 5:
        return "no idea"
    return "done" if request.effort == "high" or "hello" in text else "no idea"


@pytest.fixture(scope="module")
def server():
    with MockServer(solves) as running:
        yield running


def task(number):
    return Task(id=f"t{number}", input=(HARD if number % 3 == 0 else EASY).format(number))


def run(arms, numbers, store):
    with Controller(arms, verify="regex:^done$", traces=store, carry="none") as controller:
        for number in numbers:
            controller.run(task(number))


@pytest.fixture(scope="module")
def recorded(server, tmp_path_factory):
    """Traces of both arms alone on some tasks, then of a ladder over the others; and the prompts."""
    folder = tmp_path_factory.mktemp("recorded")
    ladder = folder / "mine.toml"
    arms = (
        f'[[arm]]\nname = "m@{effort}"\nmodel = "m"\neffort = "{effort}"\n'
        f'endpoint = {{ name = "mine", base_url = "{server.base_url}" }}\nmax_output_tokens = {cap}\n'
        'price = { input_usd_per_mtok = "1", output_usd_per_mtok = "2" }'
        for effort, cap in (("low", 200), ("high", 4000))
    )
    ladder.write_text("\n\n".join(['[ladder]\nname = "mine"\ndescription = "Two arms"', *arms]))
    store = TraceStore(folder / "traces.jsonl")
    for arm in load_ladder(ladder).arms:
        run([arm], range(EVERYONE), store)
    run(ladder, range(EVERYONE, TASKS), store)
    lines = [json.dumps({"id": task(n).id, "input": task(n).input}) for n in range(TASKS)]
    (folder / "tasks.jsonl").write_text("\n".join(lines))
    return folder


@pytest.fixture
def world(recorded, tmp_path):
    """A copy to work on: ladder, traces, prompts."""
    folder = Path(shutil.copytree(recorded, tmp_path / "world"))
    return folder / "mine.toml", folder / "traces.jsonl", folder / "tasks.jsonl"


def test_the_loop_closes(cli, world, tmp_path):
    ladder, traces, prompts = world
    policy = tmp_path / "policy.json"
    done = cli(
        *("learn", "--traces", traces, "--prompts", prompts, "--trust-verdicts"),
        *("--value-usd", "0.05", "-o", policy, "--json"),
    )
    assert done.exit_code == 0, done.stderr
    assert done.stderr == ""
    document = json.loads(done.stdout)
    told = document["traces"]
    failed_first = sum((n % 3 == 0 or n % 12 == 5) for n in range(EVERYONE, TASKS))
    assert told == {
        "traces": TASKS + EVERYONE,
        "tasks": TASKS,
        "outcomes": TASKS + EVERYONE + failed_first,
        "escalated": failed_first,
        "unjudged": 0,
        "feedback": 0,
        "with_prompt": TASKS,
        "tried_by_all": EVERYONE,
    }
    high = next(arm for arm in document["arms"] if arm["name"] == "m@high")
    assert min(high["p_correct"].values()) > 0.8, "as good on any task as on those low had failed"
    ran = cli(
        *("run", EASY.format(1001), "--ladder", ladder, "--policy", policy),
        *("--verify", "regex:^done$", "--json"),
    )
    assert ran.exit_code == 0, ran.stderr
    trace = json.loads(ran.stdout)
    assert trace["outcome"] == "accepted"
    assert trace["policy"].startswith("guarded:")
    for text, low, high in ((HARD, 0.0, 0.5), (EASY, 0.5, 1.0)):
        planned = cli("plan", "--policy", policy, text.format(999), "--json")
        assert low <= json.loads(planned.stdout)["plan"]["p_correct"]["m@low"] <= high


def test_without_tasks_that_every_arm_tried_nothing_is_certified_and_the_ladder_stays(
    cli, world, tmp_path
):
    _, traces, prompts = world
    live = tmp_path / "live.jsonl"
    lines = traces.read_text().splitlines()[2 * EVERYONE :]
    live.write_text("\n".join(lines) + "\n")
    done = cli(
        *("learn", "--traces", live, "--prompts", prompts, "--trust-verdicts"),
        *("-o", tmp_path / "p.json", "--json"),
    )
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["traces"]["tried_by_all"] == 0
    assert document["certificate"]["fallback"] == ["m@low", "m@high"]
    assert "whatever the others answered" in document["certificate"]["reason"]


def test_outcomes_and_traces_are_learned_from_together(cli, world, tmp_path):
    _, traces, _ = world
    outcomes = tmp_path / "outcomes.jsonl"
    write_outcomes(
        outcomes,
        [
            OutcomeRow(query_id=f"t{n}", query=task(n).input, arm=arm, score=1.0, cost_usd=usd)
            for n in range(EVERYONE)
            for arm, usd in (("m@low", 0.001), ("m@high", 0.01))
        ],
    )
    done = cli(
        *("learn", outcomes, "--traces", traces, "--trust-verdicts"),
        *("-o", tmp_path / "p.json", "--json"),
    )
    assert done.exit_code == 0, done.stderr
    assert f"of {TASKS - EVERYONE} of {TASKS} tasks are not known" in done.stderr
    assert json.loads(done.stdout)["traces"]["with_prompt"] == EVERYONE


def test_feedback_goes_before_verdicts_and_shows_that_a_check_errs(cli, world, tmp_path):
    _, traces, prompts = world
    ids = [json.loads(line)["id"] for line in traces.read_text().splitlines()]
    store = FeedbackStore(feedback_path(traces))
    for number, trace_id in enumerate(ids[-100:]):
        store.write(trace_id, float(number % 2))
    store.write("another", 1.0)
    done = cli(
        *("learn", "--traces", traces, "--prompts", prompts, "--trust-verdicts"),
        *("-o", tmp_path / "p.json", "--json"),
    )
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["traces"]["feedback"] == 100
    assert "so it is not exact" in done.stderr
    assert "feedback on 1 decisions, 'another' among them" in done.stderr
    recorded = cli(
        *("learn", "--traces", traces, "--prompts", prompts, "--trust-verdicts"),
        *("--verifier", "recorded", "-o", tmp_path / "p.json"),
    )
    assert "not exact" not in recorded.stderr
    assert "outcomes of 240 tasks" in " ".join(recorded.stdout.split())


def test_what_users_saw_alone_is_refused(cli, world, tmp_path):
    _, traces, prompts = world
    store = FeedbackStore(feedback_path(traces))
    for line in traces.read_text().splitlines():
        store.write(json.loads(line)["id"], 1.0)
    # Both arms were run alone on the first tasks, so that there every answer was returned and judged.
    done = cli("learn", "--traces", traces, "--prompts", prompts, "-o", tmp_path / "p.json")
    assert done.exit_code == 3
    assert "users see what passed" in done.stderr
    assert "--trust-verdicts" in done.stderr
    assert not (tmp_path / "p.json").exists()


def test_nothing_that_says_what_was_correct(cli, world, tmp_path):
    _, traces, _ = world
    done = cli("learn", "--traces", traces, "-o", tmp_path / "p.json")
    assert done.exit_code == 3
    for said in ("nobody says what was correct", "--trust-verdicts", "effortctl feedback"):
        assert said in done.stderr
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    done = cli("learn", "--traces", empty, "-o", tmp_path / "p.json", "--json")
    assert "traces are empty" in json.loads(done.stdout)["error"]["message"]


def test_without_prompts_all_tasks_get_one_plan_and_one_is_told(cli, world, tmp_path):
    _, traces, _ = world
    policy = tmp_path / "p.json"
    done = cli("learn", "--traces", traces, "--trust-verdicts", "-o", policy)
    assert done.exit_code == 0, done.stderr
    assert "--prompts FILE" in done.stderr
    plans = {cli("plan", "--policy", policy, text.format(7)).stdout for text in (EASY, HARD)}
    assert len(plans) == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"id": "x", "input": "why?"}', "t0"),
        ('{"input": "why?"}', "line 1: expected the id"),
        ('{"id": "t1", "input": 7}', "neither text"),
        ("no JSON", "line 1"),
    ],
)
def test_prompts_that_do_not_fit_are_refused(cli, world, line, said):
    _, traces, prompts = world
    prompts.write_text(line + "\n")
    done = cli("learn", "--traces", traces, "--trust-verdicts", "--prompts", prompts)
    assert done.exit_code == 3
    assert said in done.stderr


def test_arms_nobody_tried_and_few_tasks_are_told(cli, world, tmp_path, monkeypatch):
    ladder, traces, prompts = world
    monkeypatch.chdir(tmp_path)
    few = tmp_path / "few.jsonl"
    few.write_text("\n".join(traces.read_text().splitlines()[:20]) + "\n")
    options = ("--traces", few, "--trust-verdicts", "--prompts", prompts)
    told = cli("learn", *options).stderr
    assert "20 tasks with an outcome are few; --ladder NAME" in told
    told = cli("learn", *options, "--ladder", ladder).stderr
    assert "nothing is known of m@high, so the policy leaves it out" in told
    assert "are few" not in told


def test_a_check_judged_only_where_it_passed_is_told(cli, world, tmp_path):
    _, traces, prompts = world
    passed = tmp_path / "passed.jsonl"
    lines = [x for x in traces.read_text().splitlines() if '"fail"' not in x]
    passed.write_text("\n".join(lines) + "\n")
    store = FeedbackStore(feedback_path(passed))
    for line in lines:
        store.write(json.loads(line)["id"], 1.0)
    done = cli(
        *("learn", "--traces", passed, "--prompts", prompts, "--verifier", "recorded"),
        *("-o", tmp_path / "p.json"),
    )
    assert "only 0 answers that failed the check were judged" in done.stderr


def test_options_about_traces_need_traces(cli, tmp_path):
    done = cli("learn", "--ladder", "openai", "--trust-verdicts", "-o", tmp_path / "p.json")
    assert done.exit_code == 2
    assert "--traces FILE" in done.stderr

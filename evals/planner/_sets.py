"""The outcome sets, how each is split, and which run-time checks are assumed on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from effortctl.stores import OutcomeMatrix, read_outcomes

Evidence: TypeAlias = Literal["drawn", "recorded", "agreement", "none"]


@dataclass(frozen=True, slots=True)
class Check:
    """What is learned about an answer at run time.

    Attributes:
        name: For tables.
        evidence: `drawn` with these rates from the true outcome, `recorded` in the data, `agreement`
            between arms, or `none`.
        tpr: P(pass | correct), when drawn.
        fpr: P(pass | wrong), when drawn.
    """

    name: str
    evidence: Evidence = "drawn"
    tpr: float = 1.0
    fpr: float = 0.0


EXACT = Check("exact")
GOOD = Check("TPR .95 FPR .05", tpr=0.95, fpr=0.05)
FAIR = Check("TPR .90 FPR .20", tpr=0.9, fpr=0.2)
RECORDED = Check("recorded", "recorded")
AGREEMENT = Check("agreement", "agreement")
NOTHING = Check("none", "none")


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """One way to part a set.

    Attributes:
        name: What is held out.
        train: Tasks everything is learned from.
        test: Tasks everything is judged on.
        groups: Of the training tasks: tasks of one group are held out together.
        clusters: Of the test tasks: resampled together.
        seed: Of folds and fits.
    """

    name: str
    train: OutcomeMatrix
    test: OutcomeMatrix
    groups: tuple[str, ...]
    clusters: tuple[str, ...]
    seed: int


Splitter: TypeAlias = Callable[[OutcomeMatrix, int], Iterator[Split]]


@dataclass(frozen=True, slots=True)
class Study:
    """One set under one question.

    Attributes:
        name: Name on the command line and of the result.
        file: File in the data folder.
        question: What is asked, in a line.
        split: Yields the splits for a number of seeds.
        checks: Checks to compare under.
        arms: Arms offered; empty: all whose cost is known.
        longest: Length of the longest fixed ladders that are searched.
        text: Whether prompts are known.
        draws: Draws of verdicts per split and seed wanted; False: one, because the split is redrawn.
    """

    name: str
    file: str
    question: str
    split: Splitter
    checks: tuple[Check, ...]
    arms: tuple[str, ...] = ()
    longest: int = 5
    text: bool = True
    draws: bool = False

    def load(self, data: Path) -> OutcomeMatrix:
        """Read the complete tasks of the offered arms: every arm scored and with known dollars."""
        matrix = read_outcomes(data / f"{self.file}.jsonl.gz")
        known = [
            arm
            for arm, cost in zip(matrix.arms, matrix.cost_usd.T, strict=True)
            if not np.isnan(cost).all()
        ]
        matrix = matrix.select_arms(self.arms or known)
        gaps = np.isnan(matrix.score) | np.isnan(matrix.cost_usd)
        return matrix.select_tasks(np.flatnonzero(~gaps.any(axis=1)))


def by_date(matrix: OutcomeMatrix, _seeds: int) -> Iterator[Split]:
    """Learn from the earlier 70 % by date, be judged on the rest; one split."""
    keys = [(date or "", task) for date, task in zip(matrix.dates, matrix.task_ids, strict=True)]
    order = np.array(sorted(range(len(matrix)), key=keys.__getitem__))
    cut = int(0.7 * len(order))
    yield _split(matrix, "later 30 % by date", order[:cut], order[cut:], seed=0)


def by_halves(matrix: OutcomeMatrix, seeds: int) -> Iterator[Split]:
    """Random halves, one split per seed."""
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(matrix))
        half = len(order) // 2
        yield _split(matrix, f"random half {seed}", order[:half], order[half:], seed=seed)


def by_source(matrix: OutcomeMatrix, _seeds: int) -> Iterator[Split]:
    """Hold every category out once; folds and resampling inside by task, sources being few."""
    labels = np.array([category or "" for category in matrix.categories])
    for seed, held_out in enumerate(sorted(set(labels))):
        inside = labels == held_out
        yield _split(
            matrix,
            f"source {held_out}",
            np.flatnonzero(~inside),
            np.flatnonzero(inside),
            seed=seed,
            grouped=labels,
        )


def by_subjects(matrix: OutcomeMatrix, seeds: int) -> Iterator[Split]:
    """Hold out a random half of the categories; whole categories are resampled."""
    labels = np.array([category or "" for category in matrix.categories])
    names = np.array(sorted(set(labels)))
    for seed in range(seeds):
        chosen = np.random.default_rng(seed).permutation(names)[: len(names) // 2]
        inside = np.isin(labels, chosen)
        split = _split(
            matrix,
            f"subjects, half {seed}",
            np.flatnonzero(~inside),
            np.flatnonzero(inside),
            seed=seed,
            grouped=labels,
        )
        yield Split(
            split.name,
            split.train,
            split.test,
            split.groups,
            tuple(map(str, labels[inside])),
            seed,
        )


def _split(
    matrix: OutcomeMatrix,
    name: str,
    train: np.ndarray[tuple[int], np.dtype[np.intp]],
    test: np.ndarray[tuple[int], np.dtype[np.intp]],
    *,
    seed: int,
    grouped: Sequence[str] | np.ndarray[tuple[int], np.dtype[np.str_]] | None = None,
) -> Split:
    earlier, later = matrix.select_tasks(train), matrix.select_tasks(test)
    groups = earlier.task_ids if grouped is None else tuple(str(grouped[int(i)]) for i in train)
    return Split(name, earlier, later, groups, later.task_ids, seed)


# Sold by OpenAI, Anthropic, Google and xAI; the dearest costs 112 times the cheapest.
_FOUR_VENDORS = (
    "gpt-5-nano@medium",
    "grok-4-fast@medium",
    "grok-4.1-fast@medium",
    "gpt-5-mini@medium",
    "o3-mini@medium",
    "o4-mini@medium",
    "o3@medium",
    "claude-haiku-4.5",
    "gpt-5.1@medium",
    "gpt-5@medium",
    "grok-4@medium",
    "claude-sonnet-4.5",
    "gemini-3-pro-preview",
    "claude-opus-4.5@medium",
)

STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        Study(
            "livecodebench",
            "livecodebench",
            "code problems, later ones held out, nominal prices",
            by_date,
            (EXACT, GOOD, FAIR),
            arms=(
                "GPT-4O-mini-2024-07-18",
                "DeepSeek-V3",
                "O4-Mini@low",
                "O4-Mini@medium",
                "O4-Mini@high",
            ),
            draws=True,
        ),
        Study(
            "lineage_four_vendors",
            "lineage",
            "relations in family trees, the 14 arms of four vendors",
            by_halves,
            (EXACT, GOOD, FAIR),
            arms=_FOUR_VENDORS,
            longest=4,
        ),
        Study(
            "lineage_all_arms",
            "lineage",
            "the same, with every arm whose price is known",
            by_halves,
            (EXACT, GOOD, FAIR),
            longest=3,
        ),
        Study(
            "medagents",
            "medagents",
            "medical exams, every source held out once; nothing can be checked",
            by_source,
            (NOTHING, AGREEMENT),
        ),
        Study(
            "routellm_mmlu",
            "routellm_mmlu",
            "exam questions, half of the subjects held out; nothing can be checked",
            by_subjects,
            (NOTHING,),
        ),
        Study(
            "routellm_gsm8k",
            "routellm_gsm8k",
            "school mathematics, random halves",
            by_halves,
            (EXACT, GOOD, FAIR),
        ),
        Study(
            "mbpp",
            "firstpass_mbpp_974_opus",
            "small programs, random halves, the recorded verdicts of a real check",
            by_halves,
            (RECORDED,),
        ),
        Study(
            "swebench",
            "swebench_verified_miniswe",
            "repository repairs, random halves; prompts are not known",
            by_halves,
            (EXACT, GOOD, FAIR),
            longest=3,
            text=False,
        ),
    )
}

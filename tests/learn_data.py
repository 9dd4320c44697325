"""Outcomes of a made-up world in which a look at the prompt pays."""

from __future__ import annotations

import numpy as np

ARMS = {"small": 0.004, "big": 0.010}
EASY = "Please say hello to the nice person number {}"
HARD = "Prove that the permutation polynomial of degree {} is irreducible over 17 fields"


def rows(
    tasks=600,
    *,
    seed=0,
    arms=ARMS,
    shuffled=False,
    clusters=None,
    verdicts=False,
    skip=lambda _i, _arm: False,
):
    """The first arm solves easy prompts only, the others both kinds; the first is the cheapest.

    Args:
        tasks: How many, half of them easy.
        seed: Of everything.
        arms: Name to dollars of a call.
        shuffled: The prompts belong to other tasks, so they tell nothing.
        clusters: How many clusters the tasks fall into; None: no clusters.
        verdicts: Record a check that always passes right answers, and one wrong answer in five.
        skip: Tells which outcomes are missing.
    """
    rng = np.random.default_rng(seed)
    hard = rng.random(tasks) < 0.5
    looks_hard = rng.permutation(hard) if shuffled else hard
    made = []
    for i in range(tasks):
        text = (HARD if looks_hard[i] else EASY).format(rng.integers(1000))
        for j, (arm, usd) in enumerate(arms.items()):
            p = 0.03 if hard[i] and j == 0 else 0.97
            right = bool(rng.random() < p)
            passed = right or bool(rng.random() < 0.2)
            if skip(i, arm):
                continue
            made.append(
                {
                    "query_id": f"q{i}",
                    "query": text,
                    "arm": arm,
                    "score": float(right),
                    "cost_usd": usd * float(np.exp(0.1 * rng.normal())),
                    "cluster": None if clusters is None else f"c{i % clusters}",
                    "verdict": ("pass" if passed else "fail") if verdicts else None,
                }
            )
    return made

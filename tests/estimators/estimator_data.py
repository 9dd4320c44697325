"""Made-up outcomes with a known truth: difficulty is written into the prompt, arms differ in ease."""

import numpy as np

from effortctl.stores import outcome_matrix

ARMS = {"s@low": 0.0, "s@high": 1.0, "big": 2.0}


def outcomes(tasks=200, *, seed=0, missing=0.0, signal=1.5, arms=None, hidden=1.0, verdicts=False):
    """Rows of a matrix. Harder prompts have more numbers and the word `permutation`."""
    arms = arms or ARMS
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(tasks):
        visible = rng.normal()
        theta = signal * visible + hidden * rng.normal()
        count = int(np.clip(round(4 + 2 * visible), 0, 12))
        hard_words = "permutation " * (visible > 0) + "hello " * (visible <= 0)
        text = f"Task about {hard_words}" + " ".join(str(rng.integers(100)) for _ in range(count))
        for arm, ease in arms.items():
            if rng.random() < missing:
                continue
            right = ease - theta + rng.logistic() > 0
            rows.append(
                {
                    "query_id": f"q{i}",
                    "query": text,
                    "category": f"c{i % 7}",
                    "arm": arm,
                    "score": float(right),
                    "cost_usd": 0.01 * np.exp(0.3 * visible + ease + 0.2 * rng.normal()),
                    "verdict": (
                        ("pass" if right or rng.random() < 0.2 else "fail") if verdicts else None
                    ),
                }
            )
    return outcome_matrix(rows)

"""What a few outcomes are worth with the prior and without it, on sources the prior never saw.

`python evals/prior/cold_start.py --data DIR` fits a prior without one outcome set, learns from a few tasks
of that set with and without it, and compares log-losses on the set's other tasks. Writes
`cold_start.json`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from decimal import Decimal
from math import exp
from pathlib import Path

import numpy as np
from _sources import HERE, Models, Source, read_sources
from fit import DATA, fit

from effortctl import Arm, Price
from effortctl.estimators import FittedModel, fit_model
from effortctl.estimators._links import log_loss
from effortctl.estimators._prior import Prior
from effortctl.stores import OutcomeMatrix

SIZES = (0, 5, 30, 100)
JUDGED_ON = 1000
"""Most held-out tasks per draw; more would cost time and change no digit."""

ARMS = {
    "livecodebench": (
        "GPT-4O-mini-2024-07-18",
        "DeepSeek-V3",
        "O4-Mini@low",
        "O4-Mini@medium",
        "O4-Mini@high",
    ),
    "lineage": (
        "gpt-5-nano@medium",
        "gpt-5-mini@medium",
        "deepseek-v3.2",
        "gpt-5@medium",
        "gpt-5.1@medium",
    ),
}


def study(source: Source, prior: Prior, *, seeds: int) -> list[dict[str, float]]:
    """Mean log-losses per number of tasks learned from."""
    matrix = source.matrix
    if source.name in ARMS:
        matrix = matrix.select_arms(_named(matrix, ARMS[source.name]))
    arms = _arms(matrix)
    found = []
    for size in SIZES:
        if size > len(matrix) * 0.6:
            continue
        losses = [_losses(matrix, prior, arms, size=size, seed=seed) for seed in range(seeds)]
        with_prior, without = np.mean(losses, axis=0).tolist()
        found.append(
            {"tasks": size, "with_prior": round(with_prior, 4), "without": round(without, 4)}
        )
        print(source.name, found[-1], flush=True)
    return found


def _losses(
    matrix: OutcomeMatrix, prior: Prior, arms: Sequence[Arm], *, size: int, seed: int
) -> tuple[float, float]:
    order = np.random.default_rng(seed).permutation(len(matrix))
    train = matrix.select_tasks(order[:size])
    judged = matrix.select_tasks(order[size : size + JUDGED_ON])
    ids = train.task_ids
    shaped = fit_model(train, groups=ids, prior=prior, arms=arms, seed=seed)
    if not size:
        return _loss(shaped, judged), float(np.log(2))
    return _loss(shaped, judged), _loss(_plain(train, seed), judged)


def _plain(train: OutcomeMatrix, seed: int) -> FittedModel:
    return fit_model(train, groups=train.task_ids, seed=seed)


def _loss(model: FittedModel, judged: OutcomeMatrix) -> float:
    return float(np.nanmean(log_loss(judged.score, model.estimates(judged.tasks()).p)))


def _named(matrix: OutcomeMatrix, wanted: Sequence[str]) -> list[str]:
    return [name for name in matrix.arms if name in wanted]


def _arms(matrix: OutcomeMatrix) -> list[Arm]:
    models = Models()
    known = []
    for name, model, effort in zip(matrix.arms, matrix.models, matrix.efforts, strict=True):
        log_price = models.log_price(model)
        if log_price is not None:
            usd = Decimal(repr(round(exp(log_price), 6)))
            price = Price(input_usd_per_mtok=usd / 4, output_usd_per_mtok=usd)
            level = models.level(model, effort)
            known.append(
                Arm.model_validate({"name": name, "model": model, "effort": level, "price": price})
            )
    return known


def main() -> None:
    """Judge every set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the outcome files")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    sources = read_sources(options.data)
    found = {}
    for source in sources:
        others = [each for each in sources if each is not source]
        prior, _ = fit(others, created="2000-01-01")
        found[source.name] = study(source, prior, seeds=options.seeds)
        (HERE / "cold_start.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Fit the prior that comes with effortctl, and say what it is worth.

`python evals/prior/fit.py --data DIR` reads the outcome sets in DIR and the tables in this folder, and
writes `effortctl/catalog/prior/prior.json` and `results.json`; see README.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from _levels import fit_levels
from _scorer import Judged, fit_scorer, judge_each
from _sources import (
    HERE,
    WITH_TEXT,
    WITH_TOKENS,
    Models,
    Source,
    read_sources,
    score_rows,
    token_rows,
)

from effortctl.estimators._belief import fit_rho
from effortctl.estimators._curves import constant_curves, predict_all
from effortctl.estimators._prior import Prior
from effortctl.estimators._prior_scorer import DifficultyPrior

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ROOT = HERE.parents[1]
TARGET = ROOT / "effortctl" / "catalog" / "prior" / "prior.json"
DATA = ROOT / "../shared/data"

_SPREAD = 1.4826
"""Median absolute deviation of a normal distribution to its standard deviation."""

_WEIGHT_SD = (0.5, 1.5)
_SLOPE_SD = 0.4


def fit(sources: list[Source], *, created: str) -> tuple[Prior, list[Judged]]:
    """The prior, and how its scorer does on sources it did not see."""
    models = Models()
    judged, _predicted = judge_each(sources)
    scores, tokens = score_rows(sources, models), token_rows(sources, models)
    prior = Prior(
        difficulty=DifficultyPrior(fit_scorer(sources), _weight_sd(judged)),
        intercept=fit_levels(scores, with_price=True),
        slope_sd=_SLOPE_SD,
        log_tokens=fit_levels(tokens, with_price=False),
        task_sd=_task_sd(sources),
        rho=_rho(sources),
        created=created,
        fingerprint=_fingerprint(sources),
        quality={
            "sources": len(sources),
            "tasks": sum(len(source.matrix) for source in sources),
            "outcomes": sum(source.matrix.rows for source in sources),
            "score_rows": len(scores),
            "token_rows": len(tokens),
            "held_out_source_auc": round(float(np.mean([j.auc for j in judged])), 4),
            "held_out_source_log_loss": round(float(np.mean([j.log_loss for j in judged])), 4),
            "constant_log_loss": round(float(np.mean([j.constant_log_loss for j in judged])), 4),
        },
    )
    return prior, judged


def _weight_sd(judged: list[Judged]) -> float:
    scales = np.array([each.best_scale for each in judged])
    spread = _SPREAD * float(np.median(np.abs(scales - np.median(scales))))
    return float(np.clip(spread, *_WEIGHT_SD))


def _task_sd(sources: list[Source]) -> float:
    spreads = [
        np.nanstd(np.log(np.where(tokens > 0, tokens, np.nan)))
        for source in sources
        if source.name in WITH_TOKENS
        for tokens in source.matrix.output_tokens.T
        if not np.isnan(tokens).all()
    ]
    return float(np.mean(spreads))


def _rho(sources: list[Source]) -> float:
    """Mean loading over the sources, with every task taken for average."""
    loadings = []
    for source in sources:
        score = source.matrix.score
        p = predict_all(constant_curves(score), np.zeros(len(score)))
        loadings.append(float(fit_rho(p, score).mean()))
    return min(0.9, float(np.mean(loadings)))


def _fingerprint(sources: list[Source]) -> str:
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.name.encode() + b"\0")
        digest.update(np.ascontiguousarray(source.matrix.score).tobytes())
    for table in ("published.csv", "models.csv"):
        digest.update((HERE / table).read_bytes())
    return digest.hexdigest()[:16]


def main() -> int:
    """Fit, write and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the outcome files")
    parser.add_argument("--out", type=Path, default=TARGET, help="where the prior goes")
    parser.add_argument("--date", default=datetime.now(UTC).date().isoformat())
    options = parser.parse_args()
    missing = [n for n in WITH_TEXT if not (options.data / f"{n}.jsonl.gz").is_file()]
    if missing:
        print(
            f"error: {options.data} has no outcome file for {', '.join(missing)}; name the folder "
            "that holds the *.jsonl.gz files with --data",
            file=sys.stderr,
        )
        return 2
    prior, judged = fit(read_sources(options.data), created=options.date)
    text = json.dumps(prior.to_json(), indent=1, sort_keys=True, allow_nan=False)
    options.out.write_text(text + "\n", encoding="utf-8")
    results = {"date": options.date, "held_out_sources": [asdict(each) for each in judged]}
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print("source                    auc   log-loss  constant  best scale")
    for each in judged:
        print(
            f"{each.source:24} {each.auc:.3f}   {each.log_loss:.4f}    {each.constant_log_loss:.4f}"
            f"   {each.best_scale:8.2f}"
        )
    print(json.dumps({k: v for k, v in prior.to_json().items() if k != "difficulty"}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

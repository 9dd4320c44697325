"""How well is P(correct) predicted from the text of a task, and does that survive an unseen kind of task?

No policy and no dollars: only predictions, judged on tasks held out at random and on whole groups of
tasks held out together. Run it with `python evals/planner/prediction.py --data DIR [--seeds N]`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from _predict import Predictor, clusters, logistic, nearest, of_model
from _report import versions
from sklearn.metrics import roc_auc_score

from effortctl._stats import paired_bootstrap
from effortctl.estimators import fit_model
from effortctl.stores import OutcomeMatrix, read_outcomes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "../shared/data"
FOLDS = 5
CONSTANT = "constant per arm"
_LEAST, _MOST = 0.01, 0.99
"""Predictions are kept within, for all alike, so that one bold mistake does not decide a log-loss."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A set, and what makes two of its tasks alike.

    Attributes:
        file: File in the data folder.
        kind: What a group is.
        group: Group of a task, from its id and its category.
    """

    file: str
    kind: str
    group: Callable[[str, str | None], str]


def _generator(task_id: str, _category: str | None) -> str:
    return task_id.split("/", maxsplit=1)[0]


def _category(_task_id: str, category: str | None) -> str:
    return category or ""


SUBJECTS = (
    Subject("reasoning_gym_easy", "task generator", _generator),
    Subject("routellm_mmlu", "subject", _category),
    Subject("medagents", "exam source", _category),
)


def _ours(train: OutcomeMatrix, groups: Sequence[str], seed: int) -> Predictor:
    return of_model(fit_model(train, groups=groups, seed=seed))


def _constant(train: OutcomeMatrix) -> Predictor:
    """The share of tasks each arm gets right: the constant to beat."""
    mean = train.score.mean(axis=0)

    def predict(tasks: OutcomeMatrix) -> tuple[Floats, Floats]:
        p = np.broadcast_to(mean, (len(tasks), mean.size))
        return p, p

    return predict


def predictors(
    train: OutcomeMatrix, groups: Sequence[str], *, seed: int
) -> Iterator[tuple[str, Predictor]]:
    """Fit every way to predict."""
    yield CONSTANT, _constant(train)
    yield "kNN", nearest(train, seed)
    yield "clusters", clusters(train, seed)
    yield "logistic per arm", logistic(train, seed)
    yield "ours", _ours(train, groups, seed)


def folds(groups: Sequence[str], *, seed: int) -> list[NDArray[np.bool_]]:
    """Equal parts of the groups; a group is never parted."""
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    part = (order % min(FOLDS, len(names)))[member.ravel()]
    return [part == k for k in range(part.max() + 1)]


def held_out(matrix: OutcomeMatrix, groups: Sequence[str], *, seed: int) -> dict[str, Floats]:
    """[T, K] P(correct) of every task by models that saw nothing of its group."""
    found: dict[str, Floats] = {}
    for out in folds(groups, seed=seed):
        train = matrix.select_tasks(np.flatnonzero(~out))
        inside = [group for group, held in zip(groups, out, strict=True) if not held]
        unseen = matrix.select_tasks(np.flatnonzero(out))
        for name, predict in predictors(train, inside, seed=seed):
            p = found.setdefault(name, np.zeros_like(matrix.score))
            p[out] = np.clip(predict(unseen)[0], _LEAST, _MOST)
    return found


def log_loss(p: Floats, score: Floats) -> Floats:
    """[T] mean over the arms."""
    loss = -(score * np.log(p) + (1 - score) * np.log(1 - p))
    return np.asarray(loss.mean(axis=1))


def auc(p: Floats, score: Floats) -> float:
    """Mean over the arms: can right answers be told from wrong ones of the same arm?"""
    right = score > 0.5
    mixed = [j for j in range(p.shape[1]) if 0 < right[:, j].mean() < 1]
    return float(np.mean([roc_auc_score(right[:, j], p[:, j]) for j in mixed]))


def judge(matrix: OutcomeMatrix, groups: Sequence[str], *, seeds: int) -> list[dict[str, Any]]:
    """One row per way to predict, over all seeds; the interval resamples whole groups."""
    runs = [held_out(matrix, groups, seed=seed) for seed in range(seeds)]
    losses = {
        name: np.mean([log_loss(run[name], matrix.score) for run in runs], axis=0)
        for name in runs[0]
    }
    rows = []
    for name, loss in losses.items():
        gain = paired_bootstrap(loss, losses[CONSTANT], clusters=groups)
        rows.append(
            {
                "predictor": name,
                "auc": None if name == CONSTANT else _mean_auc(runs, name, matrix.score),
                "log_loss": round(float(loss.mean()), 4),
                "log_loss_vs_constant": [round(x, 4) for x in (gain.estimate, gain.low, gain.high)],
            }
        )
    return rows


def _mean_auc(runs: list[dict[str, Floats]], name: str, score: Floats) -> float:
    return round(float(np.mean([auc(run[name], score) for run in runs])), 3)


def study(subject: Subject, *, data: Path, seeds: int, every: int) -> dict[str, Any]:
    """Both questions on one set: an unseen task, and an unseen kind of task."""
    began = time.process_time(), time.perf_counter()
    matrix = read_outcomes(data / f"{subject.file}.jsonl.gz")
    matrix = matrix.select_tasks(np.flatnonzero(~np.isnan(matrix.score).any(axis=1))[::every])
    ids = zip(matrix.task_ids, matrix.categories, strict=True)
    groups = [subject.group(task, category) for task, category in ids]
    return {
        "set": subject.file,
        "tasks": len(matrix),
        "arms": len(matrix.arms),
        "groups": len(set(groups)),
        "kind": subject.kind,
        "random folds": judge(matrix, matrix.task_ids, seeds=seeds),
        "whole groups held out": judge(matrix, groups, seeds=seeds),
        "took": {
            "CPU": round(time.process_time() - began[0], 1),
            "wall": round(time.perf_counter() - began[1], 1),
        },
    }


def table(record: dict[str, Any]) -> str:
    """Markdown of one set."""
    about = f"{record['tasks']:,} tasks, {record['arms']} arms, {record['groups']} groups"
    lines = [
        f"## {record['set']}",
        "",
        f"{about} ({record['kind']}).",
        "",
        "| predictor | AUC, random | AUC, unseen group | log-loss - constant, random | unseen group |",
        "|---|---|---|---|---|",
    ]
    pairs = zip(record["random folds"], record["whole groups held out"], strict=True)
    for seen, unseen in pairs:
        gains = [_interval(side["log_loss_vs_constant"]) for side in (seen, unseen)]
        areas = ["-" if side["auc"] is None else f"{side['auc']:.3f}" for side in (seen, unseen)]
        cells = [seen["predictor"], *areas, *gains]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _interval(numbers: list[float]) -> str:
    return "{:+.3f} ({:+.3f}, {:+.3f})".format(*numbers)


def _command(options: argparse.Namespace) -> str:
    sets = "".join(f" --set {name}" for name in options.set or [])
    sets += f" --every {options.every}" if options.every > 1 else ""
    return f"python evals/planner/prediction.py --data DIR{sets} --seeds {options.seeds}"


def main() -> int:
    """Run the sets asked for; write results/prediction.json and .md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the outcome files")
    parser.add_argument("--set", action="append", choices=[s.file for s in SUBJECTS])
    parser.add_argument("--seeds", type=int, default=3, help="random divisions into five folds")
    parser.add_argument("--every", type=int, default=1, help="only each N-th task: a quick look")
    options = parser.parse_args()
    chosen = [subject for subject in SUBJECTS if subject.file in (options.set or [subject.file])]
    missing = [s.file for s in chosen if not (options.data / f"{s.file}.jsonl.gz").is_file()]
    if missing:
        print(f"error: {options.data} lacks {', '.join(missing)}; see --data", file=sys.stderr)
        return 2
    records = []
    for subject in chosen:
        records.append(study(subject, data=options.data, seeds=options.seeds, every=options.every))
        print(table(records[-1]), flush=True)
    document = {
        "date": datetime.now(UTC).date().isoformat(),
        "command": _command(options),
        "seeds": options.seeds,
        "versions": versions(),
        "sets": records,
    }
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    (results / "prediction.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    heading = f"# Prediction\n\n`{document['command']}`, {document['date']}.\n"
    tables = "\n".join([heading, *map(table, records)])
    (results / "prediction.md").write_text(tables, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

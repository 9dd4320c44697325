"""From a finished run to its evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from effortctl.harness._result import EvalResult
from effortctl.harness.runner._folder import OUTCOMES, RESULT
from effortctl.harness.runner._merge import open_run
from effortctl.stores import OutcomeMatrix, read_outcomes
from effortctl.stores._matrix import MISSING


def evaluate_run(folder: Path, *, include_prompts: bool = False) -> EvalResult:
    """Evaluate the outcomes of a run and write `result.json` beside them.

    What checked answers at run time is taken from the run: the recorded verdicts where every answer has
    one; else nothing.

    Args:
        folder: The run folder.
        include_prompts: Keep the prompts in the result.

    Raises:
        ConfigError: There is no run, or its outcomes do not suffice: too few tasks, no dollars.
        StoreError: A file is damaged or cannot be written.
    """
    from effortctl.harness.evaluation import evaluate  # noqa: PLC0415 - loads scikit-learn

    config = open_run(folder).config
    matrix = read_outcomes(folder / OUTCOMES)
    result = evaluate(
        matrix,
        verifier=checked_by(matrix),
        include_prompts=include_prompts,
        name=config.name,
        seed=config.seed,
    )
    result.save(folder / RESULT)
    return result


def checked_by(matrix: OutcomeMatrix) -> Literal["recorded", "none"]:
    """Whether every outcome has a verdict of its own."""
    known = matrix.n_samples > 0
    return "recorded" if bool(np.all(matrix.verdict[known] != MISSING)) else "none"

"""RouteLLM tables: `prompt`, one column of True/False per model, and maybe `<model>_response`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from effortctl._errors import StoreError
from effortctl.harness.datasets._files import Numbered, csv_records
from effortctl.harness.formats._dollars import Bill
from effortctl.harness.formats._samples import Intake, Sample, estimated_usage

RESPONSE: Final = "_response"
_RIGHT: Final[Mapping[str, float]] = {
    **dict.fromkeys(("true", "1", "1.0"), 1.0),
    **dict.fromkeys(("false", "0", "0.0"), 0.0),
}
_NOT_MODELS: Final = frozenset({"prompt", "", "index", "unnamed: 0"})


def read(paths: Sequence[Path], intake: Intake) -> Iterator[Sample]:
    """Read the tables; a task is named after its file and its row, its kind after its file.

    The format has no tokens, so dollars come from prices per call, or from `estimate_tokens`.

    Raises:
        StoreError: There are no two columns of True/False, or a cell holds something else.
    """
    for path in paths:
        rows = list(csv_records(path))
        models = model_columns(path, rows)
        name = path.name.partition(".")[0]
        for number, (place, row) in enumerate(rows, start=1):
            prompt = str(row["prompt"])
            for model in models:
                answer = row.get(model + RESPONSE)
                yield Sample(
                    place=place,
                    query_id=f"{name}/{number:05}",
                    model=model,
                    score=_score(row[model], model, place),
                    bills=(_bill(model, prompt, answer, intake),),
                    query=prompt,
                    category=name,
                    answer=answer or None,
                )


def model_columns(path: Path, rows: Sequence[Numbered]) -> list[str]:
    """Columns of True/False.

    Raises:
        StoreError: There are no two of them, or there is no prompt.
    """
    header = list(rows[0][1]) if rows else []
    models = [
        name
        for name in header
        if name.lower() not in _NOT_MODELS
        and not (name.endswith(RESPONSE) and name.removesuffix(RESPONSE) in header)
        and (
            name + RESPONSE in header
            or all(not str(row[name]) or str(row[name]).lower() in _RIGHT for _, row in rows[:50])
        )
    ]
    if "prompt" not in header or len(models) < 2:
        raise StoreError(
            f"{path}: columns {', '.join(header) or 'none'}; expected `prompt` and a column of True/False for "
            "each of two models or more"
        )
    return models


def _score(cell: Any, model: str, place: str) -> float:
    score = _RIGHT.get(str(cell).strip().lower())
    if score is None:
        raise StoreError(f"{place}, column {model!r}: {str(cell)[:40]!r}, expected True or False")
    return score


def _bill(model: str, prompt: str, answer: Any, intake: Intake) -> Bill:
    usage = None
    if intake.estimate_tokens and isinstance(answer, str):
        usage = estimated_usage(prompt, answer)
    return Bill(model=model, usage=usage)

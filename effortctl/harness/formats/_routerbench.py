"""RouterBench's wide table: a column of scores per model, with `<model>|total_cost` beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from effortctl._errors import StoreError
from effortctl.harness.datasets._files import csv_header, csv_records
from effortctl.harness.formats._dollars import Bill
from effortctl.harness.formats._samples import Intake, Sample, amount, dollars

COST: Final = "|total_cost"
RESPONSE: Final = "|model_response"


def read(paths: Sequence[Path], intake: Intake) -> Iterator[Sample]:
    """Read the tables; an empty score means that the model did not try the task.

    Raises:
        StoreError: There is no model column, or a score or an amount makes no sense.
    """
    for path in paths:
        models = model_columns(path)
        for place, row in csv_records(path):
            if not row["sample_id"]:
                raise StoreError(f"{place}, column 'sample_id': is empty, expected the task's name")
            for model in models:
                score = amount(row[model], f"scores of {model}", place)
                if score is None:
                    intake.left_out["no score in the file"] += 1
                    continue
                yield Sample(
                    place=place,
                    query_id=row["sample_id"],
                    model=model,
                    score=score,
                    bills=(Bill(model=model, cost_usd=dollars(row.get(model + COST), place)),),
                    query=row.get("prompt") or None,
                    category=row.get("eval_name") or None,
                    answer=row.get(model + RESPONSE) or None,
                )


def model_columns(path: Path) -> list[str]:
    """Columns with a cost or a response beside them.

    Raises:
        StoreError: There are none, or there is no sample_id.
    """
    header = csv_header(path)
    models = [name for name in header if {name + COST, name + RESPONSE} & set(header)]
    if "sample_id" not in header or not models:
        raise StoreError(
            f"{path}, line 1: expected `sample_id`, `prompt`, `eval_name`, and for each model columns "
            f"`MODEL`, `MODEL{RESPONSE}` and `MODEL{COST}`"
        )
    return models

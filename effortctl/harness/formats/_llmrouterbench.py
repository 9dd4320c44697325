"""LLMRouterBench: result files with a list of records, or the same records in long form."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from effortctl._errors import StoreError
from effortctl._types import Usage
from effortctl.harness.datasets._files import (
    Numbered,
    as_object,
    csv_records,
    json_records,
)
from effortctl.harness.formats._dollars import Bill
from effortctl.harness.formats._samples import (
    Intake,
    Sample,
    amount,
    dollars,
    plain_text,
    usage_of,
)


def read(paths: Sequence[Path], intake: Intake) -> Iterator[Sample]:
    """Read the records. The task is named `dataset/split/index`.

    A cost of exactly zero for an answer with tokens means that nobody recorded one, so it is unknown.

    Raises:
        StoreError: A record lacks its model or its place in the dataset, or a number makes no sense.
    """
    zeros: dict[str, int] = defaultdict(int)
    for path in paths:
        for place, record in _records(path):
            model = _named(record, ("model_name",), place)
            score = amount(record.get("score"), "scores", place)
            if score is None:
                intake.left_out["no score in the file"] += 1
                continue
            cost, usage = dollars(record.get("cost"), place), _usage(record, place)
            if cost == 0 and usage is not None and usage.output_tokens:
                zeros[model] += 1
                cost = None
            yield _sample(record, place, score=score, bill=_bill(model, usage, cost))
    for model, answers in zeros.items():
        intake.note(
            f"{model}: {answers} answers have a recorded cost of 0, which is read as unknown"
        )


def _sample(record: Mapping[str, Any], place: str, *, score: float, bill: Bill) -> Sample:
    dataset = _named(record, ("dataset_id", "dataset_name"), place)
    index = _named(record, ("record_index", "index"), place)
    split = plain_text(record.get("split"))
    answer = plain_text(record.get("raw_output")) or plain_text(record.get("prediction"))
    return Sample(
        place=place,
        query_id="/".join(part for part in (dataset, split, index) if part),
        model=bill.model,
        score=score,
        bills=(bill,),
        query=plain_text(record.get("origin_query")) or plain_text(record.get("prompt")),
        category=dataset,
        answer=answer,
    )


def _bill(model: str, usage: Usage | None, cost: Decimal | None) -> Bill:
    return Bill(model=model, usage=usage, cost_usd=cost)


def _usage(record: Mapping[str, Any], place: str) -> Usage | None:
    return usage_of(
        place, given_in=record.get("prompt_tokens"), given_out=record.get("completion_tokens")
    )


def _named(record: Mapping[str, Any], names: tuple[str, ...], place: str) -> str:
    for name in names:
        value = plain_text(record.get(name))
        if value is not None:
            return value
    raise StoreError(f"{place}: {names[0]} is missing; every record needs one")


def _records(path: Path) -> Iterator[Numbered]:
    if ".csv" in path.name.lower():
        yield from csv_records(path)
        return
    for place, document in json_records(path):
        if "records" not in document:
            yield place, document
            continue
        shared = {key: value for key, value in document.items() if key != "records"}
        if not isinstance(document["records"], list):
            raise StoreError(f"{place}: records is no list, expected one record per task")
        for number, item in enumerate(document["records"], start=1):
            where = f"{place}, record {number}"
            yield where, {**shared, **as_object(item, where)}

"""Runs of the parts of one evaluation, put together; and answers scored again without a call."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from effortctl._errors import ConfigError
from effortctl.harness.runner._checks import Checks
from effortctl.harness.runner._folder import (
    RunHeader,
    new_header,
    read_header,
    write_header,
)
from effortctl.harness.runner._inputs import Inputs, prepare
from effortctl.harness.runner._journal import History, Journal, locked, read_history
from effortctl.harness.runner._sample import Cell, Sample
from effortctl.harness.runner._table import (
    RunSummary,
    failures,
    notes_on,
    standing,
    write_tables,
)

_MUST_AGREE = ("dataset", "epochs", "seed", "limit", "metric", "verify")


def open_run(folder: Path) -> RunHeader:
    """What a run folder was made for.

    Raises:
        ConfigError: There is no run in it.
        StoreError: It is damaged.
    """
    header = read_header(folder)
    if header is None:
        raise ConfigError(
            f"there is no run in {folder}; start one with `effortctl eval run EVAL.toml`"
        )
    return header


def merge_runs(folders: Sequence[Path], out: Path) -> RunSummary:
    """Put the answers of several runs of one evaluation into a new run folder.

    Args:
        folders: Runs of parts of the tasks, or of different arms on the same tasks.
        out: The new folder; it must not hold a run.

    Raises:
        ConfigError: The runs are not of one evaluation, or two of them answer the same cell differently.
        StoreError: A folder is damaged or cannot be written.
    """
    headers = [open_run(folder) for folder in folders]
    if len(headers) < 2:
        raise ConfigError("merging takes at least two run folders")
    _refuse_strangers(folders, headers)
    if read_header(out) is not None:
        raise ConfigError(f"{out} holds a run already; choose a new folder with -o")
    with locked(out):
        history = _together(folders)
        header = _merged_header(headers, out)
        inputs = prepare(header.config)
        inputs.refuse_stale([*history.answered.values(), *history.failed.values()])
        write_header(out, header)
        with Journal(out) as journal:
            for sample in (*history.answered.values(), *history.failed.values()):
                journal.sample(sample, {})
        return _summary(inputs, history, out)


def rescore_run(
    folder: Path, *, metric: str | None = None, verify: str | None = None
) -> RunSummary:
    """Score all recorded answers of a run again; nothing is called.

    Args:
        folder: The run folder.
        metric: Another metric, kept for later sessions. None: the run's own.
        verify: Another check, likewise.

    Raises:
        ConfigError: There is no run, it is in use, or the metric does not fit the tasks.
        StoreError: A file is damaged or cannot be written.
    """
    header = open_run(folder)
    config = header.config.changed(metric=metric, verify=verify)
    inputs = prepare(config, shard=header.shard)
    with locked(folder), Journal(folder) as journal:
        history = read_history(folder)
        inputs.refuse_stale([*history.answered.values()])
        write_header(folder, replace(header, config=config))
        scored = asyncio.run(_score_all(inputs, history, journal))
        return replace(_summary(inputs, history, folder), scored=scored)


async def _score_all(inputs: Inputs, history: History, journal: Journal) -> int:
    checks, scored = Checks(inputs.dataset), 0
    for cell, sample in history.answered.items():
        case = inputs.cases.get(cell.case)
        if case is None:
            continue
        score = await checks.score(case, sample.answer())
        history.answered[cell] = sample.scored(score)
        journal.score(cell, score)
        scored += 1
    return scored


def _together(folders: Sequence[Path]) -> History:
    """All answers; the same answer may come twice, two different ones may not."""
    merged = History()
    origin: dict[Cell, Path] = {}
    for folder in folders:
        history = read_history(folder)
        merged.torn += history.torn
        for cell, sample in history.answered.items():
            known = merged.answered.get(cell)
            if known is not None and not _alike(known, sample):
                raise ConfigError(
                    f"{origin[cell]} and {folder} hold different answers of {cell.arm!r} to task "
                    f"{cell.case!r} (epoch {cell.epoch}); merge only one of them"
                )
            merged.answered.setdefault(cell, sample)
            origin.setdefault(cell, folder)
        for cell, sample in history.failed.items():
            merged.failed.setdefault(cell, sample)
    for cell in merged.answered:
        merged.failed.pop(cell, None)
    return merged


def _alike(one: Sample, other: Sample) -> bool:
    return (one.arm_key, one.case_key, one.text) == (other.arm_key, other.case_key, other.text)


def _refuse_strangers(folders: Sequence[Path], headers: Sequence[RunHeader]) -> None:
    first = headers[0].config
    for folder, header in zip(folders[1:], headers[1:], strict=True):
        for name in _MUST_AGREE:
            ours, theirs = getattr(first, name), getattr(header.config, name)
            if name == "dataset":
                ours, theirs = _same_file(ours), _same_file(theirs)
            if ours != theirs:
                raise ConfigError(
                    f"{folder} is no part of the same evaluation as {folders[0]}: `{name}` is "
                    f"{theirs!r}, not {ours!r}"
                )


def _same_file(name: str) -> str:
    path = Path(name)
    return str(path.resolve()) if path.exists() else name


def _merged_header(headers: Sequence[RunHeader], out: Path) -> RunHeader:
    """The first run's config; other runs may add arms, all of them with the same tasks."""
    config = headers[0].config
    arms = [arm for header in headers for arm in header.config.arms]
    unique = tuple(arm for index, arm in enumerate(arms) if arm not in arms[:index])
    update = {"out": str(out), **({"arms": unique} if config.ladder is None else {})}
    ids = tuple(header.run_id for header in headers)
    return replace(new_header(config.model_copy(update=update)), merged=ids)


def _summary(inputs: Inputs, history: History, folder: Path) -> RunSummary:
    rows = write_tables(inputs, history, folder)
    quality, cost_usd = standing(rows)
    failed = failures(inputs, history)
    cells = list(inputs.cells())
    samples = [history.answered[cell] for cell in cells if cell in history.answered]
    return RunSummary(
        folder=folder,
        total=inputs.total,
        done=len(samples),
        failed=dict(failed),
        total_spent_usd=sum((sample.spent_usd for sample in samples), Decimal(0)),
        rows=len(rows),
        quality=quality,
        cost_usd=cost_usd,
        notes=tuple(notes_on(inputs, history, unscored=failed.total())),
    )

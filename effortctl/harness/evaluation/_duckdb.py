"""Replay over outcome files too large for memory: fixed arms, ladders and thresholds, by DuckDB.

The file is in long form, one row per task and arm, as `stores.write_outcomes` writes it. Rows of one task
are brought together once; then every policy is one expression over the tasks, and all run in one pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from effortctl._errors import ConfigError, StoreError

Check: TypeAlias = Literal["exact", "none", "recorded"]

_COLUMNS = ("query_id", "arm", "score", "cost_usd")


@dataclass(frozen=True, slots=True)
class Threshold:
    """One call per task, to an arm chosen by a number known beforehand.

    Attributes:
        column: Numeric column of the file, e.g. a predicted difficulty; the same in all rows of a task.
        cuts: Rising thresholds.
        arms: One more than cuts: the first below all of them, the last at or above the highest.
    """

    column: str
    cuts: tuple[float, ...]
    arms: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse thresholds that do not part the arms."""
        if len(self.arms) != len(self.cuts) + 1 or list(self.cuts) != sorted(self.cuts):
            raise ConfigError(
                f"{len(self.cuts)} cuts {self.cuts} for {len(self.arms)} arms; give rising cuts, one "
                "fewer than arms"
            )


Replayable: TypeAlias = Sequence[str] | Threshold
"""Arms in the order they are tried (one arm: a fixed arm), or thresholds."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a policy did.

    Attributes:
        tasks: Tasks on which every arm of all policies was scored and priced.
        cost_usd: Mean dollars per task.
        quality: Mean score of the answer returned.
        cost_error: Standard error of the mean dollars, tasks taken as independent.
        quality_error: Of the mean score.
    """

    tasks: int
    cost_usd: float
    quality: float
    cost_error: float
    quality_error: float


def replay_parquet(
    path: str | Path,
    policies: Mapping[str, Replayable],
    *,
    verifier: Check = "exact",
    memory: str = "900MB",
    threads: int | None = None,
) -> dict[str, Replayed]:
    """Replay policies over a Parquet file (or a glob of them) of outcomes in long form.

    Tasks that miss an outcome of an arm that some policy names are left out, so that all policies are
    judged on the same tasks.

    Args:
        path: Columns `query_id, arm, score, cost_usd`, and `verdict` for recorded checks.
        policies: Name → arms in order, or thresholds.
        verifier: What stops a ladder: `exact` passes scores above one half, `none` the first answer,
            `recorded` follows the column `verdict`.
        memory: Limit of DuckDB's memory; what does not fit goes to temporary files.
        threads: Threads to use. None: all.

    Raises:
        ConfigError: DuckDB is not installed, or the policies or the check make no sense.
        StoreError: The file cannot be read, or no task has all arms.
    """
    arms, columns = _named(policies, verifier)
    database = _database(memory, threads)
    try:
        have = _columns(database, path)
        _require(
            have, [*_COLUMNS, *columns, *(["verdict"] if verifier == "recorded" else [])], path
        )
        sums = ", ".join(_sums(policy, arms) for policy in policies.values())
        found = database.execute(
            f"SELECT count(*), {sums} FROM ({_by_task(arms, columns, verifier)})",  # noqa: S608 - only our own names and quoted literals
            [str(path)],
        ).fetchone()
    except database_error() as error:
        raise StoreError(f"{path} cannot be replayed: {error}") from error
    finally:
        database.close()
    tasks = int(found[0])
    if not tasks:
        raise StoreError(f"{path} has no task with an outcome of each of {', '.join(arms)}")
    return {name: _replayed(tasks, found[1 + 4 * k : 5 + 4 * k]) for k, name in enumerate(policies)}


def database_error() -> type[Exception]:
    """What DuckDB raises."""
    import duckdb  # noqa: PLC0415 - an extra

    error: type[Exception] = duckdb.Error
    return error


def _database(memory: str, threads: int | None) -> Any:
    try:
        import duckdb  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError(
            "replaying Parquet needs duckdb; run: pip install 'effortctl[big]'"
        ) from error
    config: dict[str, Any] = {"memory_limit": memory, "preserve_insertion_order": False}
    if threads is not None:
        config["threads"] = threads
    return duckdb.connect(config=config)


def _named(policies: Mapping[str, Replayable], verifier: str) -> tuple[list[str], list[str]]:
    """All arms, and all threshold columns."""
    if verifier not in ("exact", "none", "recorded"):
        raise ConfigError(f"verifier is {verifier!r}; expected exact, none or recorded")
    arms: list[str] = []
    columns: list[str] = []
    for name, policy in policies.items():
        if isinstance(policy, Threshold):
            arms += policy.arms
            columns.append(policy.column)
        elif isinstance(policy, str) or not policy or len(set(policy)) != len(policy):
            raise ConfigError(f"policy {name!r} is {policy!r}; expected arms, each once, in order")
        else:
            arms += policy
    if not arms:
        raise ConfigError("no policy was given; name at least one, e.g. {'big': ['big']}")
    return list(dict.fromkeys(arms)), list(dict.fromkeys(columns))


def _columns(database: Any, path: str | Path) -> list[str]:
    rows = database.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
    return [row[0] for row in rows]


def _require(have: Sequence[str], needed: Sequence[str], path: str | Path) -> None:
    missing = [column for column in needed if column not in have]
    if missing:
        raise StoreError(f"{path} lacks column {missing[0]!r}; it has {', '.join(have)}")


def _by_task(arms: Sequence[str], columns: Sequence[str], verifier: str) -> str:
    """One row per task: score, dollars and verdict of every arm, side by side."""
    parts, whole = [], []
    for j, arm in enumerate(arms):
        here = f"arm = {_text(arm)}"
        passed = {"exact": "score > 0.5", "none": "true", "recorded": "verdict = 'pass'"}[verifier]
        parts += [
            f"max(score) FILTER ({here}) AS q{j}",
            f"max(cost_usd) FILTER ({here}) AS c{j}",
            f"bool_or({passed}) FILTER ({here}) AS p{j}",
        ]
        whole += [f"q{j} IS NOT NULL", f"c{j} IS NOT NULL", f"p{j} IS NOT NULL"]
    for column in columns:
        parts.append(f"any_value({_name(column)}) AS {_name('x ' + column)}")
        whole.append(f"{_name('x ' + column)} IS NOT NULL")
    known = ", ".join(map(_text, arms))
    return (
        f"SELECT * FROM (SELECT {', '.join(parts)} FROM read_parquet(?) "  # noqa: S608 - as above
        f"WHERE arm IN ({known}) GROUP BY query_id) WHERE {' AND '.join(whole)}"
    )


def _sums(policy: Replayable, arms: Sequence[str]) -> str:
    """Means and standard deviations of dollars and quality."""
    cost, quality = (
        _thresholds(policy, arms)
        if isinstance(policy, Threshold)
        else _ladder([arms.index(arm) for arm in policy])
    )
    return ", ".join(f"avg({x}), stddev_samp({x})" for x in (cost, quality))


def _ladder(rungs: Sequence[int]) -> tuple[str, str]:
    last = rungs[-1]
    cost, quality = f"c{last}", f"q{last}"
    for j in reversed(rungs[:-1]):
        cost = f"(c{j} + CASE WHEN p{j} THEN 0 ELSE {cost} END)"
        quality = f"CASE WHEN p{j} THEN q{j} ELSE {quality} END"
    return cost, quality


def _thresholds(policy: Threshold, arms: Sequence[str]) -> tuple[str, str]:
    column = _name("x " + policy.column)
    at = [arms.index(arm) for arm in policy.arms]

    def choose(letter: str) -> str:
        cases = " ".join(
            f"WHEN {column} < {float(cut)!r} THEN {letter}{j}"
            for cut, j in zip(policy.cuts, at, strict=False)
        )
        return f"CASE {cases} ELSE {letter}{at[-1]} END" if cases else f"{letter}{at[-1]}"

    return choose("c"), choose("q")


def _replayed(tasks: int, found: Sequence[float | None]) -> Replayed:
    cost, cost_spread, quality, quality_spread = (value or 0.0 for value in found)
    root = tasks**0.5
    return Replayed(tasks, cost, quality, cost_spread / root, quality_spread / root)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _name(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'

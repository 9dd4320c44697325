"""`EVAL.toml`: which tasks, which arms, how answers are scored, and what the run may cost."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from effortctl._errors import ConfigError
from effortctl._types import Usd
from effortctl.catalog._toml import read_toml, table_line

ErrorRule: TypeAlias = Literal["missing", "wrong"]
"""What a call without an answer means for the table: no outcome, or a wrong one."""

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
_SHARD = re.compile(r"^\s*(\d+)\s*/\s*(\d+)\s*$")
_KNOWN_FAULTS = {"missing": "is missing", "extra_forbidden": "is not a known key"}


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PolicySpec(_Table):
    """A policy that is run live beside the arms: one `[[policy]]` table.

    Attributes:
        kind: `ladder` climbs arms in order until the check passes; `plan` follows a learned policy.
        name: What the table calls it. None: its kind.
        file: The learned policy; only for `plan`.
        arms: Arms of the ladder in order. None: all arms of the run.
    """

    kind: Literal["ladder", "plan"]
    name: str | None = None
    file: str | None = None
    arms: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _file_fits(self) -> Self:
        if self.kind == "plan" and self.file is None:
            raise ValueError('a plan needs file = "policy.json", written by `effortctl learn`')
        if self.kind == "ladder" and self.file is not None:
            raise ValueError('a ladder has no file; name its arms, or use kind = "plan"')
        return self

    @property
    def label(self) -> str:
        """Name of its rows."""
        return f"policy:{self.name or self.kind}"


class EvalConfig(_Table):
    """A run, as its file says it. Paths are relative to the folder of that file.

    Attributes:
        name: What is evaluated; part of the run folder's name.
        dataset: File of the tasks, or the name of a generator.
        ladder: Name or file of a ladder whose arms are run.
        arms: Arms instead: `model@effort`, or the keys of an `[[arm]]` table of a ladder.
        epochs: Answers asked of each arm for each task.
        metric: What scores an answer against the reference; `verifier`: the check does. None: what
            fits the dataset.
        verify: What accepts an answer at run time where the dataset does not say, e.g. `not-empty`.
        max_concurrency: Most calls in flight; the run finds the best number below it.
        rpm: Most requests per minute to one endpoint.
        tpm: Most tokens per minute to one endpoint.
        budget_usd: Most the whole run may cost, resumed or not.
        seed: Decides the order of tasks, and which ones `limit` takes.
        limit: At most so many tasks; a larger limit keeps all tasks of a smaller one.
        cache: Keep answers on disk and use those of earlier runs.
        max_output_tokens: Cap per call, instead of each arm's own.
        timeout_s: Seconds one call may take.
        max_calls: Wire requests per answer, retries included. Rate limits have a rule of their own.
        errors: What a call that failed for good means for the table.
        usd_per_hour: Price of this machine, for local and recorded arms.
        trust_code: The dataset's own checks may run Python that stands in it.
        recording: File of recorded answers. None: the shipped one.
        gguf: Model file of local arms. None: the one that is installed or cached.
        policy: Policies to run live beside the arms.
        out: The run folder. None: `runs/<name>`.
    """

    name: str
    dataset: str
    ladder: str | None = None
    arms: tuple[str | dict[str, Any], ...] = ()
    epochs: Annotated[int, Field(ge=1, le=1000)] = 1
    metric: str | None = None
    verify: str | tuple[str, ...] | None = None
    max_concurrency: Annotated[int, Field(ge=1, le=10_000)] = 20
    rpm: Annotated[int, Field(ge=1)] | None = None
    tpm: Annotated[int, Field(ge=1)] | None = None
    budget_usd: Usd | None = None
    seed: int = 0
    limit: Annotated[int, Field(ge=1)] | None = None
    cache: bool = True
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    timeout_s: Annotated[float, Field(gt=0)] = 600.0
    max_calls: Annotated[int, Field(ge=1, le=20)] = 3
    errors: ErrorRule = "missing"
    usd_per_hour: Usd | None = None
    trust_code: bool = False
    recording: str | None = None
    gguf: str | None = None
    policy: tuple[PolicySpec, ...] = ()
    out: str | None = None

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not _NAME.match(name):
            raise ValueError(f"{name!r} names a folder; use letters, digits, '.', '_' and '-'")
        return name

    @field_validator("budget_usd", "usd_per_hour", mode="before")
    @classmethod
    def _as_written(cls, value: Any) -> Any:
        # TOML reads 0.1 as a binary float; its shortest text is what was written.
        return Decimal(repr(value)) if isinstance(value, float) else value

    @model_validator(mode="after")
    def _arms_once(self) -> Self:
        if (self.ladder is None) == (not self.arms):
            raise ValueError(
                'give either `ladder = "openai"` or `arms = ["gpt-6-luna@low", …]`, one of them'
            )
        labels = [policy.label for policy in self.policy]
        twice = next((name for name in labels if labels.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two policies are called {twice!r}; give one of them a `name`")
        return self

    def changed(self, **changes: Any) -> EvalConfig:
        """A copy with some values replaced and checked; None leaves a value as it is.

        Raises:
            ConfigError: A value makes no sense.
        """
        given = {name: value for name, value in changes.items() if value is not None}
        try:
            return EvalConfig.model_validate(self.model_dump() | given)
        except ValidationError as error:
            raise ConfigError(_sentence(error, where="the options")) from error


def load_config(path: str | Path) -> EvalConfig:
    """Read an `EVAL.toml`; its paths come back absolute.

    Raises:
        ConfigError: The file cannot be read, or a key or value is wrong; names line, key and fix.
    """
    file = Path(path).expanduser()
    raw = read_toml(file)
    try:
        config = EvalConfig.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(_located(error, file)) from error
    return rebased(config, file.resolve().parent)


def rebased(config: EvalConfig, folder: Path) -> EvalConfig:
    """The same run with its relative paths taken from `folder`."""
    specs = tuple(
        spec if spec.file is None else spec.model_copy(update={"file": _under(folder, spec.file)})
        for spec in config.policy
    )
    found: dict[str, Any] = {
        "policy": specs,
        "dataset": _existing(folder, config.dataset),
        "out": _under(folder, config.out or f"runs/{config.name}"),
        "ladder": config.ladder and _ladder_source(folder, config.ladder),
        "verify": _verify_paths(folder, config.verify),
        "recording": config.recording and _under(folder, config.recording),
        "gguf": config.gguf and _under(folder, config.gguf),
    }
    return config.model_copy(update=found)


def read_shard(text: str) -> tuple[int, int]:
    """Read `2/4`: the second of four parts.

    Raises:
        ConfigError: It is not that.
    """
    match = _SHARD.match(text)
    index, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= index <= count:
        raise ConfigError(f"shard {text!r} makes no sense; write i/N with 1 <= i <= N, e.g. 2/4")
    return index, count


def _under(folder: Path, name: str) -> str:
    return str(folder / Path(name).expanduser())


def _existing(folder: Path, name: str) -> str:
    """A file beside the config, or a name that is no file (a generator)."""
    path = folder / Path(name).expanduser()
    looks_like_file = "/" in name or re.search(r"\.\w+$", name) is not None
    return str(path) if path.exists() or (looks_like_file and ":" not in name) else name


def _ladder_source(folder: Path, name: str) -> str:
    return _under(folder, name) if name.endswith(".toml") or "/" in name else name


_FILE_CHECKS = ("json-schema:", "python:", "code-tests:")


def _verify_paths(folder: Path, verify: str | tuple[str, ...] | None) -> Any:
    """Files named in checks are found from the config's folder as well."""
    if verify is None:
        return None
    if isinstance(verify, tuple):
        return tuple(_verify_paths(folder, spec) for spec in verify)
    kind = next((kind for kind in _FILE_CHECKS if verify.startswith(kind)), None)
    return verify if kind is None else f"{kind}{_under(folder, verify.removeprefix(kind))}"


# --- saying what is wrong --------------------------------------------------------------------------


def _located(error: ValidationError, file: Path) -> str:
    first = error.errors(include_url=False)[0]
    line = _line_of(file, first["loc"])
    return _sentence(error, where=f"{file}, line {line}" if line else str(file))


def _sentence(error: ValidationError, *, where: str) -> str:
    first = error.errors(include_url=False)[0]
    # Unions report which of their members did not fit; the key is what helps.
    key = ".".join(
        str(part) for part in first["loc"] if not str(part).startswith(("function-", "tuple["))
    )
    known = _KNOWN_FAULTS.get(first["type"])
    if first["type"] == "extra_forbidden":
        return f"{where}: `{key}` {known}; known are {', '.join(EvalConfig.model_fields)}"
    if known is not None:
        return f"{where}: `{key}` {known}; add it"
    detail = first["msg"].removeprefix("Value error, ")
    return f"{where}: `{key}`: {detail}" if key else f"{where}: {detail}"


def _line_of(file: Path, loc: tuple[int | str, ...]) -> int | None:
    if not loc:
        return None
    if loc[0] == "policy" and len(loc) > 1 and isinstance(loc[1], int):
        return table_line(file, table="policy", index=loc[1])
    pattern = re.compile(rf"^\s*{re.escape(str(loc[0]))}\s*=", re.MULTILINE)
    text = file.read_text(encoding="utf-8")
    match = pattern.search(text)
    return text.count("\n", 0, match.end()) + 1 if match else None


def plain(config: EvalConfig) -> Mapping[str, Any]:
    """The config as JSON can hold it."""
    return config.model_dump(mode="json", exclude_none=True)

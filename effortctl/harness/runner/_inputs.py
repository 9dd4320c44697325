"""From a config to what a run needs: tasks in order, arms with their prices, scoring, fingerprints."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effortctl._errors import ConfigError
from effortctl._types import Arm, Call, Case, Price
from effortctl.catalog import load_ladder
from effortctl.harness.datasets import Dataset, load_dataset
from effortctl.harness.runner._config import EvalConfig, PolicySpec
from effortctl.harness.runner._sample import Cell, Sample

if TYPE_CHECKING:
    from effortctl._fitted_policy import FittedPolicy

_ARM_FIELDS = {
    "model": True,
    "endpoint": {"kind", "name", "base_url"},
    "api": True,
    "effort": True,
    "effective_effort": True,
    "effort_style": True,
    "extra_body": True,
    "temperature": True,
    "resample_temperature": True,
}


@dataclass(frozen=True)
class Inputs:
    """Everything a run works on.

    Attributes:
        config: What was asked for.
        dataset: The tasks of this run, and how their answers are judged; in dataset order.
        arms: Who answers.
        shard: Part i of N, counted from 1. None: all.
        learned: The learned policy of each live plan, by the label of its rows.
    """

    config: EvalConfig
    dataset: Dataset
    arms: tuple[Arm, ...]
    shard: tuple[int, int] | None = None
    learned: Mapping[str, FittedPolicy] = field(default_factory=dict)

    @cached_property
    def cases(self) -> dict[str, Case]:
        """The tasks of this part by id, in the order in which they are run."""
        taken = _ranked(self.dataset.cases, self.config.seed)[: self.config.limit]
        if self.shard is not None:
            index, count = self.shard
            taken = taken[index - 1 :: count]
        return {case.task.id: case for case in taken}

    @cached_property
    def arm_keys(self) -> dict[str, str]:
        """Fingerprint of what decides each arm's answers; of a live policy, of its definition."""
        keys = {arm.name: _digest(_arm_fields(arm, self.cap(arm))) for arm in self.arms}
        together = sorted(keys.values())
        for spec in self.config.policy:
            what = spec.model_dump(exclude={"file", "name"})
            learned = self.learned.get(spec.label)
            print_ = None if learned is None else learned.provenance.fingerprint
            keys[spec.label] = _digest([what, print_, together])
        return keys

    def case_key(self, name: str) -> str:
        """Fingerprint of what a task asks; made when it is needed, not for all before the first call."""
        key = self._case_keys.get(name)
        if key is None:
            key = self._case_keys[name] = _digest(_asked(self.cases[name]))
        return key

    @cached_property
    def _case_keys(self) -> dict[str, str]:
        return {}

    @cached_property
    def arm_named(self) -> dict[str, Arm]:
        """The arms by name."""
        return {arm.name: arm for arm in self.arms}

    def cap(self, arm: Arm) -> int:
        """Most tokens a call of this arm may generate."""
        return self.config.max_output_tokens or arm.max_output_tokens

    def call(self, cell: Cell) -> Call:
        """The wire request of a cell."""
        task, arm = self.cases[cell.case].task, self.arm_named[cell.arm]
        cap = task.max_output_tokens or self.cap(arm)
        return Call(task, arm, task.messages, cell.epoch, cap, self.config.timeout_s)

    def cells(self) -> Iterator[Cell]:
        """All cells, task by task, so that an early end leaves whole rows."""
        columns = [*self.arm_named, *(spec.label for spec in self.config.policy)]
        for case in self.cases:
            for epoch in range(self.config.epochs):
                for column in columns:
                    yield Cell(column, case, epoch)

    @cached_property
    def total(self) -> int:
        """How many cells there are."""
        columns = len(self.arms) + len(self.config.policy)
        return len(self.cases) * self.config.epochs * columns

    def refuse_stale(self, samples: Sequence[Sample]) -> None:
        """Refuse to mix answers to something else into the table.

        Raises:
            ConfigError: An arm or a task meant something else when its answer was recorded.
        """
        for sample in samples:
            arm, case, _ = sample.cell
            if self.arm_keys.get(arm, sample.arm_key) != sample.arm_key:
                raise ConfigError(
                    f"{arm!r} was something else when this run began (model, endpoint, effort or "
                    "output cap has changed); give it another name, undo the change, or choose "
                    "another folder with --output"
                )
            if case in self.cases and self.case_key(case) != sample.case_key:
                raise ConfigError(
                    f"task {case!r} asked something else when this run began; give the changed task "
                    "another id, undo the change, or choose another folder with --output"
                )


def prepare(config: EvalConfig, *, shard: tuple[int, int] | None = None) -> Inputs:
    """Load what a config names.

    Args:
        config: The config, its paths absolute.
        shard: Only part i of N (from 1) of the tasks.

    Raises:
        ConfigError: Something it names does not exist or makes no sense.
        StoreError: A file is unreadable.
    """
    verify = list(config.verify) if isinstance(config.verify, tuple) else config.verify
    dataset = load_dataset(
        config.dataset, metric=config.metric, verify=verify, trust_code=config.trust_code
    )
    arms = tuple(_priced(arm, config) for arm in _arms(config))
    _refuse_unknown_arms(config.policy, arms)
    learned = {s.label: _learned(Path(s.file)) for s in config.policy if s.file is not None}
    return Inputs(config=config, dataset=dataset, arms=arms, shard=shard, learned=learned)


def open_backends(
    inputs: Inputs, stack: ExitStack, *, find_weights: Callable[..., Path] | None = None
) -> dict[str, Any]:
    """The asyncio backend of every endpoint, by its name; `stack` closes those that need it.

    Raises:
        ConfigError: An endpoint lacks its key, its model file or its runtime.
        StoreError: A recording is unreadable.
    """
    from effortctl import backends  # noqa: PLC0415 - loads SDKs, which tests with fakes do not need

    made: dict[str, Any] = {}
    for endpoint in {arm.endpoint.name: arm.endpoint for arm in inputs.arms}.values():
        if endpoint.kind == "local":
            find = find_weights or backends.find_weights
            gguf = inputs.config.gguf
            local = backends.LocalBackend(find(None if gguf is None else Path(gguf)))
            made[endpoint.name] = backends.AsyncLocalBackend(stack.enter_context(local))
        elif endpoint.kind == "recorded":
            made[endpoint.name] = backends.AsyncRecordedBackend(inputs.config.recording)
        else:
            made[endpoint.name] = backends.async_backend_for(endpoint)
    return made


def _learned(file: Path) -> FittedPolicy:
    from effortctl._fitted_policy import FittedPolicy  # noqa: PLC0415 - loads scikit-learn

    return FittedPolicy.load(file)


def _arms(config: EvalConfig) -> tuple[Arm, ...]:
    return load_ladder(config.ladder if config.ladder is not None else list(config.arms)).arms


def _priced(arm: Arm, config: EvalConfig) -> Arm:
    here = arm.endpoint.self_hosted or arm.endpoint.kind in {"local", "recorded"}
    if config.usd_per_hour is None or not here:
        return arm
    return arm.model_copy(update={"price": Price(usd_per_hour=config.usd_per_hour)})


def _refuse_unknown_arms(specs: Sequence[PolicySpec], arms: Sequence[Arm]) -> None:
    known = {arm.name for arm in arms}
    for spec in specs:
        for name in spec.arms or ():
            if name not in known:
                raise ConfigError(
                    f"{spec.label} climbs {name!r}, which is no arm of this run; its arms are "
                    f"{', '.join(sorted(known))}"
                )


def _ranked(cases: Sequence[Case], seed: int) -> list[Case]:
    """The cases in an order that depends on seed and id alone, so that limits nest and shards agree."""
    return sorted(
        cases,
        key=lambda case: hashlib.blake2b(f"{seed}/{case.task.id}".encode(), digest_size=8).digest(),
    )


def _arm_fields(arm: Arm, cap: int) -> dict[str, Any]:
    return arm.model_dump(mode="json", include=_ARM_FIELDS) | {"max_output_tokens": cap}  # type: ignore[arg-type]


def _asked(case: Case) -> list[Any]:
    task = case.task
    turns = [[message.role, message.content] for message in task.messages]
    return [turns, task.response_schema, task.max_output_tokens]


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]

"""Outcomes as a table: tasks down, arms across, with holes where an arm never tried a task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from effortctl._errors import ConfigError
from effortctl._types import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

PASS, FAIL, MISSING = 1, 0, -1
"""How a verdict is coded in `OutcomeMatrix.verdict`. An abstaining check counts as missing."""


@dataclass(frozen=True, slots=True, eq=False)
class OutcomeMatrix:
    """What every arm did on every task. T tasks, K arms; NaN marks what is not known.

    Attributes:
        task_ids: T ids, each once, in file order.
        texts: T prompts; None where the text is not known.
        categories: T labels of the task's kind, or None.
        clusters: T names of groups whose tasks are not independent, or None.
        dates: T ISO dates, or None.
        arms: K arm names, each once.
        models: K model ids.
        efforts: K effort names; `default` where the file says none.
        score: [T, K] correctness in 0..1; NaN where the arm did not try the task.
        cost_usd: [T, K] billed dollars.
        verdict: [T, K] int8: `PASS`, `FAIL` or `MISSING`.
        input_tokens: [T, K].
        output_tokens: [T, K], reasoning included.
        reasoning_tokens: [T, K].
        cached_tokens: [T, K].
        latency_s: [T, K] seconds.
        propensity: [T, K] probability with which the policy of that time chose this arm.
        n_samples: [T, K] answers the score is the mean of; 0 where there was none.
        answers: [T, K] object array of answer texts, or None when the file has none.
        escalated: [T, K] bool, was the arm only tried because of what an earlier one had answered? None:
            no arm ever was.
    """

    task_ids: tuple[str, ...]
    texts: tuple[str | None, ...]
    categories: tuple[str | None, ...]
    clusters: tuple[str | None, ...]
    dates: tuple[str | None, ...]
    arms: tuple[str, ...]
    models: tuple[str, ...]
    efforts: tuple[str, ...]
    score: Floats
    cost_usd: Floats
    verdict: NDArray[np.int8]
    input_tokens: Floats
    output_tokens: Floats
    reasoning_tokens: Floats
    cached_tokens: Floats
    latency_s: Floats
    propensity: Floats
    n_samples: Floats
    answers: NDArray[np.object_] | None = None
    escalated: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit the names, and make every array read-only."""
        shape = (len(self.task_ids), len(self.arms))
        for name in _TASK_COLUMNS:
            self._expect(len(getattr(self, name)) == shape[0], name)
        for name in ("models", "efforts"):
            self._expect(len(getattr(self, name)) == shape[1], name)
        for name in CELL_ARRAYS:
            array = getattr(self, name)
            if array is not None:
                self._expect(array.shape == shape, name)
                view = array.view()
                view.flags.writeable = False
                object.__setattr__(self, name, view)

    def _expect(self, fits: bool, name: str) -> None:  # noqa: FBT001 - an assertion reads best so
        if not fits:
            raise ConfigError(
                f"{name} does not fit {len(self.task_ids)} tasks and {len(self.arms)} arms;"
                " pass one entry per task, per arm, or per (task, arm)"
            )

    def __len__(self) -> int:
        return len(self.task_ids)

    @property
    def rows(self) -> int:
        """How many (task, arm) outcomes are known."""
        return int((self.score == self.score).sum())

    @property
    def asked_first(self) -> NDArray[np.bool_]:
        """[T, K] was the arm not asked because of what another one had answered?"""
        import numpy as np  # noqa: PLC0415 - importing effortctl must not load numpy

        return np.ones(self.score.shape, np.bool_) if self.escalated is None else ~self.escalated

    @property
    def whole(self) -> NDArray[np.bool_]:
        """[T] was every arm tried, and none of them because another one had failed?

        Tasks that were climbed to the top of a ladder are the hard ones, so nothing may be compared on
        them.
        """
        return ((self.score == self.score) & self.asked_first).all(axis=1)  # type: ignore[no-any-return]

    def tasks(self) -> list[Task]:
        """The tasks as `Task` values; an unknown text becomes an empty one."""
        return [
            Task.model_construct(id=task_id, input=text or "", category=category, metadata={})
            for task_id, text, category in zip(
                self.task_ids, self.texts, self.categories, strict=True
            )
        ]

    def arm_index(self, arm: str) -> int:
        """Column of an arm.

        Raises:
            ConfigError: There is no such arm.
        """
        try:
            return self.arms.index(arm)
        except ValueError:
            raise ConfigError(
                f"no outcomes of arm {arm!r}; arms with outcomes: {', '.join(self.arms)}"
            ) from None

    def select_tasks(self, chosen: Sequence[int] | NDArray[Any]) -> OutcomeMatrix:
        """The rows at these positions (or where this boolean mask is true), in this order."""
        import numpy as np  # noqa: PLC0415 - importing effortctl must not load numpy

        index = np.arange(len(self))[np.asarray(chosen)]
        return self._cut(index, lambda column: tuple(column[i] for i in index), _TASK_COLUMNS, 0)

    def select_arms(self, arms: Sequence[str]) -> OutcomeMatrix:
        """The columns of these arms, in this order.

        Raises:
            ConfigError: An arm is unknown or named twice.
        """
        if len(set(arms)) != len(arms):
            raise ConfigError(f"an arm is named twice in {list(arms)}; name each once")
        index = [self.arm_index(arm) for arm in arms]
        return self._cut(index, lambda column: tuple(column[i] for i in index), _ARM_COLUMNS, 1)

    def _cut(
        self,
        index: Any,
        pick: Callable[[Sequence[Any]], tuple[Any, ...]],
        columns: Sequence[str],
        axis: int,
    ) -> OutcomeMatrix:
        changed: dict[str, Any] = {name: pick(getattr(self, name)) for name in columns}
        for name in CELL_ARRAYS:
            array = getattr(self, name)
            changed[name] = None if array is None else array.take(index, axis=axis)
        return replace(self, **changed)


_TASK_COLUMNS = ("task_ids", "texts", "categories", "clusters", "dates")
_ARM_COLUMNS = ("arms", "models", "efforts")
CELL_ARRAYS = tuple(
    field.name for field in fields(OutcomeMatrix) if field.name not in _TASK_COLUMNS + _ARM_COLUMNS
)

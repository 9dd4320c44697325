"""Learn to tell hard tasks from easy ones before anyone has tried them (needs scikit-learn).

Up to four parts are tried: a ridge regression and boosted trees over structural features, a ridge over
hashed words, and category means. Each predicts every task from models that never saw it or its group;
a part is kept only when these predictions lower the log-loss of P(correct) by more than one standard
error. When nothing helps, the model says that every task is average, and does no harm.

A scorer fitted on other people's tasks can be the start. It is not put to that test, which a handful of
tasks cannot pass: its weight begins at 1 and goes where the outcomes draw it, to 0 if it is of no use.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy import sparse
from scipy.optimize import nnls
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge, RidgeCV
from threadpoolctl import threadpool_limits

from effortctl._features import FEATURES_HASH, FeatureFunction, features, features_hash
from effortctl._types import Task
from effortctl.estimators._ability import observed_difficulty
from effortctl.estimators._curves import constant_curves, fit_curves, predict_all
from effortctl.estimators._folds import Fold, folds_of, gain_and_error
from effortctl.estimators._links import log_loss
from effortctl.estimators._prior_scorer import DifficultyPrior, pool_scale
from effortctl.estimators._scorer import (
    LABEL_QUANTILES,
    CategoryPart,
    DifficultyScorer,
    LinearPart,
    Part,
    PriorPart,
    feature_matrix,
    standardise,
)
from effortctl.estimators._trees import TreesPart, export_trees
from effortctl.estimators._words import WordsPart, hashed_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Rows = NDArray[np.intp]

_FEWEST_TASKS = 20
_MANY_TASKS = 2000
_ALPHAS = (10.0, 30.0, 100.0, 300.0, 1000.0)
_WORD_ALPHA = 1.0
_CATEGORY_STRENGTH = 10.0
_UNEVEN = 0.1
_ERRORS_TO_BEAT = 1.0
_WORTH_THREADS = 20_000


class DifficultyModel(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Difficulty of a task from what it looks like. Follows scikit-learn's estimator conventions.

    Attributes:
        scorer_: The fitted model, free of scikit-learn.
        oof_difficulty_: [T] predictions of the training tasks by models that saw neither them nor
            their group.
        target_: [T] difficulties the outcomes show.
        folds_: (train, held out) positions behind the out-of-fold predictions.
        selected_: Names of the parts that were kept.
    """

    def __init__(
        self,
        *,
        features: FeatureFunction | None = None,
        n_splits: int = 5,
        boosting_from: int = 300,
        word_bits: int = 13,
        use_category: bool = True,
        prior: DifficultyPrior | None = None,
        seed: int = 0,
    ) -> None:
        """Set the options.

        Args:
            features: Your own function from a task to named numbers. None: the built-in ones.
            n_splits: Folds for out-of-fold predictions.
            boosting_from: Tasks from which on boosted trees are tried.
            word_bits: Logarithm of the number of word buckets; 0 leaves words out.
            use_category: Whether category means are tried.
            prior: A scorer to start from. None: every task is average until the outcomes say otherwise.
            seed: Of folds and trees.
        """
        self.features = features
        self.n_splits = n_splits
        self.boosting_from = boosting_from
        self.word_bits = word_bits
        self.use_category = use_category
        self.prior = prior
        self.seed = seed

    def fit(
        self, tasks: Sequence[Task], score: Floats, *, groups: Sequence[str] | None = None
    ) -> Self:
        """Learn from outcomes.

        Args:
            tasks: T tasks.
            score: [T, K] share of correct answers, NaN where an arm did not try a task.
            groups: [T] tasks of one group are held out together. None: each task is its own.
        """
        score = np.asarray(score, dtype=float)
        groups = tuple(groups) if groups is not None else tuple(map(str, range(len(tasks))))
        observed = observed_difficulty(score)
        self.target_ = observed.difficulty
        self.folds_ = folds_of(groups, n_splits=self.n_splits, seed=self.seed)
        workshop = self._workshop(tasks, observed.difficulty, observed.weight)
        names = (*(["prior"] if self.prior else []), *self._candidates(tasks, groups))
        held_out = {name: workshop.out_of_fold(name, self.folds_) for name in names}
        judge = _Judge(score, groups, self.folds_)
        choice = _select(held_out, workshop, judge)
        self.selected_ = tuple(choice.weights)
        self.oof_difficulty_ = choice.difficulty
        everything = np.arange(len(tasks))
        scorer = DifficultyScorer(
            parts={n: (w, workshop.part(n, everything)) for n, w in choice.weights.items()},
            intercept=choice.intercept,
            low=float(choice.difficulty.min()),
            high=float(choice.difficulty.max()),
            bands=tuple(np.quantile(choice.difficulty, LABEL_QUANTILES).tolist()),
            residual_sd=workshop.residual_sd(choice.difficulty),
            feature_names=workshop.names,
            feature_hash=self._hash(workshop.names),
            function=self.features or features,
        )
        self.scorer_ = pool_scale(scorer, self.prior, tasks=len(tasks)) if self.prior else scorer
        return self

    def predict(self, tasks: Sequence[Task]) -> Floats:
        """[T] difficulties in logits: 0 is average, larger is harder."""
        return self.scorer_.predict(tasks)

    def _hash(self, names: tuple[str, ...]) -> str:
        return FEATURES_HASH if self.features is None else features_hash(names, version=0)

    def _workshop(self, tasks: Sequence[Task], target: Floats, weight: Floats) -> _Workshop:
        function = self.features or features
        names = tuple(function(tasks[0]))
        return _Workshop(
            x=feature_matrix(tasks, function, names),
            names=names,
            words=_word_matrix([task.text for task in tasks], self.word_bits),
            categories=tuple(task.category or "" for task in tasks),
            target=target,
            weight=weight,
            seed=self.seed,
            prior=self.prior,
            tasks=tasks,
        )

    def _candidates(self, tasks: Sequence[Task], groups: Sequence[str]) -> tuple[str, ...]:
        if len(tasks) < _FEWEST_TASKS or len(self.folds_) < 2:
            return ()
        names = []
        if any(task.text for task in tasks):
            names.append("linear")
            if len(tasks) >= self.boosting_from:
                names.append("boosted")
            if self.word_bits:
                names.append("words")
        if self.use_category and _spans_groups([t.category for t in tasks], groups):
            names.append("category")
        return tuple(names)


def _spans_groups(categories: Sequence[str | None], groups: Sequence[str]) -> bool:
    """Whether a category can be known from other groups, so that its mean is worth learning."""
    homes = defaultdict(set)
    for category, group in zip(categories, groups, strict=True):
        homes[category or ""].add(group)
    return len(homes) > 1 and any(len(found) > 1 for found in homes.values())


def _word_matrix(texts: Sequence[str], bits: int) -> Any:
    rows = [hashed_words(text if bits else "", bits=bits) for text in texts]
    start = np.cumsum([0, *(len(buckets) for buckets, _ in rows)])
    buckets, weights = (np.concatenate(side) for side in zip(*rows, strict=True))
    return sparse.csr_matrix((weights, buckets, start), shape=(len(texts), 1 << bits))


@dataclass(frozen=True, slots=True, eq=False)
class _Workshop:
    """Makes parts from any subset of the training tasks."""

    x: Floats
    names: tuple[str, ...]
    words: Any
    categories: tuple[str, ...]
    target: Floats
    weight: Floats
    seed: int
    prior: DifficultyPrior | None = None
    tasks: Sequence[Task] = ()

    def part(self, name: str, rows: Rows) -> Part:
        makers: dict[str, Callable[[Rows], Part]] = {
            "linear": self._linear,
            "boosted": self._boosted,
            "words": self._words,
            "category": self._category,
        }
        if self.prior and name == "prior":
            return PriorPart(self.prior.scorer)
        return makers[name](rows)

    def out_of_fold(self, name: str, folds: Sequence[Fold]) -> Floats:
        if self.prior and name == "prior":
            return self.prior.scorer.predict(self.tasks)  # nothing of it is fitted here
        predicted = np.empty(len(self.target))
        for train, held_out in folds:
            predicted[held_out] = self._predict(self.part(name, train), held_out)
        return predicted

    def residual_sd(self, difficulty: Floats) -> float:
        rest = (self.target - difficulty) ** 2
        return float(np.sqrt(np.average(rest, weights=np.maximum(self.weight, 1e-9))))

    def _predict(self, part: Part, rows: Rows) -> Floats:
        if isinstance(part, WordsPart):
            return np.asarray(self.words[rows] @ part.coef + part.intercept)
        if isinstance(part, CategoryPart):
            return part.predict([self.categories[i] for i in rows])
        if isinstance(part, PriorPart):
            return part.predict([self.tasks[i] for i in rows])
        return part.predict(self.x[rows])

    def _linear(self, rows: Rows) -> LinearPart:
        x = self.x[rows]
        mean, scale = x.mean(axis=0), x.std(axis=0)
        scale = np.where(scale > 1e-9, scale, 1.0)
        model = RidgeCV(alphas=_ALPHAS)
        model.fit(standardise(x, mean, scale), self.target[rows], self.weight[rows])
        return LinearPart(mean, scale, np.asarray(model.coef_), float(model.intercept_))

    def _boosted(self, rows: Rows) -> TreesPart:
        model = HistGradientBoostingRegressor(
            max_iter=120,
            learning_rate=0.05,
            max_leaf_nodes=15 if len(rows) >= _MANY_TASKS else 8,
            min_samples_leaf=20,
            l2_regularization=1.0,
            early_stopping=False,
            random_state=self.seed,
        )
        weight = self.weight[rows]
        # Weighted bin edges take most of the time, and nearly equal weights would not move them.
        uneven = np.ptp(weight) > _UNEVEN
        # Threads gain little on so few rows, and on a busy machine they wait for each other for minutes.
        with threadpool_limits(1 if len(rows) < _WORTH_THREADS else None, user_api="openmp"):
            model.fit(self.x[rows], self.target[rows], weight if uneven else None)
        return export_trees(model)

    def _words(self, rows: Rows) -> WordsPart:
        model = Ridge(alpha=_WORD_ALPHA, solver="sparse_cg", tol=1e-5)
        model.fit(self.words[rows], self.target[rows], self.weight[rows])
        # Seven decimals are far below the noise and keep the stored model small.
        return WordsPart(np.round(model.coef_, 7), float(model.intercept_))

    def _category(self, rows: Rows) -> CategoryPart:
        total: dict[str, float] = defaultdict(float)
        mass: dict[str, float] = defaultdict(float)
        for i in rows.tolist():
            total[self.categories[i]] += self.weight[i] * self.target[i]
            mass[self.categories[i]] += self.weight[i]
        return CategoryPart(
            {
                name: total[name] / (mass[name] + _CATEGORY_STRENGTH)
                for name in sorted(total)
                if name
            }
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Judge:
    """Says how well difficulties predict outcomes of tasks the arm curves were not fitted on."""

    score: Floats
    groups: Sequence[str]
    folds: Sequence[Fold]

    def losses(self, difficulty: Floats) -> Floats:
        arms = tuple(map(str, range(self.score.shape[1])))
        losses = np.full(self.score.shape, np.nan)
        for train, held_out in self.folds:
            if np.ptp(difficulty) == 0:
                curves = constant_curves(self.score[train])
            else:
                curves = fit_curves(
                    difficulty[train],
                    self.score[train],
                    models=arms,
                    efforts=("default",) * len(arms),
                )
            p = predict_all(curves, difficulty[held_out])
            losses[held_out] = log_loss(self.score[held_out], p)
        return losses

    def is_better(self, before: Floats, after: Floats) -> bool:
        gain, error = gain_and_error(before, after, self.groups)
        return gain > _ERRORS_TO_BEAT * error


@dataclass(frozen=True, slots=True, eq=False)
class _Choice:
    weights: dict[str, float]
    intercept: float
    difficulty: Floats


def _select(held_out: dict[str, Floats], workshop: _Workshop, judge: _Judge) -> _Choice:
    """Add parts one by one while the best addition clearly lowers the held-out loss."""
    chosen: list[str] = [name for name in held_out if name == "prior"]
    best = _Choice({}, 0.0, np.zeros(len(workshop.target)))
    if chosen:
        best = _stack(chosen, held_out, workshop)
    loss = judge.losses(best.difficulty)
    while len(chosen) < len(held_out):
        trials = [
            (name, _stack([*chosen, name], held_out, workshop))
            for name in held_out
            if name not in chosen
        ]
        judged = [(name, choice, judge.losses(choice.difficulty)) for name, choice in trials]
        name, choice, after = min(judged, key=lambda trial: float(np.nanmean(trial[2])))
        if not judge.is_better(loss, after):
            break
        chosen.append(name)
        best, loss = choice, after
    return best


def _stack(names: Sequence[str], held_out: dict[str, Floats], workshop: _Workshop) -> _Choice:
    """Weigh parts by non-negative least squares on their out-of-fold predictions."""
    columns = np.stack([held_out[name] for name in names], axis=1)
    centre = np.average(columns, axis=0, weights=workshop.weight)
    root = np.sqrt(workshop.weight)
    a, b = (columns - centre) * root[:, None], workshop.target * root
    if workshop.prior:
        # One more row draws the weight of the prior to 1, as strongly as it is believed.
        centre = centre * workshop.prior.trust_in_mean(len(b))
        pull = workshop.prior.pull
        a = np.vstack([(columns - centre) * root[:, None], [pull * (n == "prior") for n in names]])
        b = np.append(b, pull)
    weights, _ = nnls(a, b)
    kept = {name: float(w) for name, w in zip(names, weights, strict=True) if w > 0}
    return _Choice(kept, -float(centre @ weights), (columns - centre) @ weights)

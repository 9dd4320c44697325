"""Intervals, paired tests and risk bounds: numbers in, numbers out.

Every p-value here is valid in finite samples: under its null hypothesis it falls below a level no more
often than that level says, whatever the distribution (within the stated bounds) and however few tasks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from effortctl._errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

MOST_OF_THE_CAPITAL = 0.9
"""Largest share of its capital the betting test stakes at once; at 1 a single loss would end it."""

_STEADY = 4.0
"""Added to the number of differing pairs, so that a score of few pairs is not large by luck."""

_NUISANCE = 1e-3
"""Chance that the share of differing pairs is outside the interval that is searched."""

_GRID = 64
"""Shares of differing pairs that are looked at; the p-value is smooth in the share."""

_TAIL = 1e-10
"""More than the mass that is left out of a sum; added to its value."""

_BATCH = 200_000
"""Numbers resampled at a time: a few megabytes."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the interval around it.

    Attributes:
        estimate: The point estimate.
        low: Lower end.
        high: Upper end.
        level: Nominal coverage.
    """

    estimate: float
    low: float
    high: float
    level: float


def wilson_interval(successes: int, trials: int, *, level: float = 0.95) -> Interval:
    """Wilson's score interval of a share; short and close to nominal, also near 0 and 1.

    Source: Wilson (1927), Probable inference, the law of succession, and statistical inference.
    """
    _check_counts(successes, trials)
    z = _normal_quantile(0.5 + _proportion("level", level) / 2)
    share = successes / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    variance = share * (1 - share) / trials + z * z / (4 * trials * trials)
    half = z * math.sqrt(variance) / (1 + z * z / trials)
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    high = 1.0 if successes == trials else min(1.0, middle + half)
    return Interval(share, low, high, level)


def clopper_pearson(successes: int, trials: int, *, level: float = 0.95) -> Interval:
    """Exact interval of a share: coverage is never below nominal.

    Source: Clopper and Pearson (1934), The use of confidence or fiducial limits.
    """
    from scipy.special import betaincinv  # noqa: PLC0415 - slow to load

    _check_counts(successes, trials)
    tail = (1 - _proportion("level", level)) / 2
    wrong = trials - successes
    low = float(betaincinv(successes, wrong + 1, tail)) if successes else 0.0
    high = float(betaincinv(successes + 1, wrong, 1 - tail)) if wrong else 1.0
    return Interval(successes / trials, low, high, level)


def binomial_p(successes: int, trials: int, *, share: float, more: bool = True) -> float:
    """Exact one-sided binomial p-value.

    Args:
        successes: How many were seen.
        trials: Of how many.
        share: Probability under the null hypothesis.
        more: True: P(at least so many | share), evidence that the true share is larger. False: P(at
            most so many | share), evidence that it is smaller; with losses for successes this is the
            exact test of "risk is above `share`".
    """
    from scipy.special import betainc  # noqa: PLC0415 - slow to load

    _check_counts(successes, max(trials, 1))
    _proportion("share", share)
    if more:
        return 1.0 if successes == 0 else float(betainc(successes, trials - successes + 1, share))
    rest = trials - successes
    return 1.0 if rest == 0 else float(betainc(rest, successes + 1, 1 - share))


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Two-sided exact McNemar p-value of paired right/wrong outcomes.

    Args:
        only_first: Tasks that only the first got right.
        only_second: Tasks that only the second got right.

    Source: McNemar (1947); exact form: binomial test of the discordant pairs against one half.
    """
    trials = only_first + only_second
    if trials == 0:
        return 1.0
    larger = max(only_first, only_second)
    return min(1.0, 2 * binomial_p(larger, trials, share=0.5))


def paired_margin_p(won: int, lost: int, trials: int, *, margin: float) -> float:
    """Exact p-value of "P(win) - P(loss) is -margin or less", for paired right/wrong outcomes.

    What is unknown besides, how often the two sides differ at all, is searched for the value that makes
    the outcome least surprising, within a confidence interval whose level is added to the p-value.
    Compared with a bound for any distribution this needs about a third fewer tasks.

    Args:
        won: Tasks that only the first side got right.
        lost: Tasks that only the second side got right.
        trials: All tasks.
        margin: How much worse the first side may be, above 0; at 0 the sign test is sharper.

    Sources: Berger and Boos (1994), P values maximized over a confidence set for the nuisance parameter;
    the statistic is that of Nam (1997), Establishing equivalence of two treatments in matched pairs,
    with a constant in the variance.
    """
    import numpy as np  # noqa: PLC0415 - slow to load
    from scipy.special import bdtrc, gammaln, xlog1py, xlogy  # noqa: PLC0415 - slow to load

    _check_counts(won + lost, trials)
    if not 0 < _proportion("margin", margin) < 1:
        raise ConfigError(f"margin is {margin}; expected a number above 0 and below 1")
    differ, excess = won + lost, won - lost + margin * trials
    if excess <= 0:
        return 1.0
    score = excess / math.sqrt(differ + _STEADY)
    differing = clopper_pearson(differ, trials, level=1 - _NUISANCE)
    highest = 0.0
    for share in np.linspace(max(differing.low, margin), max(differing.high, margin), _GRID):
        # By Bernstein's inequality, less than _TAIL is further from the mean than this.
        far = 8 * math.sqrt(trials * share * (1 - share)) + 40
        middle = trials * share
        pairs = np.arange(max(0, int(middle - far)), min(trials, int(middle + far)) + 1)
        ways = gammaln(trials + 1) - gammaln(pairs + 1) - gammaln(trials - pairs + 1)
        chance = np.exp(ways + xlogy(pairs, share) + xlog1py(trials - pairs, -share))
        # Wins among so many differing pairs from which on the score is as high as the one seen.
        least = np.ceil((pairs + score * np.sqrt(pairs + _STEADY) - margin * trials) / 2 - 1e-9)
        wins = (share - margin) / (2 * share)
        short = np.clip(least - 1, 0, pairs)
        surprising = np.where(
            least <= 0, 1.0, np.where(least > pairs, 0.0, bdtrc(short, pairs, wins))
        )
        highest = max(highest, float(chance @ surprising) + _TAIL)
    return min(1.0, highest + _NUISANCE)


def paired_bootstrap(
    first: ArrayLike,
    second: ArrayLike,
    *,
    statistic: Literal["difference", "ratio"] = "difference",
    clusters: Sequence[Any] | NDArray[Any] | None = None,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap of a paired comparison: both sides are resampled together.

    Args:
        first: One number per task.
        second: One number per task, in the same order.
        statistic: `difference` of the means (first minus second), or `ratio` of the sums.
        clusters: Cluster of each task; whole clusters are resampled. None: tasks are.
        level: Nominal coverage.
        draws: Number of resamples.
        seed: Of the resampling.

    Raises:
        ConfigError: The sides differ in length, are empty or contain NaN.

    Source: Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapters 13 and 16.
    """
    import numpy as np  # noqa: PLC0415 - slow to load

    one, two = _finite("first", first), _finite("second", second)
    if one.shape != two.shape:
        raise ConfigError(f"paired sides have {one.size} and {two.size} tasks; they must match")
    _, member = np.unique(
        np.arange(one.size) if clusters is None else np.asarray(clusters), return_inverse=True
    )
    sums = np.stack([np.bincount(member, weights=w) for w in (one, two, np.ones_like(one))])
    rng = np.random.default_rng(seed)
    groups = sums.shape[1]
    batch = max(1, _BATCH // groups)
    parts = [
        sums[:, rng.integers(groups, size=(min(batch, draws - done), groups))].sum(axis=2)
        for done in range(0, draws, batch)
    ]
    drawn = _compare(np.concatenate(parts, axis=1), statistic)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(_compare(sums.sum(axis=1), statistic)), float(low), float(high), level)


def hoeffding_bentkus_p(mean_loss: float, tasks: int, *, risk: float) -> float:
    """P-value of "the expected loss is above `risk`", for losses in 0..1.

    Sources: Bates et al. (2021), Distribution-free, risk-controlling prediction sets; Angelopoulos et
    al. (2021), Learn then Test; bounds of Hoeffding (1963) and Bentkus (2004).
    """
    _check_counts(0, tasks)
    mean, limit = _proportion("mean_loss", mean_loss), _proportion("risk", risk)
    if mean >= limit:
        return 1.0
    hoeffding = math.exp(-tasks * _binary_divergence(mean, limit))
    # Rounded before ceil: n times a mean of 0/1 losses is a whole number up to rounding.
    seen = math.ceil(round(tasks * mean, 9))
    bentkus = math.e * binomial_p(seen, tasks, share=limit, more=False)
    return min(1.0, hoeffding, bentkus)


def betting_p(values: ArrayLike, mean: float, *, low: float, high: float) -> float:
    """P-value of "the expectation is `mean` or less", for values between two bounds.

    A gambler bets against the hypothesis, staking more where the values vary little. If it is true, the
    chance that the capital ever reaches 1/a is at most a (Ville), so 1 / (largest capital) is a p-value.
    Unlike Hoeffding's bound it profits from a small variance, which paired differences have. The values
    are used in the given order, which must not depend on them.

    Args:
        values: One number per independent task or cluster.
        mean: Expectation under the null hypothesis.
        low: Lower bound of any value.
        high: Upper bound of any value.

    Raises:
        ConfigError: A value is outside the bounds, or the bounds are not in order.

    Source: Waudby-Smith and Ramdas (2024), Estimating means of bounded random variables by betting.
    """
    import numpy as np  # noqa: PLC0415 - slow to load

    raw = _finite("values", values)
    if not low <= mean < high or raw.min() < low or raw.max() > high:
        raise ConfigError(
            f"values between {raw.min():g} and {raw.max():g} and mean {mean:g} do not fit the bounds "
            f"{low:g} to {high:g}"
        )
    x = (raw - low) / (high - low)
    null = (mean - low) / (high - low)
    seen = np.arange(1, x.size + 1)
    means = (0.5 + np.cumsum(x)) / (seen + 1)
    spread = (0.25 + np.cumsum((x - means) ** 2)) / (seen + 1)
    before = np.concatenate([[0.25], spread[:-1]])
    stake = np.sqrt(2 * math.log(20) / (x.size * before))
    stake = np.minimum(stake, MOST_OF_THE_CAPITAL / max(null, 1e-12))
    capital = np.cumsum(np.log1p(stake * (x - null)))
    return float(min(1.0, math.exp(-max(0.0, float(capital.max())))))


def bonferroni(p_values: Sequence[float], *, alpha: float) -> list[int]:
    """Hypotheses rejected together, with at most `alpha` chance of any false rejection."""
    return [i for i, p in enumerate(p_values) if p <= alpha / len(p_values)]


def fixed_sequence(p_values: Sequence[float], *, alpha: float) -> list[int]:
    """Hypotheses rejected in an order fixed beforehand, up to the first that is not.

    Every one is tested at the full `alpha`, so this is stronger than Bonferroni when the order is good.
    The order must not depend on the data the p-values come from.

    Source: Angelopoulos et al. (2021), Learn then Test: calibrating predictive algorithms to achieve
    risk control, section 2.4.
    """
    rejected = []
    for i, p in enumerate(p_values):
        if p > alpha:
            break
        rejected.append(i)
    return rejected


def tasks_needed(
    deviation: float, effect: float, *, alpha: float = 0.05, power: float = 0.8
) -> int | None:
    """Tasks a one-sided paired test needs to show an effect (normal approximation).

    Args:
        deviation: Standard deviation of the paired differences.
        effect: True mean difference beyond what the hypothesis allows.
        alpha: Level of the test, one-sided.
        power: Wanted chance of success.

    Returns:
        The number, or None when the effect is not positive: no number of tasks would do.

    Source: Miller (2024), Adding error bars to evals, section 5.
    """
    if effect <= 0:
        return None
    z = _normal_quantile(1 - alpha) + _normal_quantile(power)
    return max(2, math.ceil((z * deviation / effect) ** 2))


def minimum_detectable_effect(
    deviation: float, tasks: int, *, alpha: float = 0.05, power: float = 0.8
) -> float:
    """Smallest mean difference so many tasks can show; the inverse of `tasks_needed`."""
    _check_counts(0, tasks)
    z = _normal_quantile(1 - alpha) + _normal_quantile(power)
    return z * deviation / math.sqrt(tasks)


def _compare(sums: NDArray[np.float64], statistic: str) -> Any:
    """Difference of means or ratio of sums, from (sum of first, sum of second, count)."""
    one, two, count = sums
    return one / two if statistic == "ratio" else (one - two) / count


def _binary_divergence(mean: float, limit: float) -> float:
    """Kullback-Leibler divergence of two coins."""
    first = mean * math.log(mean / limit) if mean > 0 else 0.0
    if limit >= 1:
        return math.inf
    return first + (1 - mean) * math.log((1 - mean) / (1 - limit))


def _normal_quantile(share: float) -> float:
    from statistics import NormalDist  # noqa: PLC0415 - next to its only use

    return NormalDist().inv_cdf(share)


def _check_counts(successes: int, trials: int) -> None:
    if not 0 <= successes <= trials or trials < 1:
        raise ConfigError(
            f"{successes} of {trials} is not a share; expected 0 <= successes <= trials, trials >= 1"
        )


def _proportion(name: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise ConfigError(f"{name} is {value!r}; expected a number from 0 to 1")
    return value


def _finite(name: str, values: ArrayLike) -> NDArray[np.float64]:
    import numpy as np  # noqa: PLC0415 - slow to load

    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise ConfigError(f"{name} must be a non-empty list of finite numbers")
    return array

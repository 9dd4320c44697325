"""Tables of the page: arms and policies, metrics, and the numbers behind every chart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from effortctl.harness._result import ArmResult, EvalResult, PolicyResult
from effortctl.harness.report import _facts, _svg, _text
from effortctl.harness.report._svg import Safe, tag, text

_DASH = "\u2013"


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell.

    Attributes:
        shown: What people read.
        value: What the column is sorted by; None goes last.
    """

    shown: str
    value: float | str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One row; the first cell is its heading."""

    cells: tuple[Cell, ...]
    css: str = ""


def make(
    headings: Sequence[str], rows: Iterable[Row], *, caption: str, sortable: bool = False
) -> Safe:
    """A table that scrolls inside its own frame when the page is too narrow for it."""
    head = tag("tr", *(_heading(name, sortable=sortable) for name in headings))
    body = _svg.join(_row(row) for row in rows)
    table = tag(
        "table",
        tag("thead", head),
        tag("tbody", body),
        class_="sortable" if sortable else None,
        aria_label=caption,
    )
    # The caption stays put while the table scrolls under a narrow window.
    frame = tag("div", table, class_="scroll", tabindex="0", role="region", aria_label=caption)
    return _svg.join([frame, tag("p", text(caption), class_="note caption")])


def _heading(name: str, *, sortable: bool) -> Safe:
    if not sortable:
        return tag("th", text(name), scope="col")
    return tag("th", tag("button", text(name), type="button"), scope="col")


def _row(row: Row) -> Safe:
    first, *others = row.cells
    cells = [tag("th", tag("bdi", text(first.shown)), scope="row", data_v=_sort_key(first))]
    cells += [tag("td", text(cell.shown), data_v=_sort_key(cell)) for cell in others]
    return tag("tr", *cells, class_=row.css or None)


def _sort_key(cell: Cell) -> str | None:
    if isinstance(cell.value, float | int):
        return repr(float(cell.value))
    return cell.value


# --- arms and policies -----------------------------------------------------------------------------


def arms_and_policies(result: EvalResult) -> Safe:
    """Every arm and policy with quality, dollars and what they mean together."""
    level = f"{_facts.level(result)} interval"
    headings = (
        "arm or policy", "kind", "quality", level, "$ per 1,000", level,
        "$ per 1,000 correct", "cost of equal quality", "seconds p50 / p95",
    )  # fmt: skip
    return make(
        headings,
        _all_rows(result),
        caption=(
            "Cost of equal quality: dollars for the quality of the best fixed arm, as a share of "
            "what that arm costs. Press a heading to sort."
        ),
        sortable=True,
    )


def _all_rows(result: EvalResult) -> Iterator[Row]:
    for name in _facts.policy_names(result):
        policy = result.policies[name]
        kind = "in hindsight" if policy.in_hindsight else "policy"
        kind += ", simulated checks" if policy.simulated else ""
        css = "main" if name == result.verdict.policy else ""
        equal = _equal_quality(result, name)
        yield _figures(policy, name=_facts.policy_label(name), kind=kind, equal=equal, css=css)
    best = _facts.frontier_arms(result)
    for name, arm in sorted(result.arms.items(), key=lambda item: item[1].cost_usd):
        kind = "arm" if name in best else "arm, dominated"
        kind = "held against" if name == result.verdict.baseline else kind
        kind = "best fixed arm" if name == result.best_fixed_arm else kind
        chosen = result.verdict.policy in (name, f"fixed:{name}")
        css = "main" if chosen else "" if name in best else "dominated"
        equal = _equal_quality(result, f"fixed:{name}")
        yield _figures(arm, name=name, kind=kind, equal=equal, css=css)
    yield _oracle_row(result)


def _figures(of: ArmResult | PolicyResult, *, name: str, kind: str, equal: Cell, css: str) -> Row:
    correct = _facts.cost_per_correct(of.cost_usd, of.quality)
    return Row(
        (
            Cell(name, _text.clean(name).lower()),
            Cell(kind, kind),
            Cell(_text.percent(of.quality), of.quality),
            Cell(_text.percent_range(of.quality_ci95), of.quality_ci95[0]),
            Cell(_text.per_1000(of.cost_usd), of.cost_usd),
            Cell(_text.usd_range(of.cost_ci95), of.cost_ci95[0]),
            Cell(_DASH) if correct is None else Cell(_text.per_1000(correct), correct),
            equal,
            _latency(of),
        ),
        css,
    )


def _latency(of: ArmResult | PolicyResult) -> Cell:
    if not isinstance(of, ArmResult) or of.latency_p50_s is None:
        return Cell(_DASH)
    late = _DASH if of.latency_p95_s is None else f"{of.latency_p95_s:.1f}"
    return Cell(f"{of.latency_p50_s:.1f} / {late}", of.latency_p50_s)


def _equal_quality(result: EvalResult, name: str) -> Cell:
    if name not in result.cost_at_equal_quality:
        return Cell(_DASH)
    found = result.cost_at_equal_quality[name]
    if found is None:
        return Cell("never reached")
    low, high = found.ci95
    shown = f"{found.ratio_to_best_fixed_arm:.2f} [{low:.2f}, {high:.2f}]"
    return Cell(shown, found.ratio_to_best_fixed_arm)


def _oracle_row(result: EvalResult) -> Row:
    oracle = result.oracle
    correct = _facts.cost_per_correct(oracle.cost_usd, oracle.quality)
    cells = (
        Cell("oracle", "oracle"),
        Cell("in hindsight", "in hindsight"),
        Cell(_text.percent(oracle.quality), oracle.quality),
        Cell(_DASH),
        Cell(_text.per_1000(oracle.cost_usd), oracle.cost_usd),
        Cell(_DASH),
        Cell(_DASH) if correct is None else Cell(_text.per_1000(correct), correct),
        Cell(_DASH),
        Cell(_DASH),
    )
    return Row(cells, "dominated")


# --- metrics ---------------------------------------------------------------------------------------


def metrics(result: EvalResult) -> Safe:
    """Every named metric, one column per policy; empty where there is none."""
    shown = [*_facts.policy_names(result), *_facts.baseline_policy(result)]
    names = [name for name in shown if result.policies[name].metrics]
    keys = list(dict.fromkeys(key for name in names for key in result.policies[name].metrics))
    if not keys:
        return _svg.NOTHING
    rows = (
        Row((Cell(key.replace("_", " ")), *(_metric(result.policies[name], key) for name in names)))
        for key in keys
    )
    headings = ("metric", *(_facts.policy_label(name) for name in names))
    return make(headings, rows, caption=f"A dash ({_DASH}) is a metric that is not defined here.")


def _metric(policy: PolicyResult, key: str) -> Cell:
    value = policy.metrics.get(key)
    if value is None:
        return Cell(_DASH)
    is_money = key.endswith("_usd") and "cost" in key
    return Cell(_text.usd(value) if is_money else _text.number(value), value)


# --- numbers behind the charts ---------------------------------------------------------------------


def gains(result: EvalResult) -> Safe:
    """The gain panel as a table."""
    rows = [
        Row(
            (
                Cell(_facts.policy_label(name)),
                Cell(_text.per_1000(cost)),
                Cell(_text.points(gain)),
                Cell(_text.points_range((low, high))),
            )
        )
        for name, points in result.gain_over_mixing.items()
        for cost, gain, low, high in points[:: max(1, len(points) // 40)]
    ]
    headings = ("policy", "$ per 1,000", "gain, points", f"{_facts.level(result)} interval")
    return make(headings, rows, caption="Gain over random mixing at equal dollars")


def reliability(result: EvalResult) -> Safe:
    """The reliability plot as a table."""
    bins = result.calibration.bins if result.calibration else ()
    rows = [
        Row(
            (
                Cell(_text.percent(b.predicted)),
                Cell(_text.percent(b.observed)),
                Cell(f"{b.count:,}"),
            )
        )
        for b in bins
    ]
    return make(("predicted", "observed", "predictions"), rows, caption="Reliability by bin")


def money(result: EvalResult) -> Safe:
    """Dollars by policy and arm as a table."""
    rows = [
        Row(
            (
                Cell(_facts.policy_label(name)),
                Cell(arm),
                Cell(_text.per_1000(cost)),
                Cell(_text.percent(cost / policy.cost_usd) if policy.cost_usd else _DASH),
            )
        )
        for name, policy in _facts.spenders(result)
        for arm, cost in sorted(policy.spent_usd.items(), key=lambda item: -item[1])
    ]
    headings = ("policy", "arm", "$ per 1,000 tasks", "share")
    return make(headings, rows, caption="Dollars per policy and arm")

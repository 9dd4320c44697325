"""Numbers, scales, labels and sentences: what the page, the picture and the terminal share."""

import itertools
import math

import pytest
from harness.report.result_data import many_arms, never_reached, realistic
from hypothesis import given, settings
from hypothesis import strategies as st

from effortctl.harness._result import EvalResult
from effortctl.harness.report import _facts, _text, headline
from effortctl.harness.report._canvas import Canvas
from effortctl.harness.report._labels import Box, Wanted, place
from effortctl.harness.report._scale import cost_scale, share_scale, signed_scale
from effortctl.harness.report._scene import Gain, chord, frontier_scene, gain_axis, gains, rising

money = st.floats(0, 1e6, allow_nan=False)


# --- numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        (0, "$0"), (0.0123, "$0.0123"), (4.1, "$4.10"), (0.012, "$0.012"), (99.96, "$100"),
        (1234.5, "$1,230"), (-2, "-$2.00"), (1e-6, "$0.000001"), (1e-12, "$1.0e-12"), (0.5, "$0.50"),
    ],
)  # fmt: skip
def test_dollars_have_three_digits_and_whole_cents(amount, written):
    assert _text.usd(amount) == written


@pytest.mark.parametrize(
    ("difference", "written"),
    [(0.012, "+1.2"), (-0.003, "\u22120.3"), (-0.0001, "0.0"), (0, "0.0")],
)
def test_points_carry_a_sign_unless_they_are_nothing(difference, written):
    assert _text.points(difference) == written


def test_a_short_name_keeps_both_ends():
    assert _text.short("some-organisation/model@high", 13) == "some-o…l@high"
    assert len(_text.short("x" * 99, 20)) == 20


@given(st.text())
def test_clean_text_has_no_control_characters(value):
    cleaned = _text.clean(value)
    assert len(cleaned) == len(value)
    assert cleaned.isprintable() or not any(ord(c) < 32 for c in cleaned)
    assert "\x1b" not in cleaned


# --- scales ----------------------------------------------------------------------------------------


@given(st.lists(money, min_size=1, max_size=20), st.booleans())
def test_every_cost_has_a_place_on_the_axis_in_order(costs, log):
    scale = cost_scale(costs, start=10, end=110, log=log)
    places = [scale(cost) for cost in sorted(costs)]
    assert all(10 - 1e-6 <= place <= 110 + 1e-6 for place in places)
    assert all(a <= b + 1e-9 for a, b in itertools.pairwise(places))


@given(st.lists(money, min_size=1, max_size=20), st.booleans(), st.integers(2, 12))
def test_ticks_are_few_rising_and_on_the_axis(costs, log, count):
    scale = cost_scale(costs, start=0, end=100, log=log)
    ticks = scale.ticks(count)
    assert len(ticks) <= count + 2
    assert ticks == sorted(ticks)
    assert all(scale.low * (1 - 1e-6) <= tick <= scale.high * (1 + 1e-6) for tick in ticks)


def test_free_arms_get_a_place_left_of_the_logarithmic_axis():
    scale = cost_scale([0, 0.01, 1], start=0, end=100, log=True)
    assert scale(0) == scale.zero < scale.start
    assert scale(0.01) >= scale.start


def test_an_axis_of_nothing_but_free_arms_is_straight():
    assert not cost_scale([0, 0], start=0, end=1, log=True).log


@given(st.lists(st.floats(0, 1), min_size=1, max_size=10))
def test_shares_stay_between_nothing_and_everything(shares):
    scale = share_scale(shares, bottom=100, top=0)
    assert 0 <= scale.low < scale.high <= 1.01
    assert all(-1e-6 <= scale(share) <= 100 + 1e-6 for share in shares)


def test_an_axis_of_gains_always_shows_zero():
    scale = signed_scale([0.02, 0.05], bottom=100, top=0)
    assert scale.low < 0 < scale.high


def test_a_mixture_is_straight_in_dollars():
    dense = chord(((1.0, 0.2), (3.0, 0.6)))
    assert dense[0] == (1.0, 0.2)
    assert dense[-1] == pytest.approx((3.0, 0.6))
    assert all(math.isclose(quality, 0.2 * cost) for cost, quality in dense)


# --- labels ----------------------------------------------------------------------------------------

spots = st.tuples(st.floats(0, 400), st.floats(0, 300), st.floats(10, 160))


@given(st.lists(spots, min_size=1, max_size=25))
@settings(max_examples=60, deadline=None)
def test_labels_never_overlap_one_another_or_a_mark_and_never_leave_the_frame(given_spots):
    wanted = [Wanted(x, y, width=width, height=14) for x, y, width in given_spots]
    marks = [Box(each.x - 4, each.y - 4, each.x + 4, each.y + 4) for each in wanted]
    frame = Box(0, 0, 400, 300)
    found = [spot.box for spot in place(wanted, inside=frame, marks=marks) if spot is not None]
    assert all(frame.holds(box) for box in found)
    assert not any(a.touches(b) for a, b in itertools.combinations(found, 2))
    assert not any(box.touches(mark) for box in found for mark in marks)


def test_the_most_important_label_is_placed_first():
    wanted = [Wanted(50, 10, width=90, height=14), Wanted(50, 10, width=90, height=14)]
    found = place(wanted, inside=Box(0, 0, 100, 20), marks=())
    assert found[0] is not None or found[1] is None


def test_a_label_far_from_its_mark_has_a_line_to_it():
    blocked = [Box(0, 80, 200, 120)]
    (spot,) = place(
        [Wanted(100, 100, width=40, height=14)], inside=Box(0, 0, 200, 200), marks=blocked
    )
    assert spot.leader is not None


# --- facts and sentences ---------------------------------------------------------------------------


def test_dominated_arms_are_told_from_the_frontier():
    result = realistic()
    best = _facts.frontier_arms(result)
    assert result.best_fixed_arm in best
    assert "terra-6@xhigh" not in best
    costs = sorted((result.arms[name].cost_usd, result.arms[name].quality) for name in best)
    assert [quality for _, quality in costs] == sorted(quality for _, quality in costs)


def test_arms_of_a_model_are_joined_from_low_effort_to_high():
    lines = list(_facts.effort_lines(realistic()))
    assert ("luna-6@none", "luna-6@low", "luna-6@medium", "luna-6@high") in lines
    assert len(lines) == 3


def test_wasted_dollars_are_those_of_answers_not_returned():
    result = realistic()
    assert _facts.wasted_share(result, "routing_only") == pytest.approx(0, abs=1e-9)
    plan, costs = result.tasks.policies["plan"], result.tasks.costs_usd
    useful = sum(costs[arm][task] for task, arm in enumerate(plan.returned))
    assert _facts.wasted_share(result, "plan") == pytest.approx(1 - useful / sum(plan.cost_usd))


def test_wasted_dollars_are_unknown_without_tasks():
    assert _facts.wasted_share(realistic(tasks=None), "plan") is None


def with_verdict(**changes):
    made = realistic()
    return EvalResult.model_validate(
        made.model_dump() | {"verdict": made.verdict.model_dump() | changes}
    )


def test_the_headline_of_each_verdict_says_what_to_do():
    assert headline(realistic()).sentence.startswith("The plan saves 60%")
    kept = with_verdict(decision="keep_fixed", policy="fixed:luna-6@low")
    assert headline(kept).sentence == "Keep luna-6@low: no policy beats it beyond noise."
    undecided = headline(never_reached())
    assert undecided.word == "INCONCLUSIVE"
    assert "1,400 tasks" in undecided.sentence
    assert "sav" not in undecided.sentence


def test_a_saving_inside_the_noise_is_never_claimed():
    result = with_verdict(
        ci95=(-0.1, 0.2), saving=0.05, quality_difference=0.03, quality_ci95=(0.01, 0.05)
    )
    said = headline(result).sentence
    assert "saves" not in said
    assert said.startswith("The plan is better than terra-6@high (+3.0 points")


def test_lower_quality_is_called_lower():
    result = with_verdict(quality_difference=-0.02, quality_ci95=(-0.03, -0.01))
    assert "at lower quality (\u22122.0 points" in headline(result).sentence


def test_the_main_policy_comes_first_in_the_gains():
    assert [gain.label for gain in gains(realistic())] == ["plan", "routing only"]


def test_a_curve_of_thousands_of_points_is_thinned_but_keeps_its_ends():
    curve = tuple((number * 1e-5, number / 20_000) for number in range(1, 10_001))
    scene = frontier_scene(realistic(frontier={"plan": curve}))
    (drawn,) = [each for each in scene.curves if each.kind == "policy"]
    assert len(drawn.points) <= 120
    assert (drawn.points[0], drawn.points[-1]) == (curve[0], curve[-1])


def test_a_dial_that_reaches_down_to_nothing_does_not_stretch_the_axes():
    plan = tuple((cost, min(0.9, cost * 60)) for cost in (0.0, 1e-9, 0.001, 0.005, 0.01, 0.02))
    plain, long = frontier_scene(realistic()), frontier_scene(realistic(frontier={"plan": plan}))
    assert sorted(plain.costs()) == sorted(long.costs())
    x = cost_scale(long.costs(), start=0, end=1, log=True)
    y = share_scale(long.qualities(), bottom=0, top=1)
    (curve,) = [each for each in long.curves if each.kind == "policy"]
    assert curve.within(x, y) == [point for point in plan if point[1] > 0.2]


def test_gains_are_cut_to_the_axis_of_the_frontier_unless_nothing_would_be_left():
    result = realistic()
    near = tuple((cost, 0.1, 0.0, 0.2) for cost in (1e-9, 0.001, 0.01))
    gain = Gain("plan", near, 0)
    scene = frontier_scene(result)
    x, shown = gain_axis([gain], scene, start=0, end=1, log=True)
    assert [point[0] for point in shown[0].points] == [0.001, 0.01]
    far = Gain("plan", near[:1], 0)
    x, shown = gain_axis([far], scene, start=0, end=1, log=True)
    assert shown == [far]
    assert x.holds(1e-9)


def test_forty_arms_all_have_a_mark():
    assert (
        sum(mark.kind in {"arm", "dominated"} for mark in frontier_scene(many_arms()).marks) == 40
    )


# --- characters ------------------------------------------------------------------------------------


def test_a_canvas_never_writes_text_over_text():
    canvas = Canvas(10, 2, braille=False)
    assert canvas.write(0, 0, "abc")
    assert not canvas.write(2, 0, "x")
    assert not canvas.write(8, 1, "long")
    canvas.line([(0, 4), (19, 4)])
    assert not canvas.write(0, 1, "x")
    assert canvas.mark(0, 1, "x")
    assert canvas.rows() == ["abc", "x........."]


def test_braille_dots_fill_a_character():
    canvas = Canvas(1, 1, braille=True)
    canvas.line([(0, 0), (0, 3)])
    canvas.line([(1, 0), (1, 3)])
    assert canvas.rows() == ["\u28ff"]


def test_a_policys_line_leaves_out_settings_that_a_cheaper_one_beats():
    points = [(0.3, 0.9), (0.1, 0.5), (0.2, 0.4), (0.2, 0.6), (0.25, 0.1)]
    assert list(rising(points)) == [(0.1, 0.5), (0.2, 0.6), (0.3, 0.9)]
    saw = {"plan": tuple(sorted(points))}
    gain = {"plan": tuple((cost, 0.1, 0.0, 0.2) for cost, _ in sorted(points))}
    result = realistic().model_copy(update={"frontier": saw, "gain_over_mixing": gain})
    (curve,) = [c for c in frontier_scene(result).curves if c.kind == "policy"]
    assert curve.points == tuple(rising(points))
    assert [point[0] for point in gains(result)[0].points] == [0.1, 0.2, 0.2, 0.3]

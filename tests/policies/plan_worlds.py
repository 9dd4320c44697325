"""Made-up forecasts and worlds for the tests of the planner."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from scipy.special import ndtri

from effortctl.policies import BeliefModel, Forecast

quick = settings(max_examples=30, deadline=None)
few = settings(max_examples=5, deadline=None)

probabilities = st.floats(0.0, 1.0)
dollars = st.floats(1e-5, 0.2)
loadings = st.floats(-0.9, 0.9)
values_usd = st.floats(1e-3, 10.0)


@st.composite
def forecasts(draw, most=4, **fields):
    """One task with one to `most` arms."""
    arms = draw(st.integers(1, most))
    row = st.lists(probabilities, min_size=arms, max_size=arms)
    costs = st.lists(dollars, min_size=arms, max_size=arms)
    return Forecast(p_correct=[draw(row)], cost_usd=[draw(costs)], **fields)


@st.composite
def models(draw, arms, *, stop_on_pass=None):
    """A belief model; exact, noisy and even perverse checks."""

    def numbers(element):
        return draw(st.lists(element, min_size=arms, max_size=arms))

    stops = draw(st.booleans()) if stop_on_pass is None else stop_on_pass
    if draw(st.booleans()):
        return BeliefModel(rho=numbers(loadings), stop_on_pass=stops)
    return BeliefModel(
        rho=numbers(loadings),
        tpr=numbers(probabilities),
        fpr=numbers(probabilities),
        stop_on_pass=stops,
    )


@st.composite
def cases(draw, most=4, *, stop_on_pass=None):
    """A forecast and a model that fits it."""
    forecast = draw(forecasts(most))
    return forecast, draw(models(len(forecast.arms), stop_on_pass=stop_on_pass))


def draw_world(tasks, *, rho, seed, spread=1.0, base=(-0.3, 0.5, 1.2)):
    """Forecasts and outcomes that follow the model exactly: (p_correct, correct)."""
    rng = np.random.default_rng(seed)
    known = rng.normal(0.0, spread, size=(tasks, 1))
    hidden = rng.normal(size=(tasks, 1))
    logit = np.asarray(base) - known
    p = 1 / (1 + np.exp(-logit))
    noise = rng.normal(size=p.shape)
    correct = rho * hidden + np.sqrt(1 - rho**2) * noise < ndtri(p)
    return p, correct

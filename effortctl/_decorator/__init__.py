"""`@adaptive`: the escalation loop around a function the user wrote.

The function's first argument (after `self`) is the chosen arm; what it returns is the answer. The rest
of its signature, and the types of its arguments and result, are kept.
"""

from effortctl._decorator._adapted import (
    Adaptive,
    AdaptiveMethod,
    AsyncAdaptive,
    AsyncAdaptiveMethod,
    adaptive,
)
from effortctl._decorator._function import ChosenArm

__all__ = [
    "Adaptive",
    "AdaptiveMethod",
    "AsyncAdaptive",
    "AsyncAdaptiveMethod",
    "ChosenArm",
    "adaptive",
]

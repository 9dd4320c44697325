"""Two thin drivers of the escalation loop: `Controller` and `AsyncController`.

The engine decides; a driver makes the calls, runs the verifiers and hands the results back. The two
differ only in how they wait. This is the one place that owns retries: a retry repeats a call on the
same arm after a transport fault, at most three wire requests in all, and never raises effort.
"""

from effortctl._controller._asyncio import AsyncController
from effortctl._controller._learned import LearnedPolicy
from effortctl._controller._sync import Controller

__all__ = ["AsyncController", "Controller", "LearnedPolicy"]

"""How a wrapped client chooses: which arms may answer a request, and who runs them."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

from effortctl._client._conversation import Conversations
from effortctl._client._meter import Meter
from effortctl._client._policies import (
    Committed,
    ConversationEstimator,
    ConversationLadder,
    warm_arm,
)
from effortctl._client._prices import RequestPrices
from effortctl._client._request import AUTO, SAMPLING, SdkRequest
from effortctl._client._translatable import can_translate
from effortctl._controller import AsyncController, Controller
from effortctl._driver import BudgetLike, LadderLike, VerifyLike
from effortctl._errors import ConfigError, DeadlineExceededError, EffortctlWarning
from effortctl._pricing import GenaiPriceBook
from effortctl._types import EFFORTS, Arm, Budget, Call, Endpoint
from effortctl.catalog import ArmRequest, Ladder, ModelCard, load_catalog, load_ladder, resolve
from effortctl.protocols import AnyVerifier, Policy
from effortctl.stores import MemoryLedger, SqliteLedger
from effortctl.verifiers import as_verifier, is_async

StreamMode: TypeAlias = Literal["commit_first", "buffer_until_verified"]
OnNotAccepted: TypeAlias = Literal["raise", "return"]

_NOT_OURS = {
    "backends": "every call goes through the client you wrap",
    "cache": "responses of the SDK are not cached; use Controller(cache=...)",
}
_NO_KNOWN_LIMIT = 131_072


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What `wrap` was told, made ready; shared by all copies of a wrapped client.

    Attributes:
        ladder: Arms to choose from; all at one endpoint, the wrapped client's.
        policy: Chooses among them.
        verifier: The caller's own. None: there is none.
        budget: Hard limit. None: there is none.
        stream: What a managed stream may show before it is checked.
        on_not_accepted: What happens when no answer passed.
        backend: Makes calls of our own with the wrapped client, such as a judge's.
        options: Further options of the controllers.
        conversations: What is remembered of conversations.
        seconds_left: Seconds left for a call that is about to begin, None: no limit. Raises when none may
            begin any more. A `Session` sets it.
    """

    ladder: Ladder
    policy: Policy
    verifier: AnyVerifier | None
    budget: Budget | None
    stream: StreamMode
    on_not_accepted: OnNotAccepted
    backend: Any
    options: Mapping[str, Any]
    conversations: Conversations = field(default_factory=Conversations)
    seconds_left: Callable[[], float | None] = field(default=lambda: None)
    _controllers: dict[Any, Any] = field(default_factory=dict)
    _cards: dict[str, ModelCard] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint behind the wrapped client, as far as prices and token counts go."""
        return self.ladder.arms[0].endpoint

    @property
    def clock(self) -> Callable[[], float]:
        """Monotonic seconds."""
        clock: Callable[[], float] = self.options.get("clock", time.monotonic)
        return clock

    @property
    def now(self) -> Callable[[], datetime]:
        """Wall clock, UTC."""
        now: Callable[[], datetime] = self.options.get("now", _utc_now)
        return now

    @cached_property
    def meter(self) -> Meter:
        """Books the calls that are passed through."""
        return Meter(
            ledger=self.options["ledger"],
            prices=self.options["prices"],
            budgets=[self.budget] if self.budget else [],
            traces=self.options.get("traces"),
            clock=self.clock,
            now=self.now,
        )

    def card(self, model: str) -> ModelCard:
        """What is known of a model; looked up once, for it takes longer than all else that is done."""
        if model not in self._cards:
            self._cards[model] = load_catalog().card(model, self.endpoint, allow_unknown=True)
        return self._cards[model]

    def deadline_s(self) -> float | None:
        """Seconds a managed call may take, where the session leaves it fewer than its own limit."""
        left, own = self.seconds_left(), self.options.get("deadline_s")
        return None if left is None else max(0.0, left if own is None else min(left, own))

    # --- calls that are passed through ---

    def call_of(self, request: SdkRequest) -> Call:
        """A request the caller decided on, as a call: for its price and the record.

        Raises:
            DeadlineExceededError: No time is left for it.
        """
        left = self.seconds_left()
        if left is not None and left <= 0:
            raise DeadlineExceededError("the session's deadline is over; the call was not made")
        task = self.conversations.begin(request)
        card = self.card(request.model)
        limit = request.cap or card.max_output or _NO_KNOWN_LIMIT
        effort = request.known_effort
        arm = Arm(
            name=f"{request.model or 'unnamed'}@{effort}",
            model=request.model or "unnamed",
            effort=effort,
            endpoint=self.endpoint,
            api=request.api,
            max_output_tokens=limit,
            price=next((arm.price for arm in self.ladder.arms if arm.model == request.model), None),
        )
        return Call(task, arm, task.messages, 0, limit)

    # --- calls that are managed ---

    def arms_for(self, request: SdkRequest) -> tuple[Arm, ...]:
        """The arms that may answer a request, in order.

        Raises:
            ConfigError: There are none; says what was asked for and what there is.
        """
        arms = self._asked_for(request)
        if request.api == "chat" and request.body.get("tools"):
            fits = can_translate(request)
            arms = tuple(arm for arm in arms if fits or not self.refuses_chat_tools(arm))
            if not arms:
                raise ConfigError(
                    "no arm takes function tools in Chat Completions while it reasons, and this request "
                    "cannot be put to the Responses API instead; call client.responses.create, leave out what "
                    "only Chat Completions know (stop, seed, logprobs, …), or add an arm with effort none"
                )
        return arms

    def _asked_for(self, request: SdkRequest) -> tuple[Arm, ...]:
        if request.any_model:
            arms = self.ladder.arms
            if request.effort in (AUTO, "default"):
                return arms
            fitting = tuple(arm for arm in arms if request.effort in (arm.effort, arm.sent_effort))
            if not fitting:
                raise ConfigError(
                    f"no arm of ladder {self.ladder.name!r} has effort {request.effort!r}; leave the "
                    f"effort out, or add one (it has {', '.join(arm.name for arm in arms)})"
                )
            return fitting
        known = tuple(arm for arm in self.ladder.arms if arm.model == request.model)
        return known if len(known) > 1 else self._efforts_of(request.model)

    def _efforts_of(self, model: str) -> tuple[Arm, ...]:
        """Every effort a model takes, for `effort="auto"` of a model the ladder knows too little of."""
        card = self.card(model)
        efforts = [effort for effort in EFFORTS if effort in card.efforts and effort != "minimal"]
        if len(efforts) < 2:
            raise ConfigError(
                f"effort 'auto' needs a model that takes several; {model!r} takes "
                f"{', '.join(efforts) or 'none that is known'}. Put its arms on the ladder"
            )
        requests = [ArmRequest(model=model, effort=e, endpoint=self.endpoint) for e in efforts]
        return tuple(resolve(each) for each in requests)

    def controller_for(self, arms: tuple[Arm, ...], *, commits: bool, kind: type[Any]) -> Any:
        """The controller that runs these arms; made once."""
        key = (kind, commits, tuple(arm.name for arm in arms))
        with self._lock:
            if key not in self._controllers:
                self._controllers[key] = self._controller(arms, commits=commits, kind=kind)
            return self._controllers[key]

    def _controller(self, arms: tuple[Arm, ...], *, commits: bool, kind: type[Any]) -> Any:
        on_ladder = {arm.name for arm in self.ladder.arms}
        ours = all(arm.name in on_ladder for arm in arms)
        policy: Policy = self.policy if ours else ConversationLadder()
        if commits:
            # What was shown cannot be taken back, so an arm gets neither a second sample nor a larger cap.
            policy = Committed(policy)
            arms = tuple(
                arm.model_copy(
                    update={"samples": 1, "max_output_tokens_limit": arm.max_output_tokens}
                )
                for arm in arms
            )
        options = dict(self.options)
        if not ours:
            options.pop("estimator", None)
        return kind(
            Ladder(name=self.ladder.name, arms=arms), policy=policy, budget=self.budget, **options
        )

    def left_out(self, request: SdkRequest) -> Callable[[Call], tuple[str, ...]]:
        """Says which of the caller's sampling parameters an arm refuses while it reasons."""
        given = [name for name in SAMPLING if request.body.get(name) is not None]

        def of(call: Call) -> tuple[str, ...]:
            if not given or not self._refuses_sampling(call.arm):
                return ()
            warnings.warn(
                f"{call.arm.name} takes no {', '.join(given)} while it reasons, so it is left out; do not "
                "pass it, or choose arms with effort none",
                EffortctlWarning,
                stacklevel=2,
            )
            return tuple(given)

        return of

    def refuses_chat_tools(self, arm: Arm) -> bool:
        """True when function tools and this arm's effort go together in the Responses API only."""
        card = self.card(arm.model)
        return bool(card.tools_need_responses) and _reasons(arm, card)

    def _refuses_sampling(self, arm: Arm) -> bool:
        card = self.card(arm.model)
        return card.sampling_with_reasoning is False and _reasons(arm, card)


def settings(
    *,
    ladder: LadderLike,
    policy: Any,
    verify: VerifyLike,
    budget: BudgetLike | None,
    stream: StreamMode,
    on_not_accepted: OnNotAccepted,
    backend: Callable[[Endpoint], Any],
    is_async_client: bool,
    options: Mapping[str, Any],
) -> Settings:
    """Check what `wrap` was told, and make it ready.

    Raises:
        ConfigError: An option makes no sense.
        StoreError: The policy file is missing or damaged.
    """
    _check_words(stream, on_not_accepted, options)
    chosen, more = _policy(policy, ladder)
    limit = None if budget is None else Budget.parse(budget)
    ready = {**more, **options}
    shared = limit is not None and limit.scope is not None
    ready["ledger"] = ready.get("ledger") or (SqliteLedger() if shared else MemoryLedger())
    ready["prices"] = RequestPrices(ready.get("prices") or GenaiPriceBook())
    if ready.get("estimator") is not None:
        ready["estimator"] = ConversationEstimator(ready["estimator"])
    arms = load_ladder(ready.pop("ladder", ladder))
    _check_one_endpoint(arms)
    endpoint = arms.arms[0].endpoint
    seconds_left = ready.pop("seconds_left", _no_limit)
    own = backend(endpoint)
    ready["backends"] = {endpoint.name: own}
    verifier = as_verifier(verify)
    if verifier is not None and is_async(verifier) and not is_async_client:
        raise ConfigError(f"{verifier!r} is async, which OpenAI cannot run; wrap an AsyncOpenAI")
    made = Settings(
        ladder=arms,
        policy=chosen,
        verifier=verifier,
        budget=limit,
        stream=stream,
        on_not_accepted=on_not_accepted,
        backend=own,
        options=ready,
        seconds_left=seconds_left,
    )
    # Whatever is wrong with the options is told here, not at the first call.
    made.controller_for(
        arms.arms, commits=False, kind=AsyncController if is_async_client else Controller
    )
    return made


def _check_words(stream: str, on_not_accepted: str, options: Mapping[str, Any]) -> None:
    if stream not in ("commit_first", "buffer_until_verified"):
        raise ConfigError(
            f"stream={stream!r} is not known; it is 'commit_first' or 'buffer_until_verified'"
        )
    if on_not_accepted not in ("raise", "return"):
        raise ConfigError(f"on_not_accepted={on_not_accepted!r} is not known; 'raise' or 'return'")
    for name, why in _NOT_OURS.items():
        if options.get(name) is not None:
            raise ConfigError(f"wrap() takes no {name}=: {why}")


def _policy(policy: Any, ladder: LadderLike) -> tuple[Policy, dict[str, Any]]:
    """The policy, and the options that come with a learned one."""
    if policy is None:
        return ConversationLadder(), {}
    if isinstance(policy, str | Path):
        from effortctl._fitted_policy import FittedPolicy  # noqa: PLC0415 - NumPy is slow to load

        policy = FittedPolicy.load(policy)
    if hasattr(policy, "controller_options"):
        more = dict(policy.controller_options(ladder))
        more.pop("policy")
        return policy.policy(warm_arm=warm_arm), more
    if not hasattr(policy, "choose"):
        raise ConfigError(
            f"policy is a {type(policy).__name__}; pass a Policy, what learn() returned, or its file"
        )
    chosen: Policy = policy
    return chosen, {}


def _check_one_endpoint(ladder: Ladder) -> None:
    names: Sequence[str] = sorted({arm.endpoint.name for arm in ladder.arms})
    if len(names) > 1:
        raise ConfigError(
            f"ladder {ladder.name!r} has arms at {', '.join(names)}; all calls go through the client you "
            "wrap, so its arms must be at one endpoint"
        )


def _reasons(arm: Arm, card: ModelCard) -> bool:
    effort = card.default_effort if arm.sent_effort == "default" else arm.sent_effort
    return effort not in (None, "none")


def _no_limit() -> float | None:
    return None


def _utc_now() -> datetime:
    return datetime.now(UTC)

"""How a wrapped client chooses: which arms may answer a request, and who runs them."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any, Literal, TypeAlias

from effortctl._client._clients import Clients, clients_of
from effortctl._client._conversation import Conversations
from effortctl._client._endpoint import EndpointLimits
from effortctl._client._known import Cards
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
from effortctl._driver import RETRY_BUDGET, BudgetLike, LadderLike, VerifyLike
from effortctl._errors import ConfigError, DeadlineExceededError, EffortctlWarning
from effortctl._limits import QuotaBreaker, RetryBudget, Slots, checked_deadline
from effortctl._pricing import GenaiPriceBook
from effortctl._types import EFFORTS, Arm, Budget, Call, Endpoint
from effortctl.catalog import ArmRequest, Ladder, load_ladder, resolve
from effortctl.protocols import AnyVerifier, Policy
from effortctl.stores import MemoryLedger, SqliteLedger
from effortctl.verifiers import as_verifier, is_async

StreamMode: TypeAlias = Literal["commit_first", "buffer_until_verified"]
OnNotAccepted: TypeAlias = Literal["raise", "return"]

_NOT_OURS = {
    "backends": "every call goes through a client of the SDK; pass those of other endpoints as clients=",
    "cache": "responses of the SDK are not cached; use Controller(cache=...)",
}
_NO_KNOWN_LIMIT = 131_072


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What `wrap` was told, made ready; shared by all copies of a wrapped client.

    Attributes:
        ladder: Arms to choose from.
        policy: Chooses among them.
        verifier: The caller's own. None: there is none.
        budget: Hard limit. None: there is none.
        stream: What a managed stream may show before it is checked.
        on_not_accepted: What happens when no answer passed.
        clients: Ask the endpoints of the ladder.
        options: Further options of the controllers.
        conversations: What is remembered of conversations.
        cards: What is known of models.
        seconds_left: Seconds left for a call that is about to begin, None: no limit. Raises when none may
            begin any more. A `Session` sets it.
        retries: Retries the wrapped client itself is configured for.
    """

    ladder: Ladder
    policy: Policy
    verifier: AnyVerifier | None
    budget: Budget | None
    stream: StreamMode
    on_not_accepted: OnNotAccepted
    clients: Clients
    options: Mapping[str, Any]
    conversations: Conversations = field(default_factory=Conversations)
    seconds_left: Callable[[], float | None] = field(default=lambda: None)
    retries: int | None = None
    _controllers: dict[Any, Any] = field(default_factory=dict)
    cards: Cards = field(default_factory=Cards)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint behind the wrapped client, as far as prices and token counts go."""
        return self.clients.own

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
            limits=self.limits,
            clock=self.clock,
            now=self.now,
        )

    @cached_property
    def limits(self) -> EndpointLimits:
        """Limits that all calls share."""
        return EndpointLimits(
            Slots(self.options.get("max_concurrency")),
            RetryBudget(self.options.get("retry_budget", RETRY_BUDGET)),
            QuotaBreaker(self.clock),
        )

    @property
    def record_feedback(self) -> Any:
        """Keeps feedback beside the traces; None: nobody does."""
        return getattr(self.options.get("traces"), "record_feedback", None)

    def deadline_s(self) -> float | None:
        """Seconds a call may take from now on."""
        limits = (self.seconds_left(), self.options.get("deadline_s"))
        own = min((max(0.0, limit) for limit in limits if limit is not None), default=None)
        return checked_deadline(own)

    def max_calls(self, request: SdkRequest) -> int | None:
        """Wire requests an attempt may take, where a copy of the client got retries of its own."""
        wanted = getattr(request.client, "max_retries", None)
        if "max_calls" in self.options or wanted is None or wanted == self.retries:
            return None
        return 1 + int(wanted)

    # --- calls that are passed through ---

    def call_of(self, request: SdkRequest) -> Call:
        """A request the caller decided on, as a call: for its price and the record.

        Raises:
            ConfigError: It continues a response of another endpoint.
            DeadlineExceededError: No time is left for it.
            openai.APIStatusError: The endpoint said a moment ago that the account is out of credit.
        """
        left = self.seconds_left()
        if left is not None and left <= 0:
            raise DeadlineExceededError("the session's deadline is over; the call was not made")
        self._check_continues(request)
        card = self.cards.of(request.model, self.endpoint)
        limit = request.cap or card.max_output or _NO_KNOWN_LIMIT
        effort, own = request.known_effort, _at(self.endpoint.name, self.ladder.arms)
        arm = Arm(
            name=f"{request.model or 'unnamed'}@{effort}",
            model=request.model or "unnamed",
            effort=effort,
            endpoint=self.endpoint,
            api=request.api,
            max_output_tokens=limit,
            price=next((arm.price for arm in own if arm.model == request.model), None),
        )
        self.limits.check_credit(arm)
        task = self.conversations.begin(request)
        return Call(task, arm, task.messages, 0, limit)

    def _check_continues(self, request: SdkRequest) -> None:
        known_at = self.conversations.endpoint_of(request)
        if known_at not in (None, self.endpoint.name):
            raise ConfigError(
                f"previous_response_id was given by endpoint {known_at!r}, and a call that names its model "
                f'goes to {self.endpoint.name!r}; send the whole conversation as input=, or use "auto"'
            )

    # --- calls that are managed ---

    def arms_for(self, request: SdkRequest) -> tuple[Arm, ...]:
        """The arms that may answer a request, in order.

        Raises:
            ConfigError: There are none; says what was asked for and what there is.
        """
        arms = self._that_know_previous(request, self._asked_for(request))
        if request.api == "chat" and request.body.get("tools"):
            fits = can_translate(request)
            arms = tuple(arm for arm in arms if fits or not self.cards.refuses_chat_tools(arm))
            if not arms:
                raise ConfigError(
                    "no arm takes function tools in Chat Completions while it reasons, and this request "
                    "cannot be put to the Responses API instead; call client.responses.create, leave out what "
                    "only Chat Completions know (stop, seed, logprobs, …), or add an arm with effort none"
                )
        return arms

    def _that_know_previous(self, request: SdkRequest, arms: tuple[Arm, ...]) -> tuple[Arm, ...]:
        """Arms of the endpoint that keeps the response a request continues: no other one knows its id."""
        if request.previous is None:
            return arms
        name = self.conversations.endpoint_of(request) or self.endpoint.name
        found = _at(name, arms)
        if not found:
            raise ConfigError(
                f"previous_response_id is known to endpoint {name!r} only, and none of the arms asked for is "
                "there; send the whole conversation as input= instead"
            )
        return found

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
        at = known[0].endpoint if known else self.endpoint
        return known if len(known) > 1 else self._efforts_of(request.model, at)

    def _efforts_of(self, model: str, endpoint: Endpoint) -> tuple[Arm, ...]:
        """Every effort a model takes, for `effort="auto"` of a model the ladder knows too little of."""
        card = self.cards.of(model, endpoint)
        efforts = [effort for effort in EFFORTS if effort in card.efforts and effort != "minimal"]
        if len(efforts) < 2:
            raise ConfigError(
                f"effort 'auto' needs a model that takes several; {model!r} takes "
                f"{', '.join(efforts) or 'none that is known'}. Put its arms on the ladder"
            )
        requests = [ArmRequest(model=model, effort=e, endpoint=endpoint) for e in efforts]
        return tuple(resolve(each) for each in requests)

    def controller_for(
        self,
        arms: tuple[Arm, ...],
        *,
        commits: bool,
        kind: type[Any],
        max_calls: int | None = None,
    ) -> Any:
        """The controller that runs these arms; made once."""
        key = (kind, commits, max_calls, tuple(arm.name for arm in arms))
        limits = self.limits
        with self._lock:
            if key not in self._controllers:
                made = self._controller(arms, commits=commits, kind=kind, max_calls=max_calls)
                self._controllers[key] = limits.share_with(made)
            return self._controllers[key]

    def _controller(
        self, arms: tuple[Arm, ...], *, commits: bool, kind: type[Any], max_calls: int | None
    ) -> Any:
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
        if max_calls is not None:
            options["max_calls"] = max_calls
        if not ours:
            options.pop("estimator", None)
        return kind(
            Ladder(name=self.ladder.name, arms=arms), policy=policy, budget=self.budget, **options
        )

    def left_out(self, request: SdkRequest) -> Callable[[Call], tuple[str, ...]]:
        """Says which of the caller's sampling parameters an arm refuses while it reasons."""
        given = [name for name in SAMPLING if request.body.get(name) is not None]

        def of(call: Call) -> tuple[str, ...]:
            if not given or not self.cards.refuses_sampling(call.arm):
                return ()
            warnings.warn(
                f"{call.arm.name} takes no {', '.join(given)} while it reasons, so it is left out; do not "
                "pass it, or choose arms with effort none",
                EffortctlWarning,
                stacklevel=2,
            )
            return tuple(given)

        return of


def settings(
    *,
    ladder: LadderLike,
    policy: Any,
    verify: VerifyLike,
    budget: BudgetLike | None,
    stream: StreamMode,
    on_not_accepted: OnNotAccepted,
    client: Any,
    clients: Mapping[str, Any],
    options: Mapping[str, Any],
) -> Settings:
    """Check what `wrap` was told, and make it ready.

    Raises:
        ConfigError: An option makes no sense.
        StoreError: The policy file is missing or damaged.
    """
    _check_words(stream, on_not_accepted, options)
    whole = load_ladder(ladder)
    chosen, more = _policy(policy, whole)
    limit = None if budget is None else Budget.parse(budget)
    ready = {**more, **options}
    shared = limit is not None and limit.scope is not None
    ready["ledger"] = ready.get("ledger") or (SqliteLedger() if shared else MemoryLedger())
    ready["prices"] = RequestPrices(ready.get("prices") or GenaiPriceBook())
    if ready.get("estimator") is not None:
        ready["estimator"] = ConversationEstimator(ready["estimator"])
    arms = load_ladder(ready.pop("ladder", whole))
    asked = clients_of(whole, client=client, given=clients)
    seconds_left = ready.pop("seconds_left", _no_limit)
    conversations = ready.pop("conversations", None) or Conversations()
    is_async_client = iscoroutinefunction(client.post)
    ready["backends"] = asked.backends
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
        clients=asked,
        options=ready,
        conversations=conversations,
        seconds_left=seconds_left,
        retries=getattr(client, "max_retries", None),
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


def _at(endpoint: str, arms: tuple[Arm, ...]) -> tuple[Arm, ...]:
    return tuple(arm for arm in arms if arm.endpoint.name == endpoint)


def _no_limit() -> float | None:
    return None


def _utc_now() -> datetime:
    return datetime.now(UTC)

"""Who may answer: one model at one effort, at one endpoint, for one price."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field

from effortctl._types._base import (
    Effort,
    Usd,
    Value,
)


class Price(Value):
    """Dollars per million tokens, set by the user; it overrides every price book.

    Attributes:
        input_usd_per_mtok: Uncached input tokens.
        output_usd_per_mtok: Output tokens, reasoning included.
        cached_input_usd_per_mtok: Input tokens read from the provider's cache. None: as input.
        cache_write_usd_per_mtok: Input tokens written to the provider's cache. None: as input.
        usd_per_hour: Rent of the machine, charged per compute-second of the call; for local models.
    """

    input_usd_per_mtok: Usd = Decimal(0)
    output_usd_per_mtok: Usd = Decimal(0)
    cached_input_usd_per_mtok: Usd | None = None
    cache_write_usd_per_mtok: Usd | None = None
    usd_per_hour: Usd = Decimal(0)


class UsageRules(Value):
    """How an endpoint counts tokens, so that nothing is charged twice or not at all.

    Attributes:
        reasoning_in_output: Its output count already contains the reasoning tokens.
        cached_in_input: Its input count already contains tokens read from the cache.
        cache_write_in_input: Its input count already contains tokens written to the cache.
    """

    reasoning_in_output: bool = True
    cached_in_input: bool = True
    cache_write_in_input: bool = True


class Endpoint(Value):
    """Where an arm's calls go.

    Attributes:
        name: Preset or user-chosen name; arms of one endpoint share its client and its key.
        kind: `openai` for any OpenAI-compatible HTTP server, `local` for the embedded llama.cpp
            server, `recorded` for answers from an outcome file.
        base_url: Root of the API, e.g. `https://api.openai.com/v1`. None: the client's own default.
        api_key_env: Environment variable that holds the key. None: no key is needed.
        price_provider: Provider id in the price book. None: never looked up there.
        self_hosted: True when it runs on our own machine: tokens are free, hours are not.
        usage: How its replies count tokens.
        max_tokens_field: What its Chat Completions call the output cap; older servers know only
            `max_tokens`.
    """

    name: str
    kind: Literal["openai", "local", "recorded"] = "openai"
    base_url: str | None = None
    api_key_env: str | None = None
    price_provider: str | None = None
    self_hosted: bool = False
    usage: UsageRules = UsageRules()
    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"


EffortStyle = Literal["param", "budget", "toggle", "template", "prompt", "fixed"]
"""How an effort reaches the model: `param` the endpoint's effort parameter; `budget` a token budget;
`toggle` thinking on or off; `template` chat-template arguments; `prompt` instructions, token cap and
samples (models without a reasoning mode); `fixed` not at all."""


OnUnsupported = Literal["error", "nearest_up", "nearest_down"]
"""What to do when a model does not take the effort asked for: refuse, take the next one it does take
above (below when there is none), or the next one below (above when there is none)."""


class Arm(Value):
    """One way to answer: model, effort, endpoint and price.

    Arms are data. The catalog fills the fields below `effort` from model cards; a user may write them
    directly.

    Attributes:
        name: Unique in a ladder, e.g. `gpt-6-luna@low`.
        model: Model id sent to the endpoint.
        effort: The effort that was asked for.
        effective_effort: The effort that is really sent, after the model's card was consulted.
            None: not resolved yet, sent as asked.
        endpoint: Where the calls go.
        api: Which OpenAI API its calls use. `decisions` answers with a probability: for judges only.
        effort_style: How the effort reaches the model.
        extra_body: Request fields sent as they are; the effort of `budget`, `toggle` and `template`
            styles lives here.
        max_output_tokens: Cap per call, reasoning included. Worst-case cost is computed from it.
        max_output_tokens_limit: What the model can generate at the very most; a raised cap stops here.
        samples: Up to how many times this arm is sampled until an answer passes.
        temperature: Sampling temperature of the first sample. None: not sent.
        resample_temperature: Sampling temperature of further samples. None: as the first.
        on_unsupported: What to do when the endpoint refuses the effort.
        price: The user's own price. None: the price book is asked.
    """

    name: Annotated[str, Field(min_length=1)]
    model: Annotated[str, Field(min_length=1)]
    effort: Effort = "default"
    effective_effort: Effort | None = None
    endpoint: Endpoint = Endpoint(
        name="openai", api_key_env="OPENAI_API_KEY", price_provider="openai"
    )
    api: Literal["responses", "chat", "decisions"] = "responses"
    effort_style: EffortStyle = "param"
    extra_body: dict[str, Any] = Field(default_factory=dict)
    max_output_tokens: Annotated[int, Field(gt=0)] = 4096
    max_output_tokens_limit: Annotated[int, Field(gt=0)] = 131_072
    samples: Annotated[int, Field(ge=1, le=64)] = 1
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    resample_temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    on_unsupported: OnUnsupported = "nearest_up"
    price: Price | None = None

    @property
    def sent_effort(self) -> Effort:
        """The effort this arm really sends."""
        return self.effective_effort or self.effort

    def chat_kwargs(self) -> dict[str, Any]:
        """Keyword arguments for `client.chat.completions.create` that put this arm into effect."""
        kwargs = self._common_kwargs()
        kwargs[self.endpoint.max_tokens_field] = self.max_output_tokens
        if self.effort_style == "param" and self.sent_effort != "default":
            kwargs["reasoning_effort"] = self.sent_effort
        return kwargs

    def responses_kwargs(self) -> dict[str, Any]:
        """Keyword arguments for `client.responses.create` that put this arm into effect."""
        kwargs = self._common_kwargs()
        kwargs["max_output_tokens"] = self.max_output_tokens
        if self.effort_style == "param" and self.sent_effort != "default":
            kwargs["reasoning"] = {"effort": self.sent_effort}
        return kwargs

    def _common_kwargs(self) -> dict[str, Any]:
        kwargs: dict[str, Any] = {"model": self.model}
        if self.temperature is not None:
            kwargs["temperature"] = self.temperature
        if self.extra_body:
            kwargs["extra_body"] = dict(self.extra_body)
        return kwargs

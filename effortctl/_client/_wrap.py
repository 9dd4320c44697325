"""`wrap`: the client the user already has, with the loop behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from effortctl._client._settings import OnNotAccepted, StreamMode, settings
from effortctl._driver import BudgetLike, LadderLike, VerifyLike
from effortctl._errors import ConfigError

if TYPE_CHECKING:
    import openai

ClientT = TypeVar("ClientT", bound="openai.OpenAI | openai.AsyncOpenAI")


def wrap(
    client: ClientT,
    *,
    ladder: LadderLike = "openai",
    clients: Mapping[str, openai.OpenAI | openai.AsyncOpenAI] | None = None,
    policy: Any = None,
    verify: VerifyLike = None,
    budget: BudgetLike | None = None,
    stream: StreamMode = "commit_first",
    on_not_accepted: OnNotAccepted = "raise",
    **options: Any,
) -> ClientT:
    """Let effortctl choose model and effort behind an OpenAI client, where the caller asks it to.

    The result is a client of the same type that shares the connections of the one given, which is not
    changed. `responses` and `chat.completions` with `create`, `parse` and `stream` take
    `model="auto"` or effort `"auto"`; a call that names both passes through untouched, and is metered,
    held to the budget and recorded all the same. Everything else is the SDK's own.

    Args:
        client: `OpenAI` or `AsyncOpenAI`, or a subclass such as `AzureOpenAI`, for any base_url.
        ladder: Arms to choose from, as for `Controller`. The client asks the arms of its own endpoint, which
            says how its replies are priced, and gets all calls that name their model. Arms at other
            endpoints are asked by clients made of what their endpoint says (address, variable of the key);
            no key goes to any other endpoint than its own.
        clients: Your own clients for other endpoints, by endpoint name, of the same kind as `client`. They
            are neither changed nor closed.
        policy: Chooses among them: a `Policy`, what `learn` returned, or the file it was saved to. None:
            climb the ladder; a short follow-up starts at the arm that answered before it.
        verify: What accepts an answer, as for `Controller`. It sees the text, and is not asked about
            tool calls. Tool arguments, schemas and types that a request asks for are checked in any case.
        budget: Hard limit in dollars, for both kinds of calls, e.g. `"$0.05"` each or `"$5/day"`.
        stream: `commit_first` shows a managed stream as it comes, so that a check of it changes nothing
            any more; `buffer_until_verified` shows nothing before its check has passed.
        on_not_accepted: `raise` NotAcceptedError when no answer of a managed call passed, or `return` the
            best one.
        **options: Further options of `Controller`, e.g. `deadline_s`, `ledger`, `traces`, `prices`.

    Raises:
        ConfigError: It is not such a client or wrapped already, the key of another endpoint is missing, or an
            option makes no sense.
        StoreError: The policy file is missing or damaged.

    Example:
        ```python
        client = effortctl.wrap(OpenAI(), verify="number:408", budget="$0.05")
        reply = client.responses.create(model="auto", input="What is 17*24?")
        print(reply.output_text, effortctl.info(reply).cost_usd)
        ```
    """
    import openai  # noqa: PLC0415 - slow to load; whoever has a client has loaded it

    from effortctl._client._twin import is_wrapped, twin  # noqa: PLC0415 - as above

    given: object = client
    others = dict(clients or {})
    if any(is_wrapped(each) for each in (given, *others.values())):
        raise ConfigError("this client is wrapped already; wrap the one it was made of")
    if not isinstance(given, openai.OpenAI | openai.AsyncOpenAI):
        raise ConfigError(
            f"wrap() got a {type(given).__name__}, expected an openai.OpenAI or openai.AsyncOpenAI"
        )
    made = settings(
        ladder=ladder,
        policy=policy,
        verify=verify,
        budget=budget,
        stream=stream,
        on_not_accepted=on_not_accepted,
        client=given,
        clients=others,
        options=options,
    )
    return twin(client, made)

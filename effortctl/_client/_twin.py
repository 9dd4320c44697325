"""A client of the class the user has, whose `post` looks at the calls that generate."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from functools import cached_property, partial
from typing import Any, Self, TypeVar, cast, get_args

import openai
from openai.types.responses import Response

from effortctl._client._managed import amanage, job, manage
from effortctl._client._meter import Note
from effortctl._client._passage import CURRENT
from effortctl._client._passing import apass_through, pass_through
from effortctl._client._request import PATHS, SdkRequest
from effortctl._client._settings import Settings
from effortctl._types import Arm

ClientT = TypeVar("ClientT", bound=openai.OpenAI | openai.AsyncOpenAI)

_SETTINGS = "_effortctl_settings"


class _Wrapped:
    """What sync and async wrapped clients share; mixed into the class of the user's own client.

    Every call of the SDK goes through `post`. Those to the two APIs that generate are looked at; all
    others, and everything else a client does, are the SDK's own.
    """

    def copy(self, **options: Any) -> Self:
        """As the SDK's own `copy`; the copy is wrapped as this client is."""
        copied = cast("Any", super()).copy(**options)
        copied.__dict__[_SETTINGS] = self.__dict__[_SETTINGS]
        return cast("Self", copied)

    with_options = copy

    def _should_retry(self, response: Any) -> bool:
        """As the SDK, while the endpoint has retries left."""
        passage = CURRENT.get()
        wants: bool = cast("Any", super())._should_retry(response)  # noqa: SLF001 - steps in, see below
        return wants and (passage is None or passage.may_retry())

    def _request(self, path: str, options: Mapping[str, Any]) -> SdkRequest | None:
        """The call as a request of ours; None when it is not looked at."""
        api, body = PATHS.get(path), options.get("body")
        if api is None or not isinstance(body, Mapping) or _SETTINGS not in self.__dict__:
            return None
        chunks = get_args(options.get("stream_cls"))
        return SdkRequest(
            api=api,
            given=body,
            options=options.get("options") or {},
            stream=bool(options.get("stream")),
            event_type=chunks[0] if chunks else Any,
            cast_to=options.get("cast_to"),
            stream_cls=options.get("stream_cls"),
            client=self,
        )

    def _note(self, request: SdkRequest, arm: Arm) -> Note:
        made: Settings = self.__dict__[_SETTINGS]

        def note(document: Mapping[str, Any], answer: Any) -> None:
            made.conversations.note(request, document, arm=arm, answer=answer)

        return note

    def _responses(self) -> partial[Any]:
        """The SDK's own `post` to the Responses API."""
        return partial(cast("Any", super()).post, "/responses", cast_to=Response)


class _WrappedSync(_Wrapped):
    def close(self) -> None:
        """As the SDK's own `close`, for the clients of other endpoints, too."""
        try:
            cast("Any", super()).close()
        finally:
            if (made := self.__dict__.get(_SETTINGS)) is not None:
                made.clients.close()

    def post(self, path: str, **options: Any) -> Any:
        """As the SDK's own `post`, for calls to the APIs that generate."""
        send = partial(cast("Any", super()).post, path)
        request = self._request(path, options)
        if request is None:
            return send(**options)
        made: Settings = self.__dict__[_SETTINGS]
        send = partial(send, **{k: v for k, v in options.items() if k not in ("body", "options")})
        if request.is_managed:
            return manage(job(made, request, send=send, responses=self._responses()))
        call = made.call_of(request)
        note, deadline_s = self._note(request, call.arm), made.deadline_s()
        booking = made.meter.open(call, note=note, deadline_s=deadline_s)
        return pass_through(request, booking, send=send)

    # These step between the SDK and its transport, for the requests of a call that is passed through.

    def _send_request(self, request: Any, **options: Any) -> Any:
        passage, send = CURRENT.get(), cast("Any", super())._send_request  # noqa: SLF001 - as above
        send = partial(send, request, **options)
        return send() if passage is None else passage.sent(request, send)

    def _sleep_for_retry(self, **options: Any) -> None:
        _check_retry(options)
        cast("Any", super())._sleep_for_retry(**options)  # noqa: SLF001 - as above


class _WrappedAsync(_Wrapped):
    async def close(self) -> None:
        """As the SDK's own `close`, for the clients of other endpoints, too."""
        try:
            await cast("Any", super()).close()
        finally:
            if (made := self.__dict__.get(_SETTINGS)) is not None:
                await made.clients.aclose()

    async def post(self, path: str, **options: Any) -> Any:
        """As the SDK's own `post`, for calls to the APIs that generate."""
        send = partial(cast("Any", super()).post, path)
        request = self._request(path, options)
        if request is None:
            return await send(**options)
        made: Settings = self.__dict__[_SETTINGS]
        send = partial(send, **{k: v for k, v in options.items() if k not in ("body", "options")})
        if request.is_managed:
            return await amanage(job(made, request, send=send, responses=self._responses()))
        call = made.call_of(request)
        note, deadline_s = self._note(request, call.arm), made.deadline_s()
        booking = await made.meter.aopen(call, note=note, deadline_s=deadline_s)
        return await apass_through(request, booking, send=send)

    async def _send_request(self, request: Any, **options: Any) -> Any:
        passage, send = CURRENT.get(), cast("Any", super())._send_request  # noqa: SLF001 - as above
        send = partial(send, request, **options)
        return await (send() if passage is None else passage.asent(request, send))

    async def _sleep_for_retry(self, **options: Any) -> None:
        _check_retry(options)
        await cast("Any", super())._sleep_for_retry(**options)  # noqa: SLF001 - as above


def _check_retry(options: Mapping[str, Any]) -> None:
    """A retry after a response was paid for in `_should_retry`."""
    passage = CURRENT.get()
    if passage is not None and options.get("response") is None:
        passage.check_retry()


def is_wrapped(client: object) -> bool:
    """True for a client that `twin` made, or a copy of one."""
    return isinstance(client, _Wrapped)


def twin(client: ClientT, made: Settings) -> ClientT:
    """A client of the same state, connections included, whose class is wrapped."""
    kind = _wrapped_class(cast("Any", type(client)))
    wrapped = object.__new__(kind)
    own = {name: value for name, value in vars(client).items() if not _is_cached(kind, name)}
    wrapped.__dict__.update(own, **{_SETTINGS: made})
    return cast("ClientT", wrapped)


@functools.cache
def _wrapped_class(kind: type[Any]) -> type[Any]:
    mixin = _WrappedAsync if issubclass(kind, openai.AsyncOpenAI) else _WrappedSync
    return type(
        kind.__name__, (mixin, kind), {"__module__": kind.__module__, "__doc__": kind.__doc__}
    )


def _is_cached(kind: type[Any], name: str) -> bool:
    """True for resources such as `client.chat`, which hold the client they were made by."""
    return any(isinstance(vars(base).get(name), cached_property) for base in kind.__mro__)

"""Reply bodies that are broken in one of many ways; all of it follows from a seed."""

from __future__ import annotations

import copy
import gzip
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

Api = Literal["chat", "responses"]
APIS: tuple[Api, ...] = ("chat", "responses")

STATUSES = (200, 200, 200, 200, 200, 201, 204, 301, 400, 401, 404, 408, 413, 422, 429, 500, 503)

JUNK: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    10**30,
    -(10**30),
    float("nan"),
    float("inf"),
    "",
    " ",
    "\x00",
    "\ud800",
    "stop",
    "length",
    "content_filter",
    "error",
    "completed",
    "incomplete",
    "failed",
    "server_error",
    "insufficient_quota",
    "context_length_exceeded",
    "429",
    [],
    [None],
    [[]],
    {},
    {"type": "text", "text": "planted"},
    {"type": "output_text", "text": "planted"},
    [{"type": "text", "text": "planted"}],
    {"message": "planted", "code": "503", "type": "server_error"},
)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a broken server sends.

    Attributes:
        api: The API that was asked.
        status: HTTP status.
        body: The bytes after the header.
        how: How it was broken.
    """

    api: Api
    status: int
    body: bytes
    how: str


def chat(**changes: Any) -> dict[str, Any]:
    """A sound Chat Completions reply."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "model-x-2026",
        "service_tier": "default",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {
                    "role": "assistant",
                    "content": "Cardiff",
                    "refusal": None,
                    "reasoning": "hm",
                },
            }
        ],
        "usage": {
            "prompt_tokens": 20,
            "completion_tokens": 5,
            "total_tokens": 25,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
    } | changes


def responses(**changes: Any) -> dict[str, Any]:
    """A sound Responses reply."""
    text = {"type": "output_text", "text": "Cardiff", "annotations": []}
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "model-x-2026",
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "output": [
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "message", "role": "assistant", "status": "completed", "content": [text]},
        ],
        "usage": {
            "input_tokens": 20,
            "output_tokens": 5,
            "total_tokens": 25,
            "input_tokens_details": {"cached_tokens": 4},
            "output_tokens_details": {"reasoning_tokens": 2},
        },
    } | changes


SOUND: dict[Api, Callable[[], dict[str, Any]]] = {"chat": chat, "responses": responses}


def replies(count: int, *, seed: int) -> Iterator[Reply]:
    """Broken replies, the same ones for the same seed; a few come out sound."""
    rng = random.Random(seed)
    hows = sorted(WAYS)
    for number in range(count):
        api, how = APIS[number % 2], hows[number // 2 % len(hows)]
        status = rng.choice(STATUSES)
        yield Reply(api, status, WAYS[how](rng, SOUND[api]()), how)


# --- ways to break a document ----------------------------------------------------------------------


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place below the root of a document."""
    found = [path] if path else []
    children: Any = ()
    if isinstance(node, dict):
        children = node.items()
    elif isinstance(node, list):
        children = enumerate(node)
    for key, child in children:
        found += places(child, (*path, key))
    return found


def _parent(document: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        document = document[key]
    return document


def _junk(rng: random.Random) -> Any:
    return copy.deepcopy(rng.choice(JUNK))  # what is put in may itself be broken afterwards


def _encode(document: Any) -> bytes:
    # Lone surrogates go out as escapes, as a careless server sends them.
    return json.dumps(document, ensure_ascii=True).encode()


def _replace(rng: random.Random, document: Any) -> bytes:
    for _ in range(rng.randint(1, 3)):
        path = rng.choice(places(document))
        _parent(document, path)[path[-1]] = _junk(rng)
    return _encode(document)


def _remove(rng: random.Random, document: Any) -> bytes:
    path = rng.choice(places(document))
    del _parent(document, path)[path[-1]]
    return _encode(document)


def _swap(rng: random.Random, document: Any) -> bytes:
    one, other = rng.choice(places(document)), rng.choice(places(document))
    if one[: len(other)] != other and other[: len(one)] != one:
        left, right = _parent(document, one), _parent(document, other)
        left[one[-1]], right[other[-1]] = right[other[-1]], left[one[-1]]
    return _encode(document)


def _stringify(rng: random.Random, document: Any) -> bytes:
    path = rng.choice(places(document))
    parent = _parent(document, path)
    parent[path[-1]] = json.dumps(parent[path[-1]])
    return _encode(document)


def _repeat_key(rng: random.Random, document: Any) -> bytes:
    key = rng.choice(sorted(document))
    again = json.dumps({key: _junk(rng)}, ensure_ascii=True)[1:-1]
    text = _encode(document)
    return text[:-1] + b"," + again.encode() + b"}"


def _cut(rng: random.Random, document: Any) -> bytes:
    text = _encode(document)
    return text[: rng.randrange(len(text))]


def _flip_bits(rng: random.Random, document: Any) -> bytes:
    text = bytearray(_encode(document))
    for _ in range(rng.randint(1, 6)):
        text[rng.randrange(len(text))] ^= 1 << rng.randrange(8)
    return bytes(text)


def _insert(rng: random.Random, document: Any) -> bytes:
    text = _encode(document)
    at = rng.randrange(len(text))
    noise = rng.choice((b"\xff\xfe", b"\x00", b"\xed\xa0\x80", b"}", b"]", b'"', b"\xc3(", b"NaN"))
    return text[:at] + noise + text[at:]


def _digits(rng: random.Random, document: Any) -> bytes:
    usage = document["usage"]
    usage[rng.choice(sorted(usage))] = "DIGITS"
    size = rng.choice((30, 400, 5000))
    number = rng.choice((b"-", b"")) + b"9" * size + rng.choice((b"", b".5", b"e999"))
    return _encode(document).replace(b'"DIGITS"', number)


def _nest(rng: random.Random, document: Any) -> bytes:
    path = rng.choice(places(document))
    _parent(document, path)[path[-1]] = "DEEP"
    depth = rng.choice((50, 2_000, 100_000))
    opened, closed = rng.choice(((b"[", b"]"), (b'{"a":', b"}")))
    deep = opened * depth + b"1" + closed * rng.choice((depth, 0))
    return _encode(document).replace(b'"DEEP"', deep)


def _wrap(rng: random.Random, document: Any) -> bytes:
    outer = rng.choice(
        ([document], {"data": document}, {"error": document}, {"response": document})
    )
    return _encode(outer)


def _two(rng: random.Random, document: Any) -> bytes:
    return _encode(document) + rng.choice((b"", b"\n", b",", b" x")) + _encode(document)


def _other_api(rng: random.Random, document: Any) -> bytes:
    other = responses() if "choices" in document else chat()
    return _encode(other if rng.random() < 0.5 else document | {"error": other})


def _other_encoding(rng: random.Random, document: Any) -> bytes:
    text = json.dumps(document)
    how = rng.choice(("utf-16", "utf-32-le", "utf-8-sig", "gzip", "base64"))
    if how == "gzip":
        return gzip.compress(text.encode())
    return text.encode(how) if how != "base64" else text.encode().hex().encode()


def _event_stream(rng: random.Random, document: Any) -> bytes:
    line = b"data: " + _encode(document) + b"\n\n"
    return line * rng.randint(1, 3) + rng.choice((b"", b"data: [DONE]\n\n"))


def _page(rng: random.Random, document: Any) -> bytes:
    return b"<!doctype html><html><body>" + _encode(document) + b"</body>" * rng.randint(0, 1)


def _error_in_body(rng: random.Random, document: Any) -> bytes:
    code = rng.choice(("server_error", "insufficient_quota", "503", "bio_policy", None, 7))
    error = rng.choice(({"message": "broke off", "code": code}, "broke off", [code], 1, True))
    place = rng.choice(("top", "choice"))
    if place == "choice" and "choices" in document:
        document["choices"][0]["error"] = error
    else:
        document["error"] = error
    return _encode(document)


def _noise(rng: random.Random, _document: Any) -> bytes:
    return rng.randbytes(rng.randint(0, 300))


def _scalar(rng: random.Random, _document: Any) -> bytes:
    return _encode(_junk(rng))


def _large(rng: random.Random, document: Any) -> bytes:
    filler = rng.choice(('"', " ", "x", "\u2028")) * rng.choice((10_000, 300_000))
    path = rng.choice(places(document))
    _parent(document, path)[path[-1]] = filler
    return _encode(document)


WAYS: dict[str, Callable[[random.Random, Any], bytes]] = {
    "another-api": _other_api,
    "another-encoding": _other_encoding,
    "bits-flipped": _flip_bits,
    "bytes-inserted": _insert,
    "cut": _cut,
    "deep": _nest,
    "digits": _digits,
    "error-in-body": _error_in_body,
    "event-stream": _event_stream,
    "html": _page,
    "key-removed": _remove,
    "key-repeated": _repeat_key,
    "large": _large,
    "noise": _noise,
    "scalar": _scalar,
    "swapped": _swap,
    "stringified": _stringify,
    "two-documents": _two,
    "value-replaced": _replace,
    "wrapped": _wrap,
}

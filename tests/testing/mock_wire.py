"""A plain HTTP client for the mock server's tests: what arrives is what was sent."""

import http.client
import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Seen:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self):
        return json.loads(self.body)


PROMPT = "What is six times seven? Think about it."

BODIES = {
    "/v1/responses": {"input": PROMPT},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": PROMPT}]},
    "/v1/decisions": {
        "input": PROMPT,
        "questions": [{"type": "predicate", "instructions": "right?"}],
    },
}

CHAT, RESPONSES, DECISIONS = "/v1/chat/completions", "/v1/responses", "/v1/decisions"


def post(server, path=CHAT, *, timeout=5.0, headers=None, raw=None, **fields):
    """Send one request on a connection of its own and read the reply to its end."""
    body = raw if raw is not None else json.dumps(BODIES[path] | {"model": "m"} | fields)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)
    try:
        connection.request("POST", path, body=body, headers=headers or {})
        reply = connection.getresponse()
        names = {name.lower(): value for name, value in reply.getheaders()}
        return Seen(reply.status, names, reply.read())
    finally:
        connection.close()


def events(body):
    """The data of each server-sent event."""
    found = [line[6:] for line in body.decode().split("\n") if line.startswith("data: ")]
    return [item if item == "[DONE]" else json.loads(item) for item in found]

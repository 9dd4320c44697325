"""Clients of the SDK for sessions, closed when their test ends."""

from __future__ import annotations

import openai

OPENED: list[openai.OpenAI] = []


def client_of(server, kind=openai.OpenAI):
    """A client of a mock server. A session leaves it open: it is ours, and so is closing it."""
    client = kind(base_url=server.base_url, api_key="k")
    if isinstance(client, openai.OpenAI):
        OPENED.append(client)
    return client

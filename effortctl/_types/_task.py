"""What is asked."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from effortctl._types._base import (
    Value,
)


class Message(Value):
    """One turn of a conversation, in the Chat Completions shape.

    Attributes:
        role: Who speaks.
        content: Plain text, or a list of content parts passed to the endpoint unchanged.
    """

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | tuple[dict[str, Any], ...]

    @property
    def text(self) -> str:
        """The readable text, without images and other parts."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(str(part["text"]) for part in self.content if "text" in part)


class Task(Value):
    """What is asked, before anything is known about the answer.

    Attributes:
        input: The prompt, or the turns of a conversation.
        id: Names the task in traces and recorded outcomes. Generated when empty.
        instructions: System or developer instructions.
        category: The caller's own label, e.g. `"sql"`; a feature for the difficulty model.
        max_output_tokens: Cap on what one call may generate, reasoning included. None: the arm's own.
        response_schema: JSON Schema the answer must follow, sent to endpoints that can enforce it.
        metadata: Anything the caller wants to find again in the trace. Never sent to an endpoint.
    """

    input: str | tuple[Message, ...]
    id: str = ""
    instructions: str | None = None
    category: str | None = None
    max_output_tokens: Annotated[int, Field(gt=0)] | None = None
    response_schema: dict[str, Any] | None = None
    metadata: dict[str, str] = Field(default_factory=dict)

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation as turns, instructions first."""
        turns = (
            (Message(role="user", content=self.input),)
            if isinstance(self.input, str)
            else self.input
        )
        if self.instructions is None:
            return turns
        return (Message(role="system", content=self.instructions), *turns)

    @property
    def text(self) -> str:
        """All readable text of the task, for features and token estimates."""
        return "\n".join(message.text for message in self.messages)


class Case(Value):
    """A task whose right answer is known; only the harness uses it.

    Attributes:
        task: What is asked.
        reference: The right answer, in whatever form the metric wants.
        cluster: Cases of one cluster are not independent (same document, same template).
    """

    task: Task
    reference: Any = None
    cluster: str | None = None

"""A model on this machine: a GGUF file behind llama.cpp's own server, inside this process.

The server speaks the Chat Completions API on a loopback address, so calls take the same road as those
to any other OpenAI-compatible endpoint. The extra `effortctl[local]` brings the runtime.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from effortctl._errors import ConfigError
from effortctl._types import Answer, Call, Endpoint
from effortctl.backends._faults import timed_out
from effortctl.backends._openai import OpenAIBackend
from effortctl.backends._prompt_effort import prompt_effort

_GGUF_MAGIC = b"GGUF"
_QUIET = -1


class LocalServer:
    """Runs llama.cpp's server for one GGUF file on 127.0.0.1 while the `with` block lasts.

    Args:
        gguf: The model file.
        threads: CPU threads. More than one only helps on a quiet machine.
        context_tokens: Longest conversation, prompt and answer together.

    Raises:
        ConfigError: The file is missing or not GGUF, the runtime is not installed, or the server
            refuses the model.
    """

    def __init__(self, gguf: str | Path, *, threads: int = 1, context_tokens: int = 4096) -> None:
        if threads < 1 or context_tokens < 1:
            msg = f"threads ({threads}) and context_tokens ({context_tokens}) must be at least 1"
            raise ConfigError(msg)
        self.gguf = _model_file(gguf)
        self._threads = threads
        self._context_tokens = context_tokens
        self._server: Any = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Load the model and listen; does nothing when it already does."""
        if self._server is not None:
            return
        runtime = _runtime()
        try:
            self._server = runtime.Server(self._params(runtime))
        except RuntimeError as error:
            msg = f"llama.cpp could not load {self.gguf.name}: {error}; is it a complete GGUF file of a chat model?"
            raise ConfigError(msg) from error

    def close(self) -> None:
        """Stop the server and free the model."""
        self._server = None

    @property
    def endpoint(self) -> Endpoint:
        """Where calls go.

        Raises:
            ConfigError: The server is not running.
        """
        if self._server is None:
            msg = "the local server is not running; call start() or use it in a with statement"
            raise ConfigError(msg)
        address = f"{self._server.listening_address}/v1"
        return Endpoint(name="local", kind="local", base_url=address, self_hosted=True)

    def _params(self, runtime: Any) -> Any:
        params = runtime.CommonParams()
        params.model.path = str(self.gguf)
        params.hostnames = ["127.0.0.1"]
        params.ui = False
        params.port = 0
        params.verbosity = _QUIET
        params.n_ctx = self._context_tokens
        # One slot: with more, greedy answers depend on what else is running.
        params.n_parallel = 1
        # Off: it keeps up to 8 GiB of old prompts in memory.
        params.cache_ram_mib = 0
        params.cpuparams.n_threads = self._threads
        params.cpuparams_batch.n_threads = self._threads
        return params


class LocalBackend:
    """Answers from a GGUF model in this process, with the CPU-seconds each answer took.

    Efforts of style `prompt` are turned into instructions here; see `prompt_effort`. Calls are made
    one at a time, which is also what makes the CPU-seconds of each known. Work of other threads of
    this process during a call is counted too.

    Args:
        gguf: The model file.
        threads: CPU threads.
        context_tokens: Longest conversation, prompt and answer together.
        cpu_clock: Returns CPU-seconds used by this process.

    Raises:
        ConfigError: As `LocalServer`.
    """

    def __init__(
        self,
        gguf: str | Path,
        *,
        threads: int = 1,
        context_tokens: int = 4096,
        cpu_clock: Callable[[], float] = time.process_time,
    ) -> None:
        self._server = LocalServer(gguf, threads=threads, context_tokens=context_tokens)
        self._chat: OpenAIBackend | None = None
        self._cpu_clock = cpu_clock
        self._one_at_a_time = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the server and free the model."""
        with self._one_at_a_time:
            if self._chat is not None:
                self._chat.close()
            self._chat = None
            self._server.close()

    def complete(self, call: Call) -> Answer:
        """Return what the model replied; the first call loads the model.

        Raises:
            ConfigError: The model cannot be loaded.
            TransientBackendError: The calls before this one took all its time.
            BackendError: The server failed.
        """
        with self._turn(call) as left_s:
            chat = self._chat = self._chat or self._connect()
            start = self._cpu_clock()
            answer = chat.complete(replace(_as_chat(call), timeout_s=left_s))
            return answer.model_copy(update={"compute_s": self._cpu_clock() - start})

    @contextlib.contextmanager
    def _turn(self, call: Call) -> Iterator[float | None]:
        """Wait for the calls before this one; yield the seconds that are left then."""
        began = time.monotonic()
        wait_s = -1 if call.timeout_s is None else max(0.0, call.timeout_s)
        if not self._one_at_a_time.acquire(timeout=wait_s):
            raise timed_out(call, billed=False)
        try:
            waited_s = time.monotonic() - began
            yield None if call.timeout_s is None else call.timeout_s - waited_s
        finally:
            self._one_at_a_time.release()

    def _connect(self) -> OpenAIBackend:
        self._server.start()
        return OpenAIBackend(self._server.endpoint)


class AsyncLocalBackend:
    """`LocalBackend` for asyncio: each call waits in a thread, still one at a time."""

    def __init__(self, backend: LocalBackend) -> None:
        self._backend = backend

    async def complete(self, call: Call) -> Answer:
        """As `LocalBackend.complete`."""
        return await asyncio.to_thread(self._backend.complete, call)


def _as_chat(call: Call) -> Call:
    arm = call.arm.model_copy(update={"api": "chat"})
    messages = call.messages
    if arm.effort_style == "prompt":
        messages = prompt_effort(messages, arm.sent_effort, category=call.task.category)
    return replace(call, arm=arm, messages=messages)


def _model_file(gguf: str | Path) -> Path:
    path = Path(gguf).expanduser()
    try:
        with path.open("rb") as file:
            magic = file.read(len(_GGUF_MAGIC))
    except OSError as error:
        msg = f"model file {path} cannot be read ({error.strerror}); give the path of a .gguf file"
        raise ConfigError(msg) from error
    if magic != _GGUF_MAGIC:
        msg = f"{path.name} is not a GGUF file; give the path of a .gguf file"
        raise ConfigError(msg)
    return path


def _runtime() -> Any:
    try:
        return importlib.import_module("xllamacpp")
    except ImportError as error:
        msg = "a local model needs the llama.cpp runtime; run: pip install 'effortctl[local]'"
        raise ConfigError(msg) from error

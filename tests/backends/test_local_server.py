import asyncio
import sys
import threading
import types
from dataclasses import replace

import pytest

from effortctl._errors import ConfigError, TransientBackendError
from effortctl._types import Arm, Call, Task
from effortctl.backends import AsyncLocalBackend, LocalBackend, LocalServer
from effortctl.testing import MockServer

ARM = Arm(name="tiny@none", model="tiny", effort="none", effort_style="prompt", api="responses")


def call(prompt="What is 2+2?", *, arm=ARM, category=None, sample_index=0):
    task = Task(id="t", input=prompt, category=category)
    return Call(task, arm, task.messages, sample_index, 64)


class Params(types.SimpleNamespace):
    """What the runtime calls CommonParams: a bag of settings."""

    def __init__(self):
        super().__init__(
            model=types.SimpleNamespace(path=""),
            cpuparams=types.SimpleNamespace(n_threads=0),
            cpuparams_batch=types.SimpleNamespace(n_threads=0),
        )


class FakeRuntime(types.ModuleType):
    """Stands in for xllamacpp: its server is the mock server."""

    CommonParams = Params

    def __init__(self, mock):
        super().__init__("xllamacpp")
        self.mock = mock
        self.started = []

    def Server(self, params):  # noqa: N802 - the runtime's name
        self.started.append(params)
        if self.mock is None:
            raise RuntimeError("Failed to init server")
        return types.SimpleNamespace(listening_address=self.mock.base_url.removesuffix("/v1"))


@pytest.fixture
def gguf(tmp_path):
    path = tmp_path / "tiny.gguf"
    path.write_bytes(b"GGUF and more")
    return path


@pytest.fixture
def runtime(monkeypatch, mock_server):
    fake = FakeRuntime(mock_server)
    monkeypatch.setitem(sys.modules, "xllamacpp", fake)
    return fake


def test_the_server_listens_on_loopback_only_with_one_slot_and_one_thread(runtime, gguf):
    with LocalServer(gguf) as server:
        assert server.endpoint.base_url == runtime.mock.base_url
    (params,) = runtime.started
    assert params.hostnames == ["127.0.0.1"]
    assert params.port == 0
    assert params.n_parallel == 1
    assert params.cpuparams.n_threads == params.cpuparams_batch.n_threads == 1
    assert params.model.path == str(gguf)


def test_threads_and_context_are_passed_on(runtime, gguf):
    with LocalServer(gguf, threads=2, context_tokens=1024):
        pass
    assert runtime.started[0].cpuparams.n_threads == 2
    assert runtime.started[0].n_ctx == 1024


def test_its_endpoint_is_self_hosted_and_needs_no_key(runtime, gguf):
    with LocalServer(gguf) as server:
        assert server.endpoint.kind == "local"
        assert server.endpoint.self_hosted
        assert server.endpoint.api_key_env is None


def test_starting_twice_loads_the_model_once(runtime, gguf):
    with LocalServer(gguf) as server:
        server.start()
    assert len(runtime.started) == 1


def test_a_server_that_is_not_running_has_no_endpoint(runtime, gguf):
    with pytest.raises(ConfigError, match="not running"):
        _ = LocalServer(gguf).endpoint


@pytest.mark.parametrize("wrong", [{"threads": 0}, {"context_tokens": 0}])
def test_zero_threads_or_context_is_a_config_error(wrong, gguf):
    with pytest.raises(ConfigError, match="at least 1"):
        LocalServer(gguf, **wrong)


def test_a_missing_model_file_is_a_config_error_before_anything_is_loaded(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.gguf cannot be read"):
        LocalBackend(tmp_path / "none.gguf")


def test_a_file_that_is_not_gguf_is_a_config_error(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"something else")
    with pytest.raises(ConfigError, match="not a GGUF file"):
        LocalServer(path)


def test_a_missing_runtime_names_the_extra_to_install(monkeypatch, gguf):
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(ConfigError, match=r"pip install 'effortctl\[local\]'"):
        LocalServer(gguf).start()


def test_a_model_the_runtime_refuses_is_a_config_error(monkeypatch, gguf):
    monkeypatch.setitem(sys.modules, "xllamacpp", FakeRuntime(None))
    with pytest.raises(ConfigError, match=r"could not load tiny\.gguf"):
        LocalServer(gguf).start()


def test_an_answer_carries_its_cpu_seconds(runtime, gguf):
    ticks = iter([10.0, 12.5])
    with LocalBackend(gguf, cpu_clock=lambda: next(ticks)) as backend:
        answer = backend.complete(call("four"))
    assert answer.compute_s == 2.5
    assert answer.usage.output_tokens > 0


def test_waiting_for_the_calls_before_it_counts_as_time_of_a_call(runtime, gguf):
    with LocalBackend(gguf) as backend:
        backend.complete(call())
        taken, done = threading.Event(), threading.Event()

        def slow():
            taken.set()
            done.wait(30)
            return 0.0

        backend._cpu_clock = slow
        other = threading.Thread(target=backend.complete, args=(call(),))
        other.start()
        taken.wait(30)
        with pytest.raises(TransientBackendError) as caught:
            backend.complete(replace(call(), timeout_s=0.2))
        done.set()
        other.join()
    assert (caught.value.kind, caught.value.billed) == ("timeout", False)
    assert runtime.mock.count() == 2


def test_the_model_is_loaded_by_the_first_call_and_only_once(runtime, gguf):
    with LocalBackend(gguf) as backend:
        assert not runtime.started
        backend.complete(call())
        backend.complete(call())
    assert len(runtime.started) == 1


def test_a_closed_backend_loads_the_model_again(runtime, gguf):
    backend = LocalBackend(gguf)
    backend.complete(call())
    backend.close()
    backend.complete(call())
    backend.close()
    assert len(runtime.started) == 2


def test_calls_use_chat_completions_whatever_the_arm_says(runtime, gguf):
    with LocalBackend(gguf) as backend:
        backend.complete(call())
    assert [hit.path for hit in runtime.mock.hits] == ["/v1/chat/completions"]


def test_an_effort_of_style_prompt_becomes_an_instruction(runtime, gguf):
    with LocalBackend(gguf) as backend:
        backend.complete(call("What is 2+2?"))
    sent = runtime.mock.hits[0].body["messages"][-1]["content"]
    assert sent.startswith("What is 2+2?\n\nAnswer directly")
    assert "reasoning_effort" not in runtime.mock.hits[0].body


def test_an_effort_of_another_style_leaves_the_prompt_alone(runtime, gguf):
    arm = ARM.model_copy(update={"effort_style": "param", "effort": "low"})
    with LocalBackend(gguf) as backend:
        backend.complete(call("What is 2+2?", arm=arm))
    body = runtime.mock.hits[0].body
    assert body["messages"][-1]["content"] == "What is 2+2?"
    assert body["reasoning_effort"] == "low"


def test_further_samples_use_their_own_temperature(runtime, gguf):
    arm = ARM.model_copy(update={"temperature": 0.0, "resample_temperature": 0.8, "samples": 3})
    with LocalBackend(gguf) as backend:
        for index in range(2):
            backend.complete(call(arm=arm, sample_index=index))
    assert [hit.body["temperature"] for hit in runtime.mock.hits] == [0.0, 0.8]


def test_calls_of_many_threads_are_made_one_at_a_time(monkeypatch, gguf):
    busy, overlaps = threading.Lock(), []

    def responder(_request):
        alone = busy.acquire(blocking=False)
        overlaps.append(not alone)
        threading.Event().wait(0.01)
        if alone:
            busy.release()
        return "done"

    with MockServer(responder) as mock:
        monkeypatch.setitem(sys.modules, "xllamacpp", FakeRuntime(mock))
        with LocalBackend(gguf) as backend:
            threads = [
                threading.Thread(target=backend.complete, args=(call(f"{i}"),)) for i in range(6)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert overlaps == [False] * 6


def test_the_async_backend_gives_the_same_answers(runtime, gguf):
    async def both():
        backend = AsyncLocalBackend(sync)
        return await asyncio.gather(backend.complete(call("a")), backend.complete(call("b")))

    with LocalBackend(gguf) as sync:
        answers = asyncio.run(both())
        alone = sync.complete(call("a"))
    assert answers[0].text == alone.text
    assert all(answer.compute_s is not None for answer in answers)

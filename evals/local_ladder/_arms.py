"""Who is recorded: the models' files, and the arms made of them."""

from __future__ import annotations

from typing import get_args

from effortctl._types import Arm, Effort, Endpoint

_QWEN_LICENCE = "Apache-2.0, according to third-party pages about the model; the file was not compared with its publisher's"

MODELS = {
    "smollm2-135m-instruct": {
        "file": "SmolLM2-135M-Instruct.Q4_1.gguf",
        "sha256": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "quantisation": "Q4_1",
        "licence": "Apache-2.0, according to the file's own header",
    },
    "qwen2.5-coder-0.5b-instruct": {
        "file": "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        "sha256": "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        "quantisation": "Q4_K_M",
        "licence": _QWEN_LICENCE,
    },
    "qwen2.5-coder-1.5b-instruct": {
        "file": "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        "sha256": "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        "quantisation": "Q4_K_M",
        "licence": _QWEN_LICENCE,
    },
}
"""File name, SHA-256, quantisation and licence of each model; kept in the recording's header."""


def _arm(name: str, model: str, *, cap: int, samples: int = 1) -> Arm:
    """An arm whose cap cannot be raised: there is no recording of what it would say then."""
    named = name.partition("@")[2]
    effort: Effort = next(known for known in get_args(Effort) if known == named)
    return Arm(
        name=name,
        model=model,
        effort=effort,
        endpoint=Endpoint(name="local", kind="local", self_hosted=True),
        api="chat",
        effort_style="prompt",
        max_output_tokens=cap,
        max_output_tokens_limit=cap,
        samples=samples,
        temperature=0.0,
        resample_temperature=0.8 if samples > 1 else None,
    )


ARMS = {
    arm.name: arm
    for arm in (
        _arm("smollm2@none", "smollm2-135m-instruct", cap=256),
        _arm("qwen2.5-coder-0.5b@none", "qwen2.5-coder-0.5b-instruct", cap=400),
        _arm("qwen2.5-coder-0.5b@low", "qwen2.5-coder-0.5b-instruct", cap=320),
        _arm("qwen2.5-coder-0.5b@high", "qwen2.5-coder-0.5b-instruct", cap=320, samples=3),
        _arm("qwen2.5-coder-1.5b@none", "qwen2.5-coder-1.5b-instruct", cap=400),
        _arm("qwen2.5-coder-1.5b@low", "qwen2.5-coder-1.5b-instruct", cap=320),
    )
}

"""A quick verdict while recording: does arm @high need another sample?

It only decides when to stop sampling. The verdicts of the eval are made again when the recording is
loaded, by effortctl's own verifiers, and those win.
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_FENCE = re.compile(r"```(?:python)?\s*\n(.*?)(?:```|\Z)", re.DOTALL)
_OBJECT = re.compile(r"\{[^{}]*\}")
_CODE_SECONDS = 10
_CODE_BYTES = 1 << 30


def passes(spec: Mapping[str, Any], text: str) -> bool:
    """True when the answer text satisfies the verifier's data."""
    return _CHECKS[spec["kind"]](spec, text)


def _final(text: str) -> str:
    return re.sub(r"[*`\"]", "", text.rpartition("Answer:")[2]).strip(" .\n")


def _number(spec: Mapping[str, Any], text: str) -> bool:
    found = _NUMBER.findall(_final(text).replace(",", ""))
    return bool(found) and float(found[-1]) == float(spec["expected"])


def _equals(spec: Mapping[str, Any], text: str) -> bool:
    return _final(text).casefold() == spec["expected"].casefold()


def _any_equals(spec: Mapping[str, Any], text: str) -> bool:
    return any(_equals({"expected": name}, text) for name in spec["expected"])


def _choice(spec: Mapping[str, Any], text: str) -> bool:
    words = set(re.findall(r"\w+", _final(text).casefold()))
    return {name for name in spec["options"] if name.casefold() in words} == {spec["expected"]}


def _json_fields(spec: Mapping[str, Any], text: str) -> bool:
    objects = _OBJECT.findall(text)
    try:
        return bool(objects) and json.loads(objects[-1]) == spec["expected"]
    except ValueError:
        return False


def _code_tests(spec: Mapping[str, Any], text: str) -> bool:
    blocks = _FENCE.findall(text)
    code = next((block for block in blocks if f"def {spec['entry_point']}" in block), text)
    program = f"{spec['prelude']}\n{code}\n{spec['tests']}"
    jail = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv",
            "--ro-bind", "/", "/", "--tmpfs", "/tmp", "--tmpfs", "/root", "--tmpfs", "/home", "--chdir", "/tmp"]  # fmt: skip  # noqa: S108  the jail's own tmpfs
    # The interpreter itself may lie below the folders the jail hides.
    python = ["--ro-bind", sys.base_prefix, sys.base_prefix]
    command = [*jail, *python, "--", str(Path(sys.executable).resolve()), "-I", "-"]
    try:
        done = subprocess.run(  # noqa: S603  the program runs in the jail
            command,
            input=program.encode(),
            capture_output=True,
            timeout=_CODE_SECONDS,
            check=False,
            preexec_fn=_limit,  # noqa: PLW1509  this process starts no threads of its own that hold locks
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (_CODE_SECONDS, _CODE_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (_CODE_BYTES, _CODE_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))


_CHECKS: Mapping[str, Callable[[Mapping[str, Any], str], bool]] = {
    "number": _number,
    "equals": _equals,
    "any_equals": _any_equals,
    "choice": _choice,
    "json_fields": _json_fields,
    "code_tests": _code_tests,
}

"""The untrusted side: executes what a language model wrote and answers calls with plain data.

It knows no test and no expected value, so there is nothing in its process worth attacking. Runs in a
sandbox, from its text alone.
"""

from __future__ import annotations

import sys
import types

from effortctl.verifiers._wire import SHOWN, Line, decode, encode_any, limit

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost start-up time for every answer
    from collections.abc import Callable
    from typing import Any


def run_program() -> None:
    """Execute a program, then answer calls of one of its functions until killed."""
    line = Line()
    line.send({"ready": True})
    start = line.receive()
    limit(start["limits"])
    module = types.ModuleType("solution")
    sys.modules["solution"] = module
    try:
        program = compile(start["program"], "<answer>", "exec", dont_inherit=True)
        exec(program, module.__dict__)  # noqa: S102 - our purpose
        function = module.__dict__[start["entry_point"]]
    except BaseException as error:  # noqa: BLE001 - whatever the program does is its result
        line.send(_raised(error))
        return
    line.send({"loaded": callable(function)})
    while True:
        call = line.receive()
        line.send(_outcome(function, call))


def _outcome(function: Callable[..., Any], call: dict[str, Any]) -> dict[str, Any]:
    try:
        result = function(*decode(call["args"]), **decode(call["kwargs"]))
    except BaseException as error:  # noqa: BLE001 - whatever the program does is its result
        return _raised(error)
    try:
        return {"value": encode_any(result)}
    except BaseException as error:  # noqa: BLE001 - the value's own methods may have run
        said = str(error) if type(error) is ValueError else type(result).__name__
        return {"unsupported": said[:SHOWN]}


def _raised(error: BaseException) -> dict[str, Any]:
    where, frame = None, error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == "<answer>":
            where = frame.tb_lineno
        frame = frame.tb_next
    if isinstance(error, SyntaxError):
        where = error.lineno
    names = [kind.__name__ for kind in type(error).__mro__]
    try:
        message = str(error)[:SHOWN]
    except BaseException:  # noqa: BLE001 - a __str__ the program wrote
        message = ""
    return {"raised": names, "message": message, "line": where}


if __name__ == "__main__":
    run_program()

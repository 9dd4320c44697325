"""`effortctl serve`: the loop behind an OpenAI-compatible endpoint, for any language."""

from __future__ import annotations

import gc
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from effortctl._errors import ConfigError
from effortctl.cli._exits import told
from effortctl.cli._options import LedgerFile, TracesFile, ledger_path, traces_path

StreamMode = Literal["buffer_until_verified", "commit_first"]


def serve(  # noqa: PLR0913 - one parameter per option of the command line
    *,
    ladder: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE", envvar="EFFORTCTL_LADDER", help="Arms behind effortctl/auto."
        ),
    ] = "openai",
    policy: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Choose arms of the ladder by a learned policy."),
    ] = None,
    verify: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND:ARG", help="What accepts an answer; repeatable, all must pass."),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(metavar="USD", help="$5/day for all requests, or 0.05 for each."),
    ] = None,
    deadline: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=0.001, help="Most seconds a request may take."),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Where to listen; beyond this machine it needs a token.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="TCP port; 0 picks a free one.")
    ] = 8787,
    token: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            envvar="EFFORTCTL_TOKEN",
            show_envvar=True,
            help="What clients must send as their API key; others see a command line, so better use the variable.",
        ),
    ] = None,
    stream: Annotated[
        StreamMode,
        typer.Option(help="Hold a stream back until its check has passed, or show it at once."),
    ] = "buffer_until_verified",
    max_body_mb: Annotated[
        int, typer.Option(min=1, metavar="MB", help="Largest request accepted.")
    ] = 16,
    grace: Annotated[
        int,
        typer.Option(min=1, metavar="SECONDS", help="Time to finish requests when stopped."),
    ] = 10,
    traces: TracesFile = None,
    ledger: LedgerFile = None,
) -> None:
    """Answer OpenAI clients of any language: model `effortctl/auto` climbs the ladder.

    Examples:
    - `effortctl serve --ladder openai --verify not-empty --budget '$5/day'`

    - `curl 127.0.0.1:8787/v1/responses -H 'content-type: application/json' -d '{"model": "effortctl/auto", "input": "Hi"}'`
    """
    with told(as_json=False), ExitStack() as stack:
        server = _server()
        listener = stack.enter_context(server.Listener(host, port, token=token))
        config = server.ServeConfig(
            ladder=ladder,
            policy=policy,
            verify=tuple(verify or ()),
            budget=budget,
            deadline_s=deadline,
            stream=stream,
            token=token,
            max_body_bytes=max_body_mb * 2**20,
            ledger=_open_ledger(ledger, stack),
            traces=_open_traces(traces_path(traces)),
        )
        app = server.build_app(config)
        # What was made so far stays: looking through it for garbage would hold up streams for 10 ms.
        gc.collect()
        gc.freeze()
        typer.echo(f"listening on {listener.base_url}")
        server.run(app, listener, grace_s=grace)


def _server() -> Any:
    try:
        import effortctl.serve as server  # noqa: PLC0415 - needs an extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("aiohttp", "starlette", "uvicorn"):
            raise
        raise ConfigError(
            f"effortctl serve needs {error.name}; install it with: pip install 'effortctl[serve]'"
        ) from error
    return server


def _open_ledger(path: Path | None, stack: ExitStack) -> Any:
    from effortctl.stores import SqliteLedger  # noqa: PLC0415 - only once the options are right

    return stack.enter_context(SqliteLedger(ledger_path(path)))


def _open_traces(path: Path | None) -> Any:
    from effortctl.stores import TraceStore  # noqa: PLC0415 - as above

    return None if path is None else TraceStore(path)

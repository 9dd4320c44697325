"""Start or continue a run in its folder."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from effortctl._errors import ConfigError
from effortctl._types import Budget
from effortctl.harness.runner._folder import RunHeader, new_header, read_header, write_header
from effortctl.harness.runner._inputs import Inputs, open_backends
from effortctl.harness.runner._journal import Journal, locked, read_history
from effortctl.harness.runner._purse import NO_LIMIT, settle_after_crash
from effortctl.harness.runner._session import Session
from effortctl.harness.runner._table import (
    RunSummary,
    write_tables,
)
from effortctl.harness.runner._tools import Tools
from effortctl.stores import SqliteLedger


def run_eval(inputs: Inputs, folder: Path, *, tools: Tools | None = None) -> RunSummary:
    """Do what is missing of a run.

    Args:
        inputs: What to run.
        folder: The run folder; made if there is none.
        tools: What to work with.

    Returns:
        How the run stands now. It may have ended early: see `RunSummary.stopped`.

    Raises:
        ConfigError: Another process runs into the folder, or it holds answers to something else.
        UnknownPriceError: There is a budget, and an arm whose price nobody knows.
        StoreError: A file of the run, or the ledger, fails.
    """
    tools = tools or Tools()
    with locked(folder), ExitStack() as stack:
        header = read_header(folder) or new_header(inputs.config, inputs.shard)
        if header.shard != inputs.shard:
            raise ConfigError(
                f"{folder} holds {_part(header.shard)}, not {_part(inputs.shard)}; choose another folder "
                "with --output"
            )
        history = read_history(folder)
        inputs.refuse_stale([*history.answered.values(), *history.failed.values()])
        write_header(folder, replace(header, config=inputs.config))
        ledger = tools.ledger or stack.enter_context(SqliteLedger(folder / "ledger.sqlite3"))
        journal = stack.enter_context(Journal(folder))
        for tranche in settle_after_crash(ledger, history.unsettled()):
            journal.settled(tranche)
        backends = tools.backends
        if backends is None:
            backends = open_backends(inputs, stack)
        session = Session(
            inputs,
            history,
            journal=journal,
            ledger=ledger,
            budget=budget_of(inputs, header),
            backends=backends,
            tools=tools,
        )
        try:
            asyncio.run(session.run())
        finally:
            rows = write_tables(inputs, history, folder, drafts=session.drafts)
        return session.summary(folder, rows)


def budget_of(inputs: Inputs, header: RunHeader) -> Budget:
    """The limit of a run; its scope counts what all of its sessions spent."""
    limit = inputs.config.budget_usd
    return Budget(
        limit_usd=NO_LIMIT if limit is None else limit,
        scope=f"eval/{inputs.config.name}/{header.run_id}",
    )


def _part(shard: tuple[int, int] | None) -> str:
    return "a whole run" if shard is None else f"part {shard[0]} of {shard[1]}"

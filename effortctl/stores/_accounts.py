"""The statements of the ledger: each works inside a transaction that its caller has opened."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from effortctl._errors import BudgetExceededError, ConfigError, StoreError
from effortctl._types import Budget, Cost
from effortctl.stores._entries import (
    AFTERTHOUGHTS,
    ROW_COLUMNS,
    Cell,
    EntryKind,
    LedgerEntry,
    from_pico,
    to_pico,
)
from effortctl.stores._process import Owner, current_owner
from effortctl.stores._windows import moment, period_of, period_start, periods_at, scope_key

_ENTRY_COLUMNS = (
    "reserved_us, settled_us, kind, reservation, trace_id, pico, reserved_pico, price_source,"
    " price_version, estimated, scopes, " + ", ".join(ROW_COLUMNS)
)
_ENTRY_NAMES = tuple(_ENTRY_COLUMNS.split(", "))
_NAMES = frozenset({"task_id", "arm", "model", "requested_effort", "effective_effort"})
_INSERT_ENTRY = (
    f"INSERT INTO entries ({_ENTRY_COLUMNS})"  # noqa: S608 - column names are constants of ours
    f" VALUES ({', '.join('?' * len(_ENTRY_NAMES))})"
)
_ADD_SPENT = (
    "INSERT INTO spent (scope, period, start_us, pico) VALUES (?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET pico = pico + excluded.pico"
)


@dataclass(frozen=True, slots=True)
class Request:
    """What one `reserve` asks for, in the database's units."""

    pico: int
    budgets: tuple[Budget, ...]
    trace_id: str

    @classmethod
    def of(cls, needed: Decimal, budgets: Iterable[Budget], trace_id: str) -> Request:
        """Check the amount and take over the rest.

        Raises:
            ConfigError: The amount is negative or not finite.
        """
        if not needed.is_finite() or needed < 0:
            raise ConfigError(
                f"cannot reserve {needed} dollars; expected a finite amount, 0 or more"
            )
        return cls(pico=to_pico(needed), budgets=tuple(budgets), trace_id=trace_id)

    @property
    def scopes(self) -> list[str]:
        """Every scope the money will count in."""
        return sorted({scope_key(budget, self.trace_id) for budget in self.budgets})


@dataclass(frozen=True, slots=True)
class Open:
    """A reservation that is not settled yet."""

    id: str
    trace_id: str
    reserved_us: int
    pico: int
    scopes: str


@dataclass(frozen=True, slots=True)
class Booking:
    """What an entry says beyond the reservation it replaces."""

    kind: EntryKind
    pico: int
    cost: Cost
    estimated: bool
    cells: Sequence[Cell]


def blocked(
    connection: sqlite3.Connection, request: Request, now_us: int
) -> BudgetExceededError | None:
    """None when every budget has room; the error to raise in the end when others may make room.

    Raises:
        BudgetExceededError: Even if every other reservation settled at 0, there would be no room.
    """
    refusals: list[BudgetExceededError] = []
    hopeless = False
    for budget in request.budgets if request.pico else ():
        limit = to_pico(budget.limit_usd, rounding=ROUND_FLOOR)
        spent, reserved, own = standing(connection, budget, request.trace_id, now_us)
        left = limit - spent - reserved
        if left < request.pico:
            refusals.append(_refusal(request, budget, max(0, left)))
            hopeless = hopeless or spent + own + request.pico > limit
    tightest = min(refusals, key=lambda refusal: refusal.left, default=None)
    if tightest is not None and hopeless:
        raise tightest
    return tightest


def _refusal(request: Request, budget: Budget, left: int) -> BudgetExceededError:
    whose = f"of scope {budget.scope!r}" if budget.scope is not None else "of this task"
    per = f" per {budget.window}" if budget.window else ""
    return BudgetExceededError(
        f"the next call can cost ${from_pico(request.pico)} but the budget {whose}"
        f" (${budget.limit_usd}{per}) has ${from_pico(left)} left; raise it, allow a cheaper arm, or"
        " lower max_output_tokens",
        needed=from_pico(request.pico),
        left=from_pico(left),
    )


def standing(
    connection: sqlite3.Connection, budget: Budget, trace_id: str, now_us: int
) -> tuple[int, int, int]:
    """Money in a budget's present window: spent, reserved, and reserved by this trace itself."""
    scope = scope_key(budget, trace_id)
    period = period_of(budget.window)
    start_us = period_start(period, now_us)
    spent = connection.execute(
        "SELECT pico FROM spent WHERE scope = ? AND period = ? AND start_us = ?",
        (scope, period, start_us),
    ).fetchone()
    reserved, own = connection.execute(
        "SELECT coalesce(sum(pico), 0), coalesce(sum(pico) FILTER (WHERE trace_id = ?), 0)"
        " FROM holds WHERE scope = ? AND reserved_us >= ?",
        (trace_id, scope, start_us),
    ).fetchone()
    return (spent[0] if spent else 0), reserved, own


def insert_reservation(connection: sqlite3.Connection, request: Request, now_us: int) -> str:
    """Set the money aside in every scope; return the new reservation's id."""
    reservation = uuid.uuid4().hex
    me = current_owner()
    scopes = request.scopes
    common = (request.trace_id, now_us, request.pico)
    connection.execute(
        "INSERT INTO reservations VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (reservation, *common, json.dumps(scopes), me.pid, me.started, me.host),
    )
    connection.executemany(
        "INSERT INTO holds VALUES (?, ?, ?, ?, ?)",
        [(scope, reservation, *common) for scope in scopes],
    )
    return reservation


def find_open(connection: sqlite3.Connection, reservation: str) -> Open | None:
    """The reservation, if it is still open."""
    row = connection.execute(
        "SELECT id, trace_id, reserved_us, pico, scopes FROM reservations WHERE id = ?",
        (reservation,),
    ).fetchone()
    return None if row is None else Open(*row)


def find_reaped(connection: sqlite3.Connection, reservation: str) -> Open:
    """The reservation as the reaper booked it, if its real cost has not arrived before.

    Raises:
        StoreError: It was settled, or never made here.
    """
    rows = connection.execute(
        "SELECT kind, reservation, trace_id, reserved_us, pico, scopes FROM entries"
        " WHERE reservation = ?",
        (reservation,),
    ).fetchall()
    if [row[0] for row in rows] == ["reaped"]:
        return Open(*rows[0][1:])
    fact = "was settled before" if rows else "is not in this ledger"
    raise StoreError(
        f"reservation {reservation!r} {fact}; settle every reservation once, in the ledger that made it"
    )


def find_estimate(connection: sqlite3.Connection, reservation: str) -> tuple[Open, list[Cell]]:
    """What was booked as an upper bound, in place of the amount reserved, and who was asked.

    Raises:
        StoreError: It is not in this ledger, or its real cost is known.
    """
    rows = [
        dict(zip(_ENTRY_NAMES, row, strict=True))
        for row in connection.execute(
            f"SELECT {_ENTRY_COLUMNS} FROM entries WHERE reservation = ? ORDER BY id",  # noqa: S608 - column names are constants of ours
            (reservation,),
        )
    ]
    if not rows or not rows[-1]["estimated"]:
        raise StoreError(f"reservation {reservation!r} has no estimate to adjust; reconcile again")
    first, booked = rows[0], sum(row["pico"] for row in rows)
    found = Open(reservation, first["trace_id"], first["reserved_us"], booked, first["scopes"])
    # Tokens and seconds were counted with the call.
    return found, [first[name] if name in _NAMES else None for name in ROW_COLUMNS]


def abandoned(connection: sqlite3.Connection, dead: Sequence[Owner], oldest_us: int) -> list[Open]:
    """Open reservations of dead processes, and those made before a moment."""
    rows = connection.execute(
        "SELECT pid, started, host, id, trace_id, reserved_us, pico, scopes FROM reservations"
    ).fetchall()
    return [Open(*row[3:]) for row in rows if Owner(*row[:3]) in dead or row[5] < oldest_us]


def book(connection: sqlite3.Connection, found: Open, booking: Booking, *, now_us: int) -> None:
    """Write the entry, count its money, and release the reservation if it is still open."""
    scopes: list[str] = json.loads(found.scopes)
    if booking.kind not in AFTERTHOUGHTS:
        connection.execute("DELETE FROM reservations WHERE id = ?", (found.id,))
        connection.executemany(
            "DELETE FROM holds WHERE scope = ? AND reservation = ?",
            [(scope, found.id) for scope in scopes],
        )
    source, version = booking.cost.source, booking.cost.version
    connection.execute(
        _INSERT_ENTRY,
        (
            *(found.reserved_us, now_us, booking.kind, found.id, found.trace_id),
            *(booking.pico, found.pico, source, version, int(booking.estimated), found.scopes),
            *booking.cells,
        ),
    )
    connection.executemany(
        _ADD_SPENT,
        [
            (scope, period, start_us, booking.pico)
            for period, start_us in periods_at(found.reserved_us)
            for scope in scopes
        ],
    )


def read_entries(
    connection: sqlite3.Connection, *, after: int, bounds: tuple[int, int], limit: int
) -> list[tuple[int, LedgerEntry]]:
    """The next entries after a row number, with theirs."""
    rows = connection.execute(
        f"SELECT id, {_ENTRY_COLUMNS} FROM entries"  # noqa: S608 - column names are constants of ours
        " WHERE id > ? AND reserved_us >= ? AND reserved_us < ? ORDER BY id LIMIT ?",
        (after, *bounds, limit),
    )
    return [(row[0], _entry(row[1:])) for row in rows]


def _entry(values: Sequence[Any]) -> LedgerEntry:
    named = dict(zip(_ENTRY_NAMES, values, strict=True))
    return LedgerEntry(
        time=moment(named.pop("reserved_us")),
        settled_at=moment(named.pop("settled_us")),
        cost_usd=from_pico(named.pop("pico")),
        reserved_usd=from_pico(named.pop("reserved_pico")),
        estimated=bool(named.pop("estimated")),
        scopes=tuple(json.loads(named.pop("scopes"))),
        **named,
    )


def problems(connection: sqlite3.Connection) -> list[str]:
    """What is wrong with the tables, one sentence each."""
    damage = [str(text) for (text,) in connection.execute("PRAGMA integrity_check")]
    found = [text for text in damage if text != "ok"]
    differences: dict[tuple[str, str, int], int] = {}
    for scope, period, start_us, pico in connection.execute("SELECT * FROM spent"):
        differences[scope, period, start_us] = pico
    for reserved_us, pico, scopes in connection.execute(
        "SELECT reserved_us, pico, scopes FROM entries"
    ):
        for period, start_us in periods_at(reserved_us):
            for scope in json.loads(scopes):
                key = (scope, period, start_us)
                differences[key] = differences.get(key, 0) - pico
    found += [
        f"{scope} ({period} from {moment(start_us):%Y-%m-%d %H:%M}) counts ${from_pico(pico)} more"
        " than its entries add up to"
        for (scope, period, start_us), pico in sorted(differences.items())
        if pico
    ]
    return found

"""Arms at a mock server, and controllers of both kinds behind one method."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

from effortctl import Arm, AsyncController, Budget, Controller, Endpoint, Price

PRICE = Price(
    input_usd_per_mtok=Decimal(1),
    output_usd_per_mtok=Decimal(10),
    cached_input_usd_per_mtok=Decimal("0.1"),
)
TEAM = Budget(limit_usd=Decimal(1000), scope="team")


def arms(server, *efforts, cap=4000):
    """One arm per effort, each of a model of its own: `m-low`, `m-high`, …"""
    endpoint = Endpoint(name="mock", base_url=server.base_url)
    return [
        Arm(
            name=effort,
            model=f"m-{effort}",
            effort=effort,
            endpoint=endpoint,
            price=PRICE,
            max_output_tokens=cap,
        )
        for effort in efforts
    ]


def prices(server_arms):
    return {arm.model: arm.price for arm in server_arms}


def run_one(kind, ladder, prompt="What is 17*24?", **options):
    """Run one task with a controller of this kind, which is closed afterwards."""
    if kind == "sync":
        with Controller(ladder, **options) as controller:
            return controller.run(prompt)

    async def main():
        async with AsyncController(ladder, **options) as controller:
            return await controller.run(prompt)

    return asyncio.run(main())


def open_files():
    """How many file descriptors this process holds."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def has_proc():
    return Path("/proc/self/fd").is_dir()

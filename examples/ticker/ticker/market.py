"""A market whose prices go up and down by chance. A real one would be asked here."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

from demijohn import current_app

from .ring import Ring

OPENING = {"Bottles": 240, "Corks": 35, "Demijohns": 1890, "Wicker": 520}
"""What the goods cost at first, in cents."""


async def trade() -> AsyncIterator[None]:
    """Write new prices to the ring, from the start of the server to its end."""
    ring: Ring = current_app.extensions["ring"]
    async with asyncio.TaskGroup() as group:
        changing = group.create_task(_change(ring, current_app.config["PERIOD"]))
        yield
        changing.cancel()


async def _change(ring: Ring, period: float) -> None:
    prices = dict(OPENING)
    ring.write("prices", prices)
    while True:
        await asyncio.sleep(period)
        name = random.choice([*prices])
        prices[name] = max(1, round(prices[name] * random.uniform(0.97, 1.03)))
        ring.write("prices", prices)

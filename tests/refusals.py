"""What was refused: the dead letters of a topic, and the counts of a process by their label."""

from __future__ import annotations

import json
from typing import Any

from ingest.contract.topics import DEVICES
from tests.process_house import House
from tests.process_kit import Worker, tidegate


async def dead_letters(house: House, topic: str) -> list[dict[str, Any]]:
    code, out, err = await tidegate("dead", "list", str(house.ingest.config), "--topic", topic, "--json")
    assert code == 0, err
    return [json.loads(line) for line in out.splitlines()]


async def counted(worker: Worker, metric: str, label: str) -> dict[str, float]:
    """A counter of records of the devices' topic, by one of its labels."""
    found = [(dict(labels), value) for (name, labels), value in (await worker.metrics()).items() if name == metric]
    return {labels[label]: value for labels, value in found if labels["topic"] == DEVICES}

"""Every table that Grafana asks our API for, by the requests that the dashboards hold: a running API answers, column by column."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from dashboards.grafana.every import every_dashboard
from dashboards.grafana.sources import API
from tests.api_centre import Centre, running
from tests.api_filled import NORTH, SOUTH, fill
from tests.grafana_reader import queries, rows_of_api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.grafana_reader import Asked

ASKED = {
    asked.place: asked
    for model in every_dashboard()
    for asked in queries(model)
    if asked.query["datasource"]["type"] == API.type_val
}
VALUES = {"site": "north", "device": "pump-1", "metric": "heap", "rollout": "fw-2.3.0"}
KINDS = {"string": str, "number": (int, float), "timestamp_epoch": int}
YEAR_2001_MS = 1_000_000_000_000


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    async with running(Centre(tmp_path, [NORTH, SOUTH])) as started:
        await fill(started)
        yield started


async def test_every_table_has_rows_and_every_column_what_it_says(centre: Centre) -> None:
    found = await asyncio.to_thread(answers, centre)
    for place, rows in found.items():
        assert rows, place
        for column in ASKED[place].query["columns"]:
            values = [row[column["text"]] for row in rows if row[column["text"]] not in (None, "")]
            assert values, f"{place}: {column['text']} is empty"
            assert all(isinstance(value, KINDS[column["type"]]) for value in values), f"{place}: {column}: {values}"
            if column["type"] == "timestamp_epoch":
                assert min(values) > YEAR_2001_MS, f"{place}: {column['text']} is in milliseconds"
    assert "theirs" not in str(found), "of another tenant"


async def test_incidents_are_listed_with_what_explains_them(centre: Centre) -> None:
    (row,) = (await asyncio.to_thread(answers, centre))["tidegate-incidents / Incidents / A"]
    assert (row["Incident"], row["State"], row["First metric"]) == ("inc-1", "growing", "heap")
    assert row["What the affected share"] == "hardware rev-b: 100 % of the affected, 8 % of the fleet"
    assert (row["Devices"], row["Sites"], row["Series that alarm"]) == (2, 1, 2)


def answers(centre: Centre) -> dict[str, list[dict[str, Any]]]:
    headers = {"Authorization": f"Bearer {centre.tokens['acme'].token}"}
    with httpx.Client(trust_env=False, timeout=60.0, headers=headers) as client:
        return {place: rows_of(client, centre, asked) for place, asked in ASKED.items()}


def rows_of(client: httpx.Client, centre: Centre, asked: Asked) -> list[dict[str, Any]]:
    return rows_of_api(client, centre.api.address, asked.query, VALUES)

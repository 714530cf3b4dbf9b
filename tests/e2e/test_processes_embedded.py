"""Four processes, a file each, and no server: samples arrive, questions are answered, somebody is told, all end in order."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import msgspec

from compose.fleet.release import Release
from tests.process_fleet import SmallFleet, Talker, rollout_plan
from tests.process_house import FAST, SITE, House
from tests.process_kit import tidegate, until

INTRODUCTIONS = {
    "edge": "tidegate: edge gateway-north of site north, devices at mqtt://127.0.0.1:",
    "ingest": "tidegate: ingest ingest-1, log sqlite ",
    "analytics": "tidegate: analytics, log sqlite ",
    "api": "tidegate: api and page at http://127.0.0.1:",
}

PATIENT = msgspec.structs.replace(FAST, lease_s=5.0)
"""On a crowded machine all devices of this process may be silent for a moment: that must not be when the gate draws."""


async def test_the_four_processes_are_one_system(tmp_path: Path) -> None:
    async with House(tmp_path, spans=PATIENT) as house:
        await house.start()
        assert all(worker.told().startswith(INTRODUCTIONS[kind]) for kind, worker in house.workers.items())
        keys, harmless = house.credentials.centre_keys(), Release(version="2.3.0")
        fleet = SmallFleet(SITE, house.broker, keys, tmp_path / "devices", number=4, bad=harmless)
        talker = Talker(SITE, "talker", house.broker)
        try:
            fleet.start()
            talker.say()
            await everybody_is_known(house, 5)
            assert has_huge_pages(house.analytics.pid)
            await somebody_falls_silent_and_returns(house, talker)
            await a_rollout_from_the_command_line(house)
            await the_metrics_speak(house)
            await every_command_is_answered(house)
            await fleet.stop()
            sent = fleet.sent() + len(talker.said)
            await house.books_closed(sent)
        finally:
            talker.close()
        await the_pages_answer(house, sum(one.metric == "b" for one in talker.said))
        await house.stop()
        await the_books_balance(house, sent)


def has_huge_pages(pid: int) -> bool:
    return b"glibc.malloc.hugetlb=1" in Path(f"/proc/{pid}/environ").read_bytes()


async def everybody_is_known(house: House, number: int) -> None:
    async def known() -> bool:
        fleet = await house.client.get("/v1/fleet")
        return bool(fleet["states"].get("online", 0) == number)

    await until(known, f"{number} devices are known", house.told)


async def every_command_is_answered(house: House) -> None:
    async def answered() -> bool:
        return bool((await house.account())["commands_waiting"] == 0)

    # A device that is switched off while it installs would answer after its next boot only.
    await until(answered, "the canaries have installed the release", house.told)


async def somebody_falls_silent_and_returns(house: House, talker: Talker) -> None:
    summary = f"{talker.name} at {SITE} has fallen silent"

    async def told(status: str) -> bool:
        return any(alert["annotations"]["summary"] == summary for alert in house.inbox.alerts(status))

    await until(lambda: told("firing"), "on-call hears that a device is silent", house.told)
    (alert,) = [a for a in house.inbox.alerts("firing") if a["annotations"]["summary"] == summary]
    assert alert["labels"]["alertname"] == "Incident"
    # Its incident tells of it, and nobody else.
    assert "DeviceSilent" not in {one["labels"]["alertname"] for one in house.inbox.alerts("firing")}
    assert all(delivery.signed and delivery.idempotency_key for delivery in house.inbox.deliveries)

    async def back() -> bool:
        talker.say()  # who is heard once only falls silent again before it is over
        return await told("resolved")

    await until(back, "on-call hears that it is back", house.told)


async def a_rollout_from_the_command_line(house: House) -> None:
    plan = house.folder / "plan.json"
    plan.write_bytes(msgspec.json.encode(rollout_plan(SITE, mode="observe")))
    token = house.credentials.folder / "token"
    options = ("rollout", "--api", house.api.address, "--token-file", str(token))
    await done(*options, "start", str(plan))
    listed = await done(*options, "list", "--json")
    assert [msgspec.json.decode(line)["rollout"] for line in listed.splitlines()] == ["firmware-2.3.0"]

    said = [""]

    async def enrolled() -> bool:
        code, said[0], told = await tidegate(*options, "gate", "firmware-2.3.0", "--json", "--exit-code")
        assert code == 3, told
        return bool(msgspec.json.decode(said[0])["n_control"])

    await until(enrolled, "the gate has devices to compare", lambda: f"{said[0]}\n{house.told()}")
    code, out, _ = await tidegate(*options, "gate", "firmware-2.3.0")
    assert (code, out.partition(":")[0]) == (0, "inconclusive")
    plan.write_bytes(msgspec.json.encode(rollout_plan(SITE, alpha=0.01)))
    code, _, told = await tidegate(*options, "start", str(plan))
    assert code == 2
    assert "exists with other content" in told
    plan.write_bytes(msgspec.json.encode(rollout_plan(SITE, rollout="no good", alpha=7.0)))
    assert "alpha" in (await tidegate(*options, "start", str(plan)))[2]
    await done(*options, "end", "firmware-2.3.0")
    assert (await tidegate(*options, "end", "nothing"))[0] == 2
    out = await done("rollout", "replay", str(house.analytics.config), "firmware-2.3.0")
    assert "verdicts reproduced byte for byte" in out.splitlines()[-1]
    assert (await tidegate("rollout", "replay", str(house.analytics.config), "nothing"))[0] == 1


async def done(*arguments: str) -> str:
    code, out, told = await tidegate(*arguments)
    assert code == 0, out + told
    return out


async def the_metrics_speak(house: House) -> None:
    edge, ingest, analytics = await asyncio.gather(
        house.edge.metrics(), house.ingest.metrics(), house.analytics.metrics()
    )
    assert edge["tidegate_edge_samples_total", (("outcome", "received"), ("reason", ""))] > 0
    assert ingest["tidegate_ingest_batches_total", (("outcome", "stored"), ("reason", ""))] > 0
    delivered = (("outcome", "delivered"), ("receiver", "on-call"))
    assert analytics["tidegate_alert_deliveries_total", delivered] >= 2
    labels = {name for metrics in (edge, ingest, analytics) for _, pairs in metrics for name, _ in pairs}
    assert "device" not in labels


async def the_pages_answer(house: House, said: int) -> None:
    token = {"Authorization": f"Bearer {house.credentials.token}"}
    async with httpx.AsyncClient(base_url=house.api.address, trust_env=False, timeout=60.0) as client:
        statuses: dict[str, Any] = {}
        for path in ("/", "/healthz", "/readyz", "/metrics", "/v1/devices", "/v1/ledger", "/v1/alerts"):
            statuses[path] = (await client.get(path)).status_code, (await client.get(path, headers=token)).status_code
        series = (await client.get("/v1/series?device=talker&metric=b", headers=token)).json()["data"]["series"]
    open_to_all = {path for path, (without, _) in statuses.items() if without == httpx.codes.OK}
    assert open_to_all == {"/", "/healthz", "/readyz"}
    assert all(with_token == httpx.codes.OK for _, with_token in statuses.values()), statuses
    assert [(one["device"], sum(one["count"])) for one in series] == [("talker", said)]


async def the_books_balance(house: House, sent: int) -> None:
    account = await house.account()
    totals = account["totals"]
    assert account["balanced"]
    assert (totals["received"], totals["open"], totals["dropped"]) == (sent, 0, {})
    assert (account["outbox_records"], account["commands_waiting"]) == (0, 0)
    assert (await house.stored()).samples == totals["rolled_up"]

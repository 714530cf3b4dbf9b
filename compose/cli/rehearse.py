"""`tidegate rollout rehearse`: what the owners of a rollout would be sent to go back, without changing anything."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import httpx
import msgspec

from analytics.rollback.actuator import Decision, Purpose, Target
from analytics.rollback.attempts import OrderAttempt, secret_of, told
from analytics.rollback.orders import orders_of
from analytics.rollback.owners.owner import PassingError, RefusedError, Request
from compose.cli.ending import FAILED, refuse
from compose.cli.plan import checked_plan
from compose.processes.config import AnalyticsProcess
from ingest.contract.events import ActuatorRef
from ingest.runtime.clock import SystemClock
from ingest.runtime.config import ConfigError, load_config
from ingest.runtime.secrets import SecretError

if TYPE_CHECKING:
    from analytics.rollback.owners.owner import Order
    from analytics.rollouts.config import OwnerConfig

REASON = "rehearsal"


class Rehearsed(msgspec.Struct, frozen=True, kw_only=True):
    """One owner: the requests that would change something, in order, or why it could not be told."""

    owner: str
    kind: str
    url: str
    requests: list[Request] = []
    problem: str = ""


@click.command("rehearse")
@click.argument("plan", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--device", "devices", multiple=True, help="SITE/DEVICE that would go back; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object an owner.")
def rehearse_command(plan: Path, config: Path, devices: tuple[str, ...], *, as_json: bool) -> None:
    """Look at every owner that PLAN names and print the exact requests by which it would be told to go back; send none of them.

    CONFIG is the analytics process's file: its [[analytics.gate.owners]] say where the owners are. An id that the owner would give
    to what is created is shown as 0. Exit code 1 when an owner cannot go back, or cannot be asked.

    \b
    Examples:
      tidegate rollout rehearse plan.toml analytics.toml
      tidegate rollout rehearse plan.toml analytics.toml --device north/pump-7 --json
    """
    orders = _orders(checked_plan(plan), devices)
    if not orders:
        refuse(f"{plan}: actuators: it names none")
    found = asyncio.run(_rehearsed(orders, _owners(config)))
    for one in found:
        click.echo(msgspec.json.encode(one).decode() if as_json else _text(one))
    sys.exit(FAILED if any(one.problem for one in found) else 0)


def _orders(plan: dict[str, Any], devices: tuple[str, ...]) -> list[Order]:
    parted = [device.partition("/") for device in devices]
    if not all(site and device for site, _, device in parted):
        refuse("--device: expected SITE/DEVICE")
    return orders_of(
        Decision(
            rollout=plan["rollout"],
            tenant=plan["tenant"],
            purpose=Purpose.ROLLBACK,
            version=plan["previous_release"],
            digest=plan["previous_digest"],
            decided_at=SystemClock().now_ms(),
            expiry_s=plan["command_expiry_s"],
            targets=[Target(site, device) for site, _, device in parted],
            reason=REASON,
            owners=[ActuatorRef(**owner) for owner in plan["actuators"]],
        )
    )


def _owners(path: Path) -> list[OwnerConfig]:
    try:
        return load_config(path, AnalyticsProcess).analytics.gate.owners
    except ConfigError as error:
        refuse(str(error))


async def _rehearsed(orders: list[Order], owners: list[OwnerConfig]) -> list[Rehearsed]:
    attempt = OrderAttempt(owners, secret_of, SystemClock())
    async with httpx.AsyncClient(timeout=30.0, follow_redirects=False) as client:
        return [await _one(attempt, client, order, owners) for order in orders]


async def _one(attempt: OrderAttempt, client: httpx.AsyncClient, order: Order, owners: list[OwnerConfig]) -> Rehearsed:
    known = next((owner for owner in owners if owner.name == order.actuator), None)
    named = Rehearsed(owner=order.actuator, kind=known.kind if known else "", url=known.url if known else "")
    try:
        requests = await attempt.go_back(client, order, dry_run=True)
    except (RefusedError, PassingError, httpx.HTTPError, OSError, SecretError) as error:
        return msgspec.structs.replace(named, problem=str(error) or type(error).__name__)
    return msgspec.structs.replace(named, requests=requests)


def _text(one: Rehearsed) -> str:
    if one.problem:
        return f"{one.owner}: {one.problem}"
    if not one.requests:
        return f"{one.owner}: nothing to do"
    return "\n".join([f"{one.owner}:", *(f"  {told(one.url, request)}" for request in one.requests)])

"""Whether anybody is the tenant that a command names: what is said for a mistyped one would hold for nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from compose.cli.ending import refuse
from compose.cli.log import with_log
from ingest.contract.records import read_event
from ingest.contract.topics import ALERTS
from ingest.runtime.config import ConfigError, load_config

if TYPE_CHECKING:
    from pathlib import Path

    from ingest.runtime.log.port import Log

MOST_SHOWN = 20


class _OfTenant(msgspec.Struct, frozen=True):
    tenant: str


class _Configured(msgspec.Struct, frozen=True):
    gateways: list[_OfTenant] = []


def require_known(config: Path, tenant: str) -> None:
    """A tenant of whom the file names no gateway and the log no alert ends the command with 2.

    A file without gateways (that of an edge process) cannot know: anything is taken.
    """
    try:
        known = {gateway.tenant for gateway in load_config(config, _Configured).gateways}
    except ConfigError as error:
        refuse(str(error))
    # Alerts may outlive the gateways of their tenant.
    if known and tenant not in known and tenant not in with_log(config, _alerted):
        refuse(f"--tenant: {config} names no gateway of {tenant!r}, only of {_listed(sorted(known))}")


async def _alerted(log: Log) -> set[str]:
    records = (await log.read_compacted(ALERTS)).values()
    return {event.tenant for record in records if (event := read_event(record, _OfTenant))}


def _listed(tenants: list[str]) -> str:
    more = len(tenants) - MOST_SHOWN
    return ", ".join(tenants[:MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")

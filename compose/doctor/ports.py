"""Addresses that a process wants to listen on: free, or taken by that very process."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import httpx

from compose.doctor.finding import bad, good
from compose.processes.config import ApiProcess, EdgeProcess
from ingest.runtime.observe import ListenError, listen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compose.doctor.finding import Finding
    from compose.processes.config import Process

ABOUT = "ports"
ANSWER_S = 5.0


class Place(NamedTuple):
    """One address by the setting that names it."""

    setting: str
    host: str
    port: int


def places(config: Process) -> list[Place]:
    """Where the process answers /healthz first, then where else it listens; ports that it picks itself are left out."""
    if isinstance(config, ApiProcess):
        found = [Place("api.port", config.api.host, config.api.port)]
    else:
        found = [Place("observe.port", config.observe.host, config.observe.port or 0)]
    if isinstance(config, EdgeProcess) and config.edge.listener is not None:
        found.append(Place("edge.listener.port", config.edge.listener.host, config.edge.listener.port))
    return [place for place in found if place.port]


def look_at_ports(config: Process, patience_s: float = ANSWER_S) -> Iterator[Finding]:
    """One finding for each; so long whoever has the port may take to answer."""
    shown = config.api if isinstance(config, ApiProcess) else config.observe
    running = any(
        _answers(place, patience_s, tls=bool(shown.tls_certificate))
        for place in places(config)
        if not place.setting.startswith("edge")
    )
    for place in places(config):
        address = f"{place.setting}: {place.host}:{place.port}"
        try:
            listen(place.host, place.port).close()
        except ListenError as error:
            if running:
                yield good(ABOUT, f"{address} is taken, and this process runs")
            else:
                yield bad(ABOUT, f"{place.setting}: {error}", f"who has it: ss -ltnp 'sport = :{place.port}'")
        else:
            yield good(ABOUT, f"{address} is free")


def _answers(place: Place, patience_s: float, *, tls: bool) -> bool:
    # Only whether it is one of ours: its certificate is for another name than loopback's.
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(place.host, place.host)  # noqa: S104 - compared, not bound
    try:
        address = f"http{'s' if tls else ''}://{host}:{place.port}/healthz"
        return httpx.get(address, timeout=patience_s, verify=False, trust_env=False).is_success  # noqa: S501
    except (httpx.HTTPError, httpx.InvalidURL):
        return False

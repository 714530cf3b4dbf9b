"""The demonstration in a terminal: a live picture above, the story below; plain lines where there is no terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from compose.demo.observation import Observation

LINES = 14
BAR = 30


class Screen:
    """Shows observations and tells the story. `quiet` tells nothing (the JSON line is for machines)."""

    def __init__(self, *, quiet: bool, stderr: bool = False) -> None:
        self._console = Console(stderr=stderr, quiet=quiet, highlight=False)
        self._lines: list[Text] = []
        self._live = Live(console=self._console, refresh_per_second=4) if self._console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def say(self, seconds: float, text: str, style: str = "") -> None:
        """Tell one thing that has happened."""
        line = Text.assemble((f"{seconds:6.1f} s  ", "dim"), (text, style))
        self._lines = [*self._lines, line][-LINES:]
        if self._live is None:
            self._console.print(line)

    def show(self, seconds: float, seen: Observation) -> None:
        """Draw the picture anew."""
        if self._live:
            parts = (_sites(seen), _figures(seen), Panel(Group(*self._lines), title="what happens", title_align="left"))
            self._live.update(Panel(Group(*parts), title=f"tidegate demo · {seconds:.0f} s", border_style="blue"))

    def end(self, text: str, style: str) -> None:
        """The last word."""
        self._console.print(Text(text, style), soft_wrap=True)  # an address has to stay in one piece


def _sites(seen: Observation) -> Table:
    table = Table(box=None, pad_edge=False, expand=True)
    for title in ("site", "devices", "online", "silent", "uplink"):
        table.add_column(title, justify="left" if title in {"site", "uplink"} else "right")
    for site in seen.sites:
        devices = [device for device in seen.devices if device["site"] == site["site"]]
        online = sum(device["state"] == "online" for device in devices)
        uplink = Text(site["state"], "green" if site["state"] == "live" else "bold red")
        table.add_row(site["site"], str(len(devices)), str(online), str(len(devices) - online), uplink)
    return table


def _figures(seen: Observation) -> Table:
    table = Table.grid(padding=(0, 2))
    account = seen.account
    table.add_row("samples", f"{account.received:,} received, {account.rolled_up:,} rolled up, {account.open:,} open")
    firing = [alert for alert in seen.alerts if alert["state"] == "firing"]
    table.add_row("alerts", Text(f"{len(firing)} firing", "bold red" if firing else "green"))
    if seen.gate:
        table.add_row("gate", _gate(seen.gate))
    if seen.rollback:
        counts = {what: len(seen.rolled_back(what)) for what in ("commanded", "done", "recovered", "unreachable")}
        table.add_row("rollback", ", ".join(f"{count} {what}" for what, count in counts.items()))
    return table


def _gate(gate: dict[str, Any]) -> Text:
    needed = math.log10(1 / gate["alpha"])
    filled = round(BAR * min(1.0, max(0.0, gate["log10_e"] / needed)))
    style = {"fail": "bold red", "pass": "bold green"}.get(gate["verdict"], "yellow")
    bar = "█" * filled + "░" * (BAR - filled)
    return Text.assemble(
        (bar, style), f"  e = {gate['e_value']:.3g} of {1 / gate['alpha']:.0f}  ", (gate["verdict"], style)
    )

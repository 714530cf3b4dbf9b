"""`tidegate bench`: what is promised and what is claimed, measured on this machine."""

from __future__ import annotations

import click

from compose.cli.bench_alerts import alerts
from compose.cli.bench_api import api
from compose.cli.bench_crash import crash
from compose.cli.bench_detect import detect
from compose.cli.bench_drain import drain
from compose.cli.bench_edge import edge
from compose.cli.bench_flood import flood
from compose.cli.bench_gate import gate
from compose.cli.bench_incidents import incidents
from compose.cli.bench_start import start


@click.group()
def bench() -> None:
    """Measure what is claimed, and try what is promised, on this machine."""


bench.add_command(edge)
bench.add_command(crash)
bench.add_command(flood)
bench.add_command(drain)
bench.add_command(gate)
bench.add_command(start)
bench.add_command(incidents)
bench.add_command(detect)
bench.add_command(alerts)
bench.add_command(api)

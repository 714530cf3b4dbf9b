"""The group that all commands belong to; each command's room is loaded only when it is used."""

from __future__ import annotations

import importlib
import os
import sys
from importlib.metadata import version

import click

from compose.processes.huge_pages import begin_anew

COMMANDS: dict[str, tuple[str, str, str]] = {
    "demo": ("compose.cli.demo", "demo", "Show the whole loop on this machine, live."),
    "edge": ("compose.cli.processes", "edge", "The aggregator of one site."),
    "ingest": ("compose.cli.processes", "ingest", "The central door: from the log into the store."),
    "analytics": ("compose.cli.processes", "analytics", "Detection, alerts, rollout gate and rollback."),
    "api": ("compose.cli.processes", "api", "The API and the page."),
    "config": ("compose.cli.config", "config", "Print commented example configurations."),
    "check": ("compose.cli.config", "check", "Validate a configuration file."),
    "stack": ("compose.cli.stack", "stack", "Kafka, Mosquitto, InfluxDB, Alertmanager and Prometheus on loopback."),
    "top": ("compose.cli.top", "top", "The fleet, live: sites, incidents, alerts, rollouts."),
    "status": ("compose.cli.top", "status", "Is all well? One line a problem."),
    "doctor": ("compose.cli.doctor", "doctor", "Examine a process and what it needs."),
    "dead": ("compose.cli.dead", "dead", "List, explain and replay dead letters."),
    "alerts": ("compose.cli.alerts", "alerts", "Rules, silences, maintenance; look back at alerts."),
    "anomaly": ("compose.cli.anomaly", "anomaly", "What detectors saw; say that it is none."),
    "incidents": ("compose.cli.incidents", "incidents", "Alarms that share a time and a cause."),
    "rollout": ("compose.cli.rollout", "rollout", "Start, watch and replay rollouts."),
    "audit": ("compose.cli.audit", "audit", "Who did what about rollouts; is that record whole?"),
    "bench": ("compose.cli.bench", "bench", "Measure what is claimed, try what is promised."),
    "detect": ("compose.cli.detect", "detect_files", "Try detection on your own CSV files."),
    "tap": ("compose.cli.tap", "tap", "Watch samples as a running gateway acknowledges them."),
    "samples": ("compose.cli.samples", "samples", "Pull raw samples out of gateways' flight recorders."),
    "grafana": ("compose.cli.grafana", "grafana", "Grafana's dashboards, as files or pushed."),
    "completion": ("compose.cli.completion", "completion", "Completion for bash, zsh and fish."),
    "token": ("compose.cli.token", "token", "Make, list and revoke tokens of the API."),
    "keys": ("compose.cli.keys", "keys", "Make keys and tokens."),
}
"""Name to (module, attribute, short help)."""


class Commands(click.Group):
    """Lists all commands without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import one command's module."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """The list in `--help`, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("tidegate"), prog_name="tidegate")
@click.pass_context
def tidegate(context: click.Context) -> None:
    """Fleet telemetry from the edge to the centre, alerts, rollout gates and signed rollback.

    \b
    Examples:
      tidegate demo                     the whole loop on this machine
      tidegate config init edge         a commented configuration for a site
      tidegate check edge edge.toml     is it right?
      tidegate edge run edge.toml       run it

    Exit codes: 0 done, 1 it failed, 2 the command or its configuration is wrong. Colours are for terminals, and for nobody
    who sets NO_COLOR.
    """
    if os.environ.get("NO_COLOR"):
        context.color = False


def main() -> None:
    """The console script."""
    begin_anew(("analytics", "run"))
    tidegate(prog_name="tidegate")
    sys.exit(0)

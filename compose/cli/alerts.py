"""`tidegate alerts`: everything about alerts that is done from a terminal."""

from __future__ import annotations

import click

from compose.cli.alerts_deliveries import deliveries, discard, replay, send_test
from compose.cli.alerts_maintenance import maintenance
from compose.cli.alerts_people import acknowledge, history, silence, silences, unsilence
from compose.cli.alerts_rules import check_command, starter, test_command


@click.group()
def alerts() -> None:
    """Rules of your own, deliveries; silence, acknowledge and look back at alerts; maintenance.

    CONFIG is any process's file: its [log] is used.

    \b
    Examples:
      tidegate alerts starter > rules.toml
      tidegate alerts check rules.toml
      tidegate alerts test rules.test.toml
      tidegate alerts deliveries analytics.toml --outcome dead
      tidegate alerts send-test analytics.toml on-call
      tidegate alerts history analytics.toml --since 24h
      tidegate alerts acknowledge analytics.toml 3f1c0a8e55d2b917 --comment "on my way"
      tidegate alerts silence analytics.toml site=north device=pump-* --for 2h --tenant acme
      tidegate alerts maintenance add analytics.toml site=north --tenant acme --days sat,sun --at 02:00 --for 2h
    """


_RULES = (starter, check_command, test_command)
_DELIVERIES = (deliveries, replay, discard, send_test)
_PEOPLE = (history, acknowledge, silence, silences, unsilence)

for command in (*_RULES, *_DELIVERIES, *_PEOPLE):
    alerts.add_command(command)
alerts.add_command(maintenance)

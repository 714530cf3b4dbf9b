"""Lengths of time as options: 90s, 5m, 2h, 7d."""

from __future__ import annotations

import click

from analytics.rules.spans import span_ms


class Duration(click.ParamType[float]):
    """A length of time; the value is in seconds."""

    name = "duration"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds. Fails with what was expected."""
        if isinstance(value, int | float):
            return float(value)
        try:
            return span_ms(value) / 1000
        except ValueError as error:
            self.fail(str(error), param, ctx)

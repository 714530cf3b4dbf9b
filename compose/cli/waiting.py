"""Waiting for an answer, with a bar on a terminal and in silence elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from compose.cli.access import ApiError
from ingest.contract.records import rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable

POLL_S = 0.5
_BAR = 24


def wait_for(look: Callable[[], dict[str, Any]], timeout_s: float) -> dict[str, Any]:
    """The pull (PullView) once it is done, or as it stands after `timeout_s`. Raises ApiError.

    An API that is away meanwhile is asked again.
    """
    deadline, shown = time.monotonic() + timeout_s, sys.stderr.isatty()
    while True:
        try:
            found = look()
        except ApiError as error:
            if not error.passing or time.monotonic() >= deadline:
                raise
        else:
            over = found["done"] or time.monotonic() >= deadline
            if shown:
                click.echo("\r\x1b[K" + ("" if over else progress(found)), err=True, nl=False)
            if over:
                return found
        time.sleep(max(0.0, min(POLL_S, deadline - time.monotonic())))


def progress(found: dict[str, Any]) -> str:
    """How far the gateways are, in one line."""
    done = sum(gateway["state"] not in {"waiting", "answering"} for gateway in found["gateways"])
    samples = sum(gateway["samples"] for gateway in found["gateways"])
    filled = _BAR * done // max(1, len(found["gateways"]))
    away = [gateway["gateway"] for gateway in found["gateways"] if gateway["state"] == "waiting"]
    waits = f", waiting for {', '.join(away)} until {rfc3339(found['expires'])}" if away else ""
    bar = "█" * filled + "░" * (_BAR - filled)
    return f"{bar} {done} of {len(found['gateways'])} gateways, {samples:,} samples{waits}"

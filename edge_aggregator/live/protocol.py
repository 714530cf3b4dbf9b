"""What is said over a gateway's local socket: one line of JSON asks, lines of JSON answer."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import msgspec

from edge_aggregator.live.recent import Lag, Rates
from edge_aggregator.live.talkers import Talker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE_NAME = "live.sock"
_LONGEST = 100
"""Bytes of a socket's path that every system takes (Linux: 107)."""


class Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`tap` takes shell patterns as SampleRequest does."""

    ask: Literal["status", "tap"]
    device: str = "*"
    metrics: list[str] = []


class ClockAhead(msgspec.Struct, frozen=True):
    """By how many ms a device's clock is ahead of the gateway's."""

    device: str
    ahead_ms: int


class LiveStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What only a running gateway knows. `open_samples` are in windows not closed yet; `up_s` since it started.

    `not_ready` are the reasons of /readyz; `quarantined` counts blocks found damaged since the start; `taps` are open.
    """

    up_s: float
    rates: Rates
    lag: Lag | None
    open_samples: int
    receivers: dict[str, str]
    not_ready: dict[str, str]
    talkers_by_samples: list[Talker]
    talkers_by_bytes: list[Talker]
    clocks_ahead: list[ClockAhead]
    quarantined: int
    taps: int


@contextmanager
def socket_address(folder: Path) -> Iterator[str]:
    """The address of the socket in a gateway's folder, however long the folder's path is."""
    path = str(folder / FILE_NAME)
    if len(os.fsencode(path)) <= _LONGEST:
        yield path
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{handle}/{FILE_NAME}"
    finally:
        os.close(handle)

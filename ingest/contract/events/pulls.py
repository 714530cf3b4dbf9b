"""The audit of the flight recorder: topic `telemetry.pulls.v1`."""

from __future__ import annotations

import msgspec


class PullEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a request for raw samples at one gateway, key site: who asked for what, and how much was sent.

    `outcome` is "answered" or a value of RequestRefusal; `start`, `end`, `asked` and `at` are ms, `bytes` those of all
    chunks sent. Of a request that could not be verified there is a dead letter instead.
    """

    tenant: str
    site: str
    gateway: str
    request: str
    asked_by: str
    asked: int
    device: str
    metrics: list[str]
    start: int
    end: int
    outcome: str
    samples: int
    chunks: int
    bytes: int
    unreadable_blocks: int
    at: int

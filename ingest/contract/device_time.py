"""Time for devices that have no clock of their own: asked for with a nonce, answered by their gateway with its signature."""

from __future__ import annotations

from typing import Annotated

import msgspec

TIME = "time"

CLOCK_UNSET_BEFORE_MS = 1_600_000_000_000
"""A clock that shows a time before this has not been set since power-on."""

Nonce = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16,64}$")]


class TimeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A device's MQTT topic `clock`, JSON: what it asks. `nonce` was never used before."""

    nonce: Nonce


class SignedTime(msgspec.Struct, frozen=True, kw_only=True):
    """The signed bytes of the answer, on the device's command topic: `time` (ms) is when it was signed."""

    kind: str
    tenant: str
    site: str
    device: str
    key: str
    nonce: str
    time: int

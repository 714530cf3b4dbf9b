"""Why a connection ended: one word for the counter, one sentence for people."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """The names of the counters that count endings."""

    MALFORMED = "malformed"  # bytes that are no MQTT, or a packet that may not be sent
    UNREACHABLE = "unreachable"  # no connection could be made
    REFUSED = "refused"  # the broker refused the connection
    UNSUPPORTED_VERSION = "unsupported_version"  # the peer does not speak this version
    NOT_SUBSCRIBED = "not_subscribed"  # the broker refused a subscription
    SILENT = "silent"  # the peer let a deadline pass
    CLOSED = "closed"  # the peer closed the connection, or it broke
    FAREWELL = "farewell"  # the peer said DISCONNECT
    BAD_DEVICE_NAME = "bad_device_name"  # the client identifier is no device's name
    BAD_CREDENTIALS = "bad_credentials"  # unknown device, or the wrong user name or password
    FOREIGN_TOPIC = "foreign_topic"  # a device published, or wanted its will published, outside its own topics
    TAKEN_OVER = "taken_over"  # the same device connected anew
    TOO_MANY_CONNECTIONS = "too_many_connections"


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a connection is over."""

    cause: Cause
    detail: str

    def __str__(self) -> str:
        """The sentence."""
        return self.detail

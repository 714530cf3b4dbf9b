"""What a session has said, taken apart."""

from __future__ import annotations

from typing import Protocol

from edge_aggregator.receive.mqtt.wire import frame_at


class Speaking(Protocol):
    """Either end of a connection, as a state machine."""

    outgoing: bytearray


def said(session: Speaking) -> bytes:
    """What is to be written next; it counts as written."""
    outgoing = bytes(session.outgoing)
    session.outgoing.clear()
    return outgoing


def body(raw: bytes) -> bytes:
    """What follows the fixed header of one whole packet."""
    frame = frame_at(raw, 0)
    assert frame is not None
    assert frame.end == len(raw)
    return raw[frame.start :]

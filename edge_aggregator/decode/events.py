"""State messages and acknowledgements of devices as typed events."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from edge_aggregator.decode.decoded import AckMessage, StateMessage
from ingest.contract.batch_wire import TEXT_LIMIT

_Text = Annotated[str, msgspec.Meta(max_length=TEXT_LIMIT)]
MOST_TAGS = 32
_Tag = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_Tags = Annotated[list[_Tag], msgspec.Meta(max_length=MOST_TAGS)]


class _State(msgspec.Struct):
    state: Literal["online", "lost", "retired"]
    firmware: _Text = ""
    hardware: _Text = ""
    group: _Text = ""
    boot: _Text | int = ""
    tags: _Tags | None = None


class _Ack(msgspec.Struct):
    command: _Text
    status: Literal["accepted", "done", "refused", "failed"]
    firmware: _Text = ""
    reason: _Text = ""


_STATES = msgspec.json.Decoder(_State)
_ACKS = msgspec.json.Decoder(_Ack)


def read_state(payload: bytes, device: int, at: int, *, retained: bool) -> StateMessage:
    """A state message. Raises ValueError (msgspec.DecodeError is one)."""
    found = _STATES.decode(payload)
    texts = (found.firmware, found.hardware, found.group, str(found.boot))
    _check_printable(*texts, *(found.tags or ()))
    tags = None if found.tags is None else sorted(set(found.tags))
    return StateMessage(device, at, retained, found.state, *texts, tags)


def read_ack(payload: bytes, device: int, at: int) -> AckMessage:
    """An acknowledgement. Raises ValueError."""
    found = _ACKS.decode(payload)
    _check_printable(found.command, found.firmware, found.reason)
    return AckMessage(device, at, found.command, found.status, found.firmware, found.reason)


def _check_printable(*texts: str) -> None:
    bad = next((text for text in texts if not text.isprintable()), None)
    if bad is not None:
        raise ValueError(f"found {bad[:40]!r}, expected printable text")

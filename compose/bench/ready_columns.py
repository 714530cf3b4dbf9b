"""Samples that come as the columns that decoding would make of them: the gateway's way but for the JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_aggregator.journal.block import Block
from edge_aggregator.recovery import step

if TYPE_CHECKING:
    from edge_aggregator.decode.decoded import Decoded
    from edge_aggregator.rooms import Rooms


def take_columns(rooms: Rooms, decoded: Decoded, listened: float) -> None:
    """Journal and windows take `decoded`, whose names are known; `listened` in s."""
    step(rooms, Block(rooms.journal.append(decoded, rooms.names), *decoded), listened)

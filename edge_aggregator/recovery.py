"""After a start: open windows are rebuilt from the journal, and what the checkpoint does not contain is taken as new."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from edge_aggregator.decode.decoded import Decoded
from edge_aggregator.journal.block import Block
from ingest.contract.reasons import SampleDrop, SampleRejection

if TYPE_CHECKING:
    from edge_aggregator.journal.block import LostBlock
    from edge_aggregator.rooms import Rooms

_LOG = logging.getLogger(__name__)


def recover(rooms: Rooms) -> None:
    """Bring memory to where the journal ends. Takes time by what was open, not by the journal's size."""
    _rebuild(rooms)
    newest = np.maximum(rooms.windows.devices["watermark"], rooms.windows.devices["horizon"])
    rooms.rewidened += rooms.names.adopt_widths(newest)
    rooms.state.load_places(rooms.names, rooms.journal.last_position)
    for block in rooms.journal.read(rooms.saved.processed + 1, rooms.journal.last_position):
        step(rooms, block)


def step(rooms: Rooms, block: Block | LostBlock, listened: float = 0.0) -> None:
    """Take one block of the journal into the account, the windows and the registry."""
    if isinstance(block, Block):
        decoded = Decoded(block.samples, block.notes)
        rooms.ledger.receive(decoded.received(), block.notes.rejected)
        rooms.ledger.reject(SampleRejection.TOO_OLD.value, rooms.windows.step(block.samples, block.position))
        rooms.registry.step(block.samples, block.notes, listened)
        rooms.names.places.use(block.samples.series)
        rooms.offenders.note(block.samples.series, rooms.names)
        rooms.pending.note(block.notes)
    elif block.received is not None:
        rooms.ledger.receive(block.received, {})
        rooms.ledger.lose(SampleDrop.CORRUPT_BLOCK.value, block.received)
    else:
        _LOG.error("journal block %d is lost and its samples cannot be counted: %s", block.position, block.reason)
    rooms.position = max(rooms.position, block.position)


def _rebuild(rooms: Rooms) -> None:
    for block in rooms.journal.read(rooms.saved.needed, rooms.saved.processed):
        if isinstance(block, Block):
            rooms.windows.rebuild(block.samples, block.position)
    # What was open at the checkpoint and is not in the journal any more is lost, and counted.
    lost = rooms.ledger.totals.open - rooms.windows.samples()
    if lost > 0:
        _LOG.error("%d samples of open windows are lost: their blocks cannot be read", lost)
        rooms.ledger.lose(SampleDrop.CORRUPT_BLOCK.value, lost)

"""After a start: open windows are rebuilt from the journal, and what the checkpoint does not contain is taken as new."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from edge_aggregator.by_device import added
from edge_aggregator.decode.decoded import Decoded
from edge_aggregator.journal.block import Block
from edge_aggregator.journal.content import with_known_names
from edge_aggregator.journal.tally import boot_number
from edge_aggregator.state import IF_DAMAGED
from edge_aggregator.storage import StorageFailedError, fatal
from ingest.contract.reasons import SampleDrop, SampleRejection

if TYPE_CHECKING:
    from edge_aggregator.journal.block import LostBlock
    from edge_aggregator.rooms import Rooms

_LOG = logging.getLogger(__name__)


def recover(rooms: Rooms) -> None:
    """Bring memory to where the journal ends. Takes time by what was open, not by the journal's size.

    Raises StorageFailedError when the state is older than what was written last.
    """
    _check_age(rooms)
    with fatal("reading journal and state.db", IF_DAMAGED):
        _rebuild(rooms)
        newest = rooms.windows.newest()
        rooms.rewidened += rooms.names.widths.adopt(newest, rooms.resolution.kept())
        rooms.state.load_places(rooms.names, rooms.journal.last_position)
        for block in rooms.journal.read(_begin(rooms), rooms.journal.last_position):
            step(rooms, _admitted(rooms, block) if isinstance(block, Block) else block)
        _count_missing(rooms, rooms.journal.received)
    rooms.position, rooms.journaled = rooms.journal.last_position, rooms.journal.received


def step(rooms: Rooms, block: Block | LostBlock, listened: float = 0.0) -> None:
    """Take one block of the journal into the account, the windows and the registry."""
    if isinstance(block, Block):
        decoded = Decoded(block.samples, block.notes)
        notes, of = block.notes, np.bincount(rooms.names.columns["device"][block.samples.series])
        rooms.ledger.receive(decoded.received(), notes.rejected, of=of, rejected_of=notes.rejected_of)
        rooms.ledger.reject(SampleRejection.TOO_OLD.value, rooms.windows.step(block.samples, block.position))
        watermark = rooms.windows.devices["watermark"]
        rooms.registry.clocks.note(notes.heard, watermark, notes.taken, notes.ahead)
        rooms.registry.step(block.samples, block.notes, listened)
        for device in {message.device for message in notes.messages}:
            rooms.ledger.account.describe(device, rooms.registry.hardware(device))
        rooms.names.places.use(block.samples.series)
        rooms.offenders.note(block.samples.series, rooms.names)
        rooms.pending.note(block.notes)
        rooms.journaled += decoded.received()
    elif block.received is not None:
        _count_missing(rooms, rooms.journaled + block.received)
    else:
        _LOG.error("journal blocks %d to %d are lost: %s", block.position, block.last, block.reason)
    rooms.position = max(rooms.position, block.last)


def _check_age(rooms: Rooms) -> None:
    told, saved = rooms.journal.told(), rooms.saved
    newer = (told.seq, told.processed) > (saved.head.seq, saved.processed)
    if told.boot == boot_number(rooms.state.boot) and newer:
        # Batches that it does not know of may have been sent: others under their seqs would be taken for repetitions.
        raise StorageFailedError(
            f"state.db ends with batch {saved.head.seq} and journal block {saved.processed}, but had come to batch "
            f"{told.seq} and block {told.processed}: {IF_DAMAGED}"
        )


def _begin(rooms: Rooms) -> int:
    journal, processed = rooms.journal, rooms.saved.processed
    if processed:
        return processed + 1
    # The state is new. If the journal is not, all that there is in it is taken as new.
    first, last = journal.folder.firsts[0], journal.last_position
    if first <= last and journal.told().boot not in (0, boot_number(rooms.state.boot)):
        _LOG.warning(
            "the state is new: journal blocks %d to %d are worked up as boot %s", first, last, rooms.state.boot
        )
    counts = (block.before() for block in journal.read(first, last))
    rooms.journaled = next((before for before in counts if before is not None), journal.received)
    return first


def _admitted(rooms: Rooms, block: Block) -> Block:
    # What there is to be said before a block is taken: what is missing in front of it, and what its ids mean.
    if block.numbers is None:
        return block
    if block.position <= rooms.saved.processed:
        raise StorageFailedError(f"state.db is older than the journal: {IF_DAMAGED}")
    _count_missing(rooms, block.numbers.before)
    block.names.teach(rooms.names)
    named = with_known_names(block, rooms.names)
    _count_missing(rooms, rooms.journaled + len(block.samples.series) - len(named.samples.series))
    return named


def _count_missing(rooms: Rooms, upto: int) -> None:
    # The journal counts all that it ever received: what the blocks so far do not add up to was in lost ones.
    missing = upto - rooms.journaled
    if missing > 0:
        _LOG.error("%d samples in lost journal blocks are counted as dropped", missing)
        rooms.ledger.receive(missing, {})
        rooms.ledger.lose(SampleDrop.CORRUPT_BLOCK.value, missing)
        rooms.journaled = upto


def _rebuild(rooms: Rooms) -> None:
    for block in rooms.journal.read(rooms.saved.needed, rooms.saved.processed):
        if isinstance(block, Block):
            rooms.windows.rebuild(block.samples, block.position)
    rooms.windows.rebuilt()
    still = rooms.windows.open_of()
    if not rooms.saved.account:
        rooms.ledger.adopt(still)
    # What was open at the checkpoint and is not in the journal any more is lost, and counted.
    lost = rooms.ledger.totals.open - rooms.windows.samples()
    if lost > 0:
        _LOG.error("%d samples of open windows are lost: their blocks cannot be read", lost)
        lost_of = np.maximum(added(rooms.ledger.account.open(), -still), 0)
        rooms.ledger.lose(SampleDrop.CORRUPT_BLOCK.value, lost, lost_of)

"""Whether a command may go to its device: pure.

Checking a signature takes a hundred times as long as the rest, and needs nothing of the gateway's state: `opened` may be called in
any thread, beside the others.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from ingest.contract.bundle import BUNDLE_HEADER
from ingest.contract.commands import Command, RefusedCommandError, open_command
from ingest.contract.reasons import CommandRefusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from edge_aggregator.commands.table import Book
    from edge_aggregator.devices.registry import Site
    from ingest.contract.bundle import Bundles
    from ingest.contract.records import Record


class Verdict(NamedTuple):
    """`refusal` None: it may go. `command` is None where nothing in the envelope may be believed. `again`: known."""

    command: Command | None
    refusal: CommandRefusal | None
    again: bool = False


def opened(record: Record, keys: Mapping[str, Ed25519PublicKey], bundles: Bundles) -> Command | CommandRefusal:
    """A command whose signature, or that of its bundle, is good; or why nothing in the envelope may be believed."""
    envelope, proof = record.value or b"", record.header(BUNDLE_HEADER)
    try:
        return open_command(envelope, keys, partial(bundles.vouches, envelope=envelope, proof=proof) if proof else None)
    except RefusedCommandError as error:
        return error.reason


def judge(command: Command | CommandRefusal, site: Site, book: Book, now: int) -> Verdict:
    """Why what `opened` made of an envelope must not go, if so; `now` in ms."""
    if isinstance(command, CommandRefusal):
        return Verdict(None, command)
    # The log delivers at least once: a second copy is no second command.
    if command.command in book.known:
        return Verdict(command, None, again=True)
    return Verdict(command, _refusal(command, site, book, now))


def _refusal(command: Command, site: Site, book: Book, now: int) -> CommandRefusal | None:
    if command.tenant != site.tenant:
        return CommandRefusal.FOREIGN_TENANT
    if command.site != site.site:
        return CommandRefusal.FOREIGN_SITE
    highest = book.counters.get(command.device, -1)
    # Who plays an old command again cannot give it a new counter.
    if command.counter < highest:
        return CommandRefusal.REPLAYED
    if command.counter == highest:
        return CommandRefusal.COUNTER_REUSED
    # A device that was off for long must not do what nobody wants any more.
    return CommandRefusal.EXPIRED if now >= command.expires else None

"""Whether a command may go to its device: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ingest.contract.commands import Command, RefusedCommandError, open_command
from ingest.contract.reasons import CommandRefusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from edge_aggregator.commands.table import CommandTable
    from edge_aggregator.devices.registry import Site


class Verdict(NamedTuple):
    """`refusal` None: it may go. `command` is None where nothing in the envelope may be believed. `again`: known."""

    command: Command | None
    refusal: CommandRefusal | None
    again: bool = False


def judge(envelope: bytes, keys: Mapping[str, Ed25519PublicKey], site: Site, known: CommandTable, now: int) -> Verdict:
    """Verify a command and say why it must not go, if so; `now` in ms."""
    try:
        command = open_command(envelope, keys)
    except RefusedCommandError as error:
        return Verdict(None, error.reason)
    # The log delivers at least once: a second copy is no second command.
    if known.get(command.command) is not None:
        return Verdict(command, None, again=True)
    return Verdict(command, _refusal(command, site, known, now))


def _refusal(command: Command, site: Site, known: CommandTable, now: int) -> CommandRefusal | None:
    if command.tenant != site.tenant:
        return CommandRefusal.FOREIGN_TENANT
    if command.site != site.site:
        return CommandRefusal.FOREIGN_SITE
    highest = known.highest_counter(command.device)
    # Who plays an old command again cannot give it a new counter.
    if command.counter < highest:
        return CommandRefusal.REPLAYED
    if command.counter == highest:
        return CommandRefusal.COUNTER_REUSED
    # A device that was off for long must not do what nobody wants any more.
    return CommandRefusal.EXPIRED if now >= command.expires else None

"""The gateway's command desk: takes commands, hands on what devices answer, and says so when nobody answers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from edge_aggregator.commands.judge import judge, opened
from edge_aggregator.commands.table import CLOCK_UNSET, OPEN, Known
from edge_aggregator.outbox.outbox import Kind
from edge_aggregator.outbox.records import unverified_id
from ingest.contract.bundle import Bundles
from ingest.contract.commands import Command
from ingest.contract.events import AckStatus
from ingest.contract.reasons import CommandRefusal, EventRejection
from ingest.contract.records import dead_letter
from ingest.contract.topics import COMMANDS, dead

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from edge_aggregator.commands.table import Book
    from edge_aggregator.decode.decoded import AckMessage
    from edge_aggregator.devices.registry import Site
    from edge_aggregator.names import Names
    from edge_aggregator.outbox.records import Records
    from edge_aggregator.state import State
    from ingest.contract.records import Record


FORGET_MS = 3_600_000
"""How often old commands are looked for: all of them are read then."""


class Opened(NamedTuple):
    """A record, and what may be believed of it."""

    record: Record
    content: Command | CommandRefusal


class Changes(NamedTuple):
    """Commands that are to be published from now on, in the order in which the centre gave them; names of those that are not any more."""

    opened: list[Known]
    closed: list[str]


class Desk:
    """`outcomes` counts commands by what became of them, `rejected` answers that were not taken by reason."""

    def __init__(
        self, site: Site, keys: Mapping[str, Ed25519PublicKey], state: State, records: Records, names: Names
    ) -> None:
        self._site, self.keys, self._state, self._records, self._names = site, keys, state, records, names
        self.outcomes: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self._changes = Changes([], [])
        self._forgot_at = 0

    def ours(self, records: Iterable[Record]) -> list[Record]:
        """Those that are for this site."""
        return [record for record in records if record.key == self._site.site.encode() and record.value is not None]

    def verify(self, records: Sequence[Record]) -> list[Opened]:
        """What may be believed of each record of ours; in any thread."""
        bundles = Bundles(self.keys)
        return [Opened(record, opened(record, self.keys, bundles)) for record in records]

    def take(self, commands: Sequence[Opened], now: int) -> None:
        """Commands for this site, in one transaction; a refusal is answered at once."""
        with self._state.transaction():
            book = self._state.commands.book([one.content for one in commands if isinstance(one.content, Command)])
            taken = [known for one in commands if (known := self._judge(one, book, now))]
            self._state.commands.add(taken)
            if abs(now - self._forgot_at) >= FORGET_MS:
                self._state.commands.forget(now)
                self._forgot_at = now
        self._changes.opened.extend(taken)

    def changes(self) -> Changes:
        """What has changed since the last look."""
        changes, self._changes = self._changes, Changes([], [])
        return changes

    def answer(self, acks: Sequence[AckMessage]) -> None:
        """What devices answered. Within a transaction."""
        for ack in acks:
            known = self._state.commands.get(ack.command)
            if known is None or known.device != self._names.devices[ack.device]:
                self.rejected[EventRejection.UNKNOWN_COMMAND.value] += 1
            elif known.status in OPEN and (ack.status, ack.reason) == (AckStatus.REFUSED, CLOCK_UNSET):
                self._state.commands.answer(known.command, CLOCK_UNSET)  # it asks for the time, and is told again
                self.outcomes[CLOCK_UNSET] += known.status != CLOCK_UNSET
            elif known.status in OPEN and known.status != ack.status:
                self._close(known, AckStatus(ack.status), ack.at, ack.firmware, ack.reason)

    def expire(self, now: int) -> None:
        """Give up what nobody will answer any more. Within a transaction."""
        for known in self._state.commands.expired(now):
            self._close(known, AckStatus.EXPIRED, now, reason=CLOCK_UNSET if known.status == CLOCK_UNSET else "")

    def _judge(self, one: Opened, book: Book, now: int) -> Known | None:
        record, verdict = one.record, judge(one.content, self._site, book, now)
        command, refusal = verdict.command, verdict.refusal
        if verdict.again:
            self.outcomes["duplicate"] += 1
            return None
        if command is not None and refusal is None and self._names.find_device(command.device) is None:
            refusal = CommandRefusal.FOREIGN_DEVICE
        if command is None or refusal is not None:
            self._refuse(record, refusal or CommandRefusal.MALFORMED, now, command)
            return None
        book.note(command)
        self.outcomes["taken"] += 1
        return Known(
            command=command.command,
            device=command.device,
            counter=command.counter,
            expires=command.expires,
            envelope=record.value or b"",
            trace=record.trace,
        )

    def _refuse(self, record: Record, refusal: CommandRefusal, now: int, command: Command | None) -> None:
        self.outcomes[f"refused_{refusal.value}"] += 1
        answer = self._records.ack(
            command.command if command else unverified_id(record.value or b""),
            command.device if command else "",
            AckStatus.REFUSED,
            now,
            reason=refusal.value,
            trace=record.trace,
        )
        self._state.outbox.put(Kind.EVENT, now, answer)
        letter = dead_letter(record, refusal.value, f"refused by {self._site.gateway}", dead(COMMANDS))
        self._state.outbox.put(Kind.DEAD_LETTER, now, letter)

    def _close(self, known: Known, status: AckStatus, at: int, firmware: str = "", reason: str = "") -> None:
        self._state.commands.answer(known.command, status.value)
        if status.value not in OPEN:
            self._changes.closed.append(known.command)
        self.outcomes[status.value] += 1
        answer = self._records.ack(
            known.command, known.device, status, at, firmware=firmware, reason=reason, trace=known.trace
        )
        self._state.outbox.put(Kind.EVENT, at, answer)

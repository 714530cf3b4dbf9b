"""The gateway's command desk: takes commands, hands on what devices answer, and says so when nobody answers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from edge_aggregator.commands.judge import judge
from edge_aggregator.commands.table import WAITING
from edge_aggregator.outbox.outbox import Kind
from edge_aggregator.outbox.records import unverified_id
from ingest.contract.events import AckStatus
from ingest.contract.reasons import CommandRefusal, EventRejection
from ingest.contract.records import TRACE_HEADER, dead_letter
from ingest.contract.topics import COMMANDS, dead

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from edge_aggregator.commands.table import Known
    from edge_aggregator.decode.decoded import AckMessage
    from edge_aggregator.devices.registry import Site
    from edge_aggregator.names import Names
    from edge_aggregator.outbox.records import Records
    from edge_aggregator.state import State
    from ingest.contract.commands import Command
    from ingest.contract.records import Record

_OPEN = (WAITING, AckStatus.ACCEPTED.value)


class Desk:
    """`outcomes` counts commands by what became of them, `rejected` answers that were not taken by reason."""

    def __init__(
        self, site: Site, keys: Mapping[str, Ed25519PublicKey], state: State, records: Records, names: Names
    ) -> None:
        self._site, self.keys, self._state, self._records, self._names = site, keys, state, records, names
        self.outcomes: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()

    def take(self, commands: Iterable[Record], now: int) -> None:
        """Commands for this site, in one transaction; a refusal is answered at once."""
        with self._state.transaction():
            for record in commands:
                if record.key == self._site.site.encode() and record.value is not None:
                    self._take(record, record.value, now)
            self._state.commands.forget(now)

    def answer(self, acks: Sequence[AckMessage]) -> None:
        """What devices answered. Within a transaction."""
        for ack in acks:
            known = self._state.commands.get(ack.command)
            if known is None or known.device != self._names.devices[ack.device]:
                self.rejected[EventRejection.UNKNOWN_COMMAND.value] += 1
            elif known.status in _OPEN and known.status != ack.status:
                self._close(known, AckStatus(ack.status), ack.at, ack.firmware, ack.reason)

    def expire(self, now: int) -> None:
        """Give up what nobody will answer any more. Within a transaction."""
        for known in self._state.commands.expired(now):
            self._close(known, AckStatus.EXPIRED, now)

    def _take(self, record: Record, envelope: bytes, now: int) -> None:
        verdict = judge(envelope, self.keys, self._site, self._state.commands, now)
        command, refusal = verdict.command, verdict.refusal
        if verdict.again:
            self.outcomes["duplicate"] += 1
            return
        if command is not None and refusal is None and self._names.find_device(command.device) is None:
            refusal = CommandRefusal.FOREIGN_DEVICE
        if command is not None and refusal is None:
            self._state.commands.add(command, envelope, _trace(record))
            self.outcomes["taken"] += 1
        elif refusal is not None:
            self._refuse(record, refusal, now, command)

    def _refuse(self, record: Record, refusal: CommandRefusal, now: int, command: Command | None) -> None:
        self.outcomes[f"refused_{refusal.value}"] += 1
        answer = self._records.ack(
            command.command if command else unverified_id(record.value or b""),
            command.device if command else "",
            AckStatus.REFUSED,
            now,
            reason=refusal.value,
            trace=_trace(record),
        )
        self._state.outbox.put(Kind.EVENT, now, answer)
        letter = dead_letter(record, refusal.value, f"refused by {self._site.gateway}", dead(COMMANDS))
        self._state.outbox.put(Kind.DEAD_LETTER, now, letter)

    def _close(self, known: Known, status: AckStatus, at: int, firmware: str = "", reason: str = "") -> None:
        self._state.commands.answer(known.command, status)
        self.outcomes[status.value] += 1
        answer = self._records.ack(
            known.command, known.device, status, at, firmware=firmware, reason=reason, trace=known.trace
        )
        self._state.outbox.put(Kind.EVENT, at, answer)


def _trace(record: Record) -> str:
    return (record.header(TRACE_HEADER) or b"").decode("ascii", "replace")

"""Signed commands to the devices themselves, through their gateways and MQTT."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec

from analytics.rollback.actuator import Decision, Purpose, Target, command_id
from ingest.contract.bundle import BUNDLE_HEADER, MOST_TOGETHER, bundle
from ingest.contract.commands import INSTALL, Command, key_id, sign_command
from ingest.contract.records import Outgoing, event_record
from ingest.contract.topics import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


_LEAST_TOGETHER = 4
"""For fewer commands a bundle costs the gate more than it saves a gateway."""


class _State(msgspec.Struct):
    counters: dict[str, int] = {}
    asked: dict[str, list[str]] = {}


class MqttCommands:
    """Ed25519-signed install commands, one per target, on the topic that gateways read.

    A device's counter is the greater of its last one plus one and the time in milliseconds: it rises for ever, and when
    this state is lost or an old copy of it restored, it goes on above everything that was ever signed, as long as the
    clock is not set back beyond that and a device gets less than a command per millisecond.
    """

    name = "mqtt"

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key, self._key_id, self._state = key, key_id(key.public_key()), _State()

    def carry_out(self, decision: Decision, now: int, trace: str | None) -> list[Outgoing]:
        """One signed command per target whose turn it is and that has not had it."""
        asked = set(self._state.asked.get(decision.rollout, ()))
        due = decision.targets if decision.due is None else decision.due
        fresh = {command_id(decision.rollout, decision.purpose, target): target for target in due}
        commands = [self._command(decision, name, fresh[name], now) for name in fresh if name not in asked]
        self._state.asked[decision.rollout] = sorted(asked | fresh.keys())
        return bundled([self._record(command, trace) for command in commands], self._key)

    def snapshot(self) -> bytes:
        """Every device's counter, and the commands asked for by rollout."""
        return msgspec.msgpack.encode(self._state)

    def restore(self, state: bytes) -> None:
        """Continue with the counters of a snapshot."""
        self._state = msgspec.msgpack.decode(state, type=_State)

    def forget(self, rollout: str) -> None:
        """A rollout is over for good: its commands need no longer be remembered. Counters always are."""
        self._state.asked.pop(rollout, None)

    def _command(self, decision: Decision, name: str, target: Target, now: int) -> Command:
        return Command(
            command=name,
            kind=INSTALL,
            tenant=decision.tenant,
            site=target.site,
            device=target.device,
            rollout=decision.rollout,
            key=self._key_id,
            counter=self._next_counter(f"{decision.tenant}/{target.site}/{target.device}", now),
            issued=now,
            expires=now + round(decision.expiry_s * 1000),
            version=decision.version,
            digest=decision.digest,
            downgrade=decision.purpose is Purpose.ROLLBACK,
        )

    def _next_counter(self, device: str, now: int) -> int:
        self._state.counters[device] = max(self._state.counters.get(device, 0) + 1, now)
        return self._state.counters[device]

    def _record(self, command: Command, trace: str | None) -> Outgoing:
        signed = sign_command(command, self._key)
        return event_record(
            COMMANDS,
            command.site,
            signed,
            event_id=command.command,
            source="tidegate/gate",
            time=command.issued,
            trace=trace,
        )


def bundled(records: Sequence[Outgoing], key: Ed25519PrivateKey) -> list[Outgoing]:
    """The records in their order; where a site gets several, each has the proof of a bundle among its headers."""
    sites, found = defaultdict[bytes, list[int]](list), list(records)
    for place, record in enumerate(records):
        sites[record.key].append(place)
    for places in sites.values():
        for start in range(0, len(places), MOST_TOGETHER):
            together = places[start : start + MOST_TOGETHER]
            if len(together) >= _LEAST_TOGETHER:
                proofs = bundle([records[place].value or b"" for place in together], key)
                for place, proof in zip(together, proofs, strict=True):
                    found[place] = _with_proof(records[place], proof)
    return found


def _with_proof(record: Outgoing, proof: bytes) -> Outgoing:
    return Outgoing(record.topic, record.key, record.value, (*record.headers, (BUNDLE_HEADER, proof)))

"""The reference device agent: which commands a device obeys, and what it answers. Pure; the caller does the I/O."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from ingest.contract.commands import INSTALL, Command, RefusedCommandError, open_command
from ingest.contract.events import AckStatus
from ingest.contract.reasons import CommandRefusal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from compose.fleet.release import Registry

CLOCK_UNSET_BEFORE_MS = 1_600_000_000_000
"""A clock that shows a time before this has not been set since power-on."""


class Ack(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What goes to the device's `ack` topic."""

    command: str
    status: AckStatus
    firmware: str = ""
    reason: str = ""


class AgentState(msgspec.Struct, kw_only=True):
    """What a device must remember over reboots: the last counter obeyed, its content's digest, and its last answer."""

    counter: int = 0
    digest: str = ""
    last_ack: Ack | None = None
    pending: str = ""
    """The command whose image is being booted; answered `done` after the boot."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Answers to publish, and the image to install (empty: none)."""

    acks: list[Ack]
    install: str = ""


class Agent:
    """Obeys commands that are signed, addressed to this device, in time, and newer than the last one."""

    def __init__(
        self, *, tenant: str, site: str, device: str, keys: Mapping[str, Ed25519PublicKey], registry: Registry
    ) -> None:
        self._address = (tenant, site, device)
        self._keys, self._registry = keys, registry
        self.state = AgentState()

    def receive(self, envelope: bytes, firmware: str, now_ms: int) -> Decision:
        """Decide on one command. `state` must be made durable before anything of the decision is acted on."""
        try:
            command = open_command(envelope, self._keys)
        except RefusedCommandError as error:
            return Decision(acks=[Ack(command="", status=AckStatus.REFUSED, firmware=firmware, reason=error.reason)])
        digest = hashlib.sha256(envelope).hexdigest()
        refusal = self._refusal(command, digest, now_ms)
        if refusal:
            return Decision(acks=[_ack(command, AckStatus.REFUSED, firmware, refusal)])
        if command.counter == self.state.counter:
            return Decision(acks=[self.state.last_ack] if self.state.last_ack else [])
        return self._obey(command, digest, firmware)

    def booted(self, firmware: str) -> Decision:
        """After a boot: answer for the image that was being installed."""
        if not self.state.pending:
            return Decision(acks=[])
        ack = Ack(command=self.state.pending, status=AckStatus.DONE, firmware=firmware)
        self.state.pending, self.state.last_ack = "", ack
        return Decision(acks=[ack])

    def _refusal(self, command: Command, digest: str, now_ms: int) -> CommandRefusal | None:
        tenant, site, device = self._address
        foreign = {
            CommandRefusal.FOREIGN_TENANT: command.tenant != tenant,
            CommandRefusal.FOREIGN_SITE: command.site != site,
            CommandRefusal.FOREIGN_DEVICE: command.device != device,
        }
        for reason, applies in foreign.items():
            if applies:
                return reason
        # Without a clock the expiry means nothing, and an old command could be played again.
        if now_ms < CLOCK_UNSET_BEFORE_MS:
            return CommandRefusal.CLOCK_UNSET
        if command.counter < self.state.counter:
            return CommandRefusal.REPLAYED
        if command.counter == self.state.counter and digest != self.state.digest:
            return CommandRefusal.COUNTER_REUSED
        # A repeated command may be answered again after its expiry: nothing is done twice.
        if command.counter > self.state.counter and now_ms > command.expires:
            return CommandRefusal.EXPIRED
        return None if command.kind == INSTALL else CommandRefusal.UNKNOWN_KIND

    def _obey(self, command: Command, digest: str, firmware: str) -> Decision:
        self.state.counter, self.state.digest = command.counter, digest
        if not self._registry.has(command.version, command.digest):
            self.state.last_ack = _ack(command, AckStatus.FAILED, firmware, "no image with that digest")
            return Decision(acks=[self.state.last_ack])
        if command.version == firmware:
            self.state.last_ack = _ack(command, AckStatus.DONE, firmware)
            return Decision(acks=[self.state.last_ack])
        self.state.pending = command.command
        self.state.last_ack = _ack(command, AckStatus.ACCEPTED, firmware)
        return Decision(acks=[self.state.last_ack], install=command.version)


def save_state(state: AgentState, path: Path) -> None:
    """Replace the file in one step, so that a power cut leaves the old or the new state."""
    partial = path.with_suffix(".new")
    partial.write_bytes(msgspec.json.encode(state))
    partial.replace(path)


def load_state(path: Path) -> AgentState:
    """The saved state; a fresh one when there is none."""
    return msgspec.json.decode(path.read_bytes(), type=AgentState) if path.exists() else AgentState()


def _ack(command: Command, status: AckStatus, firmware: str, reason: str = "") -> Ack:
    return Ack(command=command.command, status=status, firmware=firmware, reason=reason)

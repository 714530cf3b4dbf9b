"""The reference device agent: which commands a device obeys, how it installs, and what it answers.

It speaks to nobody: the caller publishes its answers, restarts the device when it says so, and asks it after each start.
What it must remember is in the flash before it returns, so that a power cut at any moment leaves a device that starts,
knows its counter, and answers for what it was told.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from compose.fleet.boot import BootLoader
from compose.fleet.release import digest_of
from compose.fleet.versions import is_older
from ingest.contract.commands import INSTALL, Command, RefusedCommandError, open_command
from ingest.contract.device_time import CLOCK_UNSET_BEFORE_MS
from ingest.contract.events import AckStatus
from ingest.contract.reasons import CommandRefusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from compose.fleet.flash import Flash
    from compose.fleet.release import Registry

TRIAL_S = 60.0
"""So soon after its start an image on trial must have passed its own health check."""

_STATE = "agent"


class Address(NamedTuple):
    """Whom a command must name."""

    tenant: str
    site: str
    device: str


class Ack(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What goes to the device's `ack` topic."""

    command: str
    status: AckStatus
    firmware: str = ""
    reason: str = ""


class Pending(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The command that is being carried out; `complaint` is what its image said of itself on trial."""

    command: str
    version: str
    digest: str
    expires: int
    complaint: str = ""


class AgentState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a device must remember over restarts, of the last command that it obeyed: counter, digest and its answer.

    `issued` (ms) is when the centre signed it: it cannot be earlier any more.
    """

    counter: int = 0
    digest: str = ""
    issued: int = 0
    last_ack: Ack | None = None
    pending: Pending | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Answers to publish, and whether the device is to restart now."""

    acks: list[Ack] = []
    restart: bool = False


NOTHING = Decision()


class Agent:
    """Obeys commands that are signed, addressed to this device, in time, and newer than the last one.

    The order of calls: `started` after each start, `receive` for each command, `install` when `to_install`, `check` now and
    then while `on_trial`. `firmware` is the version that runs.
    """

    def __init__(
        self, address: Address, keys: Mapping[str, Ed25519PublicKey], registry: Registry, flash: Flash
    ) -> None:
        self._address, self._keys, self._registry, self._flash = address, keys, registry, flash
        self._loader = BootLoader(flash)
        self._slot, self._restarting = "", False
        self.firmware, self.on_trial = "", False
        kept = flash.read(_STATE)
        self.state = msgspec.json.decode(kept, type=AgentState) if kept else AgentState()

    @property
    def to_install(self) -> bool:
        """Whether there is an image to be written."""
        return self.state.pending is not None and not self.on_trial and not self._restarting

    def started(self, slot: str, firmware: str) -> Decision:
        """`slot` has been started: what that means for the command that was being carried out."""
        self._slot, self.firmware, self._restarting = slot, firmware, False
        record, pending = self._loader.record(), self.state.pending
        self.on_trial = slot == record.trial
        if self.on_trial:
            return NOTHING
        decision = NOTHING
        if pending and record.trial:
            decision = self._close(AckStatus.FAILED, pending.complaint or "the image did not come up, or not for long")
        elif pending and digest_of(self._flash.read(slot)) == pending.digest:
            decision = self._close(AckStatus.DONE)
        if record.trial:  # after the answer is kept: else the same image would be tried again
            self._loader.keep(slot)
        return decision

    def receive(self, envelope: bytes, now_ms: int) -> Decision:
        """Decide on one command."""
        try:
            command = open_command(envelope, self._keys)
        except RefusedCommandError as error:
            return Decision(acks=[self._ack("", AckStatus.REFUSED, error.reason)])
        digest = hashlib.sha256(envelope).hexdigest()
        refusal = self._refusal(command, digest, now_ms)
        if refusal:
            return Decision(acks=[self._ack(command.command, AckStatus.REFUSED, refusal)])
        if command.counter == self.state.counter:
            return Decision(acks=[self.state.last_ack] if self.state.last_ack else [])
        return self._obey(command, digest)

    def install(self, now_ms: int) -> Decision:
        """Write the image to the slot that does not run, and have it tried at the next start."""
        pending = self.state.pending
        # Without a clock, after a cut, nobody knows whether it is still wanted: wait.
        if pending is None or not self.to_install or now_ms < CLOCK_UNSET_BEFORE_MS:
            return NOTHING
        if now_ms > pending.expires:
            return self._close(AckStatus.FAILED, "it expired before it was installed")
        image = self._registry.fetch(pending.version)
        if digest_of(image) != pending.digest:
            return self._close(AckStatus.FAILED, "no image with that digest")
        slot = self._loader.idle()
        if self._flash.read(slot) != image:
            self._flash.write(slot, image)
        if digest_of(self._flash.read(slot)) != pending.digest:
            return self._close(AckStatus.FAILED, "the flash does not hold what was written")
        self._loader.try_out(slot)
        return self._restart()

    def check(self, complaint: str | None, running_s: float) -> Decision:
        """While on trial: what the health check says after so many seconds; "" is well, None that it cannot say yet."""
        pending = self.state.pending
        if not self.on_trial or (complaint is None and running_s < TRIAL_S):
            return NOTHING
        if complaint == "":
            self._loader.keep(self._slot)
            self.on_trial = False
            return self._close(AckStatus.DONE) if pending else NOTHING
        if pending:
            said = complaint or f"the health check did not pass within {TRIAL_S:g} s"
            self._save(msgspec.structs.replace(self.state, pending=msgspec.structs.replace(pending, complaint=said)))
        return self._restart()

    def _refusal(self, command: Command, digest: str, now_ms: int) -> CommandRefusal | None:
        foreign = {
            CommandRefusal.FOREIGN_TENANT: command.tenant != self._address.tenant,
            CommandRefusal.FOREIGN_SITE: command.site != self._address.site,
            CommandRefusal.FOREIGN_DEVICE: command.device != self._address.device,
        }
        for reason, applies in foreign.items():
            if applies:
                return reason
        if command.counter < self.state.counter:
            return CommandRefusal.REPLAYED
        if command.counter == self.state.counter:
            # A repeated command may be answered again after its expiry: nothing is done twice.
            return None if digest == self.state.digest else CommandRefusal.COUNTER_REUSED
        if now_ms < CLOCK_UNSET_BEFORE_MS:  # without a clock the expiry means nothing
            return CommandRefusal.CLOCK_UNSET
        if now_ms > command.expires:
            return CommandRefusal.EXPIRED
        if command.kind != INSTALL:
            return CommandRefusal.UNKNOWN_KIND
        older = is_older(command.version, self.firmware) and not command.downgrade
        return CommandRefusal.DOWNGRADE if older else None

    def _obey(self, command: Command, digest: str) -> Decision:
        superseded, trial = self.state.pending, self.on_trial
        acks = [self._ack(superseded.command, AckStatus.FAILED, "a newer command came")] if superseded else []
        if trial:  # the good slot must not be written while it is not the one that runs
            self._loader.keep(self._loader.record().good)
        runs_already = not trial and digest_of(self._flash.read(self._slot)) == command.digest
        ack = self._ack(command.command, AckStatus.DONE if runs_already else AckStatus.ACCEPTED)
        pending = Pending(
            command=command.command, version=command.version, digest=command.digest, expires=command.expires
        )
        self._save(
            AgentState(
                counter=command.counter,
                digest=digest,
                issued=command.issued,
                last_ack=ack,
                pending=None if runs_already else pending,
            )
        )
        return self._restart(*acks, ack) if trial else Decision(acks=[*acks, ack])

    def _close(self, status: AckStatus, reason: str = "") -> Decision:
        pending = self.state.pending
        ack = self._ack(pending.command if pending else "", status, reason)
        self._save(msgspec.structs.replace(self.state, last_ack=ack, pending=None))
        return Decision(acks=[ack])

    def _restart(self, *acks: Ack) -> Decision:
        self._restarting = True
        return Decision(acks=list(acks), restart=True)

    def _ack(self, command: str, status: AckStatus, reason: str = "") -> Ack:
        return Ack(command=command, status=status, firmware=self.firmware, reason=reason)

    def _save(self, state: AgentState) -> None:
        self._flash.replace(_STATE, msgspec.json.encode(state))
        self.state = state

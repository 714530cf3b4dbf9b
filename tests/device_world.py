"""A device on a desk: boot loader and agent over a flash that can be cut off, and the centre's signed commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from compose.fleet.agent import Ack, Address, Agent
from compose.fleet.boot import SLOTS, BootLoader
from compose.fleet.release import Registry, Release
from ingest.contract.commands import INSTALL, Command, key_id, sign_command

if TYPE_CHECKING:
    from collections.abc import Iterable

    from compose.fleet.agent import Decision
    from compose.fleet.flash import Flash

NOW = 1_790_000_000_000
CENTRE, STRANGER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
OLD, NEW = Release(version="2.2.0"), Release(version="2.3.0")
BRICK, SICK = Release(version="2.4.0", starts=False), Release(version="2.5.0", complaint="no sensor answers")
REGISTRY = Registry([OLD, NEW, BRICK, SICK])


def command(key: Ed25519PrivateKey = CENTRE, **changes: Any) -> bytes:
    content = Command(
        command="c1",
        kind=INSTALL,
        tenant="acme",
        site="north",
        device="pump-1",
        rollout="r1",
        key=key_id(key.public_key()),
        counter=7,
        issued=NOW,
        expires=NOW + 60_000,
        version=NEW.version,
        digest=NEW.digest(),
    )
    return msgspec.json.encode(sign_command(msgspec.structs.replace(content, **changes), key))


class PowerCutError(Exception):
    """The power went."""


class MemoryFlash:
    """Flash of which the power goes at the n-th change, before it, after it, or (`torn`) in the middle of a write."""

    def __init__(self, content: dict[str, bytes] | None = None, worn: Iterable[str] = ()) -> None:
        self.content, self._worn = dict(content or {SLOTS[0]: OLD.image()}), set(worn)
        self.written: list[str] = []
        self.changes = 0
        self._cut_at, self._how = -1, ""

    def cut(self, at: int, how: str) -> None:
        """At the change `at`, from now on: "before", "torn" or "after"."""
        self._cut_at, self._how = self.changes + at, how

    def read(self, name: str) -> bytes:
        return self.content.get(name, b"")

    def write(self, name: str, content: bytes) -> None:
        self.written.append(name)
        whole = content[:-1] + b"?" if name in self._worn else content
        self._change(name, whole, content[: len(content) // 2])

    def replace(self, name: str, content: bytes) -> None:
        self._change(name, content, self.read(name))

    def _change(self, name: str, whole: bytes, torn: bytes) -> None:
        cut = self._how if self.changes == self._cut_at else ""
        self.changes += 1
        if cut != "before":
            self.content[name] = torn if cut == "torn" else whole
        if cut:
            raise PowerCutError


class Board:
    """Starts what the boot loader chooses and does what the agent says; `said` are its answers, `starts` what it started."""

    def __init__(self, flash: Flash | None = None) -> None:
        self.flash: Any = flash or MemoryFlash()
        self.said: list[Ack] = []
        self.starts: list[str] = []
        if not any(self.flash.read(slot) for slot in SLOTS):
            self.flash.write(SLOTS[0], OLD.image())
        self.restart()

    @property
    def firmware(self) -> str:
        return self.agent.firmware

    def restart(self) -> None:
        """Power on; an image that hangs is reset by the watchdog."""
        while True:
            slot = BootLoader(self.flash).choose()
            release = REGISTRY.release_of(self.flash.read(slot))
            assert release is not None, f"slot {slot} holds no whole image: the device is lost"
            self.starts.append(release.version)
            if release.starts:
                break
        keys = {key_id(CENTRE.public_key()): CENTRE.public_key()}
        self.agent = Agent(Address("acme", "north", "pump-1"), keys, REGISTRY, self.flash)
        self._follow(self.agent.started(slot, release.version))

    def receive(self, envelope: bytes, now: int = NOW) -> None:
        self._follow(self.agent.receive(envelope, now))

    def run(self, now: int = NOW) -> None:
        """Until nothing is left to do."""
        while True:
            if self.agent.to_install:
                decision = self.agent.install(now)
            elif self.agent.on_trial:
                decision = self.agent.check(REGISTRY[self.firmware].complaint, 1.0)
            else:
                return
            self._follow(decision)
            if not decision.restart and self.agent.to_install:
                return

    def _follow(self, decision: Decision) -> None:
        self.said += decision.acks
        if decision.restart:
            self.restart()

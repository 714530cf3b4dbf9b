"""What happens in the demonstration, act by act. Nothing is scripted but the causes: a cut link, and a release."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from compose.demo.acts import LOOK_S, Patience
from compose.demo.summary import Alerts, Gate, Rollback, Samples
from compose.fleet.release import Release

if TYPE_CHECKING:
    from compose.demo.acts import Stage
    from compose.demo.observation import Account, Observation
    from compose.demo.screen import Screen
    from compose.fleet.fleet import Fleet
    from ingest.runtime.clock import Clock

ROLLOUT = "firmware-2.3.0"
QUIET_S = 20.0
"""Undisturbed history before the release, so that there is a normal to differ from."""
HARMLESS_S = 30.0
"""How long a harmless release is watched."""


class Theatre(Protocol):
    """What the story needs of the running system."""

    fleet: Fleet

    def cut_uplink(self) -> str:
        """Cut one site's uplink; the site's name."""
        ...

    def mend_uplink(self) -> None:
        """Mend it."""
        ...

    async def start_rollout(self, plan: dict[str, Any]) -> None:
        """Begin a rollout through the API."""
        ...

    async def account(self) -> Account:
        """All gateways' ledgers together."""
        ...

    async def stored(self) -> int:
        """Samples in the store."""
        ...


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """The cast: how many devices, and which release goes out."""

    devices: int
    old: Release
    new: Release
    harmful: bool
    seed: int
    tenant: str


class Story:
    """Plays the acts; `gate`, `alerts`, `rollback` and `samples` hold the figures as far as it got."""

    def __init__(self, script: Script, theatre: Theatre, stage: Stage, screen: Screen, clock: Clock) -> None:
        self._script, self._theatre, self._stage, self._screen, self._clock = script, theatre, stage, screen, clock
        self.samples, self.gate, self.alerts, self.rollback = Samples(), Gate(), Alerts(), Rollback()
        self.balanced = False
        self._rollout_began = 0.0

    async def play(self) -> None:
        """From the first message to the closed books. Raises MissingStepError."""
        await self._devices_report()
        await self._a_link_is_cut_and_its_backlog_arrives()
        await self._a_release_goes_to_half_of_the_devices()
        if self._script.harmful:
            await self._the_alert_reaches_on_call()
            await self._the_gate_fails_and_the_release_is_rolled_back()
        else:
            await self._nothing_is_rolled_back()
        await self._the_books_are_closed()

    async def _devices_report(self) -> None:
        expected = self._script.devices + 1
        seen = await self._stage.until("all devices report", lambda seen: seen.online() >= expected, within_s=40)
        self._say(f"{seen.online()} devices at {len(seen.sites)} sites report, this machine among them")

    async def _a_link_is_cut_and_its_backlog_arrives(self) -> None:
        quiet_until = self._stage.seconds() + QUIET_S
        await self._stage.watch(3)
        site = self._theatre.cut_uplink()
        self._say(f"the uplink of {site} is cut; its gateway goes on taking samples", "yellow")
        dark = await self._stage.until(
            "the dark site is noticed", lambda seen: bool(seen.firing("SiteDark")), within_s=30
        )
        self._say(f"alert: {dark.firing('SiteDark')[0]['annotations'].get('summary', 'SiteDark')}", "bold red")
        self._theatre.mend_uplink()
        await self._stage.until(
            "the backlog arrives complete",
            lambda seen: seen.account.waiting < len(seen.sites) * 3 and not _dark(seen),
            within_s=30,
            moving=lambda seen: (seen.account.waiting, seen.moving()),
        )
        self._say(f"the link is back; the backlog of {site} has arrived", "green")
        await self._stage.watch(max(0.0, quiet_until - self._stage.seconds()))

    async def _a_release_goes_to_half_of_the_devices(self) -> None:
        script = self._script
        await self._theatre.start_rollout(_plan(script))
        self._rollout_began = self._stage.seconds()
        seen = await self._stage.until(
            "the canary devices run the release", lambda seen: seen.on_firmware(script.new.version) > 0, within_s=30
        )
        self._say(f"release {script.new.version} goes to half of the devices, by signed commands", "cyan")
        self.note(seen)

    async def _the_alert_reaches_on_call(self) -> None:
        stage = self._stage
        await stage.until("an anomaly alert fires", lambda seen: bool(seen.firing("MetricAnomaly")), within_s=60)
        seen = await stage.until("it becomes an incident", lambda seen: bool(seen.firing("Incident")), within_s=30)
        first = seen.firing("Incident")[0]
        self._say(f"alert: {first['annotations'].get('summary', first['name'])}", "bold red")
        await stage.until("the alert reaches the on-call webhook", lambda seen: first["fingerprint"] in seen.fired, 20)
        self._say("the on-call webhook has it, signed")

    async def _the_gate_fails_and_the_release_is_rolled_back(self) -> None:
        stage, script = self._stage, self._script
        seen = await stage.until("the gate turns fail", lambda seen: seen.verdict() == "fail", within_s=60)
        self.gate.decided_after_s = round(stage.seconds() - self._rollout_began, 1)
        self._say(f"the gate says fail: {seen.gate['reason']}", "bold red")
        await stage.until("rollback commands go down", lambda seen: bool(seen.rolled_back("commanded")), within_s=20)
        self._say("signed commands to go back go down to the devices", "cyan")
        seen = await stage.until(
            f"the devices are back on {script.old.version} and their telemetry has recovered",
            lambda seen: seen.rollback.get("phase") == "complete",
            within_s=60,
        )
        self.note(seen)
        self._say(
            f"{self.rollback.recovered} devices are back and healthy, {self.rollback.unreachable} are unreachable",
            "green",
        )
        seen = await stage.until("the alerts resolve", self._only_unreachable_devices_alert, within_s=60)
        self.note(seen)
        self._say("the alerts have resolved", "green")

    def _only_unreachable_devices_alert(self, seen: Observation) -> bool:
        # A bricked device stays silent, and its last anomaly unknown rather than over: those alerts must not resolve.
        unreachable = {place.rsplit("/", 1)[-1] for place in seen.rolled_back("unreachable")}
        ours = {device["device"] for device in seen.devices if device["group"] != "machines"} - unreachable
        open_alerts = [a for a in seen.alerts if a["state"] == "firing" and a["labels"].get("device", "") in ours]
        ended = {a["fingerprint"] for a in seen.alerts if a["state"] == "resolved" and a["fingerprint"] in seen.fired}
        return not open_alerts and ended <= seen.resolved

    async def _nothing_is_rolled_back(self) -> None:
        seen = await self._stage.watch(HARMLESS_S)
        await self._stage.until("no rollback of a harmless release", lambda seen: not seen.rollback, within_s=0)
        self.note(seen)
        self._say(f"nothing is rolled back; the gate says {seen.verdict()}: {seen.gate.get('reason', '')}", "green")

    async def _the_books_are_closed(self) -> None:
        await self._theatre.fleet.stop()
        sent = self._theatre.fleet.sent()
        seen = await self._stage.until(
            "every window is closed and every batch sent",
            lambda seen: seen.account.received >= sent and seen.account.open == 0,
            within_s=30,
            moving=lambda seen: seen.account.counts(),
        )
        seen = await self._stage.until("every fired alert was delivered", _all_delivered, within_s=20)
        stored = await self._stored(seen.account.rolled_up)
        account = seen.account
        self.samples = Samples(
            sent=sent,
            received=account.received,
            rolled_up=account.rolled_up,
            duplicate=account.duplicate,
            rejected=account.rejected,
            dropped=account.dropped,
            stored=stored,
        )
        self.balanced = account.balanced() and account.received == sent and stored == account.rolled_up
        self.note(seen)
        self._say(f"{sent:,} samples sent, {account.received:,} received, {stored:,} in the store's windows")

    async def _stored(self, expected: int) -> int:
        patience, stored = Patience(20, self._clock), await self._theatre.stored()
        while stored != expected and not patience.over(stored):
            await self._clock.sleep(LOOK_S)
            stored = await self._theatre.stored()
        return stored

    def note(self, seen: Observation) -> None:
        """Keep the figures that can be seen now."""
        gate = seen.gate
        if gate:
            decided = self.gate.decided_after_s
            known = {name: gate[name] for name in Gate.__struct_fields__ if name in gate}
            self.gate = Gate(**(known | {"rollout": ROLLOUT, "decided_after_s": decided}))
        self.alerts = Alerts(
            fired=sum(alert["starts_at"] > 0 and alert["told"] for alert in seen.alerts),
            delivered=len(seen.fired),
            resolved=len(seen.resolved),
        )
        counts = {name: len(seen.rolled_back(name)) for name in Rollback.__struct_fields__}
        self.rollback = Rollback(**counts)

    def _say(self, text: str, style: str = "") -> None:
        self._screen.say(self._stage.seconds(), text, style)


def _dark(seen: Observation) -> bool:
    return bool(seen.firing("SiteDark"))


def _all_delivered(seen: Observation) -> bool:
    told = [alert for alert in seen.alerts if alert["starts_at"] > 0 and alert["told"]]
    fired = {alert["fingerprint"] for alert in told}
    ended = {alert["fingerprint"] for alert in told if alert["state"] == "resolved"}
    return fired <= seen.fired and ended <= seen.resolved


def _plan(script: Script) -> dict[str, Any]:
    return {
        "rollout": ROLLOUT,
        "tenant": script.tenant,
        "release": script.new.version,
        "previous_release": script.old.version,
        "release_digest": script.new.digest(),
        "previous_digest": script.old.digest(),
        "selection": {"firmware": [script.old.version]},
        "guards": [{"name": "crash", "kind": "crash"}, {"name": "silence", "kind": "silence"}],
        "canary_share": 0.5,
        "alpha": 0.05,
        "mode": "automatic",
        "seed": script.seed,
        "install_grace_s": 10.0,
        "command_expiry_s": 120.0,
    }

"""From what happened to a device to evidence: at most one crash, one silence and one leaving per device."""

from __future__ import annotations

import msgspec

from analytics.rollouts.facts import Fact, FactKind
from ingest.contract.events import Arm, EvidenceKind


class History(msgspec.Struct, kw_only=True):
    """What a rollout remembers of an enrolled device. Times in ms of its site's gateway; 0 means never.

    `command` is the install command sent to it. While an install is under way (from its acceptance until the device
    says that it is over, comes back with other firmware, or `grace_until` has passed) neither reboot nor silence is
    evidence; a device that is still silent when the grace has passed is.

    Where the release comes from `elsewhere`, a canary's first silence before it comes back with other firmware is taken for its
    install's beginning. `silent_at` is when it fell silent last, `absent` that it was not heard since, `told_at` when its silence is to be told, and
    `dark` that it left with its whole site (see `outages.py`).
    """

    site: str
    device: str
    stratum: str
    arm: Arm
    enrolled_at: int
    wave: str = ""
    command: str = ""
    accepted: bool = False
    elsewhere: bool = False
    grace_until: int = 0
    silent_in_grace: bool = False
    crashed: bool = False
    silent: bool = False
    silent_at: int = 0
    absent: bool = False
    told_at: int = 0
    dark: bool = False
    alarmed: bool = False
    answered: bool = False
    left: bool = False

    def key(self) -> str:
        """What names the device in its rollout."""
        return f"{self.site}/{self.device}"


def observe(history: History, fact: Fact, grace_ms: int) -> EvidenceKind | None:
    """Take the next fact of the device, in order of time; what it is evidence of, if anything."""
    _note_presence(history, fact)
    # What was before the draw, or after the device had left, is of no arm's doing.
    if history.left or fact.at <= history.enrolled_at:
        return None
    if fact.kind is FactKind.ACCEPTED:
        _begin_install(history, fact, grace_ms)
        return None
    if _ends_install(history, fact):
        history.grace_until, history.silent_in_grace = 0, False
        history.accepted |= history.elsewhere
        return _answer(history, fact)
    if history.elsewhere and fact.kind is FactKind.SILENT:
        _begin_install(history, fact, grace_ms)
    if fact.kind is FactKind.RETIRED:
        history.left = True
        return EvidenceKind.CENSORED
    if fact.at < history.grace_until:
        history.silent_in_grace = history.absent
        return None
    return _first(history, fact)


def is_sign_of_life(fact: Fact) -> bool:
    """Whether the device itself was heard."""
    return fact.kind in (FactKind.HEARD, FactKind.REBOOTED, FactKind.INSTALLED)


def is_overdue(history: History, fact: Fact) -> bool:
    """Whether the grace of the device that `fact` (of kind GRACE_OVER) speaks of has passed in silence."""
    return history.silent_in_grace and fact.at == history.grace_until


def would_count(history: History, fact: Fact) -> EvidenceKind | None:
    """What a fact from behind the watermark would have been evidence of: it is listed, never processed."""
    if history.left or fact.at <= history.enrolled_at or fact.at < history.grace_until:
        return None
    if fact.kind is FactKind.REBOOTED and not history.crashed:
        return EvidenceKind.CRASHED
    if fact.kind is FactKind.SILENT and not history.silent:
        return EvidenceKind.SILENT
    if fact.kind is FactKind.ALARMED and not history.alarmed:
        return EvidenceKind.ALARMED
    return None


def _note_presence(history: History, fact: Fact) -> None:
    if fact.kind is FactKind.SILENT:
        history.silent_at, history.absent = fact.at, True
    elif is_sign_of_life(fact):
        history.absent = False


def _begin_install(history: History, fact: Fact, grace_ms: int) -> None:
    # Once: a device that answers a repeated command again gets no second grace.
    if (history.elsewhere or fact.command == history.command) and not history.accepted:
        history.accepted, history.grace_until = True, fact.at + grace_ms


def _ends_install(history: History, fact: Fact) -> bool:
    # The reboot into other firmware is the install's own, asked for by us or not.
    return fact.kind is FactKind.INSTALLED or (
        fact.kind in _ENDINGS and fact.command == history.command and history.command != ""
    )


def _answer(history: History, fact: Fact) -> EvidenceKind | None:
    # One bet per device: what it says first of its update.
    kind = _ENDINGS.get(fact.kind)
    if kind is None or history.answered:
        return None
    history.answered = True
    return kind


_ENDINGS = {
    FactKind.INSTALL_OVER: None,
    FactKind.INSTALL_DONE: EvidenceKind.UPDATED,
    FactKind.INSTALL_FAILED: EvidenceKind.UPDATE_FAILED,
}


def _first(history: History, fact: Fact) -> EvidenceKind | None:
    # One bet per device and guard: only what happens for the first time counts.
    if fact.kind is FactKind.REBOOTED and not history.crashed:
        history.crashed = True
        return EvidenceKind.CRASHED
    if fact.kind is FactKind.ALARMED and not history.alarmed:
        history.alarmed = True
        return EvidenceKind.ALARMED
    overdue = fact.kind is FactKind.GRACE_OVER and is_overdue(history, fact)
    if (fact.kind is FactKind.SILENT or overdue) and not history.silent:
        history.silent, history.silent_in_grace = True, False
        return EvidenceKind.SILENT
    return None

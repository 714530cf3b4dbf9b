"""What happened to devices of a rollout, and what its gate says: topics `rollout.evidence.v1`, `rollout.verdicts.v1`."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ingest.contract.events.plans import GuardKind


class Arm(StrEnum):
    """The arm a device was assigned to, whatever it then installed."""

    CANARY = "canary"
    CONTROL = "control"


class EvidenceKind(StrEnum):
    """One device-level fact of a rollout."""

    ENROLLED = "enrolled"
    CRASHED = "crashed"
    SILENT = "silent"
    SOAKED = "soaked"  # its soak is over: `value` is its statistic of `metric`
    CENSORED = "censored"  # left for a reason that is neither arm's doing: retired, moved, plan ended
    ALARMED = "alarmed"  # a detector's alarm, of one that knows neither release nor arm
    UPDATED = "updated"  # a canary says that its update is done
    UPDATE_FAILED = "update_failed"  # ... or that it failed or was refused: `detail` says why
    LATE = "late"  # arrived behind the watermark: listed, never part of the deciding process


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `rollout.evidence.v1`, key rollout: one device-level outcome at event time `at` (ms).

    `wave` tells apart the draws of one stratum: only devices of one stratum and wave are compared. `before` is the statistic's
    value from before the release, where there is one.
    """

    rollout: str
    tenant: str
    device: str
    site: str
    stratum: str
    arm: Arm
    kind: EvidenceKind
    at: int
    detail: str = ""
    wave: str = ""
    metric: str = ""
    value: float = 0.0
    before: float | None = None


class Outcome(StrEnum):
    """What a gate answers."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class GuardVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of one guard: logarithms (base 10) of its harm and non-inferiority e-values.

    `events_canary` and `events_control` count first events, or the devices whose soak is over, or (canaries only) failed updates.
    """

    name: str
    kind: GuardKind
    log10_e_harm: float
    log10_e_safe: float
    events_canary: int
    events_control: int


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `rollout.verdicts.v1`, key rollout: the gate's answer at watermark `at` (ms) and the numbers behind it."""

    rollout: str
    tenant: str
    verdict: Outcome
    score: float
    e_value: float
    """Capped at 1e300; `log10_e` is the exact one."""
    log10_e: float
    alpha: float
    n_canary: int
    n_control: int
    reason: str
    at: int
    since: int
    guards: list[GuardVerdict]
    policy_hash: str
    offsets: dict[str, int]
    observational: bool = False
    guilty: str = ""
    forced: str = ""
    """`abort` or `override` when people have decided (`verdict` is theirs then), else empty."""
    people: list[str] = []
    """Who asked for what, and why, in a sentence each."""

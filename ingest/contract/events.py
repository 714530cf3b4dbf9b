"""What happens in a fleet, as records: one Struct per Kafka topic, JSON on the wire, unknown fields ignored."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class DeviceState(StrEnum):
    """What is known of a device."""

    ONLINE = "online"
    SILENT = "silent"  # its lease ran out
    LOST = "lost"  # its last will was published
    RETIRED = "retired"


class DeviceChange(StrEnum):
    """What made a device event."""

    FIRST_SEEN = "first_seen"
    ATTRIBUTES = "attributes"  # hardware or group changed
    INSTALLED = "installed"  # firmware changed; a reboot that comes with it is part of the install
    REBOOTED = "rebooted"  # a new boot id, or an uptime that fell, with the same firmware
    SILENT = "silent"
    LOST = "lost"
    RETURNED = "returned"  # heard again after silent or lost
    RETIRED = "retired"


class DeviceEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `fleet.devices.v1`, key `{site}/{device}`: everything known of a device after one change, at `at` (ms)."""

    tenant: str
    site: str
    gateway: str
    device: str
    change: DeviceChange
    state: DeviceState
    at: int
    firmware: str = ""
    previous_firmware: str = ""
    hardware: str = ""
    group: str = ""
    boot: str = ""
    reboots: int = 0
    last_seen: int = 0


class GatewayEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `fleet.devices.v1`, key `{site}/gateway:{gateway}`: the gateway's heartbeat.

    All device events of this gateway up to `at` (ms) precede it in the topic: `at` is the site's watermark.
    """

    tenant: str
    site: str
    gateway: str
    at: int
    devices: int
    silent: int
    cut_off: bool
    """The gateway hears no devices because it is cut off from its broker; leases stand still."""
    backlog_bytes: int = 0
    heartbeat_ms: int = 5000


class AnomalyStatus(StrEnum):
    """The life of an anomaly of one series."""

    ENTERED = "entered"
    CONTINUES = "continues"
    LEFT = "left"


class AnomalyEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `fleet.anomalies.v1`, key `{site}/{device}`: what a detector saw in one series at window end `at` (ms)."""

    tenant: str
    site: str
    device: str
    metric: str
    labels: tuple[tuple[str, str], ...]
    status: AnomalyStatus
    detector: str
    at: int
    since: int
    value: float
    expected: float
    scale: float
    score: float
    """Calibrated, 0 to 1."""
    tail_probability: float
    reason: str = ""
    firmware: str = ""
    hardware: str = ""
    group: str = ""


class AlertState(StrEnum):
    """The life of an alert."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


class AlertEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `fleet.alerts.v1`, key fingerprint: an alert after one change of its life. Times in ms, 0 when not yet."""

    fingerprint: str
    tenant: str
    name: str
    state: AlertState
    severity: str
    labels: dict[str, str]
    annotations: dict[str, str]
    numbers: dict[str, float]
    changed_at: int
    pending_since: int
    starts_at: int
    ends_at: int = 0
    reason: str = ""

    def idempotency_key(self) -> str:
        """Equal for every delivery of the same change."""
        return f"{self.fingerprint}:{self.starts_at}:{self.state.value}"


class GuardKind(StrEnum):
    """What a guard watches."""

    CRASH = "crash"  # first crash or reboot since enrolment
    SILENCE = "silence"  # first lease that ran out since enrolment


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which a release may do harm. `margin`: the marginal hazard ratio of first events that is tolerable."""

    name: str
    kind: GuardKind
    weight: float = 1.0
    margin: float = 1.5


class PlanState(StrEnum):
    """Whether a rollout is under way."""

    RUNNING = "running"
    PAUSED = "paused"
    ENDED = "ended"


class RollbackMode(StrEnum):
    """What a `fail` leads to."""

    OBSERVE = "observe"
    AUTOMATIC = "automatic"


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which devices a rollout is for; an empty list selects all."""

    sites: list[str] = []
    hardware: list[str] = []
    groups: list[str] = []
    firmware: list[str] = []


class RolloutPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `rollout.plans.v1`, key rollout: what is being rolled out to whom, and its guards.

    Digests are `sha256:<hex>` of the images; `canary_share` is the probability of the canary arm;
    `install_grace_s` is how long an update may keep a device silent without that being evidence.
    """

    rollout: str
    tenant: str
    release: str
    previous_release: str
    release_digest: str
    previous_digest: str
    created: int
    guards: list[Guard]
    selection: Selection = msgspec.field(default_factory=Selection)
    canary_share: float = 0.5
    alpha: float = 0.05
    mode: RollbackMode = RollbackMode.OBSERVE
    state: PlanState = PlanState.RUNNING
    seed: int = 0
    install_grace_s: float = 300.0
    command_expiry_s: float = 86_400.0
    created_by: str = ""


class Arm(StrEnum):
    """The arm a device was assigned to, whatever it then installed."""

    CANARY = "canary"
    CONTROL = "control"


class EvidenceKind(StrEnum):
    """One device-level fact of a rollout."""

    ENROLLED = "enrolled"
    CRASHED = "crashed"
    SILENT = "silent"
    CENSORED = "censored"  # left for a reason that is neither arm's doing: retired, moved, plan ended
    LATE = "late"  # arrived behind the watermark: listed, never part of the deciding process


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `rollout.evidence.v1`, key rollout: one device-level outcome at event time `at` (ms)."""

    rollout: str
    tenant: str
    device: str
    site: str
    stratum: str
    arm: Arm
    kind: EvidenceKind
    at: int
    detail: str = ""


class Outcome(StrEnum):
    """What a gate answers."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class GuardVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of one guard: logarithms (base 10) of its harm and non-inferiority e-values."""

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


class RollbackPhase(StrEnum):
    """How far a rollback has come."""

    COMMANDED = "commanded"
    COMPLETE = "complete"


class RollbackStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `rollout.rollbacks.v1`, key rollout: who was commanded, who is done, recovered or unreachable."""

    rollout: str
    tenant: str
    phase: RollbackPhase
    decided_at: int
    at: int
    commanded: list[str]
    done: list[str]
    recovered: list[str]
    unreachable: list[str]
    refused: dict[str, str] = {}


class AckStatus(StrEnum):
    """What a device says of a command."""

    ACCEPTED = "accepted"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    EXPIRED = "expired"  # said by the gateway: no acknowledgement came before the command expired


class AckEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `rollout.acks.v1`, key site: a device's acknowledgement, at the gateway's time `at` (ms)."""

    tenant: str
    site: str
    gateway: str
    device: str
    command: str
    status: AckStatus
    at: int
    firmware: str = ""
    reason: str = ""


class AccountEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `ingest.accounts.v1`, key `{tenant}/{site}/{gateway}/{boot}`: the centre's account of one gateway.

    It is also the door's state to resume: records of `partition` below `offset` are in it. `received_seqs` are closed
    intervals [first, last]; the counts are samples; `finding` is a LedgerFinding; `first_broken_seq` is 0 while the
    account holds.
    """

    tenant: str
    site: str
    gateway: str
    boot: str
    partition: int
    offset: int
    received_seqs: list[tuple[int, int]]
    chain_seq: int
    chain_digest: bytes
    finding: str
    first_broken_seq: int
    received: int
    rolled_up: int
    duplicate: int
    rejected: dict[str, int]
    dropped: dict[str, int]
    open: int
    stored: int
    batches: int
    duplicate_batches: int
    at: int
    revisions: dict[str, tuple[int, int, int]] = {}
    """Hash of series and start (hexadecimal) to the seq that corrected that window, its revision (-1: replaced) and width."""
    pending_digests: dict[int, tuple[bytes, bytes, int]] = {}
    """seq to (previous, digest, created in ms) of the first and last entry of each interval received."""

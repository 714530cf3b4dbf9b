"""What came of it, as one JSON object."""

from __future__ import annotations

import msgspec


class Samples(msgspec.Struct, kw_only=True):
    """Samples by what became of them: sent by the devices, then as the gateways' ledgers and the store have them."""

    sent: int = 0
    received: int = 0
    rolled_up: int = 0
    duplicate: int = 0
    rejected: int = 0
    dropped: int = 0
    stored: int = 0


class Alerts(msgspec.Struct, kw_only=True):
    """Alerts that fired, that reached the on-call webhook, and that it was told have ended."""

    fired: int = 0
    delivered: int = 0
    resolved: int = 0


class Gate(msgspec.Struct, kw_only=True):
    """The gate's last answer; `decided_after_s` since the rollout began, 0 when undecided."""

    rollout: str = ""
    verdict: str = ""
    e_value: float = 0.0
    log10_e: float = 0.0
    alpha: float = 0.0
    n_canary: int = 0
    n_control: int = 0
    decided_after_s: float = 0.0


class Rollback(msgspec.Struct, kw_only=True):
    """Devices of the rollback by status."""

    commanded: int = 0
    done: int = 0
    unreachable: int = 0
    recovered: int = 0


class Summary(msgspec.Struct, kw_only=True):
    """The last line of `tidegate demo --json`; `missing` names the step that was not seen, if the loop did not close."""

    ok: bool = False
    seconds: float = 0.0
    peak_mib: float = 0.0
    samples: Samples = msgspec.field(default_factory=Samples)
    ledger: str = "unknown"
    alerts: Alerts = msgspec.field(default_factory=Alerts)
    gate: Gate = msgspec.field(default_factory=Gate)
    rollback: Rollback = msgspec.field(default_factory=Rollback)
    missing: str = ""

"""The gate's settings."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec

from analytics.rollback.credentials import Auth

KINDS = ("kubernetes", "argo-rollouts", "argo-cd", "flux", "hawkbit", "mender", "aws-iot", "azure-adu")
"""Kinds of owners: `analytics/rollback/owners` has a file for each."""


class WebhookConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom to tell of a rollback: `url` is called once per decision, signed with the first line of `secret_file`.

    The signature is HMAC-SHA256 over `{timestamp}:{body}`. `timeout_s` is for one request, `most_wait_s` the longest wait
    between two tries.
    """

    url: str
    secret_file: str
    timeout_s: float = 10.0
    most_wait_s: float = 300.0
    signature_header: str = "X-Tidegate-Signature"
    timestamp_header: str = "X-Tidegate-Timestamp"

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be meant; the address may hold a secret and is not repeated whole."""
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"url is {self.url[:12]!r}…, expected http://… or https://…")
        _require_positive(self, "timeout_s", "most_wait_s")


class OwnerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A system that owns rollouts, as plans name it in `actuators`.

    `secret_file`: what `auth` needs (a token, user:password, or ACCESS_KEY_ID:SECRET_ACCESS_KEY); `ca_file`: the authorities of
    https (PEM; the operating system's where empty); `dry_run`: look and tell, change nothing.
    """

    name: str
    kind: str
    url: str
    auth: Auth = Auth.BEARER
    secret_file: str = ""
    region: str = ""
    ca_file: str = ""
    dry_run: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be meant."""
        parts = urlsplit(self.url)
        if self.kind not in KINDS:
            raise ValueError(f"kind is {self.kind!r}, expected one of {', '.join(KINDS)}")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"url is {self.url[:12]!r}…, expected http://… or https://…")
        if (self.auth is Auth.NONE) == bool(self.secret_file):
            raise ValueError(f"auth is {self.auth.value!r}, expected secret_file with it, or auth none and no file")
        if (self.auth is Auth.AWS) != bool(self.region):
            raise ValueError("region goes with auth aws, and only with it")


class GateConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rollout gate and the rollback. Durations in seconds.

    signing_key_file: Ed25519 private key (PEM, mode 0600) that signs commands and verdicts; devices know its public key.
    tick_s: how often time alone is looked at. settle_s: how long a heartbeat waits until what its gateway had sent before
    it has surely been read. gateway_patience_s: after this a gateway that is not heard holds its site's other gateways up
    no longer. verdict_s: how often a verdict is written when only its numbers changed. save_s: how often progress without
    consequences is saved. rollback_settle_s: how long a device may be absent before a rollback counts it as unreachable.
    recovery_s: the stretch of time over which a device that is back is compared with the controls (0: not at all).
    A rollback's commands go down in waves of rollback_wave devices (0: all at once), rollback_wave_s apart.
    forget_s: how long an ended rollout is remembered. approval_s: how long an approval of a rollback holds.
    alarm_settle_s: how long after it was raised a detector's alarm counts as evidence.
    kill_switch_file: while this file exists nothing is begun: no draw, no rollback, no repeated command.
    group and member: the consumer group, and this process's fixed name in it; a group is for one gate.
    """

    signing_key_file: str
    tick_s: float = 0.2
    settle_s: float = 1.0
    gateway_patience_s: float = 900.0
    verdict_s: float = 5.0
    save_s: float = 5.0
    rollback_settle_s: float = 60.0
    recovery_s: float = 300.0
    rollback_wave: int = 500
    rollback_wave_s: float = 10.0
    forget_s: float = 30 * 86_400.0
    approval_s: float = 86_400.0
    alarm_settle_s: float = 60.0
    kill_switch_file: str = ""
    max_records: int = 2000
    group: str = "tidegate-gate"
    member: str = "gate-0"
    webhook: WebhookConfig | None = None
    owners: list[OwnerConfig] = []

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be meant."""
        _require_positive(self, "tick_s", "gateway_patience_s", "save_s", "forget_s", "approval_s")
        for field in ("settle_s", "verdict_s", "rollback_settle_s", "recovery_s", "rollback_wave_s", "alarm_settle_s"):
            if not getattr(self, field) >= 0:
                raise ValueError(f"{field} is {getattr(self, field)}, expected at least 0 seconds")
        if self.rollback_wave < 0:
            raise ValueError(f"rollback_wave is {self.rollback_wave}, expected 0 (all at once) or more devices")
        names = [owner.name for owner in self.owners]
        if len(set(names)) < len(names):
            raise ValueError("owners: two have one name")
        if self.max_records < 1:
            raise ValueError(f"max_records is {self.max_records}, expected at least 1")


def _require_positive(config: msgspec.Struct, *fields: str) -> None:
    for field in fields:
        if not getattr(config, field) > 0:
            raise ValueError(f"{field} is {getattr(config, field)}, expected more than 0 seconds")

"""What a user may say about alerts and their receivers."""

from __future__ import annotations

import msgspec

from analytics.alerts import rules
from analytics.alerts.checks import require_durations, require_positive
from analytics.alerts.maintenance import MaintenanceConfig
from analytics.alerts.network import Network
from analytics.alerts.receiver_config import (
    AlertmanagerConfig,
    ChatConfig,
    HeartbeatConfig,
    MailConfig,
    OpsgenieConfig,
    PagerDutyConfig,
    ReceiverConfig,
    WebhookConfig,
)
from analytics.alerts.route_config import RouteConfig

MOST_FLAPS = 100
LEAST_ALERT_BYTES = 1 << 20


class RuleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`for_s`: how long a condition must last before it fires; `keep_firing_s`: how long it must be over to resolve.

    `stale_s`: an alert of which nothing has been heard for so long is stale, 0 for never; it goes on all the same.
    """

    severity: str = "warning"
    for_s: float = 0.0
    keep_firing_s: float = 0.0
    stale_s: float = 0.0
    enabled: bool = True

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be meant."""
        if self.severity not in {"critical", "error", "warning", "info"}:
            raise ValueError(f"severity is {self.severity!r}, expected critical, error, warning or info")
        require_durations(for_s=self.for_s, keep_firing_s=self.keep_firing_s, stale_s=self.stale_s)


class FlapConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An alert that fires `times` times within `window_s` flaps: it stays firing until it was over for `quiet_s`.

    0 times: nothing flaps.
    """

    times: int = 5
    window_s: float = 600.0
    quiet_s: float = 600.0

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be meant."""
        if not 0 <= self.times <= MOST_FLAPS or self.times == 1:
            raise ValueError(f"times is {self.times}, expected 2 to {MOST_FLAPS}, or 0 for never")
        require_positive(window_s=self.window_s, quiet_s=self.quiet_s)

    def told(self) -> str:
        """What people read about an alert that flaps."""
        return (
            f"fired {self.times} times within {self.window_s:g} s: it stays firing until it has been over for"
            f" {self.quiet_s:g} s"
        )


class AlertsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules and who is told. Durations in seconds.

    `site_dark_s`: a gateway unheard for so long makes its site dark. `group_wait_s`: the first alert of
    a group goes at once; those that come so soon after it travel together. `forget_s`: how long what ended is remembered. `link`: the console's address, for links.
    Alerts go where the first of `routes` says that they match, else to `default_receivers`, or to all where that is empty. What
    still fires, and nobody looks after, is told again every `repeat_s` (0: never).
    `rules_file`: rules of your own (docs/alerts.md), which look at `max_series` series per partition at the most.
    `after_dark_s`: so long the devices of a site that was dark have to be heard again before anybody is told of them.
    `maintenance`: windows that come again. `alert_bytes`: what alerts that live may take in memory.
    `notify_each`: receivers are told of each series and device that alarms, and not of their incident alone.
    """

    webhooks: list[WebhookConfig] = []
    alertmanagers: list[AlertmanagerConfig] = []
    pagerduties: list[PagerDutyConfig] = []
    opsgenies: list[OpsgenieConfig] = []
    mails: list[MailConfig] = []
    chats: list[ChatConfig] = []
    routes: list[RouteConfig] = []
    default_receivers: list[str] = []
    repeat_s: float = 14_400.0
    heartbeat: HeartbeatConfig | None = None
    network: Network = Network()
    metric_anomaly: RuleConfig = RuleConfig(severity="warning")
    device_silent: RuleConfig = RuleConfig(severity="warning")
    site_dark: RuleConfig = RuleConfig(severity="critical")
    rollout_failed: RuleConfig = RuleConfig(severity="critical")
    ledger_breach: RuleConfig = RuleConfig(severity="error", for_s=60.0)
    incident: RuleConfig = RuleConfig(severity="warning")
    flapping: FlapConfig = FlapConfig()
    maintenance: list[MaintenanceConfig] = []
    notify_each: bool = False
    site_dark_s: float = 60.0
    after_dark_s: float = 60.0
    group_wait_s: float = 0.5
    forget_s: float = 7 * 86_400.0
    link: str = ""
    rules_file: str = ""
    max_series: int = 1_000_000
    alert_bytes: int = 256 << 20
    member: str = "alerts-0"
    tick_s: float = 0.2

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be meant."""
        require_durations(group_wait_s=self.group_wait_s, after_dark_s=self.after_dark_s, repeat_s=self.repeat_s)
        require_positive(site_dark_s=self.site_dark_s, forget_s=self.forget_s, tick_s=self.tick_s)
        if self.max_series < 1:
            raise ValueError(f"max_series is {self.max_series}, expected at least 1")
        if self.alert_bytes < LEAST_ALERT_BYTES:
            raise ValueError(f"alert_bytes is {self.alert_bytes}, expected at least {LEAST_ALERT_BYTES}")
        windows = [window.name for window in self.maintenance]
        again = sorted({name for name in windows if windows.count(name) > 1})
        if again:
            raise ValueError(f"more than one maintenance is called {again[0]!r}: give each a name of its own")
        names = [receiver.name for receiver in self.receivers()]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"more than one receiver is called {twice[0]!r}: give each a name of its own")
        asked = [*self.default_receivers, *(n for route in self.routes for n in (*route.receivers, *route.escalate_to))]
        unknown = sorted(set(asked) - set(names))
        if unknown:
            known = f"there are {', '.join(sorted(names))}" if names else "there is none at all"
            raise ValueError(f"no receiver is called {unknown[0]!r}; {known}")

    def receivers(self) -> list[ReceiverConfig]:
        """All receivers of whatever kind."""
        return [*self.webhooks, *self.alertmanagers, *self.pagerduties, *self.opsgenies, *self.mails, *self.chats]

    def built_in(self) -> dict[str, RuleConfig]:
        """The rules that are always there, by name."""
        return {
            rules.METRIC_ANOMALY: self.metric_anomaly,
            rules.DEVICE_SILENT: self.device_silent,
            rules.SITE_DARK: self.site_dark,
            rules.ROLLOUT_FAILED: self.rollout_failed,
            rules.LEDGER_BREACH: self.ledger_breach,
            rules.INCIDENT: self.incident,
        }

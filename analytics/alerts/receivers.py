"""Receivers as they are configured, with their secrets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from analytics.alerts.alertmanager import Alertmanager
from analytics.alerts.chat import Chat
from analytics.alerts.mail import Mail
from analytics.alerts.opsgenie import Opsgenie
from analytics.alerts.pagerduty import PagerDuty
from analytics.alerts.webhook import Webhook
from ingest.runtime.secrets import SecretError, read_secret

if TYPE_CHECKING:
    from analytics.alerts.config import AlertsConfig
    from analytics.alerts.notifier import Notifier
    from ingest.runtime.clock import Clock


def build_receivers(config: AlertsConfig, clock: Clock) -> list[Notifier]:
    """In the order of `config.receivers()`. Raises SecretError, ChatError."""
    network = config.network
    webhooks = [Webhook(one, _secret(one.secret_file), clock, network) for one in config.webhooks]
    managers = [Alertmanager(one, _optional(one.password_file), clock, network) for one in config.alertmanagers]
    pagers = [PagerDuty(one, _secret(one.routing_key_file), clock, network) for one in config.pagerduties]
    genies = [Opsgenie(one, _secret(one.api_key_file), clock, network) for one in config.opsgenies]
    mails = [Mail(one, _optional(one.password_file), clock, network) for one in config.mails]
    chats = [Chat(one, _lines(one.urls_file), network) for one in config.chats]
    return [*webhooks, *managers, *pagers, *genies, *mails, *chats]


def _optional(path: str) -> str:
    return _secret(path) if path else ""


def _lines(path: str) -> list[str]:
    return [line.strip() for line in _secret(path).splitlines() if line.strip() and not line.startswith("#")]


def _secret(path: str) -> str:
    secret = read_secret(path)
    if not secret:
        raise SecretError(f"{Path(path)}: found an empty file, expected a secret")
    return secret

"""One try of telling a webhook of an alarm."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx

from edge_aggregator.rules.deliver import Outcome
from ingest.runtime.webhooks import signature

if TYPE_CHECKING:
    from edge_aggregator.rules.config import AlarmWebhookConfig
    from edge_aggregator.rules.queue import Notification
    from ingest.runtime.clock import Clock

_AGAIN = frozenset({408, 425, 429})


class Webhook:
    """POSTs one change of one alarm, signed with HMAC-SHA256 over `{timestamp}:{body}`.

    No redirect is followed and no proxy is read from the environment: the address comes from the configuration alone.
    """

    def __init__(self, config: AlarmWebhookConfig, secret: str, clock: Clock) -> None:
        self._config, self._secret, self._clock = config, secret.encode(), clock
        self._http = httpx.AsyncClient(timeout=config.timeout_s, follow_redirects=False, trust_env=False)

    async def __call__(self, notification: Notification) -> Outcome:
        """One try."""
        try:
            async with asyncio.timeout(self._config.timeout_s):
                answer = await self._http.post(
                    self._config.url, content=notification.body, headers=self._headers(notification)
                )
        except (httpx.HTTPError, TimeoutError):
            return Outcome.RETRIED
        if answer.is_success:
            return Outcome.DELIVERED
        return Outcome.RETRIED if answer.status_code in _AGAIN or answer.is_server_error else Outcome.REFUSED

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def _headers(self, notification: Notification) -> dict[str, str]:
        timestamp = str(self._clock.now_ms() // 1000)
        state = "firing" if notification.firing else "resolved"
        return {
            "Content-Type": "application/json",
            "Idempotency-Key": f"{notification.key}:{notification.life}:{state}",
            self._config.timestamp_header: timestamp,
            self._config.signature_header: signature(self._secret, timestamp, notification.body),
        }

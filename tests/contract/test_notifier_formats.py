"""What each kind of notifier sends: the webhook its signature and body, Alertmanager every replica, a real one included."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest

from analytics.alerts.alertmanager import Alertmanager
from analytics.alerts.notifier import PermanentlyRefusedError, TemporarilyRefusedError
from analytics.alerts.receiver_config import AlertmanagerConfig, WebhookConfig
from analytics.alerts.webhook import Webhook
from ingest.contract.events import AlertState
from ingest.runtime.clock import ManualClock, SystemClock
from tests.notifiers import SECRET, T0, alert, alertmanager_at, notification, told, webhook
from tests.receivers import DEADLINE_S, Answer, Receiver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from compose.stack.endpoints import AlertmanagerEndpoint
    from tests.servers import RunningServer


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


async def test_the_webhook_is_signed_so_that_it_can_be_verified(receiver: Receiver) -> None:
    notifier = webhook(receiver.url)
    await notifier.send(notification())
    await notifier.close()
    (request,) = receiver.requests
    timestamp, given = request.headers["x-tidegate-timestamp"], request.headers["x-tidegate-signature"]
    assert timestamp == str(T0 // 1000)
    signed = timestamp.encode() + b":" + request.body
    assert hmac.compare_digest(given, hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest())
    assert given != hmac.new(SECRET.encode(), signed + b" ", hashlib.sha256).hexdigest()


async def test_the_webhooks_headers_have_the_names_that_were_asked_for(receiver: Receiver) -> None:
    config = WebhookConfig(
        name="hook", url=receiver.url, secret_file="", signature_header="X-Signed", timestamp_header="X-When"
    )
    notifier = Webhook(config, SECRET, ManualClock(T0))
    await notifier.send(notification())
    await notifier.close()
    assert {"x-signed", "x-when"} <= receiver.requests[0].headers.keys()


async def test_the_webhooks_body_is_alertmanagers_version_4_with_our_numbers(receiver: Receiver) -> None:
    notifier = webhook(receiver.url)
    await notifier.send(notification(alert("a1"), alert("a2", AlertState.RESOLVED)))
    await notifier.send(notification(alert("a2", AlertState.RESOLVED)))
    await notifier.close()
    body = receiver.requests[0].json()
    first, second = body.pop("alerts")
    assert body == {
        "version": "4",
        "groupKey": '{}:{alertname="MetricAnomaly", tenant="acme"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "hook",
        "groupLabels": {"alertname": "MetricAnomaly", "tenant": "acme"},
        "commonLabels": {key: value for key, value in first["labels"].items() if key != "device"},
        "commonAnnotations": first["annotations"],
        "externalURL": "",
    }
    assert (first["status"], first["startsAt"], first["endsAt"]) == (
        "firing",
        "2023-11-14T22:13:20.000Z",
        "0001-01-01T00:00:00Z",
    )
    assert (first["fingerprint"], first["idempotencyKey"]) == ("a1", f"a1:{T0}:firing")
    assert first["numbers"] == {"value": 97.5, "expected": 41.0}
    assert (second["status"], second["endsAt"]) == ("resolved", "2023-11-14T22:14:20.000Z")
    assert receiver.requests[1].json()["status"] == "resolved"


async def test_every_replica_of_an_alertmanager_is_told_and_one_is_enough(receiver: Receiver) -> None:
    async with Receiver() as other:
        notifier = alertmanager_at(receiver.url, other.url + "/")
        await notifier.send(notification())
        assert [r.requests[0].path for r in (receiver, other)] == ["/api/v2/alerts"] * 2
        assert receiver.requests[0].headers["authorization"].startswith("Basic ")
        receiver.answers.append(Answer(500))
        await notifier.send(notification())
        receiver.answers.append(Answer(400))
        other.answers.append(Answer(503, {"Retry-After": "3"}))
        with pytest.raises(TemporarilyRefusedError) as caught:
            await notifier.send(notification())
        assert caught.value.retry_after_s == 3
        await notifier.close()


async def test_an_alert_that_fires_holds_in_alertmanager_until_long_after_the_next_repetition(
    receiver: Receiver,
) -> None:
    notifier = alertmanager_at(receiver.url)
    await notifier.repeat([alert("a1"), alert("a2", AlertState.RESOLVED)])
    await notifier.close()
    first, second = told(receiver)
    assert first["endsAt"] == "2023-11-14T22:19:20.000Z"  # six minutes on
    assert second["endsAt"] == "2023-11-14T22:14:20.000Z"


class RealAlertmanager:
    """A notifier for the real server, and what the server says."""

    def __init__(self, endpoint: AlertmanagerEndpoint) -> None:
        clock, password = SystemClock(), "-" if endpoint.username else ""
        config = AlertmanagerConfig(
            name="real", urls=[endpoint.url], username=endpoint.username, password_file=password
        )
        self.notifier = Alertmanager(config, endpoint.password, clock)
        self.now = clock.now_ms()
        auth = (endpoint.username, endpoint.password) if endpoint.username else None
        self._http = httpx.AsyncClient(base_url=endpoint.url, auth=auth, trust_env=False, timeout=60.0)

    async def shown(self, fingerprint: str) -> list[dict[str, Any]]:
        answer = await self._http.get("/api/v2/alerts", params={"filter": f'fingerprint="{fingerprint}"'})
        return answer.raise_for_status().json()

    async def until_shown(self, fingerprint: str, count: int) -> list[dict[str, Any]]:
        async with asyncio.timeout(DEADLINE_S):
            while len(found := await self.shown(fingerprint)) != count:  # noqa: ASYNC110 - a server has no event to wait for
                await asyncio.sleep(0.1)
        return found

    async def close(self) -> None:
        await self.notifier.close()
        await self._http.aclose()


@pytest.fixture
async def real(alertmanager: RunningServer[AlertmanagerEndpoint]) -> AsyncIterator[RealAlertmanager]:
    real = RealAlertmanager(alertmanager.endpoint)
    yield real
    await real.close()


@pytest.mark.servers
async def test_the_real_alertmanager_shows_it_firing_then_ended(real: RealAlertmanager) -> None:
    name = f"lives-{real.now}"
    fired = alert(name, starts_at=real.now)
    await real.notifier.send(notification(fired))
    (shown,) = await real.until_shown(name, 1)
    assert shown["status"]["state"] in {"active", "unprocessed"}
    assert shown["labels"]["alertname"] == "MetricAnomaly"
    assert shown["annotations"]["runbook"] == "docs/runbooks/MetricAnomaly.md"
    await real.notifier.send(notification(fired))
    assert len(await real.until_shown(name, 1)) == 1
    ended = msgspec.structs.replace(fired, state=AlertState.RESOLVED, ends_at=real.now)  # in the same millisecond
    await real.notifier.repeat([fired])
    await real.notifier.send(notification(ended))
    await real.until_shown(name, 0)


@pytest.mark.servers
async def test_what_the_real_alertmanager_cannot_take_is_refused_for_good(real: RealAlertmanager) -> None:
    impossible = msgspec.structs.replace(alert("impossible", AlertState.RESOLVED), ends_at=T0 - 1000)
    with pytest.raises(PermanentlyRefusedError, match="answered 400"):
        await real.notifier.send(notification(impossible))


@pytest.mark.servers
async def test_while_the_real_alertmanager_is_away_it_means_later(
    real: RealAlertmanager, alertmanager: RunningServer[AlertmanagerEndpoint]
) -> None:
    name = f"outage-{real.now}"
    await asyncio.to_thread(alertmanager.stop)
    with pytest.raises(TemporarilyRefusedError):
        await real.notifier.send(notification(alert(name, starts_at=real.now)))
    await asyncio.to_thread(alertmanager.start)
    await real.notifier.send(notification(alert(name, starts_at=real.now)))
    await real.until_shown(name, 1)

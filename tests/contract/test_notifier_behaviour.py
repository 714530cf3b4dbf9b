"""What every Notifier must do, whoever receives: a server that is well, ill, slow, hostile or away."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import hmac
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest

from analytics.alerts.alertmanager import Alertmanager
from analytics.alerts.config import AlertmanagerConfig, WebhookConfig
from analytics.alerts.http import RETRY_AFTER_MOST_S
from analytics.alerts.notifier import Notification, PermanentlyRefusedError, TemporarilyRefusedError
from analytics.alerts.webhook import Webhook
from ingest.contract.events import AlertEvent, AlertState
from ingest.runtime.clock import ManualClock, SystemClock
from tests.alert_world import TRACE
from tests.receivers import DEADLINE_S, Answer, Receiver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from analytics.alerts.notifier import Notifier
    from compose.stack.endpoints import AlertmanagerEndpoint
    from tests.servers import RunningServer

SECRET = "fixed for the test"
T0 = 1_700_000_000_000


def alert(fingerprint: str = "a1", state: AlertState = AlertState.FIRING, starts_at: int = T0) -> AlertEvent:
    return AlertEvent(
        fingerprint=fingerprint,
        tenant="acme",
        name="MetricAnomaly",
        state=state,
        severity="warning",
        labels={"site": "north", "device": fingerprint, "metric": "memory", "label_core-id": "0"},
        annotations={"summary": "memory of a1 is 97.5", "runbook": "docs/runbooks/MetricAnomaly.md"},
        numbers={"value": 97.5, "expected": 41.0},
        changed_at=starts_at,
        pending_since=starts_at,
        starts_at=starts_at,
        ends_at=starts_at + 60_000 if state is AlertState.RESOLVED else 0,
    )


def notification(*alerts: AlertEvent, trace: str = TRACE) -> Notification:
    return Notification(
        key="the-groups-key", name="MetricAnomaly", tenant="acme", alerts=list(alerts) or [alert()], trace=trace
    )


def webhook(url: str, timeout_s: float = 10.0) -> Webhook:
    config = WebhookConfig(name="hook", url=url + "/alerts", secret_file="", timeout_s=timeout_s)
    return Webhook(config, SECRET, ManualClock(T0))


def alertmanager_at(*urls: str, timeout_s: float = 10.0) -> Alertmanager:
    config = AlertmanagerConfig(
        name="manager", urls=list(urls), username="tidegate", password_file="-", timeout_s=timeout_s
    )
    return Alertmanager(config, SECRET, ManualClock(T0))


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture(params=[webhook, alertmanager_at])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Callable[..., Notifier]]:
    made: list[Notifier] = []

    def build(*args: Any, **more: Any) -> Notifier:
        made.append(request.param(*args, **more))
        return made[-1]

    yield build
    for notifier in made:
        await notifier.close()


def told(receiver: Receiver) -> list[dict[str, Any]]:
    """The alerts of the newest request, whichever format it is in."""
    body = receiver.requests[-1].json()
    return body["alerts"] if isinstance(body, dict) else body


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_any_2xx_is_delivered(make: Callable[..., Notifier], receiver: Receiver, status: int) -> None:
    receiver.answers.append(Answer(status))
    await make(receiver.url).send(notification(alert("a1"), alert("a2")))
    assert [item["labels"]["device"] for item in told(receiver)] == ["a1", "a2"]
    assert receiver.requests[-1].headers["content-type"] == "application/json"


async def test_key_and_trace_travel_with_it(make: Callable[..., Notifier], receiver: Receiver) -> None:
    notifier = make(receiver.url)
    await notifier.send(notification())
    await notifier.send(notification(trace=""))
    first, second = (request.headers for request in receiver.requests)
    assert first["idempotency-key"] == second["idempotency-key"] == "the-groups-key"
    assert first["traceparent"] == TRACE
    assert "traceparent" not in second


async def test_labels_have_names_that_prometheus_world_knows(make: Callable[..., Notifier], receiver: Receiver) -> None:
    await make(receiver.url).send(notification())
    labels = told(receiver)[0]["labels"]
    assert (labels["alertname"], labels["severity"], labels["tenant"]) == ("MetricAnomaly", "warning", "acme")
    assert labels["label_core_id"] == "0"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_these_answers_mean_later(make: Callable[..., Notifier], receiver: Receiver, status: int) -> None:
    receiver.answers.append(Answer(status, body=b"  not\n now "))
    with pytest.raises(TemporarilyRefusedError, match=f"answered {status}: not now") as caught:
        await make(receiver.url).send(notification())
    assert caught.value.retry_after_s == 0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
        ("99999999999999999999", RETRY_AFTER_MOST_S),
        ("9" * 400, RETRY_AFTER_MOST_S),
        ("-5", 0.0),
        ("soon", 0.0),
    ],
)
async def test_retry_after_is_heard(
    make: Callable[..., Notifier], receiver: Receiver, text: str, seconds: float
) -> None:
    receiver.answers.append(Answer(503, {"Retry-After": text}))
    with pytest.raises(TemporarilyRefusedError) as caught:
        await make(receiver.url).send(notification())
    assert caught.value.retry_after_s == seconds


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
async def test_these_answers_mean_never(make: Callable[..., Notifier], receiver: Receiver, status: int) -> None:
    receiver.answers.append(Answer(status, body=b"no"))
    with pytest.raises(PermanentlyRefusedError, match=f"answered {status}: no"):
        await make(receiver.url).send(notification())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(make: Callable[..., Notifier], receiver: Receiver, status: int) -> None:
    async with Receiver() as elsewhere:
        receiver.answers.append(Answer(status, {"Location": elsewhere.url + "/inside"}))
        with pytest.raises(PermanentlyRefusedError, match=str(status)):
            await make(receiver.url).send(notification())
        assert not elsewhere.requests


async def test_nobody_there_means_later(make: Callable[..., Notifier], receiver: Receiver) -> None:
    await receiver.close()
    notifier = make(receiver.url)
    with pytest.raises(TemporarilyRefusedError, match="ConnectError"):
        await notifier.send(notification())
    await receiver.open()
    await notifier.send(notification())
    await receiver.close()


@pytest.mark.parametrize("how", ["hang", "drip"])
async def test_a_receiver_that_hangs_is_left_in_time(
    make: Callable[..., Notifier], receiver: Receiver, how: str
) -> None:
    receiver.answers.append(Answer(how=how))
    began = time.monotonic()
    with pytest.raises(TemporarilyRefusedError, match="Timeout"):
        await make(receiver.url, timeout_s=0.3).send(notification())
    assert time.monotonic() - began < DEADLINE_S


async def test_a_receiver_that_hangs_up_means_later(make: Callable[..., Notifier], receiver: Receiver) -> None:
    receiver.answers.append(Answer(how="hang_up"))
    with pytest.raises(TemporarilyRefusedError):
        await make(receiver.url).send(notification())


@pytest.mark.parametrize("status", [200, 500])
async def test_an_answer_without_end_is_read_to_its_beginning_only(
    make: Callable[..., Notifier], receiver: Receiver, status: int
) -> None:
    receiver.answers.append(Answer(status, body=b"it begins" + bytes(10_000_000), how="endless"))
    notifier = make(receiver.url)
    if status == 200:
        await notifier.send(notification())
    else:
        with pytest.raises(TemporarilyRefusedError, match="it begins") as caught:
            await notifier.send(notification())
        assert len(str(caught.value)) < 300
    await notifier.send(notification())  # the next one is not held up


@pytest.mark.parametrize("status", [200, 500])
async def test_a_small_answer_cannot_become_a_large_one(
    make: Callable[..., Notifier], receiver: Receiver, status: int
) -> None:
    receiver.answers.append(Answer(status, {"Content-Encoding": "gzip"}, gzip.compress(bytes(50_000_000))))
    notifier = make(receiver.url)
    tracemalloc.start()
    try:
        with contextlib.suppress(TemporarilyRefusedError):
            await notifier.send(notification())
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert receiver.requests[-1].headers["accept-encoding"] == "identity"


async def test_the_status_counts_though_the_body_never_comes(make: Callable[..., Notifier], receiver: Receiver) -> None:
    receiver.answers.append(Answer(200, how="half"))
    await make(receiver.url).send(notification())


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
        self._http = httpx.AsyncClient(base_url=endpoint.url, auth=auth, trust_env=False)

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

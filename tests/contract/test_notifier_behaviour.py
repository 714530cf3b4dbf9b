"""What every notifier does with what a receiver answers, or does not: one suite over all of them."""

from __future__ import annotations

import contextlib
import gzip
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from analytics.alerts.http import RETRY_AFTER_MOST_S
from analytics.alerts.notifier import PermanentlyRefusedError, TemporarilyRefusedError
from tests.alert_world import TRACE
from tests.notifiers import alert, alertmanager_at, notification, told, webhook
from tests.receivers import DEADLINE_S, Answer, Receiver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from analytics.alerts.notifier import Notifier


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

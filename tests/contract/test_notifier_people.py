"""PagerDuty, Opsgenie, mails and chats as they arrive, and what each makes of a receiver that refuses, hangs or lies."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult

from analytics.alerts.chat import Chat, ChatError
from analytics.alerts.mail import Mail
from analytics.alerts.notifier import Notification, PermanentlyRefusedError, TemporarilyRefusedError
from analytics.alerts.opsgenie import Opsgenie
from analytics.alerts.pagerduty import PagerDuty
from analytics.alerts.receiver_config import ChatConfig, MailConfig, OpsgenieConfig, PagerDutyConfig
from ingest.contract.events import AlertEvent, AlertState
from ingest.runtime.clock import ManualClock
from tests.notifiers import T0, alert, notification
from tests.receivers import Answer, Receiver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SERVERS_PASSWORD = b"fixed for the test"
FIRING, RESOLVED, ACKNOWLEDGED = AlertState.FIRING, AlertState.RESOLVED, AlertState.ACKNOWLEDGED


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


def hostile(state: AlertState = FIRING) -> AlertEvent:
    """What a device may call itself."""
    fired = alert("a1\r\nBcc: everybody@example.org <script>" + "x" * 5000, state)
    return AlertEvent(**({f: getattr(fired, f) for f in fired.__struct_fields__} | {"fingerprint": "a1"}))


def pager(receiver: Receiver) -> PagerDuty:
    config = PagerDutyConfig(name="pager", routing_key_file="", url=receiver.url + "/v2/enqueue")
    return PagerDuty(config, "the-routing-key", ManualClock(T0))


def genie(receiver: Receiver) -> Opsgenie:
    config = OpsgenieConfig(name="genie", api_key_file="", url=receiver.url, responders=["pumps"])
    return Opsgenie(config, "the-api-key", ManualClock(T0))


async def test_pagerduty_is_told_of_the_whole_life_under_one_name(receiver: Receiver) -> None:
    receiver.otherwise = lambda _: Answer(202)
    notifier = pager(receiver)
    for state in (FIRING, ACKNOWLEDGED, RESOLVED):
        await notifier.send(notification(alert("a1", state)))
    await notifier.close()
    bodies = [request.json() for request in receiver.requests]
    assert [body["event_action"] for body in bodies] == ["trigger", "acknowledge", "resolve"]
    assert {body["dedup_key"] for body in bodies} == {"tidegate/acme/a1"}
    assert {body["routing_key"] for body in bodies} == {"the-routing-key"}
    told = bodies[0]["payload"]
    assert (told["severity"], told["source"], told["group"], told["class"]) == (
        "warning",
        "a1",
        "north",
        "MetricAnomaly",
    )
    assert told["timestamp"] == "2023-11-14T22:13:20.000Z"
    assert told["custom_details"]["value"] == 97.5
    assert "payload" not in bodies[2]


async def test_pagerduty_takes_whatever_devices_call_themselves(receiver: Receiver) -> None:
    notifier = pager(receiver)
    await notifier.send(notification(hostile()))
    await notifier.close()
    (request,) = receiver.requests
    assert len(request.body) < 512_000
    assert len(request.json()["payload"]["summary"]) <= 1024


async def test_opsgenie_is_told_of_the_whole_life_under_one_alias(receiver: Receiver) -> None:
    receiver.otherwise = lambda _: Answer(202)
    notifier = genie(receiver)
    for state in (FIRING, ACKNOWLEDGED, RESOLVED):
        await notifier.send(notification(alert("a1", state)))
    await notifier.close()
    alias = "/v2/alerts/tidegate%2Facme%2Fa1"
    assert [request.path for request in receiver.requests] == [
        "/v2/alerts",
        f"{alias}/acknowledge?identifierType=alias",
        f"{alias}/close?identifierType=alias",
    ]
    assert {request.headers["authorization"] for request in receiver.requests} == {"GenieKey the-api-key"}
    body = receiver.requests[0].json()
    assert (body["alias"], body["priority"], body["entity"]) == ("tidegate/acme/a1", "P3", "a1")
    assert len(body["message"]) <= 130
    assert body["responders"] == [{"name": "pumps", "type": "team"}]


@pytest.mark.parametrize("make", [pager, genie])
async def test_later_means_later_and_never_means_never(make: Any, receiver: Receiver) -> None:
    notifier = make(receiver)
    for status in (429, 500, 503):
        receiver.answers.append(Answer(status, {"Retry-After": "7"}))
        with pytest.raises(TemporarilyRefusedError) as caught:
            await notifier.send(notification())
        assert caught.value.retry_after_s == 7
    receiver.answers.append(Answer(400))
    with pytest.raises(PermanentlyRefusedError):
        await notifier.send(notification())
    await notifier.close()


class Mailbox:
    """What an SMTP server took; `codes` are given to the next messages."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.codes: list[str] = []

    async def handle_DATA(self, _server: SMTP, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        if self.codes:
            return self.codes.pop(0)
        self.taken.append(envelope)
        return "250 taken"


def certificate(folder: Path) -> tuple[str, str]:
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run(
        [*command, "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost", "-addext", names],
        check=True,
        capture_output=True,
    )
    return cert, key


class Post:
    """An SMTP server with STARTTLS and a password, and mails to it."""

    def __init__(self, folder: Path) -> None:
        self.box, (self.cert, key) = Mailbox(), certificate(folder)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.cert, key)
        self._context = context
        self.port = 0

    async def open(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(self._protocol, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def _protocol(self) -> SMTP:
        return SMTP(
            self.box,
            tls_context=self._context,
            require_starttls=True,
            auth_required=True,
            authenticator=self._authenticate,
        )

    def close(self) -> None:
        self._server.close()

    def _authenticate(self, _server: SMTP, _session: Any, _envelope: Any, _kind: str, data: Any) -> AuthResult:
        return AuthResult(success=data.password == SERVERS_PASSWORD, handled=False)

    def mail(self, password: str = SERVERS_PASSWORD.decode(), **more: Any) -> Mail:
        settings: dict[str, Any] = {
            "name": "mail",
            "host": "127.0.0.1",
            "port": self.port,
            "sender": "tidegate@example.org",
            "recipients": ["ada@example.org", "bob@example.org"],
            "username": "tidegate",
            "password_file": "-",
            "ca_file": self.cert,
        }
        return Mail(MailConfig(**(settings | more)), password, ManualClock(T0))


@pytest.fixture
async def post(tmp_path: Path) -> AsyncIterator[Post]:
    post = Post(tmp_path)
    await post.open()
    yield post
    post.close()


async def test_a_mail_tells_all_and_has_the_groups_name(post: Post) -> None:
    await post.mail().send(notification(alert("a1"), alert("a2")))
    (taken,) = post.box.taken
    assert taken.rcpt_tos == ["ada@example.org", "bob@example.org"]
    text = taken.content.decode()
    assert "Subject: [FIRING] MetricAnomaly: 2 alerts (acme)" in text
    assert "Message-ID: <the-groups-key@tidegate>" in text
    assert "docs/runbooks/MetricAnomaly.md" in text


async def test_no_device_writes_a_header_into_a_mail(post: Post) -> None:
    await post.mail().send(notification(hostile()))
    (taken,) = post.box.taken
    head = taken.content.split(b"\r\n\r\n")[0]
    assert b"\nBcc:" not in head
    assert len(taken.content) < 100_000


async def test_what_a_mail_server_answers_is_heeded(post: Post) -> None:
    post.box.codes = ["451 later", "554 never"]
    with pytest.raises(TemporarilyRefusedError, match="451"):
        await post.mail().send(notification())
    with pytest.raises(PermanentlyRefusedError, match="554"):
        await post.mail().send(notification())
    with pytest.raises(TemporarilyRefusedError, match="neither user nor password"):
        await post.mail("wrong").send(notification())
    with pytest.raises(TemporarilyRefusedError, match="CERTIFICATE_VERIFY_FAILED"):
        await post.mail(ca_file="").send(notification())
    assert not post.box.taken


async def test_a_mail_server_that_hangs_or_is_away_means_later(post: Post, receiver: Receiver) -> None:
    port = int(receiver.url.rsplit(":", 1)[1])  # it waits for a request, and greets nobody
    with pytest.raises(TemporarilyRefusedError):
        await post.mail(port=port, timeout_s=0.3).send(notification())
    await receiver.close()
    with pytest.raises(TemporarilyRefusedError):
        await post.mail(port=port, timeout_s=5.0).send(notification())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a library that apprise looks for
async def test_a_chat_is_told_through_apprise(receiver: Receiver) -> None:
    config = ChatConfig(name="chat", urls_file="urls")
    chat = Chat(config, [receiver.url.replace("http://", "json://")])
    await chat.send(notification(alert("a1")))
    body = receiver.requests[0].json()
    assert body["title"].startswith("[FIRING] MetricAnomaly")
    assert "docs/runbooks/MetricAnomaly.md" in body["message"]
    receiver.answers.append(Answer(500))
    with pytest.raises(TemporarilyRefusedError):
        await chat.send(notification(alert("a1", RESOLVED)))
    with pytest.raises(ChatError, match="urls: line 1 is no address") as caught:
        Chat(config, ["nonsense-s3cret"])
    assert "s3cret" not in str(caught.value)


def test_a_notification_of_many_is_told_in_a_bounded_text() -> None:
    from analytics.alerts.telling import SHOWN, text  # noqa: PLC0415 - beside what it is about

    many = Notification(key="k", name="n", tenant="t", alerts=[hostile() for _ in range(SHOWN + 7)])
    assert "and 7 more" in text(many)
    assert len(text(many)) < SHOWN * 4000

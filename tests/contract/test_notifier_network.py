"""Where receivers may be, and what becomes of those that lead elsewhere, answer without end, or show a bad certificate."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import apprise
import pytest

from analytics.alerts.chat import Chat
from analytics.alerts.heartbeat import Heartbeat
from analytics.alerts.mail import Mail
from analytics.alerts.network import Network
from analytics.alerts.notifier import PermanentlyRefusedError, TemporarilyRefusedError
from analytics.alerts.receiver_config import ChatConfig, HeartbeatConfig, MailConfig, WebhookConfig
from analytics.alerts.webhook import Webhook
from ingest.runtime.clock import ManualClock
from ingest.runtime.health import Health
from ingest.runtime.webhooks import signature
from tests.contract.test_notifier_people import Post, certificate
from tests.notifiers import SECRET, T0, notification
from tests.receivers import Answer, Receiver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


def hook(url: str, network: Network | None = None, **more: object) -> Webhook:
    return Webhook(WebhookConfig(name="hook", url=url, secret_file="", **more), SECRET, ManualClock(T0), network)


@pytest.mark.parametrize(
    ("address", "host", "allow", "expected"),
    [
        ("93.184.216.34", "hooks.example", ["public", "private"], True),
        ("10.0.0.7", "hooks.example", ["public", "private"], True),
        ("10.0.0.7", "hooks.example", ["public"], False),
        ("127.0.0.1", "hooks.example", ["public", "private"], False),
        ("127.0.0.1", "localhost", ["public"], True),
        ("127.0.0.1", "127.0.0.1", ["public"], True),
        ("::1", "::1", [], True),
        ("::ffff:127.0.0.1", "hooks.example", ["public", "private"], False),
        ("127.0.0.1", "hooks.example", ["loopback"], True),
        ("169.254.169.254", "169.254.169.254", ["public", "private"], False),
        ("::ffff:169.254.169.254", "x", ["public", "private"], False),
        ("fe80::1", "x", ["public", "private"], False),
        ("::", "x", ["public", "private", "loopback"], False),
        ("224.0.0.1", "x", ["public", "private"], False),
        ("169.254.1.1", "x", ["169.254.0.0/16"], True),
        ("93.184.216.34", "x", ["10.0.0.0/8"], False),
    ],
)
def test_which_addresses_receivers_may_have(address: str, host: str, allow: list[str], *, expected: bool) -> None:
    assert Network(allow=allow).allows(ipaddress.ip_address(address), host) is expected


async def test_a_name_that_leads_to_loopback_is_not_followed(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, port = asyncio.get_running_loop(), int(receiver.url.rsplit(":", 1)[1])

    async def lies(_host: str, port: int, **_more: object) -> list[object]:
        return [(2, 1, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(loop, "getaddrinfo", lies)
    notifier = hook(f"http://hooks.example:{port}")
    with pytest.raises(TemporarilyRefusedError, match=r"hooks.example is 127.0.0.1, where no receiver may be"):
        await notifier.send(notification())
    await notifier.close()
    assert not receiver.requests
    allowed = hook(f"http://hooks.example:{port}", Network(allow=["127.0.0.0/8"]))
    await allowed.send(notification())
    await allowed.close()
    assert len(receiver.requests) == 1


FOUND = {"smtp.example": "127.0.0.1", "metadata.example": "169.254.169.254", "inside.example": "10.0.0.7"}


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that lead inside, for every way to look them up."""
    real = socket.getaddrinfo

    def lies(host: str, port: object, *args: int, **more: int) -> list[object]:
        return list(real(FOUND.get(host, host), port, *args, **more))  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", lies)


def mail(host: str, port: int, network: Network | None = None, **more: object) -> Mail:
    config = MailConfig(
        name="mail", host=host, port=port, sender="a@example.org", recipients=["b@example.org"], timeout_s=60.0, **more
    )
    return Mail(config, "fixed for the test", ManualClock(T0), network)


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize("security", ["starttls", "tls", "none"])
@pytest.mark.parametrize(
    ("host", "allow"),
    [
        ("smtp.example", ["public", "private"]),
        ("metadata.example", ["public", "private"]),
        ("169.254.169.254", ["public", "private"]),
        ("inside.example", ["public"]),
    ],
)
async def test_no_mail_goes_where_no_receiver_may_be(host: str, allow: list[str], security: str) -> None:
    refused = rf"^{host} is {FOUND.get(host, host)}, where no receiver may be; analytics.alerts.network.allow says"
    with pytest.raises(TemporarilyRefusedError, match=refused):
        await mail(host, 25, Network(allow=allow), security=security).send(notification())


@pytest.mark.usefixtures("names")
async def test_a_mail_goes_where_it_is_allowed_and_asks_for_the_names_certificate(tmp_path: Path) -> None:
    post = Post(tmp_path)
    await post.open()
    more = {"username": "tidegate", "password_file": "-", "ca_file": post.cert}
    await mail("localhost", post.port, **more).send(notification())
    assert len(post.box.taken) == 1
    with pytest.raises(TemporarilyRefusedError, match=r"not valid for 'smtp\.example'"):
        await mail("smtp.example", post.port, Network(allow=["127.0.0.0/8"]), **more).send(notification())
    assert len(post.box.taken) == 1
    post.close()


@pytest.mark.usefixtures("names")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a library that apprise looks for
@pytest.mark.parametrize("scheme", ["json", "ntfy", "mmost", "mailto"])
async def test_no_chat_is_where_no_receiver_may_be(scheme: str, receiver: Receiver) -> None:
    port = int(receiver.url.rsplit(":", 1)[1])
    path = {"mmost": "/3ccdd113474722377935511fc85d3dd4", "mailto": "?to=a@example.org"}.get(scheme, "/topic")
    who = "user:s3cret@" if scheme != "mmost" else ""
    chat = Chat(ChatConfig(name="chat", urls_file="urls"), [f"{scheme}://{who}smtp.example:{port}{path}"])
    with pytest.raises(
        TemporarilyRefusedError, match=r"^smtp.example is 127.0.0.1, where no receiver may be"
    ) as caught:
        await chat.send(notification())
    assert "s3cret" not in str(caught.value)
    assert not receiver.requests


@pytest.mark.usefixtures("names")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a library that apprise looks for
async def test_a_chat_is_where_it_is_allowed_and_is_not_sent_elsewhere(receiver: Receiver) -> None:
    url = receiver.url.replace("http://127.0.0.1", "json://smtp.example")
    chat = Chat(ChatConfig(name="chat", urls_file="urls"), [url], Network(allow=["loopback"]))
    await chat.send(notification())
    assert len(receiver.requests) == 1
    receiver.answers.append(Answer(307, {"Location": receiver.url + "/secret"}))
    with pytest.raises(TemporarilyRefusedError):
        await chat.send(notification())
    assert len(receiver.requests) == 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a library that apprise looks for
async def test_secrets_in_place_of_a_host_are_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def listens(host: str, _port: object, **_more: object) -> list[object]:
        asked.append(host)
        return [(2, 1, 6, "", ("127.0.0.1", 0))]

    async def nothing_leaves(_self: apprise.Apprise, **_more: object) -> bool:
        return True

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", listens)
    monkeypatch.setattr(apprise.Apprise, "async_notify", nothing_leaves)
    urls = ["ntfy://s3cret", f"matrix://{'a' * 64}", "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general"]
    for url, expected in ((urls, []), ([*urls, "ntfy://chat.example/s3cret"], ["chat.example"])):
        chat = Chat(ChatConfig(name="chat", urls_file="urls"), url, Network())
        if expected:
            with pytest.raises(TemporarilyRefusedError, match=r"^chat\.example is 127\.0\.0\.1, where no"):
                await chat.send(notification())
        else:
            await chat.send(notification())
        assert asked == expected


async def test_a_redirect_to_loopback_is_not_followed(receiver: Receiver) -> None:
    receiver.answers.append(Answer(307, {"Location": receiver.url + "/secret"}))
    notifier = hook(receiver.url)
    with pytest.raises(PermanentlyRefusedError, match="answered 307"):
        await notifier.send(notification())
    await notifier.close()
    assert len(receiver.requests) == 1


async def test_an_answer_of_ten_megabytes_is_not_read(receiver: Receiver) -> None:
    receiver.answers.append(Answer(200, body=bytes(10_000_000)))
    notifier = hook(receiver.url)
    await notifier.send(notification())
    await notifier.close()


async def test_a_bad_certificate_is_refused_and_a_known_one_taken(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    taken: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 -\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    strange, known = hook(url), hook(url, ca_file=cert)
    with pytest.raises(TemporarilyRefusedError, match="CERTIFICATE_VERIFY_FAILED"):
        await strange.send(notification())
    assert not taken
    await known.send(notification())
    assert len(taken) == 1
    for notifier in (strange, known):
        await notifier.close()
    server.close()


async def test_a_proxy_is_used_when_it_is_configured_and_none_is_taken_from_the_environment(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    notifier = hook("http://hooks.example/alerts", proxy=receiver.url)
    await notifier.send(notification())
    await notifier.close()
    assert receiver.requests[0].path == "http://hooks.example/alerts"


async def test_the_heartbeat_beats_for_as_long_as_there_is_life(receiver: Receiver) -> None:
    clock, alive, health = ManualClock(T0), [True], Health()
    config = HeartbeatConfig(url=receiver.url + "/beat", every_s=60.0)
    heart = Heartbeat(config, lambda: alive[0], clock=clock, health=health, network=Network())
    running = asyncio.create_task(heart.run())
    await receiver.until(lambda: len(receiver.requests) == 1)
    receiver.answers.append(Answer(500))
    while len(receiver.requests) < 2:
        clock.advance(60)
        await asyncio.sleep(0.01)
    while heart.name not in health.reasons():  # noqa: ASYNC110 - health has no event
        await asyncio.sleep(0.01)
    alive[0] = False
    seen = len(receiver.requests)
    for _ in range(5):
        clock.advance(60)
        await asyncio.sleep(0.01)
    assert len(receiver.requests) <= seen + 1
    heart.drain()
    await running


def snippet(language: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / "alerts.md").read_text(), re.DOTALL)
    return next(text for text in found if "verify" in text)


@pytest.mark.parametrize(("body", "age_s", "expected"), [(b"{}", 0, True), (b"{} ", 0, False), (b"{}", 301, False)])
@pytest.mark.parametrize("language", ["python", "javascript"])
def test_the_documents_verify_signatures(
    language: str, body: bytes, age_s: int, tmp_path: Path, *, expected: bool
) -> None:
    from playwright._impl._driver import compute_driver_executable  # noqa: PLC0415 - it brings a Node along

    now = 1_700_000_000
    signed = signature(b"secret", str(now), b"{}")
    call = f'"secret", "{now}", "{signed}", {now + age_s}'
    if language == "python":
        script = snippet(language) + f"\nprint(str(verify({call}, {body!r})).lower())\n"
        command = ["python3"]
    else:
        script = snippet(language) + f"\nconsole.log(verify({call}, Buffer.from({body.decode()!r})));\n"
        command = [str(compute_driver_executable()[0])]
    path = tmp_path / ("verify.py" if language == "python" else "verify.cjs")
    path.write_text(script)
    told = subprocess.run([*command, str(path)], check=True, capture_output=True, text=True).stdout
    assert told.strip() == str(expected).lower()

"""How a worker shows itself: /metrics, /healthz and /readyz with reasons, on loopback unless it is protected."""

from __future__ import annotations

import asyncio
import hmac
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from prometheus_client.exposition import choose_encoder

from ingest.runtime.addresses import is_loopback
from ingest.runtime.secrets import read_secret
from ingest.runtime.stop_listening import stop_listening

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from ingest.runtime.health import Health
    from ingest.runtime.telemetry import Telemetry

REQUEST_BYTES = 16_384
REQUEST_S = 5.0
FAREWELL_S = 0.5
CONNECTIONS = 64


class ListenError(ValueError):
    """An address that cannot, or must not, be listened on; the text says what to do."""


class ObserveConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a worker answers /metrics, /healthz and /readyz.

    `port` 0 takes a free one, None listens nowhere. Beyond loopback TLS and a token are needed, unless
    `plaintext_beyond_loopback` says that the network itself is trusted (a pod's, say). With `token_file` the metrics
    and the reasons of /readyz are for bearers of that token only.
    """

    host: str = "127.0.0.1"
    port: int | None = 0
    tls_certificate: str = ""
    tls_key: str = ""
    token_file: str = ""
    plaintext_beyond_loopback: bool = False


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    content_type: str
    body: bytes


def listen(host: str, port: int) -> socket.socket:
    """A bound TCP socket. Raises ListenError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        # With the protocol named asyncio sets TCP_NODELAY; without it every answer in two writes takes 40 ms.
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ListenError(f"{host}: not an address of this machine: {error.strerror}") from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise ListenError(f"{host}:{port}: {error.strerror}; choose another host or port") from error
    sock.setblocking(False)
    return sock


def url_of(sock: socket.socket, *, tls: bool) -> str:
    """The address of a bound socket as a URL."""
    host, port = sock.getsockname()[:2]
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def readiness(health: Health, *, with_reasons: bool = True) -> Answer:
    """200 or 503, with the reason of each part that is not ready."""
    reasons = health.reasons()
    body = {"ready": not reasons, "reasons": reasons} if with_reasons else {"ready": not reasons}
    return Answer(503 if reasons else 200, "application/json", msgspec.json.encode(body))


def liveness() -> Answer:
    """200: the event loop turns."""
    return Answer(200, "application/json", b'{"alive":true}')


def exposition(registry: Collector, accept: str) -> Answer:
    """All metrics as Prometheus text or, where `accept` asks for it, OpenMetrics."""
    encode, content_type = choose_encoder(accept)
    return Answer(200, content_type, encode(registry))


class ObserveServer:
    """A service that answers three paths over HTTP/1.1, one request a connection."""

    name = "observe"

    def __init__(self, config: ObserveConfig, *, health: Health, telemetry: Telemetry) -> None:
        require_protection(config)
        self._config, self._health, self._registry = config, health, telemetry.registry
        self._token = read_secret(config.token_file) if config.token_file else ""
        self._tls = server_tls(config.tls_certificate, config.tls_key)
        self._draining = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        self.started = asyncio.Event()
        self.address = ""
        """The base URL, once `started` is set; empty when it listens nowhere."""

    def drain(self) -> None:
        """Close the door and return from `run`."""
        self._draining.set()

    async def run(self) -> None:
        """Serve until drained. Raises ListenError."""
        if self._config.port is None:
            self.started.set()
            await self._draining.wait()
            return
        sock = listen(self._config.host, self._config.port)
        server = await asyncio.start_server(self._connection, sock=sock, ssl=self._tls, limit=REQUEST_BYTES)
        self.address = url_of(sock, tls=self._tls is not None)
        self.started.set()
        await self._draining.wait()
        await stop_listening(server)
        await self._end_connections()

    async def _end_connections(self) -> None:
        # Who has asked gets the answer; who has not is not waited for.
        if self._connections:
            _, open_still = await asyncio.wait(self._connections, timeout=FAREWELL_S)
            for connection in open_still:
                connection.cancel()
            await asyncio.gather(*open_still, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        try:
            if len(self._connections) <= CONNECTIONS:
                async with asyncio.timeout(REQUEST_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(self._reply(head))
                    await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            pass  # who does not ask properly gets no answer
        finally:
            await _hang_up(writer)

    def _reply(self, head: bytes) -> bytes:
        request, _, rest = head.decode("latin-1").partition("\r\n")
        method, _, target = request.partition(" ")
        headers = dict(_header(line) for line in rest.splitlines() if line)
        if method not in {"GET", "HEAD"}:
            return _encode(Answer(405, "text/plain", b"only GET and HEAD\n"), method)
        return _encode(self._route(target.split(" ")[0].split("?")[0], headers), method)

    def _route(self, path: str, headers: dict[str, str]) -> Answer:
        trusted = not self._token or self._bears_token(headers.get("authorization", ""))
        if path == "/healthz":
            return liveness()
        if path == "/readyz":
            return readiness(self._health, with_reasons=trusted)
        if path != "/metrics":
            return Answer(404, "text/plain", b"try /metrics, /healthz or /readyz\n")
        if not trusted:
            return Answer(401, "text/plain", b"a bearer token is needed\n")
        return exposition(self._registry, headers.get("accept", ""))

    def _bears_token(self, authorization: str) -> bool:
        return hmac.compare_digest(authorization.encode(), f"Bearer {self._token}".encode())


def server_tls(certificate: str, key: str) -> ssl.SSLContext | None:
    """The TLS side of a server, None without a certificate. Raises ListenError, SecretError."""
    if not certificate and not key:
        return None
    if not (certificate and key):
        raise ListenError("TLS needs both tls_certificate and tls_key: one of them is missing")
    read_secret(key)  # refuses a key that others can read
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ListenError(f"{certificate}, {key}: not a certificate with its key: {error}") from error
    return context


def require_protection(config: ObserveConfig) -> None:
    """Raises ListenError for an address that others reach in the clear."""
    if is_loopback(config.host) or config.plaintext_beyond_loopback or config.port is None:
        return
    if not (config.tls_certificate and config.tls_key and config.token_file):
        raise ListenError(
            f"observe.host {config.host} is reachable by others: set tls_certificate, tls_key and token_file, "
            "listen on 127.0.0.1, or set plaintext_beyond_loopback where the network itself is trusted"
        )


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    # A peer that does not read what it asked for is not waited for longer than one that does not ask.
    writer.close()
    try:
        with suppress(OSError):
            async with asyncio.timeout(REQUEST_S):
                await writer.wait_closed()
    finally:
        writer.transport.abort()


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip().lower(), value.strip()


_PHRASES = {200: "OK", 401: "Unauthorized", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


def _encode(answer: Answer, method: str) -> bytes:
    extra = "WWW-Authenticate: Bearer\r\n" if answer.status == 401 else ""  # noqa: PLR2004 - HTTP's own number
    extra += "Allow: GET, HEAD\r\n" if answer.status == 405 else ""  # noqa: PLR2004 - HTTP's own number
    head = (
        f"HTTP/1.1 {answer.status} {_PHRASES[answer.status]}\r\nContent-Type: {answer.content_type}\r\n"
        f"Content-Length: {len(answer.body)}\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n"
        f"{extra}Connection: close\r\n\r\n"
    )
    return head.encode() + (b"" if method == "HEAD" else answer.body)

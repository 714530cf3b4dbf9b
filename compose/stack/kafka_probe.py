"""Signs in to a Kafka broker and asks for the cluster, over one short-lived socket.

A real client would do as well, but logs every refused attempt while a broker starts. The four requests are the oldest
versions that Kafka 4 serves with the fixed-width encoding (Kafka protocol guide, "Protocol API Keys", KIP-896).
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

from compose.stack.errors import NotReady

if TYPE_CHECKING:
    from compose.stack.endpoints import KafkaEndpoint

METADATA, API_VERSIONS, SASL_HANDSHAKE, SASL_AUTHENTICATE = 3, 18, 17, 36
TIMEOUT_S = 5.0
SMALLEST_ANSWER, LARGEST_ANSWER = 4, 1 << 20
NO_TOPICS = struct.pack(">i", 0)


def probe_kafka(endpoint: KafkaEndpoint) -> None:
    """Returns when a broker takes the credentials and knows a live broker; raises NotReady otherwise."""
    host, _, port = endpoint.bootstrap.split(",")[0].rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=TIMEOUT_S) as broker:
            _talk(broker, endpoint)
    except (OSError, struct.error) as error:
        raise NotReady(f"{endpoint.bootstrap}: {error}") from error


def _talk(broker: socket.socket, endpoint: KafkaEndpoint) -> None:
    _expect_no_error(_ask(broker, API_VERSIONS, 0, b""), "API versions")
    if endpoint.username and endpoint.mechanism != "PLAIN":
        return  # a foreign cluster's other mechanism: its clients will tell whether the credentials are right
    if endpoint.username:
        _sign_in(broker, endpoint)
    answer = _ask(broker, METADATA, 1, NO_TOPICS)
    (brokers,) = struct.unpack_from(">i", answer)
    if brokers < 1:
        raise NotReady(f"{endpoint.bootstrap}: it listens, and has no live broker yet")


def _sign_in(broker: socket.socket, endpoint: KafkaEndpoint) -> None:
    _expect_no_error(_ask(broker, SASL_HANDSHAKE, 1, _string(endpoint.mechanism)), "SASL handshake")
    # RFC 4616: authorisation identity (none), user, password, separated by NUL.
    told = b"\0" + endpoint.username.encode() + b"\0" + endpoint.password.encode()
    answer = _ask(broker, SASL_AUTHENTICATE, 0, struct.pack(">i", len(told)) + told)
    _expect_no_error(answer, "signing in")


def _expect_no_error(answer: bytes, what: str) -> None:
    (code,) = struct.unpack_from(">h", answer)
    if code != 0:
        raise NotReady(f"Kafka answered {what} with error code {code}")


def _ask(broker: socket.socket, api: int, version: int, body: bytes) -> bytes:
    """One request with correlation id 7, one answer without its header."""
    header = struct.pack(">hhi", api, version, 7) + _string("tidegate-stack")
    broker.sendall(struct.pack(">i", len(header) + len(body)) + header + body)
    (size,) = struct.unpack(">i", _exactly(broker, 4))
    if not SMALLEST_ANSWER <= size <= LARGEST_ANSWER:
        raise NotReady(f"something other than Kafka listens there (an answer of {size} bytes)")
    return _exactly(broker, size)[4:]


def _exactly(broker: socket.socket, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        chunk = broker.recv(size - len(received))
        if not chunk:
            raise NotReady("Kafka closed the connection")
        received += chunk
    return bytes(received)


def _string(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()

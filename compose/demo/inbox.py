"""An on-call inbox: a real HTTP server that takes the signed webhooks and remembers them."""

from __future__ import annotations

import hashlib
import hmac
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

MAX_BODY = 1 << 20


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One webhook as it arrived; `alerts` as Alertmanager's webhook format has them."""

    signed: bool
    idempotency_key: str
    traceparent: str
    status: str
    alerts: list[dict[str, Any]]


class OnCallInbox:
    """Listens on a loopback port, a free one unless it is named; takes only bodies whose HMAC-SHA256 over `{timestamp}:{body}` is right."""

    def __init__(self, secret: str, port: int = 0) -> None:
        self.deliveries: list[Delivery] = []
        self._secret = secret.encode()
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), MAX_BODY))
                self.send_response(200 if inbox.take(dict(self.headers), body) else 401)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing: the demo's terminal belongs to the story."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where to deliver."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/alerts"

    def start(self) -> None:
        """Listen."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def take(self, headers: dict[str, str], body: bytes) -> bool:
        """Keep one delivery if its signature is right."""
        given = {name.lower(): value for name, value in headers.items()}
        timestamp = given.get("x-tidegate-timestamp", "")
        expected = hmac.new(self._secret, f"{timestamp}:".encode() + body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(given.get("x-tidegate-signature", ""), expected):
            return False
        content = msgspec.json.decode(body)
        self.deliveries.append(
            Delivery(
                signed=True,
                idempotency_key=given.get("idempotency-key", ""),
                traceparent=given.get("traceparent", ""),
                status=content["status"],
                alerts=content["alerts"],
            )
        )
        return True

    def fingerprints(self, status: str) -> set[str]:
        """Alerts that arrived with this status, `firing` or `resolved`."""
        return {
            a["fingerprint"] for delivery in list(self.deliveries) for a in delivery.alerts if a["status"] == status
        }

    def alerts(self, status: str) -> list[dict[str, Any]]:
        """The alerts themselves, in order of arrival."""
        return [alert for delivery in list(self.deliveries) for alert in delivery.alerts if alert["status"] == status]

"""One try to deliver what waits in a topic: a webhook's call, or an order to an owner."""

from __future__ import annotations

import email.utils
import logging
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import httpx
import msgspec

from analytics.rollback.credentials import credentials
from analytics.rollback.owners.argo_cd import ArgoCd
from analytics.rollback.owners.argo_rollouts import ArgoRollout
from analytics.rollback.owners.aws_iot import AwsIotJobs
from analytics.rollback.owners.azure_adu import AzureDeviceUpdate
from analytics.rollback.owners.drive import drive, dry, over_http
from analytics.rollback.owners.flux import Flux
from analytics.rollback.owners.hawkbit import HawkBit
from analytics.rollback.owners.kubernetes import Deployment
from analytics.rollback.owners.mender import Mender
from analytics.rollback.owners.owner import Order, PassingError, RefusedError, missing
from ingest.contract.records import TRACE_HEADER, Record, read_event
from ingest.runtime.secrets import SecretError, read_secret
from ingest.runtime.webhooks import signature

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from analytics.rollback.owners.drive import Send
    from analytics.rollback.owners.owner import Owner, Request
    from analytics.rollouts.config import OwnerConfig, WebhookConfig
    from ingest.runtime.clock import Clock

_AGAIN = frozenset({408, 425, 429})
_LOGGER = logging.getLogger(__name__)

OWNERS: dict[str, Owner] = {
    "kubernetes": Deployment(),
    "argo-rollouts": ArgoRollout(),
    "argo-cd": ArgoCd(),
    "flux": Flux(),
    "hawkbit": HawkBit(),
    "mender": Mender(),
    "aws-iot": AwsIotJobs(),
    "azure-adu": AzureDeviceUpdate(),
}
"""By the kind that a configuration names."""


class Tried(NamedTuple):
    """How a try went: what went wrong (empty: nothing), how long to wait at least, and whether trying again is pointless."""

    problem: str = ""
    wait_s: float = 0.0
    is_final: bool = False


class WebhookAttempt:
    """POSTs a call with its signature; 2xx is delivered."""

    def __init__(self, config: WebhookConfig, secret: str, clock: Clock) -> None:
        self._config, self._secret, self._clock = config, secret.encode(), clock

    async def __call__(self, client: httpx.AsyncClient, record: Record) -> Tried:
        """One try."""
        body = record.value or b""
        try:
            answer = await client.post(self._config.url, content=body, headers=self._headers(record, body))
        except httpx.HTTPError as error:
            return Tried(str(error) or type(error).__name__)
        if answer.is_success:
            return Tried()
        again = answer.status_code in _AGAIN or answer.is_server_error
        return Tried(f"answered {answer.status_code}", self._asked_to_wait(answer), not again)

    def _headers(self, record: Record, body: bytes) -> dict[str, str]:
        timestamp = str(self._clock.now_ms() // 1000)
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": (record.header("ce_id") or b"").decode(),
            self._config.timestamp_header: timestamp,
            self._config.signature_header: signature(self._secret, timestamp, body),
        }
        return headers | ({TRACE_HEADER: record.trace} if record.trace else {})

    def _asked_to_wait(self, answer: httpx.Response) -> float:
        # Retry-After: seconds or a date (RFC 9110, section 10.2.3).
        text = answer.headers.get("Retry-After", "")
        if text.isdigit():
            return min(float(text), self._config.most_wait_s)
        try:
            until = email.utils.parsedate_to_datetime(text).timestamp()
        except ValueError:
            return 0.0
        return min(max(0.0, until - self._clock.now_ms() / 1000), self._config.most_wait_s)


class OrderAttempt:
    """Takes an owner's way back from its beginning; what is done already is only looked at."""

    def __init__(self, owners: Sequence[OwnerConfig], secret: Callable[[OwnerConfig], str], clock: Clock) -> None:
        self._owners = {owner.name: owner for owner in owners}
        self._secret, self._clock = secret, clock

    async def __call__(self, client: httpx.AsyncClient, record: Record) -> Tried:
        """One try; an owner that is not configured, or an order that lacks what the owner needs, is for people."""
        order = read_event(record, Order)
        if order is None:
            return Tried("the order cannot be read", is_final=True)
        try:
            config = self._config(order)
            planned = await self.go_back(client, order, dry_run=config.dry_run)
        except RefusedError as error:
            return Tried(f"{order.actuator}: {error}", is_final=True)
        except (PassingError, httpx.HTTPError, OSError, SecretError) as error:
            return Tried(f"{order.actuator}: {error or type(error).__name__}")
        for request in planned:
            _LOGGER.warning("%s: dry run: %s", order.actuator, told(config.url, request))
        return Tried()

    async def go_back(self, client: httpx.AsyncClient, order: Order, *, dry_run: bool) -> list[Request]:
        """The whole way; in a dry run what would change something is only told: the answer. Otherwise that is empty.

        Raises PassingError, RefusedError, httpx.HTTPError, OSError, SecretError.
        """
        config = self._config(order)
        owner = OWNERS[config.kind]
        lacking = missing(owner, order.object)
        if lacking:
            raise RefusedError(f"the plan's object names no {', '.join(lacking)}")
        planned: list[Request] = []
        async with self._client(config, client) as ours:
            shown = credentials(
                config.auth, self._secret(config), url=config.url, region=config.region, clock=self._clock
            )
            send: Send = over_http(ours, config.url, shown)
            await drive(owner.go_back(order), dry(send, planned) if dry_run else send)
        return planned

    def _config(self, order: Order) -> OwnerConfig:
        try:
            return self._owners[order.actuator]
        except KeyError:
            raise RefusedError(f"no owner {order.actuator!r} is configured") from None

    @asynccontextmanager
    async def _client(self, config: OwnerConfig, client: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
        # An owner with authorities of its own, as a Kubernetes API server has them, is not asked over the common client.
        if not config.ca_file:
            yield client
            return
        context = ssl.create_default_context(cafile=config.ca_file)
        async with httpx.AsyncClient(timeout=client.timeout, verify=context, follow_redirects=False) as own:
            yield own


def told(url: str, request: Request) -> str:
    """A request as one line: method, address, content type and body; credentials are not part of it."""
    body = "" if request.body is None else f" {request.content_type} {msgspec.json.encode(request.body).decode()}"
    return f"{request.method} {url.rstrip('/')}{request.path}{body}"


def secret_of(owner: OwnerConfig) -> str:
    """What its file holds now: tokens expire, and whoever renews them writes the file anew. Raises SecretError."""
    return read_secret(owner.secret_file) if owner.secret_file else ""

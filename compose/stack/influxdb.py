"""InfluxDB 2 with one organisation, one bucket and one token, on loopback."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
from msgspec.structs import replace

from compose.stack.endpoints import InfluxEndpoint
from compose.stack.errors import StackError
from compose.stack.http_probe import answered_json
from compose.stack.influxdb_recipe import InfluxdbRecipe
from compose.stack.obtain import Program, obtain
from compose.stack.ports import LOOPBACK
from compose.stack.server import own_folder, password, split_url

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from compose.stack.steps import Say

TIMEOUT_S = 30.0
VARIABLES = ("TIDEGATE_INFLUXDB_ORG", "TIDEGATE_INFLUXDB_BUCKET", "TIDEGATE_INFLUXDB_TOKEN")


class Influxdb:
    """A Server with InfluxEndpoint."""

    name = "influxdb"
    field = "influxdb"
    stop_signal = signal.SIGINT  # the only signal that influxd drains on; SIGTERM ends it at once

    def named(self, env: Mapping[str, str]) -> InfluxEndpoint | None:
        """TIDEGATE_INFLUXDB_URL, _ORG, _BUCKET, _TOKEN: all four or none."""
        url = env.get("TIDEGATE_INFLUXDB_URL", "")
        if not url:
            return None
        split_url("TIDEGATE_INFLUXDB_URL", url, ("http", "https"))
        missing = [variable for variable in VARIABLES if not env.get(variable)]
        if missing:
            raise StackError(f"TIDEGATE_INFLUXDB_URL is set; {', '.join(missing)} must be set as well")
        return InfluxEndpoint(url.rstrip("/"), *(env[variable] for variable in VARIABLES))

    def obtain(self, env: Mapping[str, str], say: Say) -> Program:
        """The binary, built if it must be."""
        return obtain(InfluxdbRecipe(), env, say)

    def planned(self, port: int) -> InfluxEndpoint:
        """Organisation and bucket `tidegate` with a generated token."""
        return InfluxEndpoint(f"http://{LOOPBACK}:{port}", "tidegate", "tidegate", password())

    def port(self, endpoint: InfluxEndpoint) -> int:
        """The HTTP port."""
        return urlsplit(endpoint.url).port or 0

    def moved(self, endpoint: InfluxEndpoint, port: int) -> InfluxEndpoint:
        """With the same token."""
        return replace(endpoint, url=f"http://{LOOPBACK}:{port}")

    def address(self, endpoint: InfluxEndpoint) -> str:
        """The URL."""
        return endpoint.url

    def prepare(self, program: Program, endpoint: InfluxEndpoint, folder: Path, env: Mapping[str, str]) -> list[str]:  # noqa: ARG002 - the port's shape
        """Everything is a flag; no secret is among them."""
        data = own_folder(folder / "data")
        return [
            str(program.path),
            f"--http-bind-address={LOOPBACK}:{self.port(endpoint)}",
            f"--bolt-path={data / 'influxd.bolt'}",
            f"--sqlite-path={data / 'influxd.sqlite'}",
            f"--engine-path={data / 'engine'}",
            "--reporting-disabled",
            "--log-level=warn",
        ]

    def probe(self, endpoint: InfluxEndpoint) -> str:
        """GET /health."""
        return str(answered_json(f"{endpoint.url}/health").get("version", "")).removeprefix("v")

    def settle(self, endpoint: InfluxEndpoint) -> None:
        """Creates organisation, bucket and token at the first start (POST /api/v2/setup, once only)."""
        if answered_json(f"{endpoint.url}/api/v2/setup").get("allowed"):
            _set_up(endpoint)


def _set_up(endpoint: InfluxEndpoint) -> None:
    # The account's password opens the server's own web page, which is not built in; nobody needs to know it.
    account = {"username": "tidegate", "password": password(), "token": endpoint.token}
    wanted = account | {"org": endpoint.org, "bucket": endpoint.bucket, "retentionPeriodSeconds": 0}
    answer = httpx.post(f"{endpoint.url}/api/v2/setup", json=wanted, timeout=TIMEOUT_S, trust_env=False)
    if answer.status_code != httpx.codes.CREATED:
        raise StackError(f"influxdb: setup answered {answer.status_code}, expected 201: {answer.text[:300]}")

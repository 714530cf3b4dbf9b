"""Prometheus with basic authentication on loopback: it scrapes what its folder names and evaluates our own rules."""

from __future__ import annotations

import signal
from importlib.resources import files
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from msgspec.structs import replace

from compose.stack.alertmanager import bcrypt
from compose.stack.endpoints import PrometheusEndpoint, write_private
from compose.stack.http_probe import answered, answered_json
from compose.stack.obtain import Program, obtain
from compose.stack.packaged_recipes import PROMETHEUS
from compose.stack.ports import LOOPBACK
from compose.stack.server import own_folder, password, split_url

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from compose.stack.steps import Say

TARGETS, API_TARGETS, API_TOKEN = "targets", "api-targets", "api-token"
"""In the server's folder: files of targets (`[{"targets": ["127.0.0.1:9461"]}]`, *.json), and the API's token."""

CONFIGURATION = """\
global:
  scrape_interval: 2s
  evaluation_interval: 2s
rule_files: ["{folder}/rules/*.yml"]
scrape_configs:
  - job_name: tidegate
    file_sd_configs: [{{files: ["{folder}/{targets}/*.json"], refresh_interval: 2s}}]
  - job_name: tidegate-api
    authorization: {{credentials_file: "{folder}/{token}"}}
    file_sd_configs: [{{files: ["{folder}/{api}/*.json"], refresh_interval: 2s}}]
"""


class Prometheus:
    """A Server with PrometheusEndpoint."""

    name = "prometheus"
    field = "prometheus"
    stop_signal = signal.SIGTERM

    def named(self, env: Mapping[str, str]) -> PrometheusEndpoint | None:
        """TIDEGATE_PROMETHEUS_URL=http://user:password@host:port, the user being optional."""
        url = env.get("TIDEGATE_PROMETHEUS_URL", "")
        if not url:
            return None
        parts = split_url("TIDEGATE_PROMETHEUS_URL", url, ("http", "https"))
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
        return PrometheusEndpoint(bare, unquote(parts.username or ""), unquote(parts.password or ""))

    def obtain(self, env: Mapping[str, str], say: Say) -> Program:
        """The binary."""
        return obtain(PROMETHEUS, env, say)

    def planned(self, port: int) -> PrometheusEndpoint:
        """User `tidegate` with a generated password."""
        return PrometheusEndpoint(f"http://{LOOPBACK}:{port}", "tidegate", password())

    def port(self, endpoint: PrometheusEndpoint) -> int:
        """The HTTP port."""
        return urlsplit(endpoint.url).port or 0

    def moved(self, endpoint: PrometheusEndpoint, port: int) -> PrometheusEndpoint:
        """With the same user."""
        return replace(endpoint, url=f"http://{LOOPBACK}:{port}")

    def address(self, endpoint: PrometheusEndpoint) -> str:
        """The URL."""
        return endpoint.url

    def prepare(  # the port's shape
        self,
        program: Program,
        endpoint: PrometheusEndpoint,
        folder: Path,
        env: Mapping[str, str],  # noqa: ARG002 - the port's shape
    ) -> list[str]:
        """Writes what to scrape, our rules and the hashed password."""
        names = {"targets": TARGETS, "api": API_TARGETS, "token": API_TOKEN}
        web = f"basic_auth_users:\n  {endpoint.username}: '{bcrypt(endpoint.password)}'\n"
        write_private(folder / "prometheus.yml", CONFIGURATION.format(folder=folder, **names).encode())
        write_private(folder / "web.yml", web.encode())
        for name in (TARGETS, API_TARGETS):
            own_folder(folder / name)
        for rules in files("dashboards.prometheus").iterdir():
            if rules.name.endswith(".yml"):
                write_private(own_folder(folder / "rules") / rules.name, rules.read_bytes())
        return [
            str(program.path),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--web.config.file={folder / 'web.yml'}",
            f"--web.listen-address={LOOPBACK}:{self.port(endpoint)}",
            f"--web.external-url={endpoint.url}",
            f"--storage.tsdb.path={own_folder(folder / 'data')}",
            "--storage.tsdb.retention.time=7d",
            "--enable-feature=exemplar-storage",
            "--log.level=warn",
        ]

    def probe(self, endpoint: PrometheusEndpoint) -> str:
        """GET /-/ready, then its version."""
        auth = (endpoint.username, endpoint.password) if endpoint.username else None
        answered(f"{endpoint.url}/-/ready", auth)
        told = answered_json(f"{endpoint.url}/api/v1/status/buildinfo", auth).get("data", {})
        return str(told.get("version", "")) if isinstance(told, dict) else ""

    def settle(self, endpoint: PrometheusEndpoint) -> None:
        """Nothing."""

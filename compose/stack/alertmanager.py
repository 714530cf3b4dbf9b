"""Alertmanager with basic authentication on loopback, outside any cluster."""

from __future__ import annotations

import ctypes
import ctypes.util
import secrets
import signal
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from msgspec.structs import replace

from compose.stack.endpoints import AlertmanagerEndpoint, write_private
from compose.stack.errors import StackError
from compose.stack.http_probe import answered, answered_json
from compose.stack.obtain import Program, obtain
from compose.stack.packaged_recipes import ALERTMANAGER
from compose.stack.ports import LOOPBACK
from compose.stack.server import own_folder, password, split_url

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from compose.stack.steps import Say

# Alerts are kept, grouped and shown; nobody is called. Receivers are the operator's to add.
CONFIGURATION = """\
route:
  receiver: kept
  group_wait: 1s
  group_interval: 5s
receivers:
  - name: kept
"""
BCRYPT_ALPHABET = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
BCRYPT_COST = 5  # generated passwords have 192 bits; a dear hash would only slow each request


class Alertmanager:
    """A Server with AlertmanagerEndpoint."""

    name = "alertmanager"
    field = "alertmanager"
    stop_signal = signal.SIGTERM

    def named(self, env: Mapping[str, str]) -> AlertmanagerEndpoint | None:
        """TIDEGATE_ALERTMANAGER_URL=http://user:password@host:port, the user being optional."""
        url = env.get("TIDEGATE_ALERTMANAGER_URL", "")
        if not url:
            return None
        parts = split_url("TIDEGATE_ALERTMANAGER_URL", url, ("http", "https"))
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
        return AlertmanagerEndpoint(bare, unquote(parts.username or ""), unquote(parts.password or ""))

    def obtain(self, env: Mapping[str, str], say: Say) -> Program:
        """The binary."""
        return obtain(ALERTMANAGER, env, say)

    def planned(self, port: int) -> AlertmanagerEndpoint:
        """User `tidegate` with a generated password."""
        return AlertmanagerEndpoint(f"http://{LOOPBACK}:{port}", "tidegate", password())

    def port(self, endpoint: AlertmanagerEndpoint) -> int:
        """The HTTP port."""
        return urlsplit(endpoint.url).port or 0

    def moved(self, endpoint: AlertmanagerEndpoint, port: int) -> AlertmanagerEndpoint:
        """With the same user."""
        return replace(endpoint, url=f"http://{LOOPBACK}:{port}")

    def address(self, endpoint: AlertmanagerEndpoint) -> str:
        """The URL."""
        return endpoint.url

    def prepare(  # the port's shape
        self,
        program: Program,
        endpoint: AlertmanagerEndpoint,
        folder: Path,
        env: Mapping[str, str],  # noqa: ARG002 - the port's shape
    ) -> list[str]:
        """Writes routes and the hashed password."""
        web = f"basic_auth_users:\n  {endpoint.username}: '{bcrypt(endpoint.password)}'\n"
        write_private(folder / "alertmanager.yml", CONFIGURATION.encode())
        write_private(folder / "web.yml", web.encode())
        return [
            str(program.path),
            f"--config.file={folder / 'alertmanager.yml'}",
            f"--web.config.file={folder / 'web.yml'}",
            f"--storage.path={own_folder(folder / 'data')}",
            f"--web.listen-address={LOOPBACK}:{self.port(endpoint)}",
            f"--web.external-url={endpoint.url}",
            "--cluster.listen-address=",  # it would gossip on every interface otherwise
            "--log.level=warn",
        ]

    def probe(self, endpoint: AlertmanagerEndpoint) -> str:
        """GET /-/ready, then the version from its status."""
        auth = (endpoint.username, endpoint.password) if endpoint.username else None
        answered(f"{endpoint.url}/-/ready", auth)
        version = answered_json(f"{endpoint.url}/api/v2/status", auth).get("versionInfo", {})
        return str(version.get("version", "")) if isinstance(version, dict) else ""

    def settle(self, endpoint: AlertmanagerEndpoint) -> None:
        """Nothing."""


def bcrypt(secret: str, cost: int = BCRYPT_COST) -> str:
    """The `$2b$` hash that Alertmanager's web configuration wants, from the system's libcrypt (crypt(5))."""
    salt = "".join(secrets.choice(BCRYPT_ALPHABET) for _ in range(21)) + "."  # 128 bits leave 4 in the last place
    library = ctypes.util.find_library("crypt")
    if library is None:
        raise StackError("alertmanager: no libcrypt to hash its password; install libxcrypt (Debian: libcrypt1)")
    crypt = ctypes.CDLL(library).crypt
    crypt.restype = ctypes.c_char_p
    found = crypt(secret.encode(), f"$2b${cost:02d}${salt}".encode())
    if not found or not found.startswith(b"$2b$"):
        raise StackError("alertmanager: this libcrypt has no bcrypt; install libxcrypt (Debian: libcrypt1)")
    return str(found.decode())

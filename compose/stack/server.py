"""What the stack needs to know of a server to run it: one small class per server implements this."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import urlsplit

from compose.stack.errors import StackError

if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping
    from pathlib import Path
    from urllib.parse import SplitResult

    from compose.stack.obtain import Program
    from compose.stack.steps import Say

E = TypeVar("E")


class Server(Protocol[E]):
    """One kind of server, whose clients need an endpoint of type E."""

    name: str
    field: str  # of Endpoints
    stop_signal: signal.Signals

    def named(self, env: Mapping[str, str]) -> E | None:
        """The running server that the environment names, if it does. Raises StackError when it does so incompletely."""

    def obtain(self, env: Mapping[str, str], say: Say) -> Program:
        """The program to start. Raises CannotObtain."""

    def planned(self, port: int) -> E:
        """A loopback endpoint with fresh credentials."""

    def port(self, endpoint: E) -> int:
        """The port of an endpoint that `planned` made."""

    def moved(self, endpoint: E, port: int) -> E:
        """The same endpoint at another port."""

    def address(self, endpoint: E) -> str:
        """For people, without secrets."""

    def prepare(self, program: Program, endpoint: E, folder: Path, env: Mapping[str, str]) -> list[str]:
        """Writes the configuration into the server's own folder and returns the command that starts it."""

    def probe(self, endpoint: E) -> str:
        """Talks to it as a client; its version, or "" where it does not tell. Raises NotReady."""

    def settle(self, endpoint: E) -> None:
        """What is done once it is ready, at every start: creating accounts, for one. Raises StackError."""


def password() -> str:
    """A generated secret: 192 bits, no character that any configuration file would want escaped."""
    # A leading dash or underscore is legal everywhere here, but reads badly beside a prompt.
    return "t" + secrets.token_urlsafe(24)


def own_folder(path: Path) -> Path:
    """The folder, made if needed, open to its owner only."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def account() -> str:
    """The name of the user that runs this, for servers which would otherwise change to an account of their own."""
    import pwd  # noqa: PLC0415 - a Unix-only module, wanted by one server

    return pwd.getpwuid(os.geteuid()).pw_name


def split_url(variable: str, url: str, schemes: tuple[str, ...]) -> SplitResult:
    """A URL out of the environment; raises StackError that names the variable but not the URL's secrets."""
    parts = urlsplit(url)
    if parts.scheme not in schemes or not parts.hostname:
        expected = " or ".join(f"{scheme}://host:port" for scheme in schemes)
        raise StackError(f"{variable}: found scheme {parts.scheme!r}, host {parts.hostname!r}; expected {expected}")
    return parts

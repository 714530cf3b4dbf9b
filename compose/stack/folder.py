"""A stack's folder: what was planned, where its servers are, and which processes are its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from compose.stack import cache
from compose.stack.endpoints import Endpoints, write_private
from compose.stack.errors import StackError
from compose.stack.process import OwnedProcess
from compose.stack.server import own_folder

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from compose.stack.steps import Say


S = TypeVar("S")


class Plan(msgspec.Struct, frozen=True):
    """The folder's own ports and credentials, and which servers somebody else runs instead."""

    own: Endpoints
    foreign: tuple[str, ...] = ()


class Started(msgspec.Struct, frozen=True):
    """One server's process and the program it runs."""

    process: OwnedProcess
    version: str
    source: str


class StackFolder:
    """Reads and writes the files of one stack; every one of them is for its owner only."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    def made(self) -> StackFolder:
        """Itself, existing with mode 0700."""
        own_folder(self.root)
        return self

    def locked(self, say: Say) -> AbstractContextManager[None]:
        """Holds off other `up` and `down` on the same folder."""
        return cache.locked(self.root / ".lock", lambda: say(f"waiting for another process that works on {self.root}"))

    def of(self, name: str) -> Path:
        """One server's own folder, made if needed."""
        return own_folder(self.root / name)

    def log(self, name: str) -> Path:
        """One server's output."""
        return self.root / name / "log"

    @property
    def endpoints(self) -> Path:
        """The file for clients; see Endpoints.load."""
        return self.root / "endpoints.json"

    def plan(self) -> Plan | None:
        """What `save_plan` kept. Raises StackError when the file is damaged."""
        return _read(self.root / "plan.json", Plan)

    def save_plan(self, plan: Plan) -> None:
        """Keeps it."""
        write_private(self.root / "plan.json", msgspec.json.encode(plan))

    def started(self, name: str) -> Started | None:
        """The server's last start by this folder."""
        return _read(self.root / name / "process.json", Started)

    def save_started(self, name: str, started: Started) -> None:
        """Keeps it."""
        write_private(self.of(name) / "process.json", msgspec.json.encode(started))

    def forget_started(self, name: str) -> None:
        """After its end."""
        (self.root / name / "process.json").unlink(missing_ok=True)


def _read(path: Path, kind: type[S]) -> S | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except msgspec.MsgspecError as error:
        raise StackError(f"{path} is damaged ({error}); end what still runs by hand and remove the folder") from error

"""Long commands run in the background with a log, a heartbeat for whoever waits, and an end on every way out."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from compose.stack.errors import CannotObtain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    Say = Callable[[str], None]

HEARTBEAT_S: float = 20
LOG_TAIL_LINES = 25


class Step:
    """One running command; `finish` waits for it."""

    def __init__(self, child: subprocess.Popen[bytes], what: str, log: Path) -> None:
        self._child = child
        self._what = what
        self._log = log

    def finish(self, say: Say) -> None:
        """Waits for the end, says every `HEARTBEAT_S` that it goes on; raises CannotObtain with the log's end on failure."""
        waited = 0.0
        while (code := self._poll()) is None:
            waited += HEARTBEAT_S
            say(f"{self._what}: {waited:g} s so far")
        if code != 0:
            raise CannotObtain(
                f"{self._what} failed with exit code {code}; the log {self._log} ends:\n{tail(self._log)}"
            )

    def _poll(self) -> int | None:
        try:
            return self._child.wait(timeout=HEARTBEAT_S)
        except subprocess.TimeoutExpired:
            return None


@contextmanager
def started(argv: Sequence[str], *, what: str, folder: Path, env: Mapping[str, str], log: Path) -> Iterator[Step]:
    """Starts `argv` in `folder` with its output in `log`; ends it if the block is left before it has finished."""
    with log.open("wb") as out:
        child = subprocess.Popen(argv, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        yield Step(child, what, log)
    finally:
        if child.poll() is None:
            child.terminate()
        child.wait()


def run(argv: Sequence[str], *, what: str, folder: Path, env: Mapping[str, str], log: Path, say: Say) -> None:
    """Runs a command to its end, as `started` and `Step.finish` do."""
    with started(argv, what=what, folder=folder, env=env, log=log) as step:
        step.finish(say)


def answer(argv: Sequence[str], *, folder: Path, env: Mapping[str, str]) -> str:
    """What a quick command prints on stdout; raises CannotObtain with its stderr when it fails."""
    done = subprocess.run(
        argv, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        told = (done.stderr or done.stdout).strip()
        raise CannotObtain(f"`{' '.join(argv)}` failed with exit code {done.returncode}: {told}")
    return done.stdout


def tail(log: Path, lines: int = LOG_TAIL_LINES) -> str:
    """The last lines of a log, or a word about its absence."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"

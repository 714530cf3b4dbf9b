"""Installing a Debian package without letting its service start."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from compose.stack import cache
from compose.stack.errors import CannotObtain
from compose.stack.steps import run
from compose.stack.tools import search_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from compose.stack.steps import Say

# Debian asks this program before a package starts its service; 101 means "not now" (invoke-rc.d, policy-rc.d).
POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_TEXT = "#!/bin/sh\n# put here by tidegate for the time of one installation\nexit 101\n"
SYSTEMD = Path("/run/systemd/system")
NOT_ASKING = {"DEBIAN_FRONTEND": "noninteractive"}


def install_package(package: str, env: Mapping[str, str], say: Say) -> bool:
    """Installs with apt-get as root or through `sudo -n`; False when that cannot be done, having said why."""
    root = _as_root(env)
    if root is None or shutil.which("apt-get", path=search_path(env)) is None:
        return False
    say(f"{package}: installing the system's package with apt-get, usually half a minute")
    with _one_at_a_time(env, say), tempfile.TemporaryDirectory() as work, _services_held_back(root, Path(work)):
        # Lists that one of several sources did not renew may still do.
        _apt(root, ["update"], Path(work), env, say)
        installed = _apt(root, ["install", "--yes", "--no-install-recommends", package], Path(work), env, say)
    _keep_service_off(root, package)
    return installed


def _as_root(env: Mapping[str, str]) -> list[str] | None:
    """What to put before a command so that root runs it; None when nothing does."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo", path=search_path(env))
    if sudo is None or subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode != 0:
        return None
    return [sudo, "-n"]


@contextmanager
def _one_at_a_time(env: Mapping[str, str], say: Say) -> Iterator[None]:
    with cache.locked(cache.cache_root(env) / ".apt.lock", lambda: say("waiting for another installation of ours")):
        yield


def _apt(root: list[str], what: list[str], work: Path, env: Mapping[str, str], say: Say) -> bool:
    settings = ["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"]
    # `env` in between: sudo drops variables that its policy does not list.
    argv = [*root, "env", *(f"{key}={value}" for key, value in NOT_ASKING.items()), "apt-get", *settings, *what]
    name = f"apt-get {' '.join(what)}"
    path = {**env, "PATH": search_path(env)}
    try:
        run(argv, what=name, folder=work, env=path, log=cache.cache_root(env) / "apt.log", say=say)
    except CannotObtain as error:
        say(str(error))
        return False
    return True


@contextmanager
def _services_held_back(root: list[str], work: Path) -> Iterator[None]:
    """Denies services their start; leaves a policy alone that somebody else made."""
    if POLICY.exists() and POLICY.read_text(errors="replace") != POLICY_TEXT:
        yield
        return
    ours = work / "policy-rc.d"
    ours.write_text(POLICY_TEXT)
    subprocess.run([*root, "install", "-m", "755", str(ours), str(POLICY)], check=True)
    try:
        yield
    finally:
        subprocess.run([*root, "rm", "-f", str(POLICY)], check=True)


def _keep_service_off(root: list[str], service: str) -> None:
    """A package enables its service for the next boot; some listen on every interface."""
    if SYSTEMD.exists():
        subprocess.run([*root, "systemctl", "disable", "--now", service], capture_output=True, check=False)

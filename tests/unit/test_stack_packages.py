"""Installing packages: what is kept from starting, and what is said when it cannot be done."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from compose.stack import packages
from compose.stack.build_tools import Tool, needed
from compose.stack.errors import CannotObtain

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose apt-get notes what it was asked and whether services were held back meanwhile."""
    monkeypatch.setattr(packages, "POLICY", tmp_path / "policy-rc.d")
    monkeypatch.setattr(packages, "SYSTEMD", tmp_path / "no-systemd")
    monkeypatch.setattr(packages, "_as_root", lambda _env: [])
    monkeypatch.setattr("compose.stack.tools.ALSO", ())
    script = tmp_path / "bin" / "apt-get"
    script.parent.mkdir()
    script.write_text(
        f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\ncat {tmp_path}/policy-rc.d >>{tmp_path}/policy-seen\n'
        f'case "$*" in *install*) exit $(cat {tmp_path}/code);; esac\n'
    )
    script.chmod(0o755)
    (tmp_path / "code").write_text("0")
    return tmp_path


def environment(apt: Path) -> dict[str, str]:
    return {"PATH": f"{apt / 'bin'}:{os.environ['PATH']}", "XDG_CACHE_HOME": str(apt / "cache")}


def quiet(line: str) -> None:
    pass


def test_lists_are_renewed_before_the_installation(apt: Path) -> None:
    assert packages.install_package("toaster", environment(apt), quiet)
    update, install = (apt / "asked").read_text().splitlines()
    assert update.endswith("update")
    assert install.endswith("install --yes --no-install-recommends toaster")


def test_services_are_held_back_for_that_time_only(apt: Path) -> None:
    packages.install_package("toaster", environment(apt), quiet)
    assert (apt / "policy-seen").read_text() == packages.POLICY_TEXT * 2
    assert not (apt / "policy-rc.d").exists()


def test_somebody_elses_policy_stays(apt: Path) -> None:
    (apt / "policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
    packages.install_package("toaster", environment(apt), quiet)
    assert (apt / "policy-rc.d").read_text() == "#!/bin/sh\nexit 101\n"


def test_a_failed_installation_is_told_and_cleans_up(apt: Path) -> None:
    (apt / "code").write_text("100")
    said: list[str] = []
    assert not packages.install_package("toaster", environment(apt), said.append)
    assert "apt-get install --yes --no-install-recommends toaster failed with exit code 100" in said[-1]
    assert not (apt / "policy-rc.d").exists()


def test_a_missing_tool_is_told_with_what_to_install(apt: Path) -> None:
    with pytest.raises(CannotObtain, match=r"`toaster` is not installed .*; buy a toaster"):
        needed(Tool("toaster", (2,), "--version", "toaster"), "buy a toaster", environment(apt), quiet)


def test_a_tool_that_is_too_old_is_told_with_its_version(apt: Path) -> None:
    old = apt / "bin" / "toaster"
    old.write_text("#!/bin/sh\necho toaster 1.9.3\n")
    old.chmod(0o755)
    with pytest.raises(CannotObtain, match=r"version 1\.9\.3, expected at least 2; buy a toaster"):
        needed(Tool("toaster", (2,), "--version", "toaster"), "buy a toaster", environment(apt), quiet)

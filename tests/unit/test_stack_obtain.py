"""Where programs come from, with a recipe whose builds are instant and counted."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

from compose.stack.crd_recipe import CRDS
from compose.stack.errors import CannotObtain
from compose.stack.go_recipe import TELEGRAF
from compose.stack.kafka_recipe import KafkaRecipe
from compose.stack.kubernetes_recipe import KUBE_APISERVER
from compose.stack.obtain import Program, obtain
from compose.stack.packaged_recipes import ALERTMANAGER, MOSQUITTO
from compose.stack.peers import PEERS
from compose.stack.stack import ALL
from compose.stack.tools import parse_version

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from compose.stack.steps import Say
    from compose.stack.tools import Version


class Toaster:
    """A program that is one text file with its version."""

    name, variable, builds, package, install = "toaster", "TIDEGATE_TOASTER", "2.1.0", "", "buy a toaster"
    accepts: tuple[Version, Version] = ((2,), (3,))

    def __init__(self, found: Path | None = None, *, broken: bool = False) -> None:
        self.found, self.broken, self.built = found, broken, 0

    def on_path(self, env: Mapping[str, str]) -> Path | None:
        return self.found

    def in_folder(self, folder: Path) -> Path:
        return folder / "toaster"

    def version_of(self, path: Path) -> Version:
        return parse_version(path.read_text()) if path.is_file() else ()

    def build(self, folder: Path, work: Path, env: Mapping[str, str], say: Say) -> None:
        self.built += 1
        self.in_folder(folder).write_text("half a toaster" if self.broken else self.builds)
        if self.broken:
            raise CannotObtain("no heating wire")


def quiet(line: str) -> None:
    pass


def program(folder: Path, version: str) -> Path:
    path = folder / f"toaster-{version}"
    path.write_text(version)
    return path


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CACHE_HOME": str(tmp_path / "cache")}


def test_a_named_program_comes_first(env: dict[str, str], tmp_path: Path) -> None:
    named = program(tmp_path, "2.5.0")
    found = obtain(Toaster(program(tmp_path, "2.9.0")), env | {"TIDEGATE_TOASTER": str(named)}, quiet)
    assert found == Program(named, "2.5.0", "named by TIDEGATE_TOASTER")


@pytest.mark.parametrize("version", ["1.9.9", "3.0.0", "nonsense"])
def test_a_named_program_that_does_not_fit_is_an_error(env: dict[str, str], tmp_path: Path, version: str) -> None:
    named = program(tmp_path, version)
    with pytest.raises(CannotObtain, match="expected 2 or newer, below 3"):
        obtain(Toaster(), env | {"TIDEGATE_TOASTER": str(named)}, quiet)


def test_one_on_path_is_used_without_building(env: dict[str, str], tmp_path: Path) -> None:
    recipe = Toaster(program(tmp_path, "2.9.0"))
    assert (obtain(recipe, env, quiet).version, recipe.built) == ("2.9.0", 0)


def test_one_on_path_that_does_not_fit_is_passed_over_aloud(env: dict[str, str], tmp_path: Path) -> None:
    said: list[str] = []
    found = obtain(Toaster(program(tmp_path, "1.0.0")), env, said.append)
    assert (found.version, found.source) == ("2.1.0", "cached")
    assert "passing over" in said[0]


def test_what_was_built_once_is_cached(env: dict[str, str], tmp_path: Path) -> None:
    recipe = Toaster()
    first, second = obtain(recipe, env, quiet), obtain(recipe, env, quiet)
    assert first == second
    assert recipe.built == 1
    assert first.path == tmp_path / "cache/tidegate/toaster/2.1.0/toaster"


def test_a_failed_build_leaves_no_entry_and_is_tried_again(env: dict[str, str]) -> None:
    with pytest.raises(CannotObtain, match="no heating wire"):
        obtain(Toaster(broken=True), env, quiet)
    assert obtain(Toaster(), env, quiet).version == "2.1.0"


def test_a_damaged_entry_is_replaced(env: dict[str, str]) -> None:
    recipe = Toaster()
    obtain(recipe, env, quiet).path.write_text("garbage")
    assert obtain(recipe, env, quiet).path.read_text() == "2.1.0"
    assert recipe.built == 2


def test_many_at_once_build_once(env: dict[str, str]) -> None:
    recipe = Toaster()
    found: list[Program] = []
    threads = [threading.Thread(target=lambda: found.append(obtain(recipe, env, quiet))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert (len(found), recipe.built) == (8, 1)


def test_what_cannot_be_had_names_what_to_install(env: dict[str, str]) -> None:
    recipe = Toaster()
    recipe.builds = ""
    with pytest.raises(CannotObtain, match="buy a toaster"):
        obtain(recipe, env, quiet)


def test_kafka_is_known_by_its_own_jar(tmp_path: Path) -> None:
    for jar in ("kafka-clients-9.9.9.jar", "kafka_2.13-4.3.1.jar", "scala-library-2.13.18.jar"):
        (tmp_path / jar).touch()
    assert KafkaRecipe().version_of(tmp_path) == (4, 3, 1)
    assert KafkaRecipe().version_of(tmp_path / "nowhere") == ()


def test_kafka_beside_a_script_on_path_is_found(tmp_path: Path) -> None:
    script = tmp_path / "bin" / "kafka-server-start.sh"
    (tmp_path / "libs").mkdir()
    script.parent.mkdir()
    script.touch(mode=0o755)
    assert KafkaRecipe().on_path({"PATH": str(script.parent)}) == tmp_path / "libs"


@pytest.mark.parametrize("recipe", [MOSQUITTO, ALERTMANAGER])
def test_a_file_that_is_no_program_has_no_version(recipe: Toaster, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("1.2.3")
    assert recipe.version_of(tmp_path / "text") == ()


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("InfluxDB v2.7.12 (git: none) build_date: none", (2, 7, 12)),
        ("mosquitto version 2.0.11\n\nmosquitto is an MQTT v5.0 broker", (2, 0, 11)),
        ("alertmanager, version 0.25.0 (branch: debian/sid, revision: 0.25.0-1+b4)", (0, 25, 0)),
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ('openjdk version "21" 2023-09-19\nOpenJDK Runtime Environment (build 21+35-2513)', (21,)),
        ('Picked up JAVA_TOOL_OPTIONS: -Dratio=1.5\nopenjdk version "17.0.15" 2025-04-15', (17, 0, 15)),
        ("\x1b[1mApache Maven 3.8.7\x1b[m", (3, 8, 7)),
        ("usage: toaster", ()),
    ],
)
def test_versions_are_read_from_what_programs_say(text: str, version: Version) -> None:
    assert parse_version(text) == version


def test_a_go_program_is_stamped_with_its_version_so_that_the_cache_knows_it(tmp_path: Path) -> None:
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    # It "compiles" a script that tells the version which the linker was given.
    go.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = version ]; then echo "go version go1.99.0"; exit; fi\n'
        'echo "$@" > arguments\n'
        "mkdir -p $GOBIN\n"
        'stamp=$(echo "$3" | sed "s/.*Version=//")\n'
        'printf "#!/bin/sh\\necho telegraf $stamp\\n" > $GOBIN/telegraf\n'
        "chmod +x $GOBIN/telegraf\n"
    )
    go.chmod(0o755)
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": f"{go.parent}:/usr/bin:/bin"}
    found = obtain(TELEGRAF, env, quiet)
    assert (found.version, found.source) == (TELEGRAF.builds, "cached")


def test_a_kubernetes_release_is_built_of_its_parts_as_they_are_published(tmp_path: Path) -> None:
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    described = {
        "Go": "1.24.0",
        "GoDebug": [{"Key": "default", "Value": "go1.24"}],
        "Replace": [
            {"Old": {"Path": "k8s.io/api"}, "New": {"Path": "./staging/src/k8s.io/api"}},
            {"Old": {"Path": "example.org/a"}, "New": {"Path": "example.org/fork", "Version": "v1.0.0"}},
        ],
    }
    # It "compiles" a script that tells the version which the linker was given.
    go.write_text(
        "#!/bin/sh\n"
        'case "$1 $2" in\n'
        'version*) echo "go version go1.99.0" ;;\n'
        """"mod download") echo '{"GoMod": "described", "Dir": "."}' ;;\n"""
        f"""'mod edit') echo '{json.dumps(described)}' ;;\n"""
        f"build*) cp go.mod {tmp_path}/go.mod\n"
        'for one in "$@"; do case $one in *gitVersion=*) stamp=${one##*gitVersion=};; esac\n'
        "case $before in -o) to=$one;; esac; before=$one; done\n"
        'printf "#!/bin/sh\\necho Kubernetes $stamp\\n" > "$to"; chmod +x "$to" ;;\n'
        "esac\n"
    )
    go.chmod(0o755)
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": f"{go.parent}:/usr/bin:/bin"}
    found = obtain(KUBE_APISERVER, env, quiet)
    assert (found.version, found.source) == (KUBE_APISERVER.builds, "cached")
    lines = (tmp_path / "go.mod").read_text().splitlines()
    assert f"replace k8s.io/api => k8s.io/api v0.{KUBE_APISERVER.builds.removeprefix('1.')}" in lines
    assert {"go 1.24.0", "godebug default=go1.24", f"require k8s.io/kubernetes v{KUBE_APISERVER.builds}"} <= set(lines)
    assert not [line for line in lines if "example.org" in line], "what is replaced by a version needs no help"


def test_a_set_of_definitions_is_known_by_its_edition(tmp_path: Path) -> None:
    assert CRDS.version_of(tmp_path) == ()
    (tmp_path / "set").write_text(CRDS.builds)
    found = obtain(CRDS, {"TIDEGATE_CRDS": str(tmp_path)}, quiet)
    assert (found.path, found.version) == (tmp_path, CRDS.builds)


def test_peers_are_no_servers_of_the_stack() -> None:
    assert not set(PEERS) & set(ALL)

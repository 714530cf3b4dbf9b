"""Our dashboards judged by Grafana's own published types: the Go module of its Foundation SDK, read strictly.

The module (github.com/grafana/grafana-foundation-sdk/go, Apache-2.0) is fetched by Go's own client and compiled once; the
judge is kept in the user's cache. It knows every field of a dashboard, of its panels and of Prometheus' and Loki's queries,
and takes no other.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from compose.stack import cache
from compose.stack.build_tools import Tool, needed
from compose.stack.go_module import ALIKE, POLITE
from compose.stack.tools import search_path
from dashboards.grafana.every import every_dashboard

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.whole, pytest.mark.timeout(1200)]

SOURCES = Path(__file__).parents[1] / "grafana_schema"
GO = Tool("go", (1, 21), "version", "golang-go")


@pytest.fixture(scope="session")
def judge() -> Path:
    """The compiled judge, built unless the cache has it (a minute, once)."""
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(SOURCES.iterdir()))).hexdigest()[:12]
    folder = cache.entry("grafana-schema", digest, os.environ)
    with cache.locked(folder.parent / ".lock", lambda: None):
        if not (folder / "judge").exists():
            go = needed(GO, "install Go 1.21 or newer", os.environ, lambda _: None)
            staged = folder.with_name(f".{digest}.staged")
            cache.emptied(staged)
            command = [*POLITE, str(go), "build", "-ldflags=-s -w", *ALIKE, "-o", str(staged / "judge"), "."]
            settings = {"GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
            env = os.environ | settings | {"PATH": search_path(os.environ)}
            built = subprocess.run(command, cwd=SOURCES, env=env, capture_output=True, text=True, check=False)
            assert built.returncode == 0, built.stderr
            cache.move_in(staged, folder)
    return folder / "judge"


def judged(judge: Path, folder: Path, model: dict[str, Any]) -> str:
    path = folder / "dashboard.json"
    path.write_text(json.dumps(model))
    return subprocess.run([judge, path], capture_output=True, text=True, check=False).stdout.strip()


@pytest.mark.parametrize("model", every_dashboard(with_logs=True), ids=lambda model: model["uid"])
def test_grafanas_types_take_it(judge: Path, tmp_path: Path, model: dict[str, Any]) -> None:
    assert judged(judge, tmp_path, model) == ""


def nonsense(model: dict[str, Any]) -> None:
    model["nonsense"] = 1


def mistyped(model: dict[str, Any]) -> None:
    model["panels"][0]["fieldConfig"]["defaults"]["unit"] = 5


def misspelt(model: dict[str, Any]) -> None:
    model["panels"][0]["targets"][0]["exprs"] = "up"


@pytest.mark.parametrize("spoil", [nonsense, mistyped, misspelt])
def test_and_would_not_take_a_wrong_one(judge: Path, tmp_path: Path, spoil: Callable[[dict[str, Any]], None]) -> None:
    model = copy.deepcopy(every_dashboard()[0])
    spoil(model)
    assert judged(judge, tmp_path, model)

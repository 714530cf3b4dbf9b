"""The documents say what is so: every dependency is accounted for, every reason and metric is described."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edge_aggregator.config import EdgeConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_dependency_has_its_line() -> None:
    listed = set(re.findall(r"[a-z][a-z0-9-]+", (ROOT / "docs" / "dependencies.md").read_text()))
    groups = [PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"].values()]
    needed = {re.match(r"[a-z0-9-]+", requirement)[0] for group in groups for requirement in group}
    assert needed <= listed, needed - listed


def test_the_lock_pins_with_hashes_and_names_no_index() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "--hash=sha256:" in lock
    assert "://" not in "\n".join(line for line in lock.splitlines() if not line.lstrip().startswith("#"))
    assert "--index-url" not in lock


def test_documents_name_only_files_that_are_there() -> None:
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    for document in documents:
        named = re.findall(
            r"`((?:tests|docs|ingest|edge_aggregator|analytics|dashboards|compose)/[\w./-]+\.\w+)`",
            document.read_text(),
        )
        linked = re.findall(r"\]\(([\w./-]+)\)", document.read_text())
        missing = [name for name in named if not (ROOT / name).exists()]
        missing += [name for name in linked if not (document.parent / name).exists()]
        assert not missing, f"{document.name}: {missing}"


BOUND = re.compile(r"(^|\.)(max|most)_|_bytes(_per_s)?$|^quotas\.|_age_s$|lateness|tolerance")
NO_BOUNDS = {"commit_bytes", "quotas.burst_s", "alarms.webhook.most_wait_s"}
"""Named like bounds: nothing is refused, lost or delayed beyond them."""


def test_every_bound_of_the_edge_is_in_the_limits_with_its_default() -> None:
    rows = [line for line in (ROOT / "docs" / "limits.md").read_text().splitlines() if line.startswith("|")]
    for name, default in settings(msgspec.inspect.type_info(EdgeConfig)):
        if not BOUND.search(name) or name in NO_BOUNDS:
            continue
        section, _, last = name.rpartition(".")
        told = [
            row
            for row in rows
            if f"`edge.{name}`" in row or (section and f"`edge.{section}." in row and f"`{last}`" in row)
        ]
        assert told, f"edge.{name} is not in docs/limits.md"
        assert any(as_told(default).search(row) for row in told), f"edge.{name}: {default} is not told"


def test_documents_name_only_settings_of_the_edge_that_are_there() -> None:
    known = {name for name, _ in settings(msgspec.inspect.type_info(EdgeConfig))}
    sections = {name.rpartition(".")[0] for name in known}
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        named = set(re.findall(r"`edge\.([a-z_.]+)`", document.read_text())) - {"toml"}
        assert named <= known | sections, f"{document.name}: {named - known - sections}"


def settings(info: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting below a struct by its path, with its default."""
    for field in info.fields:
        here, inner = f"{path}{field.encode_name}", _plain(field.type)
        yield here, field.default
        if isinstance(inner, msgspec.inspect.StructType):
            yield from settings(inner, f"{here}.")


def _plain(info: Any) -> Any:
    if isinstance(info, msgspec.inspect.UnionType):
        return next(one for one in info.types if not isinstance(one, msgspec.inspect.NoneType))
    return info


def as_told(number: float) -> re.Pattern[str]:
    """A default as documents may tell it, in its own unit or in a greater one."""
    units = {1: "", 1024**2: " MiB", 1024**3: " GiB", 86_400: " day"}
    texts = {f"{number:.0f}", f"{number:,.0f}"} | {f"{number / size:,g}{unit}" for size, unit in units.items()}
    return re.compile(r"(?<![\d.,])(" + "|".join(map(re.escape, texts)) + r")(?![.,]?\d)")

"""Rollout plans in files: TOML, JSON or YAML by the file's name."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import msgspec

from analytics.rollouts.recording import read_judge_plan
from compose.planning.staged import Staging
from ingest.contract.events.plans import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from analytics.rollouts.recording import JudgePlan

CHANGEABLE = frozenset({"state", "mode", "command_expiry_s"})
"""What a running rollout's plan may change."""


def read_plan_file(path: Path) -> dict[str, Any]:
    """The plan's fields. Raises OSError, and ValueError for what is no TOML, JSON or YAML table."""
    text = path.read_bytes()
    if path.suffix == ".json":
        fields = msgspec.json.decode(text)
    elif path.suffix in {".yaml", ".yml"}:
        fields = msgspec.yaml.decode(text)
    else:
        fields = tomllib.loads(text.decode())
    if not isinstance(fields, dict):
        raise ValueError("expected a table of fields")  # noqa: TRY004 - a mistake in a file
    return fields


def judge_plan_of(fields: Mapping[str, Any]) -> tuple[JudgePlan, float]:
    """What decides, and the share of canaries. Raises BadRecordingError."""
    share = fields.get("canary_share", 0.5)
    return read_judge_plan(msgspec.json.encode(fields)), float(share)


def staging_of(fields: Mapping[str, Any]) -> Staging | None:
    """What a plan says of stages, None when it has none. Raises ValueError for what is no list of stages."""
    stages = msgspec.convert(fields.get("stages", []), list[Stage])
    if not stages:
        return None
    shares, soaks = [stage.share for stage in stages], [stage.soak_s / 3600.0 for stage in stages]
    if sorted({0.0, *shares}) != [0.0, *shares] or shares[-1] > 1.0 or min(soaks) < 0.0:
        raise ValueError("expected stages with rising shares above 0 and at most 1, and soak_s of at least 0")
    return Staging(tuple(shares), tuple(soaks), msgspec.convert(fields.get("hold_out", 0.05), float))


def differences(old: Any, new: Any, path: str = "$") -> Iterator[tuple[str, Any, Any]]:
    """Where two plans differ: JSON path, old and new value; None for what is missing. Lists of named things go by name."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            yield from differences(old.get(name), new.get(name), f"{path}.{name}")
    elif _is_named(old) and _is_named(new):
        yield from differences({one["name"]: one for one in old}, {one["name"]: one for one in new}, path)
    elif old != new:
        yield path, old, new


def _is_named(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) and "name" in one for one in value) and bool(value)

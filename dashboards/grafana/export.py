"""Dashboards, provisioning files and rules as a folder that Grafana and Prometheus read."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

import msgspec

from dashboards.grafana.every import every_dashboard
from dashboards.grafana.sources import data_sources

if TYPE_CHECKING:
    from pathlib import Path

    from dashboards.grafana.sources import Places

FOLDER, FOLDER_UID = "tidegate", "tidegate"


def exported(places: Places, seen_at: str) -> dict[str, bytes]:
    """Path within the folder to content; `seen_at` is where Grafana finds the folder `dashboards`. The same each time."""
    found = {
        f"dashboards/{model['uid']}.json": msgspec.json.format(msgspec.json.encode(model), indent=2) + b"\n"
        for model in every_dashboard(with_logs=bool(places.loki))
    }
    found["provisioning/datasources/tidegate.yaml"] = _yaml({"apiVersion": 1, "datasources": data_sources(places)})
    found["provisioning/dashboards/tidegate.yaml"] = _yaml({"apiVersion": 1, "providers": [_provider(seen_at)]})
    return found | {f"prometheus/{name}": content for name, content in rules().items()}


def rules() -> dict[str, bytes]:
    """The rules for Prometheus by file name."""
    every = files("dashboards.prometheus").iterdir()
    return {file.name: file.read_bytes() for file in every if file.name.endswith(".yml")}


def write(folder: Path, content: dict[str, bytes]) -> list[Path]:
    """Writes what differs from what is there; the files that were written. Raises OSError."""
    written = []
    for name, wanted in content.items():
        path = folder / name
        if path.exists() and path.read_bytes() == wanted:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wanted)
        written.append(path)
    return written


def _provider(seen_at: str) -> dict[str, Any]:
    return {
        "name": "tidegate",
        "type": "file",
        "folder": FOLDER,
        "folderUid": FOLDER_UID,
        "allowUiUpdates": True,
        "options": {"path": seen_at},
    }


def _yaml(value: dict[str, Any]) -> bytes:
    return b"# Written by `tidegate grafana export`.\n" + msgspec.yaml.encode(value)

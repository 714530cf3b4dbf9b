"""The page's files as they are served: few, compressed once, and named by what is in them so that a browser keeps them for good."""

from __future__ import annotations

import gzip
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from dashboards.console.bundle import bundled

if TYPE_CHECKING:
    from collections.abc import Iterable

PAGE = "index.html"
_FOLDER = "/console/"
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_LARGE = "uPlot.esm.js"
_ENTRIES = ("shared-stream.js", "main.js")
_STYLE = "console.css"


class Asset(NamedTuple):
    """One file. `version` changes with its content; `?v=` in an address names it."""

    content_type: str
    version: str
    plain: bytes
    gzipped: bytes


def read_assets() -> dict[str, Asset]:
    """Every file by its name; the modules and styles of the package put together. Raises BundleError."""
    sources = {
        file.name: file.read_text("utf-8") for file in files("dashboards.console").iterdir() if _is_ours(file.name)
    }
    modules = {name: text for name, text in sources.items() if name.endswith(".js") and name != _LARGE}
    assets = {name: _asset(name, sources[name]) for name in ("icon.svg", _LARGE)}
    assets[_STYLE] = _asset(_STYLE, "".join(sources[name] for name in sorted(sources) if name.endswith(".css")))
    for entry in _ENTRIES:  # the page's script names the worker's
        assets[entry] = _asset(entry, _versioned(bundled(modules, entry), assets))
    assets[PAGE] = _asset(PAGE, _versioned(sources[PAGE], assets))
    return assets


def _is_ours(name: str) -> bool:
    return name.rpartition(".")[2] in _TYPES


def _versioned(text: str, assets: dict[str, Asset]) -> str:
    for name, asset in assets.items():
        for found in _written(name):
            text = text.replace(found, f'"{_FOLDER}{name}?v={asset.version}"')
    return text


def _written(name: str) -> Iterable[str]:
    return (f'"{_FOLDER}{name}"', f'"./{name}"')


def _asset(name: str, text: str) -> Asset:
    content = text.encode()
    version = hashlib.sha256(content).hexdigest()[:16]
    return Asset(_TYPES[name.rpartition(".")[2]], version, content, gzip.compress(content, mtime=0))

"""The built-in page: a handful of files from the package, nothing from anywhere else."""

import gzip
import hashlib
from importlib.resources import files
from typing import NamedTuple

from litestar import Response, get
from litestar.params import FromPath

from dashboards.api.context import ApiRequest
from dashboards.api.guards import OPEN
from dashboards.api.problems import unknown

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


class Asset(NamedTuple):
    """One file as it is served."""

    content_type: str
    etag: str
    plain: bytes
    gzipped: bytes


def _read_assets() -> dict[str, Asset]:
    folder = files("dashboards.console")
    return {
        file.name: _asset(file.name, file.read_bytes()) for file in folder.iterdir() if _suffix(file.name) in _TYPES
    }


def _asset(name: str, content: bytes) -> Asset:
    etag = f'"{hashlib.sha256(content).hexdigest()[:24]}"'
    return Asset(_TYPES[_suffix(name)], etag, content, gzip.compress(content, mtime=0))


def _suffix(name: str) -> str:
    return name.rpartition(".")[2]


_ASSETS = _read_assets()


@get("/", opt=OPEN, include_in_schema=False, sync_to_thread=False)
def index(request: ApiRequest) -> Response[bytes]:
    """The page."""
    return _serve(request, "index.html")


@get("/console/{name:str}", opt=OPEN, include_in_schema=False, sync_to_thread=False)
def asset(request: ApiRequest, name: FromPath[str]) -> Response[bytes]:
    """One of the page's files."""
    if name not in _ASSETS:
        raise unknown("file", name)
    return _serve(request, name)


def _serve(request: ApiRequest, name: str) -> Response[bytes]:
    found = _ASSETS[name]
    headers = {
        "Content-Type": found.content_type,
        "Content-Security-Policy": POLICY,
        "Cache-Control": "no-cache",
        "ETag": found.etag,
        "Vary": "Accept-Encoding",
    }
    if request.headers.get("if-none-match") == found.etag:
        return Response(b"", status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(found.gzipped, headers=headers | {"Content-Encoding": "gzip"})
    return Response(found.plain, headers=headers)

"""The built-in page: a handful of files from the package, nothing from anywhere else."""

from litestar import Response, get
from litestar.params import FromPath

from dashboards.api.context import ApiRequest
from dashboards.api.guards import OPEN
from dashboards.api.problems import unknown
from dashboards.console.assets import PAGE, read_assets

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types console"
)
_KEPT_FOR_GOOD = "public, max-age=31536000, immutable"
_ASSETS = read_assets()


@get("/", opt=OPEN, include_in_schema=False, sync_to_thread=False)
def index(request: ApiRequest) -> Response[bytes]:
    """The page."""
    return _serve(request, PAGE)


@get("/console/{name:str}", opt=OPEN, include_in_schema=False, sync_to_thread=False)
def asset(request: ApiRequest, name: FromPath[str]) -> Response[bytes]:
    """One of the page's files."""
    if name not in _ASSETS:
        raise unknown("file", name)
    return _serve(request, name)


def _serve(request: ApiRequest, name: str) -> Response[bytes]:
    found = _ASSETS[name]
    is_named = request.query_params.get("v") == found.version
    headers = {
        "Content-Type": found.content_type,
        "Content-Security-Policy": POLICY,
        "Cache-Control": _KEPT_FOR_GOOD if is_named else "no-cache",
        "ETag": f'"{found.version}"',
        "Vary": "Accept-Encoding",
    }
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(b"", status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(found.gzipped, headers=headers | {"Content-Encoding": "gzip"})
    return Response(found.plain, headers=headers)

"""`GET /v1/series`: windows of series from the store."""

from typing import Annotated

import msgspec
from litestar import get
from litestar.params import FromQuery, QueryParameter

from dashboards.api.answers import Data
from dashboards.api.config import Scope
from dashboards.api.context import ApiRequest, context_of
from dashboards.api.guards import needs
from dashboards.api.problems import ProblemError
from ingest.runtime.store.port import Series, SeriesQuery

MOST_WINDOWS = 10_000


class SeriesView(msgspec.Struct, frozen=True, kw_only=True):
    """One series as columns of equal length by rising start; `start` and `width` in ms."""

    site: str
    device: str
    metric: str
    labels: dict[str, str]
    start: list[int]
    width: list[int]
    count: list[int]
    mean: list[float]
    min: list[float]
    max: list[float]
    last: list[float]


class SeriesReply(msgspec.Struct, frozen=True, kw_only=True):
    """The series that match; `truncated` says that the limit was reached and older windows were left out."""

    series: list[SeriesView]
    truncated: bool


@get("/v1/series", opt=needs(Scope.READ), tags=["series"])
async def series(
    request: ApiRequest,
    *,
    site: FromQuery[str] = "",
    device: FromQuery[str] = "",
    metric: FromQuery[str] = "",
    start: Annotated[int, QueryParameter(ge=0, le=1 << 53)] = 0,
    end: Annotated[int, QueryParameter(ge=0, le=1 << 53)] = 1 << 53,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST_WINDOWS)] = 1000,
) -> Data[SeriesReply]:
    """Windows that start in [start, end) (ms), at most `limit` of them, the newest kept."""
    if not (device or metric):
        raise ProblemError(400, "too-wide", "name a device or a metric")
    query = SeriesQuery(
        tenant=request.user.tenant, site=site, device=device, metric=metric, start=start, end=end, limit=limit
    )
    found = await context_of(request).store.read(query)
    truncated = sum(len(s.start) for s in found) >= limit
    return Data(SeriesReply(series=[_view(s) for s in found], truncated=truncated))


def _view(series: Series) -> SeriesView:
    return SeriesView(
        site=series.site,
        device=series.device,
        metric=series.metric,
        labels=dict(series.labels),
        start=series.start.tolist(),
        width=series.width.tolist(),
        count=series.count.tolist(),
        mean=series.mean().tolist(),
        min=series.min.tolist(),
        max=series.max.tolist(),
        last=series.last.tolist(),
    )

"""Raw samples on demand: ask a site's gateways, see how far they are, take what they sent."""

from typing import TYPE_CHECKING

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath

from dashboards.api.answers import Data
from dashboards.api.config import Scope
from dashboards.api.context import ApiRequest, context_of, view_of
from dashboards.api.guards import needs
from dashboards.api.problems import ProblemError, unknown
from dashboards.api.pulls import PullState, PullView
from ingest.contract.samples import SampleChunk

if TYPE_CHECKING:
    from dashboards.api.pull_writer import PullWriter


_DIGITS = 10
"""No chunk's number has so many."""


class SeriesOfChunk(msgspec.Struct, frozen=True, kw_only=True):
    """What a row's `series` stands for."""

    device: str
    metric: str
    labels: dict[str, str]


class ChunkView(msgspec.Struct, frozen=True, kw_only=True):
    """Samples as columns of equal length: `series` indexes the table of that name, `ts` in ms; by rising ts."""

    gateway: str
    attempt: int
    chunk: int
    table: list[SeriesOfChunk]
    series: list[int]
    ts: list[int]
    value: list[float]


@post("/v1/samples", opt=needs(Scope.SAMPLES_PULL), status_code=202, tags=["samples"])
async def ask(request: ApiRequest) -> Response[Data[PullView]]:
    """Ask a site's gateways for raw samples (NewPull); the answer comes when they answer: see Location."""
    writer: PullWriter = request.app.state["pulls"]
    book, context = view_of(request).pulls, context_of(request)
    asked = await writer.ask(await request.body(), request.user, book, request.headers.get("traceparent"))
    view = book.view(asked.request, context.clock.now_ms())
    assert view is not None  # just asked
    return Response(Data(view), status_code=202, headers={"Location": f"/v1/samples/{asked.request}"})


@get("/v1/samples/{name:str}", opt=needs(Scope.SAMPLES_PULL), tags=["samples"], sync_to_thread=False)
def show(request: ApiRequest, name: FromPath[str]) -> Data[PullView]:
    """How far the answer has come, gateway by gateway."""
    return Data(_view(request, name))


@get(
    "/v1/samples/{name:str}/{gateway:str}/{number:str}",
    opt=needs(Scope.SAMPLES_PULL),
    tags=["samples"],
    sync_to_thread=False,
)
def chunk(request: ApiRequest, name: FromPath[str], gateway: FromPath[str], number: FromPath[str]) -> Data[ChunkView]:
    """One chunk of a gateway's answer, from 0 to below its `chunks`; 410 when it has been forgotten: ask again."""
    view = _view(request, name)
    found = view_of(request).pulls.chunk(
        name, gateway, int(number) if number.isdecimal() and len(number) < _DIGITS else -1
    )
    if found is not None:
        return Data(_chunk_view(found))
    if any(one.gateway == gateway and one.state is PullState.FORGOTTEN for one in view.gateways):
        raise ProblemError(410, "samples-forgotten", "newer answers took their place: ask again, for less at a time")
    raise unknown("chunk", f"{gateway}/{number}")


def _view(request: ApiRequest, name: str) -> PullView:
    view = view_of(request).pulls.view(name, context_of(request).clock.now_ms())
    if view is None:
        raise unknown("request", name)
    return view


def _chunk_view(found: SampleChunk) -> ChunkView:
    # (device, metric) pairs as one number each: the table names only those that occur.
    width = max(1, len(found.metrics))
    pairs = found.column("device").astype("u8") * width + found.column("metric")
    numbers = {pair: row for row, pair in enumerate(dict.fromkeys(pairs.tolist()))}
    table = [
        SeriesOfChunk(
            device=found.devices[pair // width].device,
            metric=found.metrics[pair % width].name,
            labels=dict(found.metrics[pair % width].labels),
        )
        for pair in numbers
    ]
    return ChunkView(
        gateway=found.origin.gateway,
        attempt=found.attempt,
        chunk=found.chunk,
        table=table,
        series=[numbers[pair] for pair in pairs.tolist()],
        ts=found.column("ts").tolist(),
        value=found.column("value").tolist(),
    )

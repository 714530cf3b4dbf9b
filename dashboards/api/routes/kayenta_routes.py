"""Kayenta's face: `/judge` for its RemoteJudge, and the gate as a canary analysis for who asks Kayenta (Argo Rollouts)."""

from typing import Any

import msgspec
from litestar import get, post
from litestar.params import FromPath

from dashboards.api.config import Scope
from dashboards.api.context import ApiRequest, context_of, view_of
from dashboards.api.gates import gate_data
from dashboards.api.guards import needs
from dashboards.api.kayenta import JudgeRequest, Thresholds, judge
from dashboards.api.problems import ProblemError, unknown
from ingest.contract.events import Outcome


class CanaryRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST /canary/{config}`: only the thresholds matter, the gate knows its devices."""

    scopes: dict[str, Any] = {}
    thresholds: Thresholds = Thresholds()


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout as Kayenta lists what it can analyse."""

    id: str
    name: str


class Execution(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What to ask for the result with."""

    canary_execution_id: str


@post("/judge", opt=needs(Scope.GATES), status_code=200, tags=["kayenta"])
async def judge_metrics(request: ApiRequest) -> dict[str, Any]:
    """Judge the metrics of one analysis, once: ranks and exceedances of both series."""
    return judge(await _body(request, JudgeRequest))


@get("/canaryConfig", opt=needs(Scope.GATES), tags=["kayenta"], sync_to_thread=False)
def configs(request: ApiRequest) -> list[Configuration]:
    """Every rollout as a configuration of its name."""
    return [Configuration(id=name, name=name) for name in sorted(view_of(request).rollouts)]


@post("/canary/{config:str}", opt=needs(Scope.GATES), status_code=200, tags=["kayenta"])
async def start(request: ApiRequest, config: FromPath[str]) -> Execution:
    """Begin an analysis of a rollout: the gate is at it already, so that the answer only keeps the thresholds."""
    if config not in view_of(request).rollouts:
        raise unknown("rollout", config)
    wanted = (await _body(request, CanaryRequest)).thresholds
    return Execution(canary_execution_id=f"{config}~{wanted.pass_:g}~{wanted.marginal:g}")


@get("/canary/{execution:str}", opt=needs(Scope.GATES), tags=["kayenta"], sync_to_thread=False)
def result(request: ApiRequest, execution: FromPath[str]) -> dict[str, Any]:
    """The gate's verdict as a score: pass 100, fail 0, inconclusive between the two thresholds."""
    name, _, rest = execution.partition("~")
    rollout = view_of(request).rollouts.get(name)
    if rollout is None:
        raise unknown("rollout", name)
    data = gate_data(rollout, context_of(request).base_url)
    score = {Outcome.PASS: 100.0, Outcome.FAIL: 0.0}.get(data.verdict, _between(rest))
    told = {"score": score, "classification": _WORDS[data.verdict], "classificationReason": data.reason}
    return {"complete": True, "status": "succeeded", "result": {"judgeResult": {"score": told}}}


_WORDS = {Outcome.PASS: "Pass", Outcome.FAIL: "Fail", Outcome.INCONCLUSIVE: "Marginal"}


def _between(thresholds: str) -> float:
    high, _, low = thresholds.partition("~")
    try:
        return (float(high) + float(low)) / 2
    except ValueError:
        raise ProblemError(400, "bad-execution", "expected the id that POST /canary answered") from None


async def _body(request: ApiRequest, kind: type[Any]) -> Any:
    try:
        return msgspec.convert(_without_nulls(msgspec.json.decode(await request.body())), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProblemError(400, "bad-analysis", f"expected Kayenta's payload: {error}") from error


def _without_nulls(value: Any) -> Any:
    # Kayenta writes null for what is not set; in a series null is a value that is missing.
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value

"""What the systems that ask the gate do with a manifest: the requests that they send, and how they read the answers."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

_PATH = re.compile(r"\{\$((?:\.\w+)*)\}")
_CONDITION = re.compile(r"result((?:\.\w+|\[\d+\])*) == (.+)")
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")


class Phase(StrEnum):
    """What Argo Rollouts makes of a measurement."""

    SUCCESSFUL = "Successful"
    FAILED = "Failed"
    INCONCLUSIVE = "Inconclusive"
    ERROR = "Error"


def documents(path: Path) -> list[Any]:
    """The documents of a manifest."""
    return list(yaml.safe_load_all(path.read_text()))


def named(found: list[Any], kind: str, name: str) -> Any:
    """The one document of that kind and name."""
    (one,) = [doc for doc in found if (doc["kind"], doc["metadata"]["name"]) == (kind, name)]
    return one


def substituted(value: Any, pattern: str, values: dict[str, str]) -> Any:
    """A manifest with its variables filled in; `pattern` says how a variable is written, as `{{args.%s}}`."""
    if isinstance(value, dict):
        return {key: substituted(item, pattern, values) for key, item in value.items()}
    if isinstance(value, list):
        return [substituted(item, pattern, values) for item in value]
    if isinstance(value, str):
        for name, text in values.items():
            value = value.replace(pattern % name, text)
    return value


async def measure(client: httpx.AsyncClient, metric: dict[str, Any]) -> Phase:
    """One measurement of an AnalysisTemplate's metric whose arguments are filled in."""
    ((kind, provider),) = metric["provider"].items()
    return await {"web": _web, "prometheus": _prometheus, "kayenta": _kayenta}[kind](client, provider, metric)


async def _web(client: httpx.AsyncClient, web: dict[str, Any], metric: dict[str, Any]) -> Phase:
    # GET; what is not 2xx is an error, which is not a failure.
    answer = await client.get(web["url"], headers=_headers(web))
    if not answer.is_success:
        return Phase.ERROR
    result = answer.json()
    for step in _PATH.fullmatch(web["jsonPath"])[1].split(".")[1:]:
        result = result[step]
    return _phase(result, metric)


async def _prometheus(client: httpx.AsyncClient, prometheus: dict[str, Any], metric: dict[str, Any]) -> Phase:
    # The client library POSTs a form first. A vector becomes the list of its values.
    answer = await client.post(
        f"{prometheus['address']}/api/v1/query", data={"query": prometheus["query"]}, headers=_headers(prometheus)
    )
    if not answer.is_success or answer.json()["status"] != "success":
        return Phase.ERROR
    data = answer.json()["data"]
    assert data["resultType"] == "vector"
    return _phase([float(sample["value"][1]) for sample in data["result"]], metric)


async def _kayenta(client: httpx.AsyncClient, kayenta: dict[str, Any], metric: dict[str, Any]) -> Phase:
    # The configuration by its name, an analysis of it, then its score; only 200 is taken.
    assert not {"successCondition", "failureCondition"} & metric.keys()
    accounts = {f"{kind}AccountName": kayenta[f"{kind}AccountName"] for kind in ("metrics", "configuration", "storage")}
    asked = {"application": kayenta["application"], **accounts}
    listed = await client.get(f"{kayenta['address']}/canaryConfig", params=asked)
    ids = [one["id"] for one in listed.json() if one["name"] == kayenta["canaryConfigName"]]
    if listed.status_code != 200 or not ids:
        return Phase.ERROR
    scopes = {scope["name"]: {k: v for k, v in scope.items() if k != "name"} for scope in kayenta["scopes"]}
    started = await client.post(
        f"{kayenta['address']}/canary/{ids[0]}",
        params=asked,
        json={"scopes": scopes, "thresholds": kayenta["threshold"]},
    )
    assert started.status_code == 200
    told = await client.get(f"{kayenta['address']}/canary/{started.json()['canaryExecutionId']}")
    assert told.status_code == 200
    assert told.json()["complete"] is True
    score = int(told.json()["result"]["judgeResult"]["score"]["score"])
    if score >= kayenta["threshold"]["pass"]:
        return Phase.SUCCESSFUL
    return Phase.INCONCLUSIVE if score >= kayenta["threshold"]["marginal"] else Phase.FAILED


def _headers(provider: dict[str, Any]) -> dict[str, str]:
    return {header["key"]: header["value"] for header in provider["headers"]}


def _phase(result: Any, metric: dict[str, Any]) -> Phase:
    # Failure wins; neither is inconclusive; a value that is not there is an error.
    try:
        if _holds(metric["failureCondition"], result):
            return Phase.FAILED
        return Phase.SUCCESSFUL if _holds(metric["successCondition"], result) else Phase.INCONCLUSIVE
    except (KeyError, IndexError):
        return Phase.ERROR


def _holds(condition: str, result: Any) -> bool:
    path, literal = _CONDITION.fullmatch(condition).groups()
    for name, index in _STEP.findall(path):
        result = result[name] if name else result[int(index)]
    return bool(result == yaml.safe_load(literal))


async def flagger_metric(
    client: httpx.AsyncClient, template: dict[str, Any], metric: dict[str, Any], password: str
) -> bool:
    """Whether a canary's metric is within its range: the last sample counts, none is a failed check."""
    provider = template["spec"]["provider"]
    query = substituted(template["spec"]["query"], "{{ variables.%s }}", metric["templateVariables"])
    values = []
    for asked in ("vector(1)", re.sub(r"\s+", " ", query)):
        answer = await client.get(
            f"{provider['address']}/api/v1/query", params={"query": asked}, auth=("any", password)
        )
        assert answer.status_code < 400, answer.text
        samples = [float(one["value"][1]) for one in answer.json()["data"]["result"]]
        values.append(samples[-1] if samples else None)
    assert values[0] == 1.0, "Flagger's own probe when it starts"
    limits = metric["thresholdRange"]
    return values[1] is not None and limits.get("min", values[1]) <= values[1] <= limits.get("max", values[1])


async def flagger_webhook(client: httpx.AsyncClient, webhook: dict[str, Any], canary: dict[str, Any]) -> bool:
    """Whether a webhook is content: only a status up to 202 is."""
    hook = {
        "name": canary["metadata"]["name"],
        "namespace": canary["metadata"].get("namespace", "prod"),
        "phase": "Progressing",
        "checksum": "85d557f47b",
        "metadata": webhook.get("metadata", {}),
    }
    if webhook["type"] == "event":
        hook["metadata"] = {"eventMessage": "Halt advancement", "eventType": "Warning", "timestamp": "1795474967000"}
    answer = await client.post(webhook["url"], json=hook)
    assert answer.status_code not in {429, *range(500, 600)}, "would be tried again instead of read"
    return answer.status_code <= 202

"""Deployments, Argo Rollouts and Flux at a real Kubernetes API server, with the real CRDs and the roles that ship with the docs."""

from __future__ import annotations

import asyncio
import itertools
import json
import ssl
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import yaml

from analytics.rollback.attempts import OWNERS, OrderAttempt, Tried
from analytics.rollback.credentials import credentials
from analytics.rollback.orders import ORDER_SETTINGS, ORDERS
from analytics.rollback.owners.drive import drive, encoded, over_http
from analytics.rollback.owners.owner import Answer, PassingError, Request
from analytics.rollback.sender import Sender
from ingest.contract.records import Record, event_record
from ingest.contract.topics import DEAD_SETTINGS, dead
from ingest.runtime.clock import SystemClock
from ingest.runtime.health import Health
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.telemetry import Telemetry
from tests.cluster_owned import KINDS, Owned, OwnedDeployment, OwnedRollout, config_of, prepared
from tests.kube_api import KubeApi, documents
from tests.owner_apis import ARGO_CD
from tests.rollback_orders import buried

pytestmark = pytest.mark.servers

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
CLOCK = SystemClock()
LOST, ARRIVED = False, True
_NAMESPACES = itertools.count(1)


@pytest.fixture
def namespace(kubernetes: KubeApi) -> str:
    name = f"ns-{next(_NAMESPACES)}"
    prepared(kubernetes, name)
    return name


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def owned(request: pytest.FixtureRequest, kubernetes: KubeApi, namespace: str) -> Owned:
    kind: type[Owned] = request.param
    found = kind(kubernetes, namespace)
    found.until_allowed()
    return found


async def tried(owned: Owned, account: str, **changes: Any) -> Tried:
    """One try of the very code that the gate's process runs, as `account`."""
    config, secret = config_of(owned.api, owned, owned.api.token(owned.namespace, account), **changes)
    async with httpx.AsyncClient(trust_env=False, timeout=60.0) as client:
        return await OrderAttempt([config], lambda _: secret, CLOCK)(client, _record(owned))


def _record(owned: Owned) -> Record:
    return Record(ORDERS, 0, 0, b"fw", msgspec.json.encode(owned.order()), (), 0)


async def test_it_goes_back_by_the_role_of_the_docs_once_and_the_same_order_only_looks(owned: Owned) -> None:
    before = owned.now()
    assert not owned.is_back()
    assert await tried(owned, owned.account) == Tried()
    assert owned.is_back()
    after = owned.now()
    assert after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]
    assert await tried(owned, owned.account) == Tried()
    assert owned.now() == after


class CrashError(Exception):
    """The process is gone."""


@pytest.mark.parametrize("arrived", [LOST, ARRIVED], ids=["lost", "arrived"])
async def test_after_an_end_at_any_request_it_is_back_and_was_changed_once(owned: Owned, *, arrived: bool) -> None:
    for crash_at in itertools.count(1):
        again = type(owned)(owned.api, owned.namespace)
        try:
            await _go_back(again, crash_at, arrived=arrived)
        except CrashError:
            await _go_back(again)
            assert again.is_back(), f"after a crash at request {crash_at}"
        else:
            assert crash_at > len(again.rights)
            return


async def _go_back(owned: Owned, crash_at: int = 0, *, arrived: bool = ARRIVED) -> None:
    config, secret = config_of(owned.api, owned, owned.api.token(owned.namespace, owned.account))
    headers = credentials(config.auth, secret, url=config.url, region="", clock=CLOCK)
    counted = itertools.count(1)
    async with httpx.AsyncClient(verify=_trusting(owned.api), trust_env=False, timeout=60.0) as client:
        passed_on = over_http(client, config.url, headers)

        async def send(request: Request) -> Answer:
            if next(counted) != crash_at:
                return await passed_on(request)
            if arrived:
                await passed_on(request)
            raise CrashError

        await drive(OWNERS[config.kind].go_back(owned.order()), send)


async def test_a_dry_run_changes_nothing_and_tells_the_very_requests_that_would(owned: Owned) -> None:
    before = owned.now()
    assert await tried(owned, owned.account, dry_run=True) == Tried()
    config, secret = config_of(owned.api, owned, owned.api.token(owned.namespace, owned.account))
    attempt = OrderAttempt([config], lambda _: secret, CLOCK)
    async with httpx.AsyncClient(verify=_trusting(owned.api), trust_env=False, timeout=60.0) as client:
        planned = await attempt.go_back(client, owned.order(), dry_run=True)
    assert owned.now() == before
    for request in planned:
        content = {"Content-Type": request.content_type}
        sent = owned.api.client.request(request.method, request.path, content=encoded(request), headers=content)
        assert sent.status_code in request.expects, sent.text
    assert owned.is_back()


async def test_without_any_one_right_of_its_role_the_owner_is_refused_and_says_which(
    owned: Owned, kubernetes: KubeApi
) -> None:
    for lacking in owned.rights:
        namespace = f"ns-{next(_NAMESPACES)}"
        prepared(kubernetes, namespace, lacking)
        poor = type(owned)(kubernetes, namespace)
        poor.until_allowed(lacking)
        before = poor.now()
        answer = await tried(poor, poor.account)
        assert answer.is_final, "what is forbidden is not tried again"
        assert "was answered 403" in answer.problem
        resource = lacking.resource.partition("/")[0]
        assert f"cannot {lacking.verb} resource" in answer.problem
        assert f"system:serviceaccount:{namespace}:{poor.account}" in answer.problem
        assert resource in answer.problem
        assert poor.now() == before


async def test_no_account_may_do_what_is_another_owners(owned: Owned) -> None:
    before = owned.now()
    accounts = {kind.account for kind in KINDS} - {owned.account} | {"nobody"}
    for account in sorted(accounts):
        answer = await tried(owned, account)
        assert answer.is_final
        assert "was answered 403" in answer.problem
    assert owned.now() == before


async def test_what_is_not_there_and_who_is_not_known_is_for_people(owned: Owned) -> None:
    config, _ = config_of(owned.api, owned, "no token")
    async with httpx.AsyncClient(trust_env=False, timeout=60.0) as client:
        stranger = await OrderAttempt([config], lambda _: "no token", CLOCK)(client, _record(owned))
    assert stranger.is_final
    assert "was answered 401" in stranger.problem
    owned.name = "gone"
    answer = await tried(owned, owned.account)
    assert answer.is_final
    assert "was answered 404" in answer.problem


async def test_a_server_whose_certificate_nobody_known_signed_is_told_nothing(
    kubernetes: KubeApi, namespace: str
) -> None:
    owned = OwnedDeployment(kubernetes, namespace)
    answer = await tried(owned, owned.account, ca_file="")
    assert "certificate" in answer.problem.lower()
    assert not owned.is_back()


async def test_a_change_by_somebody_else_in_between_is_seen_and_looked_at_again(
    kubernetes: KubeApi, namespace: str
) -> None:
    owned = OwnedDeployment(kubernetes, namespace)
    config, _ = config_of(kubernetes, owned, "")
    meddled = False
    async with httpx.AsyncClient(verify=_trusting(kubernetes), trust_env=False, timeout=60.0) as client:
        passed_on = over_http(client, config.url, lambda _request, _body: dict(kubernetes.client.headers))

        async def send(request: Request) -> Answer:
            nonlocal meddled
            if request.changes and not meddled:
                meddled = True
                changed = {"metadata": {"labels": {"meddled": "yes"}}}
                merge = {"Content-Type": "application/merge-patch+json"}
                kubernetes.client.patch(owned.path, json=changed, headers=merge).raise_for_status()
            return await passed_on(request)

        with pytest.raises(PassingError, match="409"):
            await drive(OWNERS[config.kind].go_back(owned.order()), send)
        await drive(OWNERS[config.kind].go_back(owned.order()), send)
    assert owned.is_back()
    assert owned.now()["metadata"]["labels"] == {"meddled": "yes"}


async def test_a_rollout_promoted_in_full_is_refused(kubernetes: KubeApi, namespace: str) -> None:
    owned = OwnedRollout(kubernetes, namespace)
    owned.until_allowed()
    promoted = {"status": {"stableRS": "new", "currentPodHash": "new"}}
    merge = {"Content-Type": "application/merge-patch+json"}
    kubernetes.client.patch(f"{owned.path}/status", json=promoted, headers=merge).raise_for_status()
    answer = await tried(owned, owned.account)
    assert answer.is_final
    assert "promoted in full" in answer.problem


async def test_what_a_role_forbids_ends_as_a_dead_letter_with_the_servers_words(
    kubernetes: KubeApi, namespace: str, tmp_path: Path
) -> None:
    owned = OwnedDeployment(kubernetes, namespace)
    config, secret = config_of(kubernetes, owned, kubernetes.token(namespace, "nobody"))
    log = SqliteLog(tmp_path / "log.db", CLOCK)
    await log.ensure_topics({ORDERS: ORDER_SETTINGS, dead(ORDERS): DEAD_SETTINGS})
    order = owned.order()
    await log.append([event_record(ORDERS, "fw", order, event_id=order.id, source="tidegate/gate", time=0)])
    tries = 0
    attempt = OrderAttempt([config], lambda _: secret, CLOCK)

    async def counted(client: httpx.AsyncClient, record: Record) -> Tried:
        nonlocal tries
        tries += 1
        return await attempt(client, record)

    sender = Sender("orders", ORDERS, counted, log=log, health=Health(), telemetry=Telemetry("test"), member="m")
    running = asyncio.create_task(sender.run())
    headers = str((await buried(log, sender, running)).headers)
    assert tries == 1
    assert f"system:serviceaccount:{namespace}:nobody" in headers
    assert "cannot get resource" in headers


def test_the_example_manifests_are_what_the_real_definitions_accept(kubernetes: KubeApi) -> None:
    for namespace in ("prod", "argocd", "flux-system"):
        assert kubernetes.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}).is_success
    seen = []
    for file in ("argo-rollouts", "argo-cd", "flagger", "flux", "kubernetes-rbac"):
        # Flux substitutes before it applies.
        text = (EXAMPLES / f"{file}.yaml").read_text().replace("${rollout}", "firmware-2.3.0")
        for document in documents(text):
            answer = kubernetes.apply(document, dry_run=True, namespace="prod")
            assert answer.is_success, f"{file}.yaml: {answer.text}"
            seen.append(yaml.safe_load(document)["kind"])
    kinds = {"AnalysisTemplate", "Rollout", "Application", "MetricTemplate", "Canary", "Kustomization", "Job", "Role"}
    assert kinds <= set(seen)


def test_the_definitions_notice_a_manifest_that_is_wrong(kubernetes: KubeApi) -> None:
    (document, *_) = documents((EXAMPLES / "argo-rollouts.yaml").read_text())
    misspelt = kubernetes.apply(
        document.replace("failureCondition", "failCondition"), dry_run=True, namespace="default"
    )
    assert not misspelt.is_success
    assert "failCondition" in misspelt.text


def _trusting(api: KubeApi) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=api.ca_file)


def test_what_the_stand_in_of_argo_cd_holds_requests_against_is_in_the_published_description(
    kubernetes: KubeApi,
) -> None:
    swagger = json.loads((kubernetes.published / "argo-cd-swagger.json").read_text())
    assert len(ARGO_CD) == 3
    for operation in ARGO_CD:
        published = swagger["paths"][operation.path][operation.method.lower()]["parameters"]
        assert {one["name"] for one in published if one["in"] == "query"} == operation.query.keys()
        bodies = [one["schema"]["$ref"].rpartition("/")[2] for one in published if one["in"] == "body"]
        for body in bodies:
            ours = operation.body or {}
            theirs = swagger["definitions"][body]
            assert {name: one["type"] for name, one in theirs["properties"].items()} == {
                name: one["type"] for name, one in ours["properties"].items()
            }
            assert set(theirs.get("required", ())) == set(ours["required"])
        assert bool(bodies) == (operation.body is not None)

"""Stand-ins for the systems that own rollouts: they keep state, and refuse what their published API descriptions do not have."""

from __future__ import annotations

import copy
import json
import re
from abc import ABC, abstractmethod
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from analytics.rollback.owners.argo_cd import ArgoCd
from analytics.rollback.owners.argo_rollouts import ArgoRollout
from analytics.rollback.owners.aws_iot import AwsIotJobs
from analytics.rollback.owners.azure_adu import AzureDeviceUpdate
from analytics.rollback.owners.flux import Flux
from analytics.rollback.owners.hawkbit import HawkBit
from analytics.rollback.owners.kubernetes import Deployment
from analytics.rollback.owners.mender import Mender
from analytics.rollback.owners.owner import Answer, Order, Owner, Request, order_id

BAD, GOOD = "2.3.0", "2.2.0"


class Server(ABC):
    """One owner's API with a rollout of the bad release under way."""

    owner: Owner
    object: dict[str, str]

    def __init__(self) -> None:
        self.log: list[Request] = []

    def order(self, devices: int = 3) -> Order:
        return Order(
            id=order_id("fw", "acme", 1_700_000_000_000),
            actuator="owner",
            object=self.object,
            rollout="fw",
            tenant="acme",
            version=GOOD,
            digest="sha256:" + "ab" * 32,
            decided_at=1_700_000_000_000,
            reason="gate failed: crash",
            devices=[f"north/d{n}" for n in range(devices)],
        )

    def handle(self, request: Request) -> Answer:
        self.log.append(request)
        parts = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        # As on the wire: what the server keeps is never what the caller holds.
        body = json.loads(json.dumps(request.body))
        return copy.deepcopy(self.answer(request.method, unquote(parts.path), query, body, request.content_type))

    @abstractmethod
    def answer(self, method: str, path: str, query: dict[str, str], body: Any, content_type: str) -> Answer: ...

    @abstractmethod
    def is_back(self) -> bool:
        """Whether the bad release goes no further and what this owner can undo is undone, once."""


def unexpected(method: str, path: str) -> Answer:
    return Answer(status=405, body={"message": f"{method} {path} is not in the API description"})


class KubernetesServer(Server):
    owner, object = Deployment(), {"namespace": "prod", "name": "web"}

    def __init__(self) -> None:
        super().__init__()
        self.version = 7
        self.deployment = {
            "metadata": {"uid": "u1", "annotations": {"deployment.kubernetes.io/revision": "3"}},
            "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template(BAD, "")},
        }
        self.sets = [replica_set("u1", 3, BAD), replica_set("u1", 2, GOOD), replica_set("other", 9, "9.9.9")]
        self.patches = 0

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, content_type: str) -> Answer:
        base = "/apis/apps/v1/namespaces/prod"
        if method == "GET" and path == f"{base}/deployments/web":
            self.deployment["metadata"]["resourceVersion"] = str(self.version)
            return Answer(status=200, body=self.deployment)
        if method == "GET" and path == f"{base}/replicasets" and query == {"labelSelector": "app=web"}:
            return Answer(status=200, body={"items": self.sets})
        if method == "PATCH" and path == f"{base}/deployments/web":
            assert content_type == "application/json-patch+json"
            return self._patch(body)
        return unexpected(method, path)

    def _patch(self, operations: list[dict[str, Any]]) -> Answer:
        known = {"/spec/template", "/metadata/annotations", "/metadata/resourceVersion"}
        assert {operation["path"] for operation in operations} <= known
        by_path = {operation["path"]: operation["value"] for operation in operations}
        if by_path["/metadata/resourceVersion"] != str(self.version):
            return Answer(status=409, body={"message": "the object has been modified"})
        self.deployment["spec"]["template"] = by_path["/spec/template"]
        self.deployment["metadata"]["annotations"] = by_path["/metadata/annotations"]
        # The controller gives the old ReplicaSet a new revision.
        self.deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "4"
        self.sets[1]["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "4"
        self.version, self.patches = self.version + 1, self.patches + 1
        return Answer(status=200, body=self.deployment)

    def is_back(self) -> bool:
        return self.deployment["spec"]["template"] == template(GOOD, "") and self.patches == 1


def template(image: str, pod_hash: str) -> dict[str, Any]:
    labels = {"app": "web"} | ({"pod-template-hash": pod_hash} if pod_hash else {})
    return {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": f"web:{image}"}]}}


def replica_set(uid: str, revision: int, image: str) -> dict[str, Any]:
    annotations = {"deployment.kubernetes.io/revision": str(revision)}
    return {
        "metadata": {"ownerReferences": [{"uid": uid}], "annotations": annotations},
        "spec": {"template": template(image, f"h{revision}")},
    }


class ArgoRolloutsServer(Server):
    owner, object = ArgoRollout(), {"namespace": "prod", "name": "web"}

    def __init__(self) -> None:
        super().__init__()
        self.status: dict[str, Any] = {"stableRS": "old", "currentPodHash": "new"}
        self.aborts = 0

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, content_type: str) -> Answer:
        base = "/apis/argoproj.io/v1alpha1/namespaces/prod/rollouts/web"
        if method == "GET" and path == base:
            return Answer(status=200, body={"status": self.status})
        if method == "PATCH" and path == f"{base}/status" and content_type == "application/merge-patch+json":
            self.status |= body["status"]
            self.aborts += 1
            return Answer(status=200, body={"status": self.status})
        return unexpected(method, path)

    def is_back(self) -> bool:
        return self.status.get("abort") is True and self.aborts == 1


class FluxServer(Server):
    owner, object = Flux(), {"kind": "HelmRelease", "namespace": "prod", "name": "web"}

    def __init__(self) -> None:
        super().__init__()
        self.release: dict[str, Any] = {"spec": {"interval": "1m"}}
        self.patches = 0

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, content_type: str) -> Answer:
        if path != "/apis/helm.toolkit.fluxcd.io/v2/namespaces/prod/helmreleases/web":
            return unexpected(method, path)
        if method == "PATCH":
            assert content_type == "application/merge-patch+json"
            self.release["spec"] |= body["spec"]
            self.patches += 1
        return Answer(status=200, body=self.release)

    def is_back(self) -> bool:
        return self.release["spec"].get("suspend") is True and self.patches == 1


class ArgoCdServer(Server):
    owner, object = ArgoCd(), {"name": "web", "bad_revision": "bad", "project": "fleet"}

    def __init__(self) -> None:
        super().__init__()
        self.history = [{"id": 1, "revision": "older"}, {"id": 2, "revision": "good"}, {"id": 3, "revision": "bad"}]
        self.automated: dict[str, Any] | None = {"prune": True}
        self.rollbacks = 0

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, content_type: str) -> Answer:
        base = "/api/v1/applications/web"
        if method == "GET" and path == base and query == {"project": "fleet"}:
            policy = {"automated": self.automated} if self.automated is not None else {}
            return Answer(status=200, body={"spec": {"syncPolicy": policy}, "status": {"history": self.history}})
        if method == "PATCH" and path == base:
            assert body["patchType"] == "merge"
            self.automated = json.loads(body["patch"])["spec"]["syncPolicy"]["automated"]
            return Answer(status=200, body={})
        if method == "POST" and path == f"{base}/rollback":
            assert set(body) == {"id", "dryRun", "prune", "project"}
            if self.automated is not None:
                return Answer(status=400, body={"message": "rollback cannot be initiated when auto-sync is enabled"})
            revision = next(entry["revision"] for entry in self.history if entry["id"] == body["id"])
            self.history.append({"id": self.history[-1]["id"] + 1, "revision": revision})
            self.rollbacks += 1
            return Answer(status=200, body={})
        return unexpected(method, path)

    def is_back(self) -> bool:
        return self.history[-1]["revision"] == "good" and self.rollbacks == 1 and self.automated is None


class HawkBitServer(Server):
    owner, object = HawkBit(), {"rollout_id": "5", "bad_ds": "7", "previous_ds": "6"}
    has_stop = True

    def __init__(self) -> None:
        super().__init__()
        self.rollouts: dict[int, dict[str, Any]] = {5: {"id": 5, "name": "fw", "status": "running"}}

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, content_type: str) -> Answer:
        if method == "GET" and path == "/rest/v1/rollouts":
            name = query["q"].removeprefix("name==")
            return Answer(status=200, body={"content": [r for r in self.rollouts.values() if r["name"] == name]})
        if method == "POST" and path == "/rest/v1/rollouts":
            return self._create(body)
        found = re.fullmatch(r"/rest/v1/rollouts/(\d+)(?:/(stop|pause|start))?", path)
        if found is None:
            return unexpected(method, path)
        return self._one(method, self.rollouts[int(found[1])], found[2] or "")

    def _create(self, body: dict[str, Any]) -> Answer:
        needed = {
            "name",
            "distributionSetId",
            "targetFilterQuery",
            "amountGroups",
            "successCondition",
            "errorCondition",
        }
        assert needed <= set(body)
        if any(r["name"] == body["name"] for r in self.rollouts.values()):
            return Answer(status=409, body={"message": "already exists"})
        self.rollouts[6] = {"id": 6, "name": body["name"], "status": "creating", "ds": body["distributionSetId"]}
        return Answer(status=201, body=self.rollouts[6])

    def _one(self, method: str, rollout: dict[str, Any], verb: str) -> Answer:
        if method == "GET" and not verb:
            if rollout["status"] == "creating":
                rollout["status"] = "ready"
            return Answer(status=200, body=rollout)
        if verb == "stop" and not self.has_stop:
            return Answer(status=404)
        before, after = {"stop": ("running", "stopped"), "pause": ("running", "paused"), "start": ("ready", "running")}[
            verb
        ]
        if rollout["status"] != before:
            return Answer(status=400, body={"message": f"rollout is {rollout['status']}"})
        rollout["status"] = after
        return Answer(status=204)

    def is_back(self) -> bool:
        stopped = self.rollouts[5]["status"] == ("stopped" if self.has_stop else "paused")
        return stopped and (self.rollouts[6]["status"], self.rollouts[6]["ds"]) == ("running", 6)


class OldHawkBitServer(HawkBitServer):
    has_stop = False


class MenderServer(Server):
    owner, object = Mender(), {"deployment_id": "dep-1", "artifact_name": "fw-2.2.0"}

    def __init__(self) -> None:
        super().__init__()
        self.status = "inprogress"
        self.created: list[dict[str, Any]] = []

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, content_type: str) -> Answer:
        base = "/api/management/v1/deployments/deployments"
        if method == "GET" and path == f"{base}/dep-1":
            return Answer(status=200, body={"id": "dep-1", "status": self.status})
        if method == "PUT" and path == f"{base}/dep-1/status" and body == {"status": "aborted"}:
            if self.status == "finished":
                return Answer(status=422, body={"error": "deployment already finished"})
            self.status = "finished"
            return Answer(status=204)
        if method == "GET" and path == base:
            return Answer(status=200, body=[d for d in self.created if query["search"] in d["name"]])
        if method == "POST" and path == base:
            assert set(body) == {"name", "artifact_name", "devices", "force_installation"}
            self.created.append(body)
            return Answer(status=201)
        return unexpected(method, path)

    def is_back(self) -> bool:
        return self.status == "finished" and [d["devices"] for d in self.created] == [["d0", "d1", "d2"]]


class AwsServer(Server):
    owner = AwsIotJobs()
    object = {"job_id": "fw", "document_source": "https://s3/x", "arn_prefix": "arn:aws:iot:eu-west-1:1:thing/"}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[str, dict[str, Any]] = {"fw": {"status": "IN_PROGRESS"}}

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, content_type: str) -> Answer:
        name, _, verb = path.removeprefix("/jobs/").partition("/")
        if method == "GET" and not verb:
            known = self.jobs.get(name)
            return Answer(status=200, body={"job": known}) if known else Answer(status=404, body={"message": "no job"})
        if method == "PUT" and verb == "cancel" and query == {"force": "true"}:
            assert re.fullmatch(r"[A-Z0-9_]{1,128}", body["reasonCode"])
            self.jobs[name]["status"] = "CANCELED"
            return Answer(status=200, body={})
        if method == "PUT" and not verb and re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name):
            if name in self.jobs:
                return Answer(status=409, body={"message": "exists"})
            assert 1 <= len(body["targets"]) <= 100
            self.jobs[name] = {"status": "IN_PROGRESS", "targets": body["targets"]}
            return Answer(status=200, body={})
        return unexpected(method, path)

    def is_back(self) -> bool:
        targets = [target for name, job in self.jobs.items() if name != "fw" for target in job["targets"]]
        wanted = [self.object["arn_prefix"] + f"d{n}" for n in range(3)]
        return self.jobs["fw"]["status"] == "CANCELED" and targets == wanted


class AzureServer(Server):
    owner, object = AzureDeviceUpdate(), {"instance": "i", "group": "g", "provider": "acme", "update": "fw"}

    def __init__(self) -> None:
        super().__init__()
        self.deployments: dict[str, Any] = {}

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, content_type: str) -> Answer:
        found = re.fullmatch(r"/deviceUpdate/i/management/groups/g/deployments/([\w-]+)", path)
        if found is None or query != {"api-version": "2022-10-01"}:
            return unexpected(method, path)
        if method == "PUT":
            assert set(body) == {"deploymentId", "groupId", "startDateTime", "update"}
            assert body["deploymentId"] == found[1]
            assert found[1] not in self.deployments
            self.deployments[found[1]] = body
        known = self.deployments.get(found[1])
        return Answer(status=200, body=known) if known else Answer(status=404, body={"error": {"code": "NotFound"}})

    def is_back(self) -> bool:
        updates = [d["update"]["updateId"] for d in self.deployments.values()]
        return updates == [{"provider": "acme", "name": "fw", "version": GOOD}]


SERVERS = [
    KubernetesServer, ArgoRolloutsServer, FluxServer, ArgoCdServer, HawkBitServer, OldHawkBitServer, MenderServer, AwsServer, AzureServer,
]  # fmt: skip

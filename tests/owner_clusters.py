"""Stand-ins for what owns rollouts of a cluster: Kubernetes, Argo Rollouts, Flux and Argo CD."""

from __future__ import annotations

import json
from typing import Any

from analytics.rollback.owners.argo_cd import ArgoCd
from analytics.rollback.owners.argo_rollouts import ArgoRollout
from analytics.rollback.owners.flux import Flux
from analytics.rollback.owners.kubernetes import Deployment
from analytics.rollback.owners.owner import Answer
from tests.owner_apis import ARGO_CD
from tests.owner_server import Server, unexpected
from tests.rollback_orders import BAD, GOOD


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
        assert {operation["op"] for operation in operations} <= {"add", "replace"}, "a failed test would be a 422"
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
    described = ARGO_CD

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
            assert body["project"] == "fleet"
            if self.automated is not None:
                return Answer(status=400, body={"message": "rollback cannot be initiated when auto-sync is enabled"})
            revision = next(entry["revision"] for entry in self.history if entry["id"] == body["id"])
            self.history.append({"id": self.history[-1]["id"] + 1, "revision": revision})
            self.rollbacks += 1
            return Answer(status=200, body={})
        return unexpected(method, path)

    def is_back(self) -> bool:
        return self.history[-1]["revision"] == "good" and self.rollbacks == 1 and self.automated is None

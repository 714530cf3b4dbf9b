"""What owns a rollout in a cluster, with a bad release under way: real objects at a real API server, one class per owner."""

from __future__ import annotations

import copy
import itertools
import re
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from analytics.rollback.credentials import Auth
from analytics.rollback.owners.owner import Order
from analytics.rollouts.config import OwnerConfig
from tests.rollback_orders import BAD, GOOD, order_of

if TYPE_CHECKING:
    from tests.kube_api import KubeApi

ROLES = Path(__file__).parents[1] / "docs" / "examples" / "kubernetes-rbac.yaml"
_NUMBERS = itertools.count(1)


class Right(NamedTuple):
    """A verb on a resource, as a role grants it."""

    resource: str
    verb: str


class Owned(ABC):
    """One object of a namespace, and its owner's words for it."""

    kind: str
    account: str
    rights: tuple[Right, ...]
    group: str

    def __init__(self, api: KubeApi, namespace: str) -> None:
        self.api, self.namespace = api, namespace
        self.name = f"web-{next(_NUMBERS)}"
        self.path = self.put()

    @property
    def object(self) -> dict[str, str]:
        return {"namespace": self.namespace, "name": self.name}

    def order(self) -> Order:
        return order_of(self.object, "cluster", devices=1, identity=(self.name, self.namespace))

    def until_allowed(self, lacking: Right | None = None) -> None:
        """Waits until the server knows the account's rights, all but `lacking`."""
        for right in self.rights:
            self.api.until_allowed(self.account, right.verb, self.path_of(right), allowed=right != lacking)

    def path_of(self, right: Right) -> str:
        """What a right is needed for."""
        resource, _, sub = right.resource.partition("/")
        named = "" if right.verb == "list" else f"/{self.name}" + (f"/{sub}" if sub else "")
        return f"/apis/{self.group}/namespaces/{self.namespace}/{resource}{named}"

    def now(self) -> Any:
        return self.api.get(self.path)

    @abstractmethod
    def put(self) -> str:
        """Makes the object; its path."""

    @abstractmethod
    def is_back(self) -> bool:
        """Whether what its owner can undo is undone and everything else is as it was."""


class OwnedDeployment(Owned):
    """With the ReplicaSets of two revisions: no controller runs here, so that they are made as the controller makes them."""

    kind, account, group = "kubernetes", "tidegate-deployments", "apps/v1"
    rights = (Right("deployments", "get"), Right("replicasets", "list"), Right("deployments", "patch"))

    def put(self) -> str:
        labels = {"app": self.name}
        container = {"name": "web", "image": f"registry.example/web:{GOOD}", "ports": [{"containerPort": 80}]}
        spec = {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels | {"tier": "old"}}, "spec": {"containers": [container]}},
        }
        made = self.api.made(self._document("Deployment", self.name, spec))
        path = self.api.path_of(made)
        self.good = copy.deepcopy(made["spec"]["template"])
        self._replica_set(made, 1)
        made["spec"]["template"]["metadata"]["labels"] = labels | {"added": "by-the-bad-one"}
        made["spec"]["template"]["spec"]["containers"] = [container | {"image": f"registry.example/web:{BAD}"}]
        made["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "2", "team": "fleet"}
        answer = self.api.client.put(path, json=made)
        assert answer.status_code == 200, answer.text
        self._replica_set(answer.json(), 2)
        return path

    def is_back(self) -> bool:
        found = self.now()
        assert found["metadata"]["annotations"]["team"] == "fleet"
        assert found["spec"]["replicas"] == 2
        return bool(found["spec"]["template"] == self.good) and found["metadata"]["generation"] == 3

    def _replica_set(self, deployment: Any, revision: int) -> None:
        template = copy.deepcopy(deployment["spec"]["template"])
        hashed = {"pod-template-hash": f"hash{revision}"}
        template["metadata"]["labels"] |= hashed
        selector = {"matchLabels": {"app": self.name} | hashed}
        spec = {"replicas": 0, "selector": selector, "template": template}
        document = self._document("ReplicaSet", f"{self.name}-hash{revision}", spec)
        owner = {"apiVersion": "apps/v1", "kind": "Deployment", "controller": True, "name": self.name}
        document["metadata"] |= {
            "ownerReferences": [owner | {"uid": deployment["metadata"]["uid"]}],
            "labels": {"app": self.name} | hashed,
            "annotations": {"deployment.kubernetes.io/revision": str(revision)},
        }
        self.api.made(document)

    def _document(self, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        metadata: dict[str, Any] = {"name": name, "namespace": self.namespace}
        return {"apiVersion": self.group, "kind": kind, "metadata": metadata, "spec": spec}


class OwnedRollout(Owned):
    """An Argo Rollout at its first step."""

    kind, account, group = "argo-rollouts", "tidegate-rollouts", "argoproj.io/v1alpha1"
    rights = (Right("rollouts", "get"), Right("rollouts/status", "patch"))

    def put(self) -> str:
        labels = {"app": self.name}
        container = {"name": "web", "image": f"registry.example/web:{BAD}"}
        document = {
            "apiVersion": self.group,
            "kind": "Rollout",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {
                "replicas": 5,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
                "strategy": {"canary": {"steps": [{"setWeight": 20}, {"pause": {}}]}},
            },
            "status": {"stableRS": "old", "currentPodHash": "new", "phase": "Paused", "currentStepIndex": 1},
        }
        self.before = self.api.made(document)
        return self.api.path_of(document)

    def is_back(self) -> bool:
        found = self.now()
        assert found["spec"] == self.before["spec"], "only its status may change"
        return bool(found["status"] == self.before["status"] | {"abort": True})


class OwnedKustomization(Owned):
    """Flux applies a folder of a repository."""

    kind, account, group = "flux", "tidegate-flux", "kustomize.toolkit.fluxcd.io/v1"
    flux, resource = "Kustomization", "kustomizations"
    rights = (Right("kustomizations", "get"), Right("kustomizations", "patch"))

    @property
    def object(self) -> dict[str, str]:
        return super().object | {"kind": self.flux}

    def spec(self) -> dict[str, Any]:
        return {"interval": "10m", "path": "./app", "prune": True, "sourceRef": {"kind": "GitRepository", "name": "a"}}

    def put(self) -> str:
        metadata = {"name": self.name, "namespace": self.namespace, "annotations": {"team": "fleet"}}
        document = {"apiVersion": self.group, "kind": self.flux, "metadata": metadata, "spec": self.spec()}
        self.before = self.api.made(document)
        return self.api.path_of(document)

    def is_back(self) -> bool:
        found = self.now()
        if found["spec"] != self.before["spec"] | {"suspend": True}:
            return False
        assert found["metadata"]["generation"] == self.before["metadata"]["generation"] + 1
        notes = {"tidegate.io/decision": self.order().id, "tidegate.io/reason": "gate failed: crash"}
        return bool(found["metadata"]["annotations"] == {"team": "fleet"} | notes)


class OwnedHelmRelease(OwnedKustomization):
    """Flux installs a chart."""

    group = "helm.toolkit.fluxcd.io/v2"
    flux, resource = "HelmRelease", "helmreleases"
    rights = (Right("helmreleases", "get"), Right("helmreleases", "patch"))

    def spec(self) -> dict[str, Any]:
        source = {"kind": "HelmRepository", "name": "charts"}
        return {"interval": "10m", "chart": {"spec": {"chart": "web", "version": BAD, "sourceRef": source}}}


KINDS: list[type[Owned]] = [OwnedDeployment, OwnedRollout, OwnedKustomization, OwnedHelmRelease]


def prepared(api: KubeApi, namespace: str, lacking: Right | None = None) -> None:
    """The namespace with the accounts and roles of the manifest that ships with the docs; `lacking` is taken out of it.

    Besides it has an account `nobody` without any role.
    """
    made = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}, *_roles(namespace, lacking)]
    for document in [*made, _account(namespace)]:
        answer = api.apply(document)
        assert answer.is_success, answer.text


def config_of(api: KubeApi, owned: Owned, token: str, **changes: Any) -> tuple[OwnerConfig, str]:
    """The owner's configuration, and its secret."""
    known = {"name": "cluster", "kind": owned.kind, "url": api.url, "auth": Auth.BEARER, "secret_file": "token"}
    return OwnerConfig(**(known | {"ca_file": api.ca_file} | changes)), token


def _roles(namespace: str, lacking: Right | None) -> list[Any]:
    text = re.sub(r"namespace: prod\b", f"namespace: {namespace}", ROLES.read_text())
    found = list(yaml.safe_load_all(text))
    for rule in [rule for role in found if role["kind"] == "Role" for rule in role["rules"]]:
        if lacking is not None and lacking.resource in rule["resources"]:
            rule["verbs"] = [verb for verb in rule["verbs"] if verb != lacking.verb]
    for role in [role for role in found if role["kind"] == "Role"]:
        # A rule without verbs is not valid.
        role["rules"] = [rule for rule in role["rules"] if rule["verbs"]]
    return found


def _account(namespace: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nobody", "namespace": namespace}}

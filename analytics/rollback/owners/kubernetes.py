"""A Deployment goes back to an earlier revision, as `kubectl rollout undo` does it: by its ReplicaSet's template.

Source: kubernetes/kubectl, pkg/polymorphichelpers/rollback.go; JSON Patch is RFC 6902. Needs the verbs get and patch on deployments
and list on replicasets in the namespace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from analytics.rollback.owners.owner import PassingError, RefusedError, Request, ask, field

if TYPE_CHECKING:
    from collections.abc import Generator

    from analytics.rollback.owners.owner import Answer, Order

REVISION = "deployment.kubernetes.io/revision"
DECISION = "tidegate.io/decision"


class Deployment:
    """`object`: namespace and name; `revision` where it is not to be the one before the present one."""

    needs = ("namespace", "name")

    def go_back(self, order: Order) -> Generator[Request, Answer, None]:
        """Look, find the earlier template, put it in place unless that was done for this order."""
        base = f"/apis/apps/v1/namespaces/{quote(order.object['namespace'], safe='')}"
        path = f"{base}/deployments/{quote(order.object['name'], safe='')}"
        deployment = (yield from ask(Request(method="GET", path=path))).body
        if field(deployment, "metadata", "annotations", DECISION) == order.id:
            return
        labels = field(deployment, "spec", "selector", "matchLabels", default={})
        selector = quote(",".join(f"{name}={value}" for name, value in sorted(labels.items())), safe="")
        sets = (yield from ask(Request(method="GET", path=f"{base}/replicasets?labelSelector={selector}"))).body
        template = _template(deployment, field(sets, "items", default=[]), order.object.get("revision", ""))
        yield from ask(_patch(path, deployment, template, order.id))


def _template(deployment: Any, sets: list[Any], wanted: str) -> Any:
    uid, present = field(deployment, "metadata", "uid"), _revision(deployment)
    ours = {
        _revision(one): one
        for one in sets
        if any(owner.get("uid") == uid for owner in field(one, "metadata", "ownerReferences", default=[]))
    }
    earlier = [int(wanted)] if wanted.isdigit() else [revision for revision in ours if revision < present]
    if not earlier or max(earlier) not in ours:
        raise RefusedError(
            f"revision {wanted or 'before ' + str(present)} has no ReplicaSet any more: nothing to go back to"
        )
    template: dict[str, Any] = dict(field(ours[max(earlier)], "spec", "template", default={}))
    metadata = dict(template.get("metadata") or {})
    metadata["labels"] = {k: v for k, v in (metadata.get("labels") or {}).items() if k != "pod-template-hash"}
    return template | {"metadata": metadata}


def _patch(path: str, deployment: Any, template: Any, decision: str) -> Request:
    version = field(deployment, "metadata", "resourceVersion")
    if version is None:
        raise PassingError(f"{path} has no resourceVersion")
    annotations = dict(field(deployment, "metadata", "annotations", default={})) | {DECISION: decision}
    # Somebody else's change in between is a conflict (409), and we look again. A `test` that fails would be answered 422,
    # as is a template that is not valid.
    operations = [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
        {"op": "replace", "path": "/spec/template", "value": template},
        {"op": "add", "path": "/metadata/annotations", "value": annotations},
    ]
    return Request(method="PATCH", path=path, body=operations, content_type="application/json-patch+json")


def _revision(thing: Any) -> int:
    text = field(thing, "metadata", "annotations", REVISION, default="0")
    return int(text) if text.isdigit() else 0

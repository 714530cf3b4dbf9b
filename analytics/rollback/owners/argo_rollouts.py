"""An Argo Rollout is aborted: traffic and replicas go back to its stable ReplicaSet.

Source: argoproj/argo-rollouts, pkg/kubectl-argo-rollouts/cmd/abort. Needs the verbs get on rollouts and patch on rollouts/status.
The Rollout's spec still names the bad release: until people (or git) change it, it stays aborted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from analytics.rollback.owners.owner import RefusedError, Request, ask, field

if TYPE_CHECKING:
    from collections.abc import Generator

    from analytics.rollback.owners.owner import Answer, Order


class ArgoRollout:
    """`object`: namespace and name."""

    needs = ("namespace", "name")

    def go_back(self, order: Order) -> Generator[Request, Answer, None]:
        """Abort unless that is done, or it has been promoted in full: then there is nothing to abort."""
        namespace, name = (quote(order.object[part], safe="") for part in self.needs)
        path = f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/rollouts/{name}"
        rollout = (yield from ask(Request(method="GET", path=path))).body
        if field(rollout, "status", "abort", default=False):
            return
        stable, present = (field(rollout, "status", name) for name in ("stableRS", "currentPodHash"))
        if present is not None and stable == present:
            raise RefusedError(f"{path}: it is promoted in full, an abort changes nothing; set its template back")
        body = {"status": {"abort": True}}
        yield from ask(
            Request(method="PATCH", path=f"{path}/status", body=body, content_type="application/merge-patch+json")
        )

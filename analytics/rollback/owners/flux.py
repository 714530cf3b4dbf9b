"""A Flux Kustomization or HelmRelease is suspended, so that it brings the bad release no further.

Source: fluxcd/kustomize-controller and helm-controller, `spec.suspend`. Needs the verbs get and patch. Flux has no way back: what it
has applied stays until git says otherwise; the order's reason is left in an annotation for whoever reverts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from analytics.rollback.owners.owner import RefusedError, Request, ask, field

if TYPE_CHECKING:
    from collections.abc import Generator

    from analytics.rollback.owners.owner import Answer, Order

KINDS = {
    "Kustomization": "kustomize.toolkit.fluxcd.io/v1/namespaces/{namespace}/kustomizations/{name}",
    "HelmRelease": "helm.toolkit.fluxcd.io/v2/namespaces/{namespace}/helmreleases/{name}",
}


class Flux:
    """`object`: kind (Kustomization or HelmRelease), namespace and name."""

    needs = ("kind", "namespace", "name")

    def go_back(self, order: Order) -> Generator[Request, Answer, None]:
        """Suspend unless it is."""
        kind = KINDS.get(order.object["kind"])
        if kind is None:
            raise RefusedError(f"kind is {order.object['kind']!r}, expected one of {', '.join(KINDS)}")
        path = "/apis/" + kind.format(**{part: quote(order.object[part], safe="") for part in ("namespace", "name")})
        found = (yield from ask(Request(method="GET", path=path))).body
        if field(found, "spec", "suspend", default=False):
            return
        body = {
            "metadata": {"annotations": {"tidegate.io/decision": order.id, "tidegate.io/reason": order.reason}},
            "spec": {"suspend": True},
        }
        yield from ask(Request(method="PATCH", path=path, body=body, content_type="application/merge-patch+json"))

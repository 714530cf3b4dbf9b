"""Programs that only measurements and tests ask for: `tidegate stack obtain --only NAME` has them, `up` never starts them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compose.stack.crd_recipe import CRDS
from compose.stack.go_recipe import TELEGRAF, TOXIPROXY
from compose.stack.kubernetes_recipe import ETCD, KUBE_APISERVER

if TYPE_CHECKING:
    from compose.stack.obtain import Recipe

_ALL: tuple[Recipe, ...] = (TELEGRAF, TOXIPROXY, KUBE_APISERVER, ETCD, CRDS)

PEERS: dict[str, Recipe] = {recipe.name: recipe for recipe in _ALL}
"""By name."""

CLUSTER = (KUBE_APISERVER.name, ETCD.name, CRDS.name)
"""What a Kubernetes API server without nodes is made of; the order in which building is quickest."""

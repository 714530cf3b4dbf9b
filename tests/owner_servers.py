"""Every stand-in of a system that owns rollouts."""

from __future__ import annotations

from tests.owner_clusters import ArgoCdServer, ArgoRolloutsServer, FluxServer, KubernetesServer
from tests.owner_fleets import AwsServer, AzureServer, HawkBitServer, MenderServer, OldHawkBitServer, OldMenderServer

SERVERS = [
    KubernetesServer, ArgoRolloutsServer, FluxServer, ArgoCdServer, HawkBitServer, OldHawkBitServer, MenderServer, OldMenderServer,
    AwsServer, AzureServer,
]  # fmt: skip

"""Kubernetes' API server and the etcd that it keeps its objects in: for tests against the real thing, without any node.

Neither can be had by `go install`: their modules replace parts by folders of the repository (`./staging/…`), which the
published module does not contain. Each part is published as a module of its own, though, Kubernetes' v1.X.Y as v0.X.Y: a
module of ours names these instead. etcd is built with the versions that Kubernetes' go.mod pins, so both share what Go has
compiled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from compose.stack.go_module import go_module
from compose.stack.tools import Version, version_told, which

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from compose.stack.steps import Say

KUBERNETES = "k8s.io/kubernetes"
RELEASE = "1.34.4"


class KubernetesRecipe(msgspec.Struct, frozen=True):
    """One command out of the modules of a Kubernetes release."""

    name: str
    variable: str
    builds: str
    compiles: str
    accepts: tuple[Version, Version]
    takes: str
    install: str
    stamps: tuple[str, ...] = ()
    package: str = ""

    def on_path(self, env: Mapping[str, str]) -> Path | None:
        """The command as PATH leads to it."""
        return which(self.name, env)

    def in_folder(self, folder: Path) -> Path:
        """The binary lies at the top."""
        return folder / self.name

    def version_of(self, path: Path) -> Version:
        """What the binary itself says."""
        return version_told([str(path), "--version"])

    def build(self, folder: Path, work: Path, env: Mapping[str, str], say: Say) -> None:
        """Compiles it with the Go on this machine."""
        module = go_module(self.name, work, self.install, env, say)
        say(f"{self.name}: building {self.builds} with {module.go}; {self.takes}, once")
        module.begin(released(module.description(KUBERNETES, RELEASE), RELEASE))
        module.build(self.compiles, self.in_folder(folder), say, dict.fromkeys(self.stamps, f"v{self.builds}"))


def released(description: dict[str, Any], release: str) -> list[str]:
    """The lines of a go.mod which requires a Kubernetes release and takes its parts as they are published."""
    staged = [one["Old"]["Path"] for one in description["Replace"] if one["New"]["Path"].startswith("./staging/")]
    debug = [f"godebug {one['Key']}={one['Value']}" for one in description.get("GoDebug") or ()]
    parts = [f"replace {path} => {path} v0.{release.partition('.')[2]}" for path in staged]
    return [f"go {description['Go']}", *debug, f"require {KUBERNETES} v{release}", *parts]


KUBE_APISERVER = KubernetesRecipe(
    name="kube-apiserver",
    variable="TIDEGATE_KUBE_APISERVER",
    builds=RELEASE,
    compiles=f"{KUBERNETES}/cmd/kube-apiserver",
    stamps=("k8s.io/component-base/version.gitVersion", "k8s.io/client-go/pkg/version.gitVersion"),
    accepts=((1, 29), (2,)),
    takes="usually 3 to 6 minutes on two cores",
    install="install kube-apiserver 1.29 or newer (on PATH or named by TIDEGATE_KUBE_APISERVER) or, to build it, Go 1.24",
)

ETCD = KubernetesRecipe(
    name="etcd",
    variable="TIDEGATE_ETCD",
    builds="3.6.4",  # the one that RELEASE's go.mod names
    compiles="go.etcd.io/etcd/server/v3",
    accepts=((3, 5), (4,)),
    takes="usually a quarter of a minute after kube-apiserver, a minute before",
    install="install etcd 3.5 or newer (on PATH or named by TIDEGATE_ETCD) or, to build it, Go 1.24",
)

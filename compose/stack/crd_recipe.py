"""The CustomResourceDefinitions of the systems that own rollouts or ask our gate, as their projects publish them.

Beside them lies the description of Argo CD's own API. Argo Rollouts, Argo CD and Flagger have these as files in their Go modules.
Flux' definitions are made of its published Go types by controller-gen, as its own releases do.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from compose.stack.go_module import POLITE, go_module
from compose.stack.kubernetes_recipe import RELEASE
from compose.stack.tools import Version, parse_version

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from compose.stack.go_module import GoModule
    from compose.stack.steps import Say

FILES = {
    ("github.com/argoproj/argo-rollouts", "1.8.3"): (
        "manifests/crds/rollout-crd.yaml",
        "manifests/crds/analysis-template-crd.yaml",
    ),
    ("github.com/argoproj/argo-cd/v3", "3.1.0"): ("manifests/crds/application-crd.yaml", "assets/swagger.json"),
    ("github.com/fluxcd/flagger", "1.41.0"): ("artifacts/flagger/crd.yaml",),
}
TYPES = {
    ("github.com/fluxcd/kustomize-controller/api", "1.6.1"): "v1",
    ("github.com/fluxcd/helm-controller/api", "1.3.0"): "v2",
}
GENERATOR = ("sigs.k8s.io/controller-tools", "0.19.0")


class CrdRecipe:
    """A folder of YAML and JSON files; `set` in it names the edition, which rises with any of the versions above."""

    name = "crds"
    variable = "TIDEGATE_CRDS"
    builds = "1.1"
    package = ""
    accepts: tuple[Version, Version] = ((1,), (2,))
    install = "have Go 1.24, or name a folder that `tidegate stack obtain --only crds` has made by TIDEGATE_CRDS"

    def on_path(self, env: Mapping[str, str]) -> Path | None:  # noqa: ARG002 - the port's shape
        """It is no command."""
        return None

    def in_folder(self, folder: Path) -> Path:
        """The folder itself."""
        return folder

    def version_of(self, path: Path) -> Version:
        """The edition."""
        edition = path / "set"
        return parse_version(edition.read_text()) if edition.is_file() else ()

    def build(self, folder: Path, work: Path, env: Mapping[str, str], say: Say) -> None:
        """Fetches and makes them."""
        module = go_module(self.name, work, self.install, env, say)
        say(f"{self.name}: fetching CustomResourceDefinitions (20 MB) and making Flux'; usually a minute, once")
        for (path, version), files in FILES.items():
            sources = module.fetched(path, version)
            for file in files:
                shutil.copyfile(sources / file, folder / f"{path.split('/')[2]}-{file.rpartition('/')[2]}")
        _generate(module, folder, say)
        (folder / "set").write_text(self.builds)


CRDS = CrdRecipe()


def _generate(module: GoModule, folder: Path, say: Say) -> None:
    pinned = [f"require {path} v{version}" for path, version in (*TYPES, GENERATOR)]
    # The same parts as the API server is made of: what Go has compiled for that is not compiled again.
    parts = (
        "api",
        "apiextensions-apiserver",
        "apimachinery",
        "apiserver",
        "client-go",
        "code-generator",
        "component-base",
    )
    same = [f"replace k8s.io/{part} => k8s.io/{part} v0.{RELEASE.partition('.')[2]}" for part in parts]
    module.begin(["go 1.24.0", *pinned, *same])
    generator = module.folder / "controller-gen"
    module.build(f"{GENERATOR[0]}/cmd/controller-gen", generator, say)
    paths = [f"paths={path}/{version}" for (path, _), version in TYPES.items()]
    argv = [*POLITE, str(generator), "crd", *paths, f"output:crd:dir={folder}"]
    module.run(argv, f"{module.name}: making Flux' definitions", say)

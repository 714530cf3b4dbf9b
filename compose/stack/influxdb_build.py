"""Builds InfluxDB 2 from its Go module and the Rust crate libflux that it links.

The published module has everything the server needs except the web page's files. Building takes three inputs: the
sources of github.com/influxdata/influxdb/v2, those of the flux version that its go.mod names, and a static library
compiled from flux's `libflux` folder, which cgo finds through a pkg-config file.

The work folder is fixed by version and kept until the build succeeds, so an interrupted build goes on where it was.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from compose.stack import cache
from compose.stack.build_tools import Tool, needed
from compose.stack.errors import CannotObtain
from compose.stack.go_module import NO_DEBUGGING, POLITE
from compose.stack.steps import answer, run, started
from compose.stack.tools import search_path, version_told

if TYPE_CHECKING:
    from collections.abc import Mapping

    from compose.stack.steps import Say, Step

MODULE = "github.com/influxdata/influxdb/v2"
FLUX = "github.com/influxdata/flux"
LIBFLUX = f"{FLUX}/libflux/go/libflux"
TAGS = "sqlite_foreign_keys,sqlite_json"
ALIKE = ("-tags", TAGS, NO_DEBUGGING)
"""What is compiled with these in the first step is not compiled again in the second."""
INSTALL = (
    "install InfluxDB 2.7 (`influxd` on PATH or named by TIDEGATE_INFLUXD), or, to build it, Go 1.23 or newer, "
    "Rust 1.72 or newer (cargo), a C compiler and pkg-config"
)
TOOLS = (
    Tool("go", (1, 23), "version", "golang-go"),
    Tool("cargo", (1, 72), "--version", "cargo"),
    Tool("gcc", (4,), "--version", "build-essential"),
    Tool("pkg-config", (0, 20), "--version", "pkg-config"),
)


class Workshop(msgspec.Struct, frozen=True):
    """Where one build happens and with what."""

    folder: Path
    version: str
    go: str
    cargo: str
    env: dict[str, str]

    @property
    def sources(self) -> Path:
        """InfluxDB's Go sources."""
        return self.folder / "influxdb"

    @property
    def flux(self) -> Path:
        """The flux module, Rust library included."""
        return self.folder / "flux"

    @property
    def library(self) -> Path:
        """What cargo makes of it."""
        return self.folder / "target" / "release" / "libflux.a"


def build_influxd(work: Path, version: str, env: Mapping[str, str], say: Say) -> Path:
    """The path of a freshly built `influxd`; raises CannotObtain when a tool, a download or a compiler fails."""
    shop = _workshop(work, version, env, say)
    say(f"influxdb: building {version} from source in {work}; usually 4 to 6 minutes on two cores, once")
    flux_version = _fetch_sources(shop, say)
    _compile_parts(shop, say)
    _describe_library(shop, flux_version)
    return _link(shop, say)


def _workshop(work: Path, version: str, env: Mapping[str, str], say: Say) -> Workshop:
    go, cargo, _, _ = (needed(tool, INSTALL, env, say) for tool in TOOLS)
    work.mkdir(parents=True, exist_ok=True)
    return Workshop(work, version, str(go), str(cargo), _environment(work, env))


def _environment(work: Path, env: Mapping[str, str]) -> dict[str, str]:
    return {
        **env,
        "PATH": search_path(env),
        "GOWORK": "off",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-buildvcs=false",
        "CGO_ENABLED": "1",
        # Go's cache key does not cover what pkg-config answers: in a shared cache an older build's -L path would stay.
        "GOCACHE": str(work / "gocache"),
        "PKG_CONFIG_PATH": str(work / "pkgconfig"),
        # flux asks rustup for an old toolchain by name; the installed one compiles it as well.
        "RUSTUP_TOOLCHAIN": env.get("RUSTUP_TOOLCHAIN", "stable"),
        # Link-time optimisation of the parser would take longer than everything else together.
        "CARGO_PROFILE_RELEASE_LTO": "off",
        # Making the parser small, as its crate wants it, would be three fifths of the compiler's work.
        "CARGO_PROFILE_RELEASE_OPT_LEVEL": "0",
    }


def _fetch_sources(shop: Workshop, say: Say) -> str:
    say("influxdb: fetching the sources (30 MB)")
    _unpack(shop, f"{MODULE}@v{shop.version}", shop.folder, shop.sources)
    flux = answer([shop.go, "list", "-m", "-f", "{{.Version}}", FLUX], folder=shop.sources, env=shop.env).strip()
    _unpack(shop, f"{FLUX}@{flux}", shop.folder, shop.flux)
    return flux.removeprefix("v")


def _unpack(shop: Workshop, module: str, asking: Path, target: Path) -> None:
    """Copies a module out of Go's read-only module cache to where it can be written."""
    if target.exists():
        return
    told = json.loads(answer([shop.go, "mod", "download", "-json", module], folder=asking, env=shop.env))
    staged = target.with_suffix(".part")
    cache.removed(staged)
    shutil.copytree(told["Dir"], staged, copy_function=shutil.copyfile)
    for folder in (staged, *(path for path in staged.rglob("*") if path.is_dir())):
        folder.chmod(0o755)
    staged.rename(target)


def _compile_parts(shop: Workshop, say: Say) -> None:
    """The Rust library and all Go packages that do not link it, side by side."""
    argv = [*POLITE, shop.cargo, "rustc", "--locked", "--release", "--package", "flux", "--lib"]
    # Without the default features, warnings of newer compilers stay warnings.
    argv += ["--no-default-features", "--features", "cffi", "--crate-type", "staticlib"]
    argv += ["--target-dir", str(shop.folder / "target")]
    say("influxdb: compiling libflux (Rust) and the Go packages that do not need it, usually 2 to 4 minutes")
    log = shop.folder / "cargo.log"
    with started(argv, what="influxdb: compiling libflux", folder=shop.flux / "libflux", env=shop.env, log=log) as rust:
        _compile_independent_packages(shop, say)
        _finish_library(shop, rust, say)


def _finish_library(shop: Workshop, rust: Step, say: Say) -> None:
    rust.finish(say)
    if not shop.library.is_file():
        raise CannotObtain(f"cargo ended well but left no {shop.library}; remove {shop.folder} and try again")


def _compile_independent_packages(shop: Workshop, say: Say) -> None:
    _go(shop, ["list", "-deps", "-tags", TAGS, "./cmd/influxd"], "fetching Go modules", say)
    _go(shop, ["build", *ALIKE, *_independent_packages(shop)], "compiling Go packages", say)


def _go(shop: Workshop, arguments: list[str], what: str, say: Say) -> None:
    log = shop.folder / f"{what.replace(' ', '-')}.log"
    argv = [*POLITE, shop.go, *arguments]
    run(argv, what=f"influxdb: {what}", folder=shop.sources, env=shop.env, log=log, say=say)


def _independent_packages(shop: Workshop) -> list[str]:
    """Import paths of influxd's dependencies that do not reach libflux."""
    argv = [shop.go, "list", "-deps", "-tags", TAGS, "-json=ImportPath,Deps,Standard", "./cmd/influxd"]
    told = answer(argv, folder=shop.sources, env=shop.env)
    packages = _json_stream(told)
    return [
        package["ImportPath"]
        for package in packages
        if not package.get("Standard") and LIBFLUX not in (package["ImportPath"], *package.get("Deps", ()))
    ]


def _json_stream(text: str) -> list[dict[str, Any]]:
    decoder, at, found = json.JSONDecoder(), 0, []
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        found.append(value)
        while at < len(text) and text[at].isspace():
            at += 1
    return found


def _describe_library(shop: Workshop, flux_version: str) -> None:
    folder = shop.folder / "pkgconfig"
    folder.mkdir(exist_ok=True)
    lines = (
        "Name: Flux",
        "Description: the Flux language's parser and analyser",
        f"Version: {flux_version}",
        f"Cflags: -I{shop.flux / 'libflux' / 'include'}",
        f"Libs: -L{shop.library.parent} -lflux -lm -ldl -lpthread",
    )
    (folder / "flux.pc").write_text("\n".join(lines) + "\n")


def _link(shop: Workshop, say: Say) -> Path:
    say("influxdb: compiling the rest and linking, usually 1 minute")
    binary = shop.folder / "influxd"
    flags = f"-s -w -X main.version=v{shop.version}"
    _go(shop, ["build", *ALIKE, "-ldflags", flags, "-o", str(binary), "./cmd/influxd"], "linking influxd", say)
    if not version_told([str(binary), "version"]):
        raise CannotObtain(f"the built {binary} does not run; remove {shop.folder} and try again")
    return binary

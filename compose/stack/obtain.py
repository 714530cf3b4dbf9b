"""Where a server's program comes from: named, on PATH, cached, the system's packages, built. In this order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from compose.stack import cache
from compose.stack.errors import CannotObtain
from compose.stack.packages import install_package
from compose.stack.tools import Version, show

if TYPE_CHECKING:
    from collections.abc import Mapping

    from compose.stack.steps import Say


class Program(msgspec.Struct, frozen=True):
    """A program that may be started: a binary, or a folder of jars."""

    path: Path
    version: str
    source: str


class Recipe(Protocol):
    """What is known about one server's program."""

    @property
    def name(self) -> str:
        """The server's name, also its folder in the cache."""

    @property
    def variable(self) -> str:
        """The environment variable that may name the program."""

    @property
    def builds(self) -> str:
        """The version that `build` makes, "" when it cannot be built."""

    @property
    def package(self) -> str:
        """The Debian package, "" when there is none of a usable version."""

    @property
    def accepts(self) -> tuple[Version, Version]:
        """Versions from (inclusive) and below (exclusive) which the server is used."""

    @property
    def install(self) -> str:
        """What a person would install, as half a sentence."""

    def on_path(self, env: Mapping[str, str]) -> Path | None:
        """The program as PATH leads to it."""

    def in_folder(self, folder: Path) -> Path:
        """The program inside its cache folder."""

    def version_of(self, path: Path) -> Version:
        """The version a program is of; () when it is not one."""

    def build(self, folder: Path, work: Path, env: Mapping[str, str], say: Say) -> None:
        """Fills `folder` with the program; `work` outlives a failure. Raises CannotObtain."""


def obtain(recipe: Recipe, env: Mapping[str, str], say: Say) -> Program:
    """The first usable program in the order of this module; raises CannotObtain with what to install."""
    found = _named(recipe, env) or _on_path(recipe, env, say) or _cached(recipe, env)
    if found is not None:
        return found
    with cache.locked(_lock(recipe, env), lambda: say(f"{recipe.name}: waiting for another process that obtains it")):
        # That process may have finished it meanwhile.
        found = _cached(recipe, env) or _packaged(recipe, env, say) or _built(recipe, env, say)
    if found is None:
        raise CannotObtain(f"{recipe.name} is not here and cannot be had on this machine; {recipe.install}")
    return found


def _lock(recipe: Recipe, env: Mapping[str, str]) -> Path:
    return cache.cache_root(env) / recipe.name / ".lock"


def _named(recipe: Recipe, env: Mapping[str, str]) -> Program | None:
    named = env.get(recipe.variable, "")
    if not named:
        return None
    path = Path(named).absolute()
    found = recipe.version_of(path)
    if not _usable(recipe, found):
        raise CannotObtain(f"{recipe.variable}={named}: found version {show(found)}, expected {_wanted(recipe)}")
    return Program(path, show(found), f"named by {recipe.variable}")


def _on_path(recipe: Recipe, env: Mapping[str, str], say: Say) -> Program | None:
    path = recipe.on_path(env)
    if path is None:
        return None
    found = recipe.version_of(path)
    if _usable(recipe, found):
        return Program(path, show(found), "on PATH")
    say(f"{recipe.name}: passing over {path}: version {show(found)}, expected {_wanted(recipe)}")
    return None


def _cached(recipe: Recipe, env: Mapping[str, str]) -> Program | None:
    if not recipe.builds:
        return None
    path = recipe.in_folder(cache.entry(recipe.name, recipe.builds, env))
    if not path.exists() or show(recipe.version_of(path)) != recipe.builds:
        return None
    return Program(path, recipe.builds, "cached")


def _packaged(recipe: Recipe, env: Mapping[str, str], say: Say) -> Program | None:
    if not recipe.package or not install_package(recipe.package, env, say):
        return None
    found = _on_path(recipe, env, say)
    return found and msgspec.structs.replace(found, source=f"package {recipe.package}")


def _built(recipe: Recipe, env: Mapping[str, str], say: Say) -> Program | None:
    if not recipe.builds:
        return None
    final = cache.entry(recipe.name, recipe.builds, env)
    staged, work = (final.with_name(f".{recipe.builds}.{part}") for part in ("staged", "work"))
    cache.emptied(staged)
    recipe.build(staged, work, env, say)
    cache.move_in(staged, final)
    cache.removed(work)
    say(f"{recipe.name}: {recipe.builds} is in {final}")
    return _cached(recipe, env)


def _usable(recipe: Recipe, found: Version) -> bool:
    least, below = recipe.accepts
    return least <= found < below


def _wanted(recipe: Recipe) -> str:
    least, below = recipe.accepts
    return f"{show(least)} or newer, below {show(below)}"

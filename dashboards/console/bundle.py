"""The page's modules as one script, put together when the API starts: a browser asks once instead of thirty times.

Each module becomes a function that is called once and gives what the module exports; they stand in the order of their
imports. Only the forms that our own modules use are understood: named imports on one line, exported declarations.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_IMPORT = re.compile(r'^import \{ ([\w, ]+) \} from "\./([\w-]+\.js)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async function|function|const|let|class) (\w+))", re.MULTILINE)
_OTHER = re.compile(r"^(?:import|export) .*$", re.MULTILINE)


class BundleError(ValueError):
    """A module uses a form that is not understood, or imports in a circle."""


def bundled(sources: Mapping[str, str], entry: str) -> str:
    """The script that does what the module `entry` does, with all that it imports of `sources` (text by file name). Raises BundleError."""
    return "\n".join(_module(name, sources[name]) for name in _in_order(sources, entry, ())) + "\n"


def modules_of(sources: Mapping[str, str], entry: str) -> list[str]:
    """What `entry` needs, what is needed first coming first, `entry` last. Raises BundleError."""
    return list(_in_order(sources, entry, ()))


def _in_order(sources: Mapping[str, str], name: str, above: tuple[str, ...]) -> Iterator[str]:
    if name in above:
        raise BundleError(f"{name} imports itself: {' → '.join((*above, name))}")
    if name not in sources:
        raise BundleError(f"{above[-1] if above else 'the page'} imports {name}, which is not there")
    told: set[str] = set()
    for _, other in _IMPORT.findall(sources[name]):
        for needed in _in_order(sources, other, (*above, name)):
            if needed not in told:
                told.add(needed)
                yield needed
    yield name


def _module(name: str, source: str) -> str:
    exported = _EXPORT.findall(source)
    text = _IMPORT.sub(lambda found: f"const {{ {found[1]} }} = {_variable(found[2])};", source)
    text = _EXPORT.sub("", text)
    if odd := _OTHER.search(text):
        raise BundleError(f"{name}: not understood: {odd[0]}")
    return f"const {_variable(name)} = (() => {{\n{text}\nreturn {{ {', '.join(exported)} }};\n}})();"


def _variable(name: str) -> str:
    return "$" + re.sub(r"\W", "_", name.removesuffix(".js"))

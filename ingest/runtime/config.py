"""Configuration from TOML: every error names its path, what was found, what was expected, and what was perhaps meant."""

from __future__ import annotations

import difflib
import re
import tomllib
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T", bound=msgspec.Struct)


class ConfigError(ValueError):
    """A configuration that cannot be used; the text is for the person who wrote it."""


def load_config(path: Path, kind: type[T]) -> T:
    """Read and validate a TOML file. Raises ConfigError."""
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: found bytes that are not UTF-8, expected TOML") from error
    return parse_config(text, kind, str(path))


def parse_config(text: str, kind: type[T], name: str) -> T:
    """Validate TOML text; `name` stands for it in errors. Raises ConfigError."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: not TOML: {error}") from error
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{name}: {_explain(str(error), tree, kind)}") from error


_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"unknown field `(?P<field>[^`]*)`")


def _explain(message: str, tree: dict[str, Any], kind: type[msgspec.Struct]) -> str:
    match = _PLACE.match(message)
    what, path = (match["what"], match["path"] or "") if match else (message, "")
    unknown = _UNKNOWN.search(what)
    if unknown:
        return _explain_unknown(unknown["field"], path, kind)
    found = _found(tree, path)
    return f"{path or 'top level'}: {what}" + (f" (found: {found})" if found else "")


def _explain_unknown(field: str, path: str, kind: type[msgspec.Struct]) -> str:
    known = _fields(kind)
    close = difflib.get_close_matches(field, known, n=1)
    place = f"{path}.{field}" if path else field
    hint = f"did you mean `{close[0]}`?" if close else "`tidegate config init` prints every setting"
    return f"{place}: unknown setting; {hint}"


def _fields(kind: type[msgspec.Struct]) -> set[str]:
    # All names of the whole tree: a setting is often right but in the wrong table.
    structs = _structs(msgspec.inspect.type_info(kind))
    return {field.encode_name for struct in structs for field in struct.fields}


def _structs(info: Any) -> list[msgspec.inspect.StructType]:
    found: list[msgspec.inspect.StructType] = []
    pending, seen = [info], set[int]()
    while pending:
        current = pending.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        if isinstance(current, msgspec.inspect.StructType):
            found.append(current)
            pending += [field.type for field in current.fields]
        elif isinstance(current, msgspec.inspect.UnionType):
            pending += current.types
        elif isinstance(current, msgspec.inspect.ListType | msgspec.inspect.VarTupleType):
            pending.append(current.item_type)
        elif isinstance(current, msgspec.inspect.DictType):
            pending.append(current.value_type)
    return found


def _found(tree: Any, path: str) -> str:
    value = tree
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
        try:
            value = value[int(index)] if index else value[name]
        except (KeyError, IndexError, TypeError):
            return ""
    return "" if isinstance(value, dict | list) else repr(value)[:80]

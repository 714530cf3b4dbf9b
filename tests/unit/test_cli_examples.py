"""The printed examples: `check` takes them, they name every setting that there is, and tell its true default."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from click.testing import CliRunner

from compose.cli.main import tidegate
from compose.processes.config import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SETTING = re.compile(r"^# (?=[a-z_0-9]+ = |\[)", re.MULTILINE)


def example(kind: str) -> str:
    result = CliRunner().invoke(tidegate, ["config", "init", kind])
    assert result.exit_code == 0
    return result.output


def plain(info: Any) -> Any:
    if isinstance(info, msgspec.inspect.UnionType):
        return next(one for one in info.types if not isinstance(one, msgspec.inspect.NoneType))
    return info


def settings(info: Any, default: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting below a struct, with its default: NODEFAULT where it must be given."""
    for field in plain(info).fields:
        here, inner = f"{path}{field.encode_name}", plain(field.type)
        value = getattr(default, field.name) if isinstance(default, msgspec.Struct) else field.default
        if isinstance(inner, msgspec.inspect.StructType):
            yield from settings(inner, value, f"{here}.")
        elif isinstance(inner, msgspec.inspect.ListType) and isinstance(inner.item_type, msgspec.inspect.StructType):
            yield from settings(inner.item_type, None, f"{here}[].")
        else:
            yield here, value


def told(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        here = f"{path}{name}"
        if isinstance(value, dict):
            yield from told(value, f"{here}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield from told(value[0], f"{here}[].")
        else:
            yield here, value


@pytest.mark.parametrize("kind", KINDS)
def test_check_takes_the_example(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"{kind}.toml"
    path.write_text(example(kind))
    result = CliRunner().invoke(tidegate, ["check", kind, str(path), "--elsewhere"])
    assert (result.exit_code, result.output) == (0, f"{path}: good\n")


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_names_every_setting_and_no_other(kind: str) -> None:
    known = dict(settings(msgspec.inspect.type_info(KINDS[kind]), None))
    shown = dict(told(tomllib.loads(SETTING.sub("", example(kind)))))
    assert shown.keys() == known.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_commented_out_is_the_default(kind: str) -> None:
    text = example(kind)
    known = dict(settings(msgspec.inspect.type_info(KINDS[kind]), None))
    given = dict(told(tomllib.loads(text)))
    for place, value in told(tomllib.loads(SETTING.sub("", text))):
        default = known[place]
        if place in given or default is msgspec.NODEFAULT:
            continue
        assert value == ("" if default is None else default), place

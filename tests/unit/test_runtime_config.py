"""A bad configuration is refused with its path, what was found, and what was perhaps meant."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from ingest.runtime.config import ConfigError, load_config, parse_config


class Inner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    window_s: float = 10.0
    names: list[str] = []


class Outer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    edge: Inner
    many: list[Inner] = []


def error(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, Outer, "edge.toml")
    return str(caught.value)


def test_a_good_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    path.write_text("[edge]\nwindow_s = 1\n")
    assert load_config(path, Outer).edge.window_s == 1.0


def test_an_unknown_setting_is_named_with_its_path_and_a_guess() -> None:
    text = error("[edge]\nwidow_s = 1\n")
    assert "edge.widow_s" in text
    assert "did you mean `window_s`?" in text


def test_a_wrong_type_names_path_found_and_expected() -> None:
    text = error('[edge]\nwindow_s = "ten"\n')
    assert "edge.window_s" in text
    assert "'ten'" in text
    assert "float" in text


def test_the_place_within_a_list_is_named() -> None:
    assert "many[1]" in error("[edge]\n[[many]]\n[[many]]\nwindow_s = []\n")


def test_what_is_not_toml_is_said() -> None:
    assert "not TOML" in error("[edge\n")


def test_a_missing_table_is_said() -> None:
    assert "edge" in error("")


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.toml", Outer)

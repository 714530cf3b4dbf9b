"""Links lead somewhere, every page is reached from the README, and what the README tells to type is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from compose.cli.main import tidegate
from tests.unit.test_cli_help import EVERY

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """File and anchor of every link that stays within the project."""
    for target in LINK.findall(FENCED.sub("", page.read_text())):
        if "://" not in target and not target.startswith("mailto:"):
            path, _, anchor = target.partition("#")
            yield (page.parent / path).resolve() if path else page, anchor


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(FENCED.sub("", page.read_text())))
    return {heading.strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_is_dead(page: Path) -> None:
    for path, anchor in links(page):
        assert path.exists(), f"{path} is not there"
        assert path.is_relative_to(ROOT)
        assert not anchor or anchor in anchors(path), f"{path.name} has no heading #{anchor}"


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = {README}, [README]
    while waiting:
        found = {path for path, _ in links(waiting.pop()) if path.suffix == ".md"} - reached
        reached |= found
        waiting += found
    apart = {page.relative_to(ROOT) for page in PAGES} - {page.relative_to(ROOT) for page in reached}
    assert apart <= {Path("CHANGELOG.md")}


def test_the_index_lists_every_page_and_example_folder() -> None:
    listed = {path for path, _ in links(ROOT / "docs" / "README.md")}
    folder = ROOT / "docs"
    wanted = {*folder.glob("*.md"), *(folder / "adr").glob("*.md"), *(folder / "runbooks").glob("*.md")}
    assert wanted - {folder / "README.md"} <= listed
    assert folder / "examples" in listed


def test_the_readme_tells_only_commands_and_targets_that_are_there() -> None:
    text = README.read_text()
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^    make ([a-z-]+)", text, re.MULTILINE)) <= targets
    told = re.findall(r"(?:^    |`)tidegate ([a-z]+(?:[ \n][a-z]+)?)", text, re.MULTILINE)
    assert len(told) > 10
    for words in told:
        name = words.replace("\n", " ")
        assert name in EVERY or name.split()[0] in EVERY, name


def test_the_readmes_gateway_is_a_good_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"^```toml\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "edge.toml").write_text(block)
    for line in ("keys generate gateway.pem", "check edge edge.toml"):
        assert f"    tidegate {line} " in README.read_text()
        told = CliRunner().invoke(tidegate, line.split())
        assert told.exit_code == 0, told.output

"""The documents say what is so: every dependency is accounted for, every reason and metric is described."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_dependency_has_its_line() -> None:
    listed = set(re.findall(r"[a-z][a-z0-9-]+", (ROOT / "docs" / "dependencies.md").read_text()))
    groups = [PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"].values()]
    needed = {re.match(r"[a-z0-9-]+", requirement)[0] for group in groups for requirement in group}
    assert needed <= listed, needed - listed


def test_the_lock_pins_with_hashes_and_names_no_index() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "--hash=sha256:" in lock
    assert "://" not in "\n".join(line for line in lock.splitlines() if not line.lstrip().startswith("#"))
    assert "--index-url" not in lock


def test_documents_name_only_files_that_are_there() -> None:
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    for document in documents:
        named = re.findall(
            r"`((?:tests|docs|ingest|edge_aggregator|analytics|dashboards|compose)/[\w./-]+\.\w+)`",
            document.read_text(),
        )
        linked = re.findall(r"\]\(([\w./-]+)\)", document.read_text())
        missing = [name for name in named if not (ROOT / name).exists()]
        missing += [name for name in linked if not (document.parent / name).exists()]
        assert not missing, f"{document.name}: {missing}"

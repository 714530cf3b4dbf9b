"""A gateway broken on purpose, in a copy of the source: each mutant breaks one rule, and the oracle must notice.

A mutant is a set of exact replacements; one that does not apply is an error, because then it shows nothing.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
_ROOMS = ("ingest", "edge_aggregator", "analytics", "dashboards", "compose")
SEEDS = 120


class Patch(NamedTuple):
    """In `file`, `old`, which must occur exactly once, becomes `new`."""

    file: str
    old: str
    new: str


class Mutant(NamedTuple):
    """A rule that is broken."""

    name: str
    patches: list[Patch]


class PatchError(ValueError):
    """The source has changed: the mutant must be written anew."""


MUTANTS = [
    Mutant(
        "acknowledges before the commit",
        [
            Patch(
                "edge_aggregator/core.py",
                "        position = self._rooms.journal.append(decoded, self._rooms.names)\n"
                "        self._committed.append(Block(position, *decoded))\n",
                "        self._committed.append(decoded)\n",
            ),
            Patch(
                "edge_aggregator/core.py",
                "            step(self._rooms, block, listened)\n",
                "            position = self._rooms.journal.append(block, self._rooms.names)\n"
                "            step(self._rooms, Block(position, *block), listened)\n",
            ),
        ],
    ),
    Mutant(
        "skips the fsync of the journal's commits",
        [
            Patch(
                "edge_aggregator/storage.py",
                'db.pragma("synchronous", "full")',
                'db.pragma("synchronous", "full" if path.name == "state.db" else "normal")',
            )
        ],
    ),
    Mutant(
        "skips the fsync of the state's transactions",
        [
            Patch(
                "edge_aggregator/storage.py",
                'db.pragma("synchronous", "full")',
                'db.pragma("synchronous", "normal" if path.name == "state.db" else "full")',
            )
        ],
    ),
    Mutant(
        "loses the watermark at a restart",
        [
            Patch(
                "edge_aggregator/flush.py",
                "windows=rooms.windows.save(),",
                "windows={},",
            )
        ],
    ),
]


def broken(mutant: Mutant, folder: Path) -> Path:
    """A copy of the source with the mutant in it. Raises PatchError."""
    for room in _ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    for patch in mutant.patches:
        path = folder / patch.file
        text = path.read_text()
        if text.count(patch.old) != 1:
            raise PatchError(
                f"{mutant.name}: {patch.file} has {text.count(patch.old)} times {patch.old!r}, expected one"
            )
        path.write_text(text.replace(patch.old, patch.new))
    return folder


def judged(folder: Path) -> subprocess.CompletedProcess[str]:
    """The crash engine over the source in `folder`, until the oracle notices something."""
    code = (
        "import sys; sys.path.insert(0, '.'); import edge_aggregator; print(edge_aggregator.__file__); "
        "from compose.cli.main import main; main()"
    )
    command = [sys.executable, "-c", code, "bench", "crash", "--seeds", str(SEEDS), "--workers", "1", "--until-failure"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

"""A rule broken on purpose is noticed by the crash engine's oracle: `make mutants`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants import MUTANTS, Mutant, Patch, PatchError, broken, judged


@pytest.mark.whole
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_oracle_notices_a_broken_rule(tmp_path: Path, mutant: Mutant) -> None:
    found = judged(broken(mutant, tmp_path))
    print(found.stdout, found.stderr)  # noqa: T201 - what gave the mutant away
    assert found.stdout.startswith(str(tmp_path)), "the copy was not what ran"
    assert "seeds, " in found.stdout, "the story broke off before it was judged"
    assert found.returncode == 1, f"{mutant.name}: survived"


def test_a_mutant_that_does_not_apply_is_an_error(tmp_path: Path) -> None:
    stale = Mutant("stale", [Patch("edge_aggregator/core.py", "what nobody wrote", "")])
    with pytest.raises(PatchError, match="stale"):
        broken(stale, tmp_path)

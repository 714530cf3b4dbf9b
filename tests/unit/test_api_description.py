"""The API's description is kept in the repository: what changes in the API is seen there, and meant."""

from __future__ import annotations

from pathlib import Path

from dashboards.api.app import document

KEPT = Path(__file__).parents[2] / "docs" / "openapi.json"


def test_the_kept_description_is_that_of_the_api() -> None:
    hint = (
        "python -c 'from dashboards.api.app import document; print(document().decode(), end=\"\")' > docs/openapi.json"
    )
    assert KEPT.read_bytes() == document(), f"the API has changed; if that is meant: {hint}"

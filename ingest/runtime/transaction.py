"""A transaction on a SQLite file that several processes write."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import apsw


@contextmanager
def transaction(db: apsw.Connection) -> Iterator[None]:
    """All or nothing. The write lock is taken at once, so that what is read inside stays true until the commit."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # SQLite itself rolls back when the disk is full
            db.execute("ROLLBACK")
        raise

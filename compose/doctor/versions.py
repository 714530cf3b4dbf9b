"""What is installed here, and whether it is new enough."""

from __future__ import annotations

import platform
import ssl
from importlib.metadata import version

import apsw

from compose.doctor.finding import Finding, bad, good

ABOUT = "versions"
LEAST_SQLITE = (3, 51, 3)


def look_at_versions(sqlite: str | None = None) -> Finding:
    """Of tidegate, Python, SQLite and OpenSSL; `sqlite` is the library's unless given."""
    sqlite = sqlite or apsw.sqlite_lib_version()
    found = (
        f"tidegate {version('tidegate')}, Python {platform.python_version()}, SQLite {sqlite}, {ssl.OPENSSL_VERSION}"
    )
    if tuple(int(part) for part in sqlite.split(".")[:3]) < LEAST_SQLITE:
        return bad(ABOUT, f"{found}: a WAL of this SQLite can lose a commit", "pip install --upgrade apsw")
    return good(ABOUT, found)

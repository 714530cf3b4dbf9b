"""Keys, secrets and tokens: whether they are there, private, and what they should be."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from compose.doctor.finding import bad, good, warning
from compose.processes.config import ApiProcess
from compose.processes.files import environment_problems, file_problems

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compose.doctor.finding import Finding
    from compose.processes.config import Process

ABOUT = "credentials"
MAKE = "; make one: "


def look_at_credentials(config: Process) -> Iterator[Finding]:
    """Each file that cannot be used, or one line that all can."""
    problems = list(file_problems(config))
    for problem in problems:
        found, _, make = problem.partition(MAKE)
        yield bad(ABOUT, found, make or "put it there, readable by the process's user alone (chmod 600)")
    for problem in environment_problems(config):
        yield warning(ABOUT, problem, "run the doctor with the variables that the process is given")
    if isinstance(config, ApiProcess) and not config.api.tokens:
        yield warning(ABOUT, "[[api.tokens]] is empty: nobody may ask", "tidegate keys token FILE")
    if not problems:
        yield good(ABOUT, f"every file that is named can be used by user {os.getuid()}")

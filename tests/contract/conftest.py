"""Asserts in the suites' own modules explain themselves as those in test modules do."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.contract.log_place", "tests.contract.log_groups", "tests.contract.log_records")

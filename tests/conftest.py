"""What every test may ask for, and how long the property tests look (`make prove`: longer)."""

from __future__ import annotations

from hypothesis import settings

pytest_plugins = ["tests.servers"]

# The same examples every time: what is new is found by `make prove`, not by whoever happens to run the tests.
settings.register_profile("default", deadline=None, print_blob=True, derandomize=True)
settings.register_profile("prove", deadline=None, print_blob=True, derandomize=False, max_examples=5000)
settings.load_profile("default")

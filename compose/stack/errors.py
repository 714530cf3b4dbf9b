"""What can go wrong with the servers of a stack, said so that a person can act on it."""

from __future__ import annotations


class StackError(Exception):
    """A server of the stack cannot be used; the message says what was found and what to do."""


class CannotObtain(StackError):  # noqa: N818 - reads as the sentence it is
    """A server is neither here nor to be had; the message names what to install."""


class DidNotStart(StackError):  # noqa: N818 - reads as the sentence it is
    """A server was launched and did not become ready; the message ends with its last log lines."""


class NotReady(StackError):  # noqa: N818 - reads as the sentence it is
    """A server does not answer as it should, yet; the message says how it answered."""

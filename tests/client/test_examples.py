"""The examples in docstrings: they are run, over a service in memory."""

import doctest
from types import ModuleType

import pytest

import a3cp_sessions
from processor.client import conversation, gateway
from processor.client.interview import doubles
from processor.client.service import asyncsessions, sessions

MODULES = [a3cp_sessions, sessions, asyncsessions, conversation, gateway, doubles]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_examples(module: ModuleType) -> None:
    """Each gives what it says; those of methods have `sessions`."""
    with sessions.Sessions("memory://") as service:
        found = doctest.testmod(module, extraglobs={"sessions": service}, optionflags=doctest.ELLIPSIS)
    assert found.attempted > 0
    assert found.failed == 0

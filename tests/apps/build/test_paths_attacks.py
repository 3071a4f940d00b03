"""Some hundred of the attacks of ``tests.chaos_build.path_attacks``, and that it would notice one that gets through."""

from __future__ import annotations

import os

import pytest

from phasegate.apps.build.paths import protection, root
from tests.chaos_build.path_attacks import attack


def test_no_attack_gets_out_of_the_repository_or_into_what_is_protected() -> None:
    outcome = attack(300)
    assert outcome.escapes == []
    assert outcome.strays == []
    assert outcome.crashes == []
    assert outcome.refused > 100
    assert outcome.held, outcome.told()


@pytest.mark.skipif(not root.HAS_DESCRIPTORS, reason="there are no such flags here")
def test_the_attacks_would_show_a_way_that_follows_links(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(root, "_DIRECTORY", os.O_RDONLY)
    assert attack(150).escapes


def test_the_attacks_would_show_a_hole_in_the_protection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protection, "is_git_name", lambda name: False)
    assert attack(100).strays

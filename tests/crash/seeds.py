"""Chance that can be repeated: each test of chance prints its seed, and ``PHASEGATE_SEED`` gives it the same one again."""

from __future__ import annotations

import os
import random


def named_seed() -> int | None:
    """The seed that was asked for."""
    return int(os.environ["PHASEGATE_SEED"]) if os.environ.get("PHASEGATE_SEED") else None


def chance() -> random.Random:
    """The chance of one test; its seed is printed."""
    named = named_seed()
    seed = random.SystemRandom().randrange(1, 10**6) if named is None else named
    print(f"\nseed {seed}: repeat with PHASEGATE_SEED={seed}")
    return random.Random(seed)


def amount(name: str, short: int) -> int:
    """How much of something is done: ``short`` in the usual tests, what the setting says in `make chaos`."""
    return int(os.environ.get(name) or short)

"""Agents: the deterministic ones that every phase has, and models in their place where somebody wants them."""

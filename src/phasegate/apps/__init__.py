"""The applications that ship with phasegate; they use its public surface only."""

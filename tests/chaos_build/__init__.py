"""Heavy forms of the build application's guarantees, each with a count: `python -m tests.chaos_build.<name> [COUNT]`."""

"""The pure heart: flows, runs, facts, transition tables and the planner; standard library only."""

"""Whether the repository is well before and after a change: commands, test reports, baselines and checks."""

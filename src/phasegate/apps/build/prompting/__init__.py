"""What the model is told: the rules, the phase, the files, and what was wrong with its last answer."""

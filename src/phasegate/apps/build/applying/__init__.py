"""Changes put on disk whole or not at all, and taken back without touching anything else."""

"""The migrations of the engine's tables, run by Alembic through ``store.upgrading``."""

"""The database: one protocol, its queries in SQLAlchemy Core, one small file per dialect, and the migrations."""

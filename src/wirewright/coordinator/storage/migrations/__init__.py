"""Alembic's environment, and a file for each revision of the tables."""

"""Runs migrations on the connection that `wirewright.coordinator.storage.schema` hands over."""

from alembic import context

from wirewright.coordinator.storage.tables import Base

# The transaction is the caller's, so that a failed migration leaves nothing, on SQLite too.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=False,
)
context.run_migrations()

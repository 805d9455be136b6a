"""Whose device an address in quarantine was."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this revision."""
    op.add_column("address", sa.Column("left_by", sa.String(length=36), nullable=True))
    op.create_index(op.f("ix_address_left_by"), "address", ["left_by"], unique=False)


def downgrade() -> None:
    """Go back to the one before."""
    op.drop_index(op.f("ix_address_left_by"), "address")
    op.drop_column("address", "left_by")

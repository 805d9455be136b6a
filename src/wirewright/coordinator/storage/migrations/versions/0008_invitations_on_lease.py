"""Invitations whose devices ask for their addresses themselves."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this revision; devices of invitations from before get addresses that are chosen for them."""
    op.add_column(
        "invitation", sa.Column("on_lease", sa.Boolean(), server_default=sa.false(), nullable=False)
    )


def downgrade() -> None:
    """Go back to the one before, in which the devices of every invitation get addresses."""
    op.drop_column("invitation", "on_lease")

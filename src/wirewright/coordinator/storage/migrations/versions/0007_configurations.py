"""Revisions of configurations, endpoints that were seen, and reports by their time."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this revision; which configuration a device has that was there before is unknown."""
    op.add_column("gateway", sa.Column("configuration", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("device", sa.Column("configuration", sa.BigInteger(), server_default="1", nullable=False))
    op.add_column("device", sa.Column("taken", sa.BigInteger(), nullable=True))
    op.add_column("device", sa.Column("taken_at", sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_report_at"), "report", ["at"], unique=False)
    op.create_table(
        "endpoint",
        sa.Column("device_id", sa.String(length=36), nullable=False),
        sa.Column("endpoint", sa.String(length=64), nullable=False),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("last_seen", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.id"], name=op.f("fk_endpoint_device_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("device_id", "endpoint", name=op.f("pk_endpoint")),
    )


def downgrade() -> None:
    """Go back to the one before."""
    op.drop_table("endpoint")
    op.drop_index(op.f("ix_report_at"), table_name="report")
    for table, column in (
        ("device", "taken_at"),
        ("device", "taken"),
        ("device", "configuration"),
        ("gateway", "configuration"),
    ):
        op.drop_column(table, column)

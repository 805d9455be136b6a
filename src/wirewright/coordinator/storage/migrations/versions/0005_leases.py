"""How far each gateway's leases have come, keys that take others' places, and which keys were proved."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this revision."""
    op.create_table(
        "lease_log",
        sa.Column("gateway_id", sa.String(length=36), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("change_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["gateway_id"], ["gateway.id"], name=op.f("fk_lease_log_gateway_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("gateway_id", name=op.f("pk_lease_log")),
    )
    op.create_table(
        "succession",
        sa.Column("old_key", sa.LargeBinary(length=32), nullable=False),
        sa.Column("new_key", sa.LargeBinary(length=32), nullable=False),
        sa.Column("device_id", sa.String(length=36), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.id"], name=op.f("fk_succession_device_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("old_key", name=op.f("pk_succession")),
    )
    for column in ("new_key", "device_id", "until"):
        op.create_index(op.f(f"ix_succession_{column}"), "succession", [column], unique=False)
    op.add_column("device", sa.Column("proved_at", sa.BigInteger(), nullable=True))
    # Who came by an invitation has proved its key.
    op.execute("UPDATE device SET proved_at = created_at WHERE invitation_id IS NOT NULL")


def downgrade() -> None:
    """Go back to the one before; a device keeps the key that it has now."""
    op.drop_column("device", "proved_at")
    op.drop_table("succession")
    op.drop_table("lease_log")

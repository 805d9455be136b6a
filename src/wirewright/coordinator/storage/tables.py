"""The tables. Times are microseconds since 1970 (UTC), addresses and keys bytes of a fixed width."""

from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    false,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

_ID = String(36)
_NAME = String(128)


class Base(DeclarativeBase):
    """What the tables have in common: how their constraints are called."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {int: BigInteger, dict[str, Any]: JSON, list[Any]: JSON}


class Setting(Base):
    """One thing that all replicas must agree on."""

    __tablename__ = "setting"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[dict[str, Any]]


class Gateway(Base):
    """An interface that devices have as their peer; ``revision`` numbers its changes densely."""

    __tablename__ = "gateway"

    id: Mapped[str] = mapped_column(_ID, primary_key=True)
    name: Mapped[str] = mapped_column(_NAME, unique=True)
    public_key: Mapped[bytes | None] = mapped_column(LargeBinary(32), unique=True)
    endpoint: Mapped[str] = mapped_column(String(300))
    dns: Mapped[list[Any]]
    mtu: Mapped[int | None]
    credential_id: Mapped[str | None] = mapped_column(String(16), unique=True)
    credential_hash: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    revision: Mapped[int]
    oldest_change: Mapped[int]
    """The first revision whose change is still kept."""
    configuration: Mapped[int] = mapped_column(server_default="0")
    """Changes of what its devices' configurations say of it."""
    seen_at: Mapped[int | None]
    created_at: Mapped[int]


class Pool(Base):
    """A network that a gateway gives addresses from; no two overlap."""

    __tablename__ = "pool"
    __table_args__ = (CheckConstraint("family IN (4, 6)", name="family"),)

    id: Mapped[str] = mapped_column(_ID, primary_key=True)
    gateway_id: Mapped[str] = mapped_column(ForeignKey("gateway.id"), index=True)
    family: Mapped[int] = mapped_column(SmallInteger)
    first: Mapped[bytes] = mapped_column(LargeBinary(16))
    last: Mapped[bytes] = mapped_column(LargeBinary(16))
    prefix_length: Mapped[int] = mapped_column(SmallInteger)
    cursor: Mapped[bytes] = mapped_column(LargeBinary(16))
    """Where the search for a free address begins."""
    quarantine: Mapped[int]
    """Microseconds for which a released address is given to nobody else."""
    created_at: Mapped[int]


class User(Base):
    """Someone who may ask."""

    __tablename__ = "user"

    id: Mapped[str] = mapped_column(_ID, primary_key=True)
    name: Mapped[str] = mapped_column(_NAME, unique=True)
    role: Mapped[str] = mapped_column(String(16))
    enabled: Mapped[bool]
    created_at: Mapped[int]


class Token(Base):
    """What a user proves itself with; only its hash is kept."""

    __tablename__ = "token"

    id: Mapped[str] = mapped_column(_ID, primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(_NAME)
    public_id: Mapped[str] = mapped_column(String(16), unique=True)
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    scopes: Mapped[list[Any]]
    expires_at: Mapped[int | None]
    created_at: Mapped[int]


class Invitation(Base):
    """A right to enrol devices; only its hash is kept."""

    __tablename__ = "invitation"

    id: Mapped[str] = mapped_column(_ID, primary_key=True)
    name: Mapped[str] = mapped_column(_NAME)
    public_id: Mapped[str] = mapped_column(String(16), unique=True)
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    gateway_id: Mapped[str] = mapped_column(ForeignKey("gateway.id", ondelete="CASCADE"), index=True)
    user_id: Mapped[str | None] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    policy: Mapped[list[Any]]
    device_lifetime: Mapped[int | None]
    on_lease: Mapped[bool] = mapped_column(server_default=false())
    """Whether its devices ask for their addresses themselves."""
    uses: Mapped[int]
    uses_left: Mapped[int]
    expires_at: Mapped[int]
    created_at: Mapped[int]


class Device(Base):
    """A peer of its home gateway."""

    __tablename__ = "device"
    __table_args__ = (
        Index(
            "ix_device_expiring", "expires_at", sqlite_where=text("active"), postgresql_where=text("active")
        ),
    )

    id: Mapped[str] = mapped_column(_ID, primary_key=True)
    name: Mapped[str] = mapped_column(_NAME)
    public_key: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    gateway_id: Mapped[str] = mapped_column(ForeignKey("gateway.id"), index=True)
    user_id: Mapped[str | None] = mapped_column(ForeignKey("user.id"), index=True)
    invitation_id: Mapped[str | None] = mapped_column(
        ForeignKey("invitation.id", ondelete="SET NULL"), index=True
    )
    policy: Mapped[list[Any]]
    enabled: Mapped[bool]
    expires_at: Mapped[int | None]
    active: Mapped[bool]
    """What the gateway was told: enabled, and not expired."""
    created_at: Mapped[int]
    updated_at: Mapped[int]
    proved_at: Mapped[int | None]
    """When somebody proved to have the private key: by enrolling it, or by a handshake with it."""
    configuration: Mapped[int] = mapped_column(server_default="1")
    """Its own share of the number of its configuration, to which its gateway's is added."""
    taken: Mapped[int | None]
    """The revision that was taken last."""
    taken_at: Mapped[int | None]


class Address(Base):
    """An address that was given out: held by somebody, in quarantine, or released (history)."""

    __tablename__ = "address"
    __table_args__ = (
        CheckConstraint("kind IN ('administered', 'leased', 'reserved', 'gateway')", name="kind"),
        CheckConstraint("state IN ('held', 'quarantined', 'released')", name="state"),
        CheckConstraint("length(value) IN (4, 16)", name="value"),
        # What makes a double allocation impossible, whatever the code above it does.
        Index(
            "uq_address_in_use",
            "value",
            unique=True,
            sqlite_where=text("state <> 'released'"),
            postgresql_where=text("state <> 'released'"),
        ),
        Index(
            "ix_address_ending",
            "until",
            sqlite_where=text("state <> 'released'"),
            postgresql_where=text("state <> 'released'"),
        ),
    )

    id: Mapped[str] = mapped_column(_ID, primary_key=True)
    pool_id: Mapped[str] = mapped_column(ForeignKey("pool.id"), index=True)
    value: Mapped[bytes] = mapped_column(LargeBinary(16))
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    device_id: Mapped[str | None] = mapped_column(ForeignKey("device.id", ondelete="SET NULL"), index=True)
    since: Mapped[int]
    until: Mapped[int | None]
    """When a lease or a quarantine ends; when a released one was released."""
    note: Mapped[str] = mapped_column(String(256))
    left_by: Mapped[str | None] = mapped_column(_ID, index=True)
    """The user whose device had it when it went into quarantine; perhaps one who is gone.

    Absent if it was nobody's, and in rows from before this was kept, which go when their quarantine is over.
    """


class LeaseLog(Base):
    """How far a gateway's leases have come: each change of them that its server commits is a version."""

    __tablename__ = "lease_log"

    gateway_id: Mapped[str] = mapped_column(ForeignKey("gateway.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int]
    change_id: Mapped[str] = mapped_column(_ID)
    """The newest change's own name, by which it is known when it comes again."""


class Succession(Base):
    """A key that took, or may take, the place of a device's."""

    __tablename__ = "succession"

    old_key: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    new_key: Mapped[bytes] = mapped_column(LargeBinary(32), index=True)
    device_id: Mapped[str] = mapped_column(ForeignKey("device.id", ondelete="CASCADE"), index=True)
    until: Mapped[int | None] = mapped_column(index=True)
    """When the right ends; absent once it was used, and the old key is no one's any more."""
    created_at: Mapped[int]


class Idempotency(Base):
    """An answer that was given under an ``Idempotency-Key``, sealed so that only who asked can open it."""

    __tablename__ = "idempotency"

    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), primary_key=True)
    key_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    request_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    status: Mapped[int] = mapped_column(SmallInteger)
    answer: Mapped[bytes]
    at: Mapped[int] = mapped_column(index=True)


class Change(Base):
    """What a gateway is to be told, in order."""

    __tablename__ = "change"

    gateway_id: Mapped[str] = mapped_column(ForeignKey("gateway.id", ondelete="CASCADE"), primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(16))
    value: Mapped[dict[str, Any]]
    at: Mapped[int]


class Audit(Base):
    """Who did what, when."""

    __tablename__ = "audit"

    id: Mapped[str] = mapped_column(_ID, primary_key=True)
    at: Mapped[int]
    actor: Mapped[str] = mapped_column(_NAME)
    origin: Mapped[str] = mapped_column(String(64))
    """The network address that asked; empty for the coordinator itself."""
    action: Mapped[str] = mapped_column(String(64), index=True)
    subject: Mapped[str] = mapped_column(String(64), index=True)
    detail: Mapped[dict[str, Any]]


class Report(Base):
    """A device as its gateway saw it last."""

    __tablename__ = "report"

    device_id: Mapped[str] = mapped_column(ForeignKey("device.id", ondelete="CASCADE"), primary_key=True)
    received: Mapped[int]
    sent: Mapped[int]
    latest_handshake: Mapped[int | None]
    endpoint: Mapped[str] = mapped_column(String(64))
    at: Mapped[int] = mapped_column(index=True)


class Endpoint(Base):
    """Where a device came from, and when it was first and last seen there."""

    __tablename__ = "endpoint"

    device_id: Mapped[str] = mapped_column(ForeignKey("device.id", ondelete="CASCADE"), primary_key=True)
    endpoint: Mapped[str] = mapped_column(String(64), primary_key=True)
    first_seen: Mapped[int]
    last_seen: Mapped[int]

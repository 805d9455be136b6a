"""The tables of who logs in, and by what.

None holds anything that a thief of the database could log in with; only the secrets of second factors, which
must be known to be compared, stand there as they are.
"""

from typing import Any

from sqlalchemy import ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from wirewright.coordinator.storage.tables import Base

_ID = String(36)


class Session(Base):
    """A browser in which a user is logged in; only the hash of its cookie is kept."""

    __tablename__ = "session"

    id: Mapped[str] = mapped_column(_ID, primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    public_id: Mapped[str] = mapped_column(String(16), unique=True)
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    is_whole: Mapped[bool]
    """Whether all factors were shown; until then it may nothing but show the second one."""
    by: Mapped[str] = mapped_column(String(32))
    """What its user proved themselves with."""
    agent: Mapped[str] = mapped_column(String(200))
    origin: Mapped[str] = mapped_column(String(64))
    began_at: Mapped[int]
    seen_at: Mapped[int]
    ends_at: Mapped[int] = mapped_column(index=True)


class Password(Base):
    """What a user's password is compared with: argon2id."""

    __tablename__ = "password"

    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), primary_key=True)
    hash: Mapped[str] = mapped_column(String(255))
    changed_at: Mapped[int]


class SecondFactor(Base):
    """What a user's authenticator has (TOTP, RFC 6238), and the hashes of recovery codes."""

    __tablename__ = "second_factor"

    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), primary_key=True)
    secret: Mapped[bytes] = mapped_column(LargeBinary(32))
    is_confirmed: Mapped[bool]
    last_step: Mapped[int]
    """The newest period whose code was taken: none is taken twice."""
    recovery: Mapped[list[Any]]
    created_at: Mapped[int]


class Passkey(Base):
    """A key pair that a user's device or browser keeps (WebAuthn)."""

    __tablename__ = "passkey"

    id: Mapped[str] = mapped_column(_ID, primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(64))
    credential: Mapped[bytes] = mapped_column(LargeBinary(1023), unique=True)
    public_key: Mapped[bytes]
    signs: Mapped[int]
    created_at: Mapped[int]
    used_at: Mapped[int | None]


class Identity(Base):
    """A user as a provider of identities (OIDC) knows them."""

    __tablename__ = "identity"

    issuer: Mapped[str] = mapped_column(String(255), primary_key=True)
    subject: Mapped[str] = mapped_column(String(255), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[int]


class Challenge(Base):
    """Something that is to be answered once, and soon: a passkey's challenge, a way to a provider, a link."""

    __tablename__ = "challenge"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    purpose: Mapped[str] = mapped_column(String(16))
    user_id: Mapped[str | None] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    value: Mapped[dict[str, Any]]
    ends_at: Mapped[int] = mapped_column(index=True)

"""What the coordinator refuses, in words for people; each has the status of RFC 9110 that tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from wirewright.config.values import IPAddress


class CoordinatorError(Exception):
    """Something was refused; the text says what was wrong, and what to do about it."""

    status: ClassVar[int] = 400
    kind: ClassVar[str] = "refused"
    title: ClassVar[str] = "The request was refused"
    retry_after: int | None = None
    """Seconds after which the same request may go well."""


class InvalidError(CoordinatorError):
    """A value that cannot be."""

    status = 422
    kind = "invalid"
    title = "A value cannot be used"


class UnauthorizedError(CoordinatorError):
    """Nobody known asks."""

    status = 401
    kind = "unauthorized"
    title = "A valid bearer token is needed"


class ForbiddenError(CoordinatorError):
    """The one who asks may not."""

    status = 403
    kind = "forbidden"
    title = "This is not allowed to you"


class NotFoundError(CoordinatorError):
    """There is no such thing, or none that the one who asks may see."""

    status = 404
    kind = "not-found"
    title = "There is no such thing"


class ConflictError(CoordinatorError):
    """It stands against something that is."""

    status = 409
    kind = "conflict"
    title = "This stands against something that exists"


class PoolFullError(ConflictError):
    """No address is free."""

    kind = "pool-full"
    title = "The pool is full"


class NotFreeError(ConflictError):
    """Somebody else has an address; ``addresses`` are those that are not free, and others like them."""

    kind = "address-taken"
    title = "The address is not free"

    def __init__(self, text: str, addresses: tuple[IPAddress, ...]) -> None:
        super().__init__(text)
        self.addresses = addresses


class StaleError(ConflictError):
    """It was decided on what is not so any more."""

    kind = "stale"
    title = "This was decided on something that has changed since"


class TooManyError(CoordinatorError):
    """Asked too often."""

    status = 429
    kind = "too-many"
    title = "Too many requests"


class UnavailableError(CoordinatorError):
    """The database cannot be had now; nothing was applied, unless the text says that this is unknown."""

    status = 503
    kind = "unavailable"
    title = "The database cannot be used now"
    retry_after = 1


class StorageFullError(CoordinatorError):
    """The disk of the database is full; nothing was applied."""

    status = 507
    kind = "storage-full"
    title = "The disk of the database is full"

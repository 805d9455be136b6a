"""What goes wrong between a client and a coordinator, in words for people."""

from __future__ import annotations


class ClientError(OSError):
    """Something went wrong; the text says what, and what to do about it."""


class AccessError(ClientError):
    """It is not known where the coordinator is or by what it may be asked, or asking would tell a secret."""


class UnreachableError(ClientError):
    """No answer came. What was asked may have been done, if it was one that changes something."""


class NobodyListensError(UnreachableError):
    """The connection was refused, so that nothing can have been done."""


class RefusedError(ClientError):
    """The coordinator refused; the text is its own."""

    def __init__(self, http_status: int, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.http_status = http_status
        """As HTTP has it (RFC 9110)."""
        self.kind = kind
        """The end of the problem's type, such as ``pool-full``."""

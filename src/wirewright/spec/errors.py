"""What can be wrong with a message: one exception for each reason to drop it.

WireGuard never tells the sender why a message was dropped (paper 5.1, "Silence is a Virtue"). The
specification does tell *its* caller, so that two implementations can be compared not only in what they
refuse, but in why.
"""


class SpecificationError(ValueError):
    """Any refusal by this specification."""


class MalformedMessageError(SpecificationError):
    """The bytes are not the message they should be; `field` names the part that is wrong."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field


class AuthenticationError(SpecificationError):
    """A MAC or an authentication tag does not match: wrong key, or the message was changed on its way."""

    def __init__(self, field: str) -> None:
        super().__init__(f"{field}: does not authenticate (wrong key, or changed on its way)")
        self.field = field


class LowOrderPointError(SpecificationError):
    """A Diffie-Hellman result is all zero, so it contains no secret at all (RFC 7748 section 6.1)."""

    def __init__(self, public: bytes) -> None:
        super().__init__(f"public key {public.hex()} has low order: every private key gives the same result")


class MisdirectedError(SpecificationError):
    """The message is addressed to another session than the one it was given to."""

    def __init__(self, field: str, *, expected: int, found: int) -> None:
        super().__init__(f"{field}: is {found:#010x}, but the index of this session is {expected:#010x}")
        self.field = field


class ReplayError(SpecificationError):
    """The message was seen before, or is older than what can be told apart from that."""


class ExhaustedError(SpecificationError):
    """The counter reached REJECT_AFTER_MESSAGES: the key is used up (paper 6.2)."""

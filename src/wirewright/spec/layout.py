"""How a frozen dataclass becomes bytes and back: the machinery under `messages`.

A message class lists its fields in the order of the wire, each annotated with its shape:

    sender: U32                 4 bytes, little-endian
    ephemeral: Bytes32          exactly 32 bytes
    packet: Rest16              all bytes that are left, at least 16

From that one list follow the encoding, the decoding, the size, and errors that name the field. A message
object is always well-formed: its constructor refuses a field of the wrong shape, so `encode` cannot fail, and
what `decode` returns needs no second look.
"""

from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, Self, TypeAlias, get_type_hints

from .errors import MalformedMessageError


@dataclass(frozen=True)
class Integer:
    """An unsigned little-endian number."""

    size: int

    def problem_with(self, value: int) -> str | None:
        """Say what is wrong with the value, if anything."""
        return None if 0 <= value < 256**self.size else f"{value} does not fit into {self.size} bytes"

    def encode(self, value: int) -> bytes:
        """Write the value."""
        return value.to_bytes(self.size, "little")

    def decode(self, octets: bytes) -> int:
        """Read the value."""
        return int.from_bytes(octets, "little")


@dataclass(frozen=True)
class Octets:
    """Bytes as they are: exactly `size` of them, or, as the last field of a message, `size` or more."""

    size: int
    open_ended: bool = False

    def problem_with(self, value: bytes) -> str | None:
        """Say what is wrong with the value, if anything."""
        if len(value) == self.size or (self.open_ended and len(value) > self.size):
            return None
        return f"has {len(value)} bytes instead of {self.size}{' or more' if self.open_ended else ''}"

    def encode(self, value: bytes) -> bytes:
        """Write the value."""
        return value

    def decode(self, octets: bytes) -> bytes:
        """Read the value."""
        return octets


Shape: TypeAlias = Integer | Octets

U32 = Annotated[int, Integer(4)]
U64 = Annotated[int, Integer(8)]
Bytes16 = Annotated[bytes, Octets(16)]
Bytes24 = Annotated[bytes, Octets(24)]
Bytes28 = Annotated[bytes, Octets(28)]
Bytes32 = Annotated[bytes, Octets(32)]
Bytes48 = Annotated[bytes, Octets(48)]
Rest16 = Annotated[bytes, Octets(16, open_ended=True)]

HEADER_SIZE = 4
"""One byte of type and three reserved zero bytes open every message."""


@dataclass(frozen=True)
class Message:
    """What the four messages have in common. Subclasses are frozen dataclasses with a TYPE."""

    TYPE: ClassVar[int]

    def __post_init__(self) -> None:
        for name, shape in self.shapes().items():
            if problem := shape.problem_with(getattr(self, name)):
                raise MalformedMessageError(f"{type(self).__name__}.{name}", problem)

    @classmethod
    def shapes(cls) -> dict[str, Shape]:
        """Map the name of each field to its shape, in the order of the wire."""
        hints = get_type_hints(cls, include_extras=True)
        return {field.name: hints[field.name].__metadata__[0] for field in fields(cls)}

    @classmethod
    def minimum_size(cls) -> int:
        """Give the size of the message on the wire, which only an open-ended last field can exceed."""
        return HEADER_SIZE + sum(shape.size for shape in cls.shapes().values())

    def encode(self) -> bytes:
        """Write the message as it goes into a UDP datagram."""
        return self.encode_before(None)

    def encode_before(self, stop: str | None) -> bytes:
        """Write what precedes the field `stop`: for mac1 and mac2, the paper's msg-alpha and msg-beta."""
        octets = bytes([self.TYPE, 0, 0, 0])
        for name, shape in self.shapes().items():
            if name == stop:
                break
            octets += shape.encode(getattr(self, name))
        return octets

    @classmethod
    def decode(cls, datagram: bytes) -> Self:
        """Read a UDP datagram, or raise MalformedMessageError naming the first field that is wrong."""
        if not datagram:
            raise MalformedMessageError(f"{cls.__name__}.type", "the datagram is empty")
        if datagram[0] != cls.TYPE:
            raise MalformedMessageError(f"{cls.__name__}.type", f"is {datagram[0]} instead of {cls.TYPE}")
        if datagram[1:HEADER_SIZE] != bytes(3):
            raise MalformedMessageError(
                f"{cls.__name__}.reserved", f"is {datagram[1:HEADER_SIZE].hex()} instead of three zero bytes"
            )
        values: dict[str, Any] = {}
        offset = HEADER_SIZE
        for name, shape in cls.shapes().items():
            end = offset + shape.size
            if len(datagram) < end:
                raise MalformedMessageError(
                    f"{cls.__name__}.{name}",
                    f"takes {shape.size} bytes from offset {offset}, but the datagram has {len(datagram)}",
                )
            if isinstance(shape, Octets) and shape.open_ended:
                end = len(datagram)
            values[name] = shape.decode(datagram[offset:end])
            offset = end
        if offset < len(datagram):
            raise MalformedMessageError(
                f"{cls.__name__}.{name}", f"ends at offset {offset}, but the datagram has {len(datagram)}"
            )
        return cls(**values)

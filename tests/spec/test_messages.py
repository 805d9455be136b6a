"""The four messages: their bytes, and what is said when the bytes are wrong."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wirewright.spec.errors import MalformedMessageError
from wirewright.spec.layout import Integer, Message, Shape
from wirewright.spec.messages import CookieReply, Data, Initiation, Response, decode

KINDS: list[type[Message]] = [Initiation, Response, CookieReply, Data]


def values(shape: Shape) -> st.SearchStrategy[int | bytes]:
    if isinstance(shape, Integer):
        return st.integers(0, 256**shape.size - 1)
    return st.binary(min_size=shape.size, max_size=shape.size + (100 if shape.open_ended else 0))


def messages_of(kind: type[Message]) -> st.SearchStrategy[Message]:
    return st.builds(kind, **{name: values(shape) for name, shape in kind.shapes().items()})


any_message = st.one_of([messages_of(kind) for kind in KINDS])


@given(any_message)
def test_a_decoded_message_is_the_one_that_was_encoded(message: Message) -> None:
    assert decode(message.encode()) == message
    assert type(message).decode(message.encode()) == message


@given(st.one_of(st.binary(max_size=200), any_message.map(lambda message: message.encode())))
@example(b"")
@example(b"\x04\x00\x00\x00")
def test_whatever_decodes_encodes_to_the_same_bytes_and_all_else_is_malformed(datagram: bytes) -> None:
    try:
        message = decode(datagram)
    except MalformedMessageError:
        return
    assert message.encode() == datagram


@given(any_message, st.data())
def test_a_cut_message_is_malformed_and_the_error_names_a_field_of_it(
    message: Message, data: st.DataObject
) -> None:
    kind = type(message)
    datagram = message.encode()[: data.draw(st.integers(0, kind.minimum_size() - 1))]
    with pytest.raises(MalformedMessageError) as caught:
        kind.decode(datagram)
    assert caught.value.field.removeprefix(f"{kind.__name__}.") in {"type", "reserved", *kind.shapes()}


@pytest.mark.parametrize(("kind", "size"), [(Initiation, 148), (Response, 92), (CookieReply, 64), (Data, 32)])
def test_a_message_has_the_size_of_the_paper(kind: type[Message], size: int) -> None:
    assert kind.minimum_size() == size


def test_an_initiation_has_its_fields_where_the_paper_puts_them() -> None:
    message = Initiation(
        sender=0x04030201,
        ephemeral=b"e" * 32,
        static=b"s" * 48,
        timestamp=b"t" * 28,
        mac1=b"1" * 16,
        mac2=b"2" * 16,
    )
    header = b"\x01\0\0\0" + b"\x01\x02\x03\x04"
    assert message.encode() == header + b"e" * 32 + b"s" * 48 + b"t" * 28 + b"1" * 16 + b"2" * 16
    assert message.encode_before("mac1") == message.encode()[:116]
    assert message.encode_before("mac2") == message.encode()[:132]


def test_a_response_has_its_fields_where_the_paper_puts_them() -> None:
    message = Response(
        sender=0x04030201,
        receiver=0x08070605,
        ephemeral=b"e" * 32,
        empty=b"n" * 16,
        mac1=b"1" * 16,
        mac2=b"2" * 16,
    )
    header = b"\x02\0\0\0" + b"\x01\x02\x03\x04" + b"\x05\x06\x07\x08"
    assert message.encode() == header + b"e" * 32 + b"n" * 16 + b"1" * 16 + b"2" * 16
    assert message.encode_before("mac1") == message.encode()[:60]
    assert message.encode_before("mac2") == message.encode()[:76]


def test_a_cookie_reply_has_its_fields_where_the_paper_puts_them() -> None:
    message = CookieReply(receiver=0x04030201, nonce=b"n" * 24, cookie=b"c" * 32)
    assert message.encode() == b"\x03\0\0\0" + b"\x01\x02\x03\x04" + b"n" * 24 + b"c" * 32


def test_data_has_its_fields_where_the_paper_puts_them() -> None:
    message = Data(receiver=0x04030201, counter=0x0C0B0A0908070605, packet=b"p" * 33)
    assert message.encode() == b"\x04\0\0\0" + bytes(range(1, 13)) + b"p" * 33


@pytest.mark.parametrize(
    ("datagram", "error"),
    [
        (b"", "type: the datagram is empty"),
        (b"\0" * 148, "type: is 0, but messages have type 1, 2, 3 or 4"),
        (b"\x05" * 148, "type: is 5, but messages have type 1, 2, 3 or 4"),
        (b"\x01\0\0\x01" + bytes(144), "Initiation.reserved: is 000001 instead of three zero bytes"),
        (b"\x01", "Initiation.reserved: is  instead of three zero bytes"),
        (b"\x01\0\0\0" + bytes(3), "Initiation.sender: takes 4 bytes from offset 4, but the datagram has 7"),
        (
            b"\x01\0\0\0" + bytes(143),
            "Initiation.mac2: takes 16 bytes from offset 132, but the datagram has 147",
        ),
        (b"\x01\0\0\0" + bytes(145), "Initiation.mac2: ends at offset 148, but the datagram has 149"),
        (b"\x02\0\0\0" + bytes(40), "Response.empty: takes 16 bytes from offset 44, but the datagram has 44"),
        (b"\x03\0\0\0" + bytes(61), "CookieReply.cookie: ends at offset 64, but the datagram has 65"),
        (b"\x04\0\0\0" + bytes(27), "Data.packet: takes 16 bytes from offset 16, but the datagram has 31"),
    ],
)
def test_a_malformed_datagram_is_refused_by_the_name_of_the_field(datagram: bytes, error: str) -> None:
    with pytest.raises(MalformedMessageError) as caught:
        decode(datagram)
    assert str(caught.value) == error


def test_a_message_of_another_type_is_refused() -> None:
    with pytest.raises(MalformedMessageError, match=r"^Response\.type: is 1 instead of 2$"):
        Response.decode(b"\x01\0\0\0" + bytes(88))
    with pytest.raises(MalformedMessageError, match=r"^Response\.type: the datagram is empty$"):
        Response.decode(b"")


def test_a_message_cannot_be_built_with_a_field_of_the_wrong_shape() -> None:
    with pytest.raises(MalformedMessageError, match=r"^CookieReply\.nonce: has 12 bytes instead of 24$"):
        CookieReply(receiver=0, nonce=bytes(12), cookie=bytes(32))
    with pytest.raises(MalformedMessageError, match=r"^Data\.packet: has 15 bytes instead of 16 or more$"):
        Data(receiver=0, counter=0, packet=bytes(15))
    with pytest.raises(
        MalformedMessageError, match=r"^Data\.receiver: 4294967296 does not fit into 4 bytes$"
    ):
        Data(receiver=2**32, counter=0, packet=bytes(16))
    with pytest.raises(MalformedMessageError, match=r"^Data\.counter: -1 does not fit into 8 bytes$"):
        Data(receiver=0, counter=-1, packet=bytes(16))

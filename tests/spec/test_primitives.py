"""The primitives, against the vectors of the documents that define them."""

import hashlib
from itertools import product

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import hmac as library_hmac
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from wirewright.spec import primitives
from wirewright.spec.constants import CONSTRUCTION, IDENTIFIER
from wirewright.spec.errors import AuthenticationError, LowOrderPointError
from wirewright.spec.primitives import (
    aead,
    aead_open,
    dh,
    hash_,
    hmac,
    kdf1,
    kdf2,
    kdf3,
    mac,
    public_key,
    verify,
    xaead,
    xaead_open,
)

from .actors import ALICE, BOB, LOW_ORDER_POINTS, flip

SUNSCREEN = (
    b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
    b"sunscreen would be it."
)
public_of_bob = public_key(BOB)
keys = st.binary(min_size=32, max_size=32)


# X25519


@pytest.mark.parametrize(
    ("scalar", "point", "result"),
    [
        (
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
        ),
        (
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
        ),
    ],
)
def test_dh_multiplies_as_rfc_7748_section_5_2_says(scalar: str, point: str, result: str) -> None:
    assert dh(bytes.fromhex(scalar), bytes.fromhex(point)).hex() == result


def test_dh_iterated_a_thousand_times_gives_the_value_of_rfc_7748_section_5_2() -> None:
    scalar = point = (9).to_bytes(32, "little")
    for iteration in range(1000):
        scalar, point = dh(scalar, point), scalar
        if iteration == 0:
            assert scalar.hex() == "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"
    assert scalar.hex() == "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"


def test_two_sides_agree_on_the_secret_of_rfc_7748_section_6_1() -> None:
    alice = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
    bob = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
    assert public_key(alice).hex() == "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    assert public_key(bob).hex() == "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
    secret = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
    assert dh(alice, public_key(bob)).hex() == secret
    assert dh(bob, public_key(alice)).hex() == secret


@pytest.mark.parametrize("point", LOW_ORDER_POINTS, ids=lambda point: point.hex()[:8])
@pytest.mark.parametrize("top_bit", [0, 0x80], ids=["", "top-bit-set"])
def test_a_point_of_low_order_is_refused(point: bytes, top_bit: int) -> None:
    point = point[:31] + bytes([point[31] | top_bit])  # X25519 ignores the top bit (RFC 7748 section 5)
    with pytest.raises(LowOrderPointError, match=point.hex()):
        dh(ALICE, point)


def test_an_all_zero_secret_is_refused_even_if_the_library_lets_it_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Lenient:
        @classmethod
        def from_private_bytes(cls, _private: bytes) -> "Lenient":
            return cls()

        def exchange(self, _public: object) -> bytes:
            return bytes(32)

    monkeypatch.setattr(primitives, "X25519PrivateKey", Lenient)
    with pytest.raises(LowOrderPointError):
        dh(ALICE, public_of_bob)


def test_a_key_of_the_wrong_size_is_not_called_a_point_of_low_order() -> None:
    with pytest.raises(ValueError, match="32 bytes") as caught:
        dh(ALICE, public_of_bob[:31])
    assert not isinstance(caught.value, LowOrderPointError)


@given(keys, keys)
def test_both_sides_of_a_diffie_hellman_agree(one: bytes, other: bytes) -> None:
    assert dh(one, public_key(other)) == dh(other, public_key(one))


# BLAKE2s


def test_hash_is_blake2s_of_rfc_7693_appendix_b() -> None:
    assert hash_(b"abc").hex() == "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982"


def test_hash_and_mac_pass_the_self_test_of_rfc_7693_appendix_e() -> None:
    """Hash all results of plain and keyed BLAKE2s, with our functions wherever one has the right size."""

    def sequence(length: int, seed: int) -> bytes:
        a, b, out = 0xDEAD4BAD * seed & 0xFFFFFFFF, 1, bytearray()
        for _ in range(length):
            a, b = b, (a + b) & 0xFFFFFFFF
            out.append(b >> 24)
        return bytes(out)

    def plain(data: bytes, size: int) -> bytes:
        return hash_(data) if size == 32 else hashlib.blake2s(data, digest_size=size).digest()

    def keyed(key: bytes, data: bytes, size: int) -> bytes:
        return mac(key, data) if size == 16 else hashlib.blake2s(data, key=key, digest_size=size).digest()

    results = b""
    for size, length in product((16, 20, 28, 32), (0, 3, 64, 65, 255, 1024)):
        data, key = sequence(length, length), sequence(size, size)
        results += plain(data, size) + keyed(key, data, size)
    assert hash_(results).hex() == "6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe"


@given(keys, st.binary())
def test_hmac_is_rfc_2104_and_not_the_key_parameter_of_blake2s(key: bytes, data: bytes) -> None:
    library = library_hmac.HMAC(key, hashes.BLAKE2s(32))
    library.update(data)
    assert hmac(key, data) == library.finalize()
    assert hmac(key, data) != hashlib.blake2s(data, key=key).digest()


# Key derivation


@given(keys, st.binary(max_size=64))
def test_kdf_is_hkdf_of_rfc_5869_without_info(key: bytes, data: bytes) -> None:
    library = HKDF(algorithm=hashes.BLAKE2s(32), length=96, salt=key, info=b"").derive(data)
    assert b"".join(kdf3(key, data)) == library


@given(keys, st.binary(max_size=64))
def test_a_shorter_kdf_gives_the_beginning_of_a_longer_one(key: bytes, data: bytes) -> None:
    assert kdf2(key, data) == kdf3(key, data)[:2]
    assert kdf1(key, data) == kdf3(key, data)[0]


def test_the_first_chaining_key_and_hash_are_the_ones_everybody_has() -> None:
    chaining_key = hash_(CONSTRUCTION)
    assert chaining_key.hex() == "60e26daef327efc02ec335e2a025d2d016eb4206f87277f52d38d1988b78cd36"
    first_hash = hash_(chaining_key + IDENTIFIER)
    assert first_hash.hex() == "2211b361081ac566691243db458ad5322d9c6c662293e8b70ee19c65ba079ef3"


# ChaCha20-Poly1305


def test_aead_opens_the_message_of_rfc_8439_appendix_a_5() -> None:
    """Its nonce begins with four zero bytes, as WireGuard's do; the rest is the counter."""
    key = bytes.fromhex("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0")
    counter = int.from_bytes(bytes.fromhex("0102030405060708"), "little")
    auth = bytes.fromhex("f33388860000000000004e91")
    sealed = bytes.fromhex(
        "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb2"
        "4c6cfc18755d43eea09ee94e382d26b0bdb7b73c321b0100d4f03b7f355894cf"
        "332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c855"
        "9797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4"
        "b9166c767b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0a06c523e"
        "af4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a"
        "0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6727627097a10"
        "49e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29"
        "a6ad5cb4022b02709b"
        "eead9d67890cbb22392336fea1851f38"
    )
    plaintext = aead_open(key, counter, sealed, auth, field="test")
    assert plaintext.startswith(b"Internet-Drafts are draft documents valid for a maximum of six months")
    assert plaintext.endswith("other than as /“work in progress./”".encode())
    assert aead(key, counter, plaintext, auth) == sealed


def test_the_library_gives_the_ciphertext_of_rfc_8439_section_2_8_2() -> None:
    """WireGuard cannot produce the nonce of this vector, so it goes to the library below."""
    sealed = ChaCha20Poly1305(bytes(range(0x80, 0xA0))).encrypt(
        bytes.fromhex("070000004041424344454647"), SUNSCREEN, bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
    )
    assert sealed[:16].hex() == "d31a8d34648e60db7b86afbc53ef7ec2"
    assert sealed[-16:].hex() == "1ae10b594f09e26a7e902ecbd0600691"


@given(keys, st.integers(0, 2**64 - 1), st.binary(max_size=64), st.binary(max_size=32), st.data())
def test_a_changed_aead_message_does_not_open(
    key: bytes, counter: int, plaintext: bytes, auth: bytes, data: st.DataObject
) -> None:
    sealed = aead(key, counter, plaintext, auth)
    assert len(sealed) == len(plaintext) + 16
    assert aead_open(key, counter, sealed, auth, field="test") == plaintext
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    with pytest.raises(AuthenticationError, match=r"^test: "):
        aead_open(key, counter, flip(sealed, bit), auth, field="test")
    with pytest.raises(AuthenticationError):
        aead_open(key, counter ^ 1, sealed, auth, field="test")
    with pytest.raises(AuthenticationError):
        aead_open(key, counter, sealed, auth + b"\0", field="test")


# XChaCha20-Poly1305


def test_xaead_gives_the_ciphertext_of_the_xchacha_draft_appendix_a_3_1() -> None:
    sealed = xaead(
        bytes(range(0x80, 0xA0)),
        bytes(range(0x40, 0x58)),
        SUNSCREEN,
        bytes.fromhex("50515253c0c1c2c3c4c5c6c7"),
    )
    assert sealed.hex() == (
        "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb"
        "731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452"
        "2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9"
        "21f9664c97637da9768812f615c68b13b52e"
        "c0875924c1c7987947deafd8780acf49"
    )


def test_xaead_is_aead_under_the_hchacha20_subkey_of_the_xchacha_draft_section_2_2_1() -> None:
    """The key is HChaCha20 of key and first 16 bytes of nonce, the last 8 bytes are the counter."""
    subkey = bytes.fromhex("82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc")
    counter = 0x0123456789ABCDEF
    nonce = bytes.fromhex("000000090000004a0000000031415927") + counter.to_bytes(8, "little")
    assert xaead(bytes(range(32)), nonce, SUNSCREEN, b"auth") == aead(subkey, counter, SUNSCREEN, b"auth")


@given(keys, st.binary(min_size=24, max_size=24), st.binary(max_size=64), st.binary(max_size=32), st.data())
def test_a_changed_xaead_message_does_not_open(
    key: bytes, nonce: bytes, plaintext: bytes, auth: bytes, data: st.DataObject
) -> None:
    sealed = xaead(key, nonce, plaintext, auth)
    assert xaead_open(key, nonce, sealed, auth, field="test") == plaintext
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    with pytest.raises(AuthenticationError, match=r"^test: "):
        xaead_open(key, nonce, flip(sealed, bit), auth, field="test")
    with pytest.raises(AuthenticationError):
        xaead_open(key, flip(nonce, 0), sealed, auth, field="test")
    with pytest.raises(AuthenticationError):
        xaead_open(key, nonce, sealed, auth + b"\0", field="test")


def test_verify_names_the_field_that_differs() -> None:
    verify(b"same", b"same", field="Initiation.mac1")
    with pytest.raises(AuthenticationError, match=r"^Initiation\.mac1: does not authenticate"):
        verify(b"same", b"sane", field="Initiation.mac1")

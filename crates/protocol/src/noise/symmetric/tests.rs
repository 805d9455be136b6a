//! BLAKE2s, HMAC and HKDF against values of RFC 7693 and of Python's `hashlib` and `hmac`.

use alloc::vec::Vec;

use super::*;
use crate::mac::mac;

fn hex<const N: usize>(text: &str) -> [u8; N] {
    assert_eq!(text.len(), 2 * N);
    core::array::from_fn(|index| u8::from_str_radix(&text[2 * index..][..2], 16).unwrap())
}

fn counting<const N: usize>() -> [u8; N] {
    core::array::from_fn(|index| index as u8)
}

#[test]
fn blake2s_hashes_as_in_rfc_7693() {
    let expected = hex("508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
    assert_eq!(hash(&[b"abc"]), expected);
    assert_eq!(hash(&[b"a", b"", b"bc"]), expected);
}

#[test]
fn keyed_blake2s_takes_keys_of_32_and_of_16_bytes() {
    assert_eq!(
        mac(&counting::<32>(), &[&counting::<63>()]),
        hex("ece382a8bd5018f1de5da44b72cea75b")
    );
    assert_eq!(
        mac(&counting::<16>(), &[b"ab", b"c"]),
        hex("75296c2d2c0f51210b383f386bc8b1ff")
    );
}

#[test]
fn hmac_is_that_of_rfc_2104_over_blake2s() {
    let expected: [u8; 32] = hex("82623be5bc0a391b24dce53e67d028eff92d586de0485ac37822e597d049c74f");
    assert_eq!(*hmac(&counting(), &[b"abc"]), expected);
}

#[test]
fn the_kdf_gives_up_to_three_keys_of_one_chain() {
    let expected: [[u8; 32]; 3] = [
        hex("93e2a65883e34ac95485f5d0aa4b09163a4e944dab8cf9406d3a138e362851c6"),
        hex("dd6fae42afdb2a41170f44dc5b885ec4cfd17c8dd324d38b390c548630dd0a83"),
        hex("4125e0adfa9b7e736615e99dde6f3f0b64b949d8b480e82cab2e685dc286e45d"),
    ];
    let input = b"input key material";
    let [first] = kdf(&counting(), input);
    assert_eq!(*first, expected[0]);
    let two: [HandshakeKey; 2] = kdf(&counting(), input);
    assert_eq!(two.iter().map(|key| **key).collect::<Vec<_>>(), expected[..2]);
    let three: [HandshakeKey; 3] = kdf(&counting(), input);
    assert_eq!(three.iter().map(|key| **key).collect::<Vec<_>>(), expected);
}

#[test]
fn the_kdf_takes_an_empty_input() {
    let [first, second]: [HandshakeKey; 2] = kdf(&counting(), &[]);
    assert_eq!(
        *first,
        hex("7a38c34bf2b8738d7374ca77c44ecb309a11d2b2528304fa86052c365e722624")
    );
    assert_eq!(
        *second,
        hex("1a17621f346abdc520746a9fb64d8eb03231d674fc15687537b0780fd9c060fd")
    );
}

#[test]
fn a_handshake_begins_with_the_hashes_of_its_names() {
    let chaining_key = hash(&[b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"]);
    assert_eq!(INITIAL_CHAINING_KEY, chaining_key);
    assert_eq!(
        INITIAL_HASH,
        hash(&[&chaining_key, b"WireGuard v1 zx2c4 Jason@zx2c4.com"])
    );
}

#[test]
fn a_sealed_field_opens_only_at_its_place_in_the_transcript() {
    let peer = PublicKey::from_bytes([7; 32]);
    let (mut writer, mut reader, mut late) = (
        Symmetric::new(&peer),
        Symmetric::new(&peer),
        Symmetric::new(&peer),
    );
    late.mix_hash(b"something else");
    let mut field = [1; 32];
    let key = writer.mix_key(&[9; 32]);
    writer.seal(&key, &mut field);
    assert_eq!(late.open(&key, &field).err(), Some(HandshakeError::Forged));
    assert_eq!(reader.open(&key, &field).unwrap()[..16], [1; 16]);
}

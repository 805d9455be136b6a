//! Known answers: handshakes between kernels, computed again byte for byte.
//!
//! Wireshark's test suite has two captures of 2018 (`wireguard-ping-tcp.pcap`, `wireguard-psk.pcap`) with all
//! keys, the ephemeral ones included. Given those, timestamps and indices, each byte of a message is determined,
//! so the SHA-256 of what we write has to be that of the captured datagram.

use zerocopy::IntoBytes;

use super::initiation::{self, Author};
use super::response;
use crate::cookie::CookieJar;
use crate::keys::{PresharedKey, SecretKey};
use crate::tai64n::Tai64n;
use crate::time::Instant;
use crate::wire::DataHeader;

const ONE: &str = "AKeZaHwBxjiKLFnkY2unvEdOTtg4AL+M9dQXfopFVFk=";
const OTHER: &str = "cFIxTUyBs1Qil414hBwEgvasEax8CKJ5IS5ZougplWs=";

struct Captured {
    initiator: &'static str,
    responder: &'static str,
    ephemerals: [&'static str; 2],
    preshared: [u8; 32],
    timestamp: [u8; 12],
    indices: [u32; 2],
    initiation_sha256: &'static str,
    response_sha256: &'static str,
    /// Counter and SHA-256 of an empty packet of the initiator, which proves the direction of the keys.
    keepalive: Option<(u64, &'static str)>,
}

impl Captured {
    fn recompute(&self) {
        let key = |text: &str| SecretKey::from_base64(text).unwrap();
        let (initiator, responder) = (key(self.initiator), key(self.responder));
        let preshared = PresharedKey::from_bytes(self.preshared);
        let static_static = initiator.diffie_hellman(&responder.public()).unwrap();

        let (initiated, mut message) = initiation::write(Author {
            public: &initiator.public(),
            peer: &responder.public(),
            static_static: static_static.as_bytes(),
            ephemeral: key(self.ephemerals[0]),
            local_index: self.indices[0],
            timestamp: Tai64n::from_bytes(self.timestamp),
        })
        .unwrap();
        CookieJar::default().sign(Instant::default(), &responder.public(), message.as_mut_bytes());
        assert_eq!(sha256(message.as_bytes()), self.initiation_sha256);

        let named = initiation::read_name(&responder, &responder.public(), &message).unwrap();
        assert_eq!(named.peer, initiator.public());
        let (proved, timestamp) = initiation::read_timestamp(named, static_static.as_bytes()).unwrap();
        assert_eq!(timestamp.as_bytes(), &self.timestamp);
        let (responders, mut message) =
            response::write(proved, &key(self.ephemerals[1]), &preshared, self.indices[1]).unwrap();
        CookieJar::default().sign(Instant::default(), &initiator.public(), message.as_mut_bytes());
        assert_eq!(sha256(message.as_bytes()), self.response_sha256);

        let initiators = response::read(&initiated, &initiator, &preshared, &message).unwrap();
        let Some((counter, keepalive_sha256)) = self.keepalive else {
            return;
        };
        let mut keepalive = [0; 32];
        keepalive[..16].copy_from_slice(DataHeader::new(self.indices[1], counter).as_bytes());
        wirewright_aead::seal_one(&initiators.seal, counter, &[], &mut keepalive[16..]);
        assert_eq!(sha256(&keepalive), keepalive_sha256);
        let verdict = wirewright_aead::open_one(&responders.open, counter, &[], &mut keepalive[16..]);
        assert!(matches!(verdict, wirewright_aead::Verdict::Authentic));
    }
}

fn sha256(bytes: &[u8]) -> alloc::string::String {
    use core::fmt::Write as _;
    let mut text = alloc::string::String::new();
    for byte in ring::digest::digest(&ring::digest::SHA256, bytes).as_ref() {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

fn timestamp(bytes: [u8; 8]) -> [u8; 12] {
    let mut timestamp = [0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    timestamp[4..].copy_from_slice(&bytes);
    timestamp
}

#[test]
fn a_captured_handshake_without_preshared_key_is_computed_byte_for_byte() {
    Captured {
        initiator: ONE,
        responder: OTHER,
        ephemerals: [
            "sLGLJSOQfyz7JNJ5ZDzFf3Uz1rkiCMMjbWerNYcPFFU=",
            "QC4/FZKhFf0b/eXEcCecmZNt6V6PXmRa4EWG1PIYTU4=",
        ],
        preshared: [0; 32],
        timestamp: timestamp(0x5b52_647b_1540_5610_u64.to_be_bytes()),
        indices: [0x30d0_37d8, 0xab7d_f406],
        initiation_sha256: "7c05d2abae51ab490a0ec6cd9f821c8162c0effcb85653e4f55a7b2213c4f567",
        response_sha256: "e10dcff3e88f30ae9af0f097cbc83b273cf14874c9fdfbd830d0a57a5a5aa7b4",
        keepalive: Some((
            3,
            "e9bfe15a15eee6aecb9ad08fc4d891ba711c06d14c9c473500675e45f3a16a9e",
        )),
    }
    .recompute();
}

#[test]
fn a_captured_handshake_with_preshared_key_is_computed_byte_for_byte() {
    Captured {
        initiator: ONE,
        responder: OTHER,
        ephemerals: [
            "iCv2VTi/BC/q0egU931KXrrQ4TSwXaezMgrhh7uCbXs=",
            "8G1N3LnEqYC7+NW/b6mqceVUIGBMAZSm+IpwG1U0j0w=",
        ],
        preshared: [0xff; 32],
        timestamp: timestamp(0x5b60_ed66_3156_716e_u64.to_be_bytes()),
        indices: [0xc103_9c02, 0xdce3_fa01],
        initiation_sha256: "363a845e341fc1dcb471c0088764a1ab565766160828043a82fe65a79e9517b2",
        response_sha256: "a12fc7a4861680869dd6bb1562e4e3d30a78feffdded33436881237a35ba21ec",
        keepalive: None,
    }
    .recompute();
}

#[test]
fn a_captured_handshake_in_the_other_direction_is_computed_byte_for_byte() {
    Captured {
        initiator: OTHER,
        responder: ONE,
        ephemerals: [
            "+MHo9sfkjPsjCx7lbVhRLDvMxYvTirOQFDSdzAW6kUQ=",
            "0G6t5j1B/We65MXVEBIGuRGYadwB2ITdvJovtAuATmc=",
        ],
        preshared: [0x88; 32],
        timestamp: timestamp(0x5b60_eec6_20bf_51fc_u64.to_be_bytes()),
        indices: [0x8147_0aff, 0x1860_fcaa],
        initiation_sha256: "85f0c8e7a9d17378e80f22eb69764701b4b3c28ba5078931fc1b383aab1c7175",
        response_sha256: "4bc6020d6a96670b4ef463854a2b8e18967336c6327f5cb78165e401dcc74e67",
        keepalive: None,
    }
    .recompute();
}

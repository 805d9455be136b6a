//! The first message: `e, es, s, ss, {timestamp}` (section 5.4.2).

use wirewright_aead::Safe;
use zerocopy::FromZeros;
use zerocopy::little_endian::U32;

use super::symmetric::Symmetric;
use crate::error::HandshakeError;
use crate::keys::{PublicKey, SecretKey};
use crate::mac::MAC_LEN;
use crate::tai64n::Tai64n;
use crate::wire::Initiation;

/// What the initiator keeps until the response comes; wiped on drop.
pub(crate) struct Initiated {
    pub(crate) state: Safe<Symmetric>,
    pub(crate) ephemeral: SecretKey,
    /// Our index of the handshake, and of the session that may come of it.
    pub(crate) local_index: u32,
}

/// What the initiator brings to the first message.
pub(crate) struct Author<'a> {
    pub(crate) public: &'a PublicKey,
    pub(crate) peer: &'a PublicKey,
    /// Diffie-Hellman of the two static keys.
    pub(crate) static_static: &'a [u8; 32],
    pub(crate) ephemeral: SecretKey,
    pub(crate) local_index: u32,
    pub(crate) timestamp: Tai64n,
}

/// Writes the message, its MACs still zero.
pub(crate) fn write(author: Author<'_>) -> Result<(Initiated, Initiation), HandshakeError> {
    let ephemeral_public = *author.ephemeral.multiply_base_point().as_bytes();
    let mut state = Symmetric::new(author.peer);
    state.mix_ephemeral(&ephemeral_public);

    let key = state.mix_key(author.ephemeral.diffie_hellman(author.peer)?.as_bytes());
    let mut encrypted_static = [0; 48];
    copy_text(&mut encrypted_static, author.public.as_bytes());
    state.seal(&key, &mut encrypted_static);

    let key = state.mix_key(author.static_static);
    let mut encrypted_timestamp = [0; 28];
    copy_text(&mut encrypted_timestamp, author.timestamp.as_bytes());
    state.seal(&key, &mut encrypted_timestamp);

    let message = Initiation {
        kind: U32::new(Initiation::KIND),
        sender: U32::new(author.local_index),
        ephemeral: ephemeral_public,
        encrypted_static,
        encrypted_timestamp,
        mac1: [0; MAC_LEN],
        mac2: [0; MAC_LEN],
    };
    let initiated = Initiated {
        state: Safe::new(state),
        ephemeral: author.ephemeral,
        local_index: author.local_index,
    };
    Ok((initiated, message))
}

/// An initiation read up to the initiator's name; wiped on drop.
#[derive(FromZeros)]
pub(crate) struct Named {
    pub(crate) state: Symmetric,
    pub(crate) peer: PublicKey,
    pub(crate) sender: u32,
    pub(crate) ephemeral: PublicKey,
    encrypted_timestamp: [u8; 28],
}

/// Reads `e, es, s`: all that a responder can read before it has looked up the peer.
pub(crate) fn read_name(
    secret: &SecretKey,
    public: &PublicKey,
    message: &Initiation,
) -> Result<Safe<Named>, HandshakeError> {
    let mut state = Symmetric::new(public);
    state.mix_ephemeral(&message.ephemeral);
    let ephemeral = PublicKey::from_bytes(message.ephemeral);
    let key = state.mix_key(secret.diffie_hellman(&ephemeral)?.as_bytes());
    let text = state.open(&key, &message.encrypted_static)?;
    Ok(Safe::new(Named {
        state,
        peer: PublicKey::from_bytes(take_text(&text)),
        sender: message.sender(),
        ephemeral,
        encrypted_timestamp: message.encrypted_timestamp,
    }))
}

/// An initiation whose author owns its name; wiped on drop.
pub(crate) struct Proved(pub(crate) Safe<Named>);

/// Reads `ss, {timestamp}`.
pub(crate) fn read_timestamp(
    mut named: Safe<Named>,
    static_static: &[u8; 32],
) -> Result<(Proved, Tai64n), HandshakeError> {
    let key = named.state.mix_key(static_static);
    let field = named.encrypted_timestamp;
    let text = named.state.open(&key, &field)?;
    Ok((Proved(named), Tai64n::from_bytes(take_text(&text))))
}

fn copy_text(field: &mut [u8], text: &[u8]) {
    for (to, from) in field.iter_mut().zip(text) {
        *to = *from;
    }
}

fn take_text<const FIELD: usize, const TEXT: usize>(field: &[u8; FIELD]) -> [u8; TEXT] {
    const { assert!(TEXT + MAC_LEN == FIELD) };
    core::array::from_fn(|index| field[index])
}

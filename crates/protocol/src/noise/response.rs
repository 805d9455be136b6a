//! The second message: `e, ee, se, psk, {}` (section 5.4.3).

use zerocopy::little_endian::U32;

use super::initiation::{Initiated, Proved};
use super::symmetric::Symmetric;
use crate::error::HandshakeError;
use crate::keys::{PresharedKey, PublicKey, SecretKey};
use crate::mac::MAC_LEN;
use crate::session::SessionKeys;
use crate::wire::Response;

/// Writes the answer to an initiation, its MACs still zero, and derives the responder's keys.
pub(crate) fn write(
    initiation: Proved,
    ephemeral: &SecretKey,
    preshared: &PresharedKey,
    local_index: u32,
) -> Result<(SessionKeys, Response), HandshakeError> {
    let mut initiation = initiation.0;
    let (initiator_ephemeral, initiator) = (initiation.ephemeral, initiation.peer);
    let state: &mut Symmetric = &mut initiation.state;

    let ephemeral_public = *ephemeral.multiply_base_point().as_bytes();
    state.mix_ephemeral(&ephemeral_public);
    state.mix_secret(ephemeral.diffie_hellman(&initiator_ephemeral)?.as_bytes());
    state.mix_secret(ephemeral.diffie_hellman(&initiator)?.as_bytes());
    let key = state.mix_preshared_key(preshared);
    let mut encrypted_nothing = [0; 16];
    state.seal(&key, &mut encrypted_nothing);
    let keys = state.session_keys(false);

    let message = Response {
        kind: U32::new(Response::KIND),
        sender: U32::new(local_index),
        receiver: U32::new(initiation.sender),
        ephemeral: ephemeral_public,
        encrypted_nothing,
        mac1: [0; MAC_LEN],
        mac2: [0; MAC_LEN],
    };
    Ok((keys, message))
}

/// Reads the answer to our initiation and derives the initiator's keys. What was initiated is kept, so that a
/// forged response does not cost the handshake.
pub(crate) fn read(
    initiated: &Initiated,
    secret: &SecretKey,
    preshared: &PresharedKey,
    message: &Response,
) -> Result<SessionKeys, HandshakeError> {
    let mut state = Symmetric::clone(&initiated.state);
    let ephemeral = PublicKey::from_bytes(message.ephemeral);
    state.mix_ephemeral(&message.ephemeral);
    state.mix_secret(initiated.ephemeral.diffie_hellman(&ephemeral)?.as_bytes());
    state.mix_secret(secret.diffie_hellman(&ephemeral)?.as_bytes());
    let key = state.mix_preshared_key(preshared);
    state.open(&key, &message.encrypted_nothing)?;
    Ok(state.session_keys(true))
}

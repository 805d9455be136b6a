//! One's own key pair, and what can be read with it before the peer is known.

use wirewright_aead::Safe;

use crate::error::HandshakeError;
use crate::keys::{PublicKey, SecretKey};
use crate::mac::{self, Macs};
use crate::noise::initiation::{self, Named};
use crate::noise::on_wiped_stack;
use crate::wire::Initiation;

/// A device's key pair with what is derived from it once. The secret is wiped on drop.
pub struct Identity {
    secret: SecretKey,
    public: PublicKey,
    mac1_key: [u8; 32],
}

impl Identity {
    /// Derives the public key.
    #[must_use]
    pub fn new(secret: SecretKey) -> Self {
        let public = secret.public();
        Self {
            mac1_key: mac::mac1_key(&public),
            secret,
            public,
        }
    }

    /// The device's public key.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Whether `message`, a whole initiation or response, was made by somebody who knows our public key.
    /// Costs one hash, so it comes before everything else.
    #[must_use]
    pub fn check_mac1(&self, message: &[u8]) -> bool {
        Macs::of(message).is_some_and(|macs| macs.mac1_is_by(&self.mac1_key))
    }

    /// Reads the name of the peer that sent an initiation, at the price of one Diffie-Hellman operation. The
    /// peer is proved, and the timestamp read, by
    /// [`Conversation::accept_initiation`](crate::Conversation::accept_initiation).
    ///
    /// # Errors
    /// [`HandshakeError::Forged`] if it was not made for our public key, [`HandshakeError::LowOrderKey`] if
    /// its ephemeral key has low order.
    pub fn open_initiation(&self, message: &Initiation) -> Result<OpenedInitiation, HandshakeError> {
        on_wiped_stack(|| initiation::read_name(&self.secret, &self.public, message)).map(OpenedInitiation)
    }

    /// The secret half.
    #[must_use]
    pub const fn secret(&self) -> &SecretKey {
        &self.secret
    }
}

impl core::fmt::Debug for Identity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Identity")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

/// An initiation whose peer is named but not yet proved. Wiped on drop; it may be handed to another thread.
pub struct OpenedInitiation(pub(crate) Safe<Named>);

impl OpenedInitiation {
    /// Who claims to have sent it.
    #[must_use]
    pub fn peer(&self) -> PublicKey {
        self.0.peer
    }

    /// The peer's index of the handshake.
    #[must_use]
    pub fn sender(&self) -> u32 {
        self.0.sender
    }
}

impl core::fmt::Debug for OpenedInitiation {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("OpenedInitiation")
            .field("peer", &self.0.peer)
            .finish_non_exhaustive()
    }
}

const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<OpenedInitiation>();
};

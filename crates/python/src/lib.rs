//! The Python module wirewright._core: thin bindings, one file an exposed object.
//!
//! What Python holds of a key is a handle: the key itself lies in memory of this library and is wiped when the
//! handle goes. Only the methods named `expose` (and `reveal_config`) copy key material into Python objects,
//! which CPython cannot wipe.

use pyo3::pymodule;

mod config;
mod error;
mod key;
mod secret_io;
mod status;
mod virtual_device;

/// The core of Wirewright: what touches keys and packets.
#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::{
        config::{ConfigText, HiddenText, parse_config_bytes, read_config, reveal_config, write_config},
        key::{PresharedKey, PublicKey, SecretKey},
        virtual_device::VirtualDevice,
    };

    /// The version of the package.
    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}

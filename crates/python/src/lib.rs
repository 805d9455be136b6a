//! The Python module wirewright._core: thin bindings, one file an exposed object.
//!
//! What Python holds of a key is a handle: the key itself lies in memory of this library and is wiped when the
//! handle goes. Only the methods named `expose` (and `reveal_config`) copy key material into Python objects,
//! which CPython cannot wipe.

use pyo3::pymodule;

mod bytes;
mod config;
mod connection;
mod datagrams;
mod error;
mod event;
mod fork;
mod forwarding;
mod handle;
mod key;
mod listener;
mod peer;
mod refusal;
mod secret_io;
mod shards;
mod shim;
mod status;
mod system;
mod tunnel;
mod virtual_device;

/// The core of Wirewright: what touches keys and packets.
#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::{
        config::{
            ConfigText, HiddenText, parse_config_bytes, read_config, reveal_config, write_config,
            write_revealed,
        },
        connection::Connection,
        datagrams::Datagrams,
        key::{PresharedKey, PublicKey, SecretKey},
        listener::Listener,
        shim::run_shim,
        system::run_interface,
        tunnel::RootlessTunnel,
        virtual_device::VirtualDevice,
    };

    #[pymodule_init]
    fn init(module: &pyo3::Bound<'_, pyo3::types::PyModule>) -> pyo3::PyResult<()> {
        // Before the first key.
        wirewright_runtime::vault::install();
        crate::fork::register(module)
    }

    /// The version of the package.
    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    /// Whether it was built with the checks of a debug build, which make it slow.
    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __debug_build__: bool = cfg!(debug_assertions);
}

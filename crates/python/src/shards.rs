//! How many shards an interface may have.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use wirewright_engine::Shard;
use wirewright_runtime::OsRandom;

/// The number, if the engine can have so many.
pub(crate) fn checked(shards: u8) -> PyResult<u8> {
    // It does not depend on the source of randomness.
    const MOST: u8 = Shard::<OsRandom>::MAX_SHARDS;
    if (1..=MOST).contains(&shards) {
        Ok(shards)
    } else {
        Err(PyValueError::new_err(format!(
            "shards must be between 1 and {MOST}, not {shards}"
        )))
    }
}

//! What Python says of a peer's settings, as the engine takes it; shared by the tunnel and the virtual device.

use std::time::Duration;

/// A keepalive interval in seconds, of which 0 means none.
pub(crate) fn interval(seconds: u16) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}

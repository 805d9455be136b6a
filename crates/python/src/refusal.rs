//! Why the stack refused a call, as an `OSError` with the number that a socket would give.

use std::net::IpAddr;

use pyo3::PyErr;
use pyo3::exceptions::PyOSError;
use rustix::io::Errno;
use wirewright_netstack::{
    BindError, CloseReason, ConnectError, ListenError, PingError, SendError, WriteError,
};

/// An error number and a sentence.
pub(crate) struct Refusal(Errno, String);

impl Refusal {
    pub(crate) fn into_error(self) -> PyErr {
        PyOSError::new_err((self.0.raw_os_error(), self.1))
    }
}

/// The tunnel has no address of the family of `remote`.
pub(crate) fn no_address(remote: IpAddr) -> Refusal {
    ConnectError::NoLocalAddress.into_refusal(remote)
}

trait IntoRefusal: ToString + Sized {
    fn errno(&self) -> Errno;

    fn into_refusal(self, _: IpAddr) -> Refusal {
        Refusal(self.errno(), self.to_string())
    }
}

macro_rules! refusals {
    ($($error:ident { $($pattern:pat => $errno:ident,)* })*) => {$(
        impl IntoRefusal for $error {
            fn errno(&self) -> Errno {
                match self { $($pattern => Errno::$errno,)* _ => Errno::INVAL }
            }
        }

        impl From<$error> for Refusal {
            fn from(error: $error) -> Self {
                Self(error.errno(), error.to_string())
            }
        }
    )*};
}

refusals! {
    ConnectError {
        ConnectError::InvalidRemote | ConnectError::OwnAddress | ConnectError::NotOurAddress(_) => ADDRNOTAVAIL,
        ConnectError::NoLocalAddress => NETUNREACH,
        ConnectError::AddressInUse | ConnectError::PortsExhausted => ADDRINUSE,
        ConnectError::TooManyConnections => MFILE,
        ConnectError::OutOfMemory => NOMEM,
    }
    ListenError {
        ListenError::NotOurAddress(_) => ADDRNOTAVAIL,
        ListenError::AddressInUse | ListenError::PortsExhausted => ADDRINUSE,
        ListenError::TooManyListeners => MFILE,
    }
    BindError {
        BindError::NotOurAddress(_) | BindError::InvalidRemote => ADDRNOTAVAIL,
        BindError::AddressInUse | BindError::PortsExhausted => ADDRINUSE,
        BindError::TooManySockets => MFILE,
        BindError::NoLocalAddress => NETUNREACH,
        BindError::Closed => BADF,
    }
    SendError {
        SendError::TooLong { .. } => MSGSIZE,
        SendError::Full => AGAIN,
        SendError::InvalidRemote => ADDRNOTAVAIL,
        SendError::NotConnected => DESTADDRREQ,
        SendError::NoLocalAddress => NETUNREACH,
        SendError::Closed => BADF,
    }
    WriteError {
        WriteError::Closed(CloseReason::Reset) => CONNRESET,
        WriteError::Closed(CloseReason::TimedOut) => TIMEDOUT,
        WriteError::Closed(CloseReason::Aborted) => CONNABORTED,
        WriteError::ShutDown | WriteError::Closed(_) => PIPE,
    }
    PingError {
        PingError::TooLong { .. } => MSGSIZE,
        PingError::Full => NOBUFS,
        PingError::InvalidRemote => ADDRNOTAVAIL,
        PingError::NoLocalAddress => NETUNREACH,
    }
}

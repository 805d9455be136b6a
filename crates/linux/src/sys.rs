//! The few system calls that no library wraps as they are needed here.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// Sets a socket option to a plain value.
pub(crate) fn set_option<T: Copy>(socket: impl AsFd, level: i32, name: i32, value: T) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `value`, which lives through the call and is only read.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    outcome(result).map(drop)
}

/// An `ioctl` whose argument is a number, or a pointer that the kernel reads or writes.
///
/// # Safety
/// `argument` must be what the request documents: if it is a pointer, to memory of the right size and lifetime.
pub(crate) unsafe fn ioctl(file: impl AsFd, request: libc::Ioctl, argument: libc::c_ulong) -> io::Result<()> {
    // SAFETY: promised by the caller.
    outcome(unsafe { libc::ioctl(file.as_fd().as_raw_fd(), request, argument) }).map(drop)
}

/// The network namespace of a socket.
pub(crate) fn namespace_of(socket: impl AsFd) -> io::Result<OwnedFd> {
    // SAFETY: linux/sockios.h: SIOCGSKNS takes no argument.
    unsafe { opening(socket, 0x894c) }
}

/// An `ioctl` without an argument that opens a descriptor.
///
/// # Safety
/// The request must be one that does this.
pub(crate) unsafe fn opening(file: impl AsFd, request: libc::Ioctl) -> io::Result<OwnedFd> {
    // SAFETY: no pointer is passed.
    let opened = outcome(unsafe { libc::ioctl(file.as_fd().as_raw_fd(), request, 0) })?;
    // SAFETY: promised by the caller: the kernel opened it just now, close-on-exec.
    Ok(unsafe { OwnedFd::from_raw_fd(opened) })
}

pub(crate) fn outcome(result: i32) -> io::Result<i32> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// A value of a C structure with every byte zero.
///
/// # Safety
/// All zeros must be a valid value of `T`.
pub(crate) unsafe fn zeroed<T>() -> T {
    // SAFETY: promised by the caller.
    unsafe { std::mem::zeroed() }
}

/// What an error says, without its number.
pub(crate) fn told(error: &io::Error) -> String {
    let mut text = error.to_string();
    if let Some(at) = text.find(" (os error ") {
        text.truncate(at);
    }
    text
}

/// A descriptor inherited from whoever started us.
///
/// # Errors
/// If it is not open.
///
/// # Safety
/// Nothing else in this process may own the descriptor.
pub unsafe fn inherited(number: i32) -> io::Result<OwnedFd> {
    // SAFETY: only asks whether it is open.
    outcome(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: it is open, and the caller promised that nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

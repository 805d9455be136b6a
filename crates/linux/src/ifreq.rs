//! Requests about an interface of this network namespace by its name (`netdevice(7)`).

use std::io;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::sys;

/// The number of an interface of this network namespace.
pub(crate) fn index(name: &str) -> io::Result<i32> {
    let request = ask(libc::SIOCGIFINDEX, request_for(name)?)?;
    // SAFETY: the kernel filled in the index.
    Ok(unsafe { request.ifr_ifru.ifru_ifindex })
}

/// The same, if there is one of the name.
pub(crate) fn index_of(name: &str) -> Option<u32> {
    u32::try_from(index(name).ok()?).ok()
}

/// Makes a request about an interface; returns it as the kernel filled it in.
pub(crate) fn ask(code: libc::Ioctl, mut request: libc::ifreq) -> io::Result<libc::ifreq> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)?;
    // SAFETY: all requests made here take a pointer to an ifreq, which lives through the call.
    unsafe { sys::ioctl(socket, code, (&raw mut request) as libc::c_ulong)? };
    Ok(request)
}

/// A request with the name filled in.
pub(crate) fn request_for(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: an ifreq is made of numbers and arrays of them.
    let mut request: libc::ifreq = unsafe { sys::zeroed() };
    // The kernel's dev_valid_name: what may stand in a path.
    let is_valid = !name.is_empty()
        && name.len() < request.ifr_name.len()
        && name != "."
        && name != ".."
        && name
            .bytes()
            .all(|byte| byte > b' ' && byte != b'/' && byte != b':' && byte != 0x7f);
    if !is_valid {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{name:?} cannot be the name of an interface: up to 15 bytes, no space, slash or colon"),
        ));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(request)
}

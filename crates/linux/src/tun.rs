//! A TUN device: IP packets in and out of the kernel, whole trains at a time.
//!
//! With `IFF_VNET_HDR` each packet has a header that says what its sender left to be done, so that the kernel may hand
//! over super-packets with incomplete checksums, and takes them (see [`wirewright_offload::virtio`]). What the kernel
//! takes is found out here, step by step: UDP offload is newer (6.2) than TCP's.

use std::ffi::CStr;
use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use crate::ifreq;
use crate::sys;

/// Which of a TUN's offloads are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunOffloads {
    /// Super-segments of TCP, IPv4 and IPv6.
    pub tcp: bool,
    /// Super-datagrams of UDP.
    pub udp: bool,
}

impl TunOffloads {
    /// All of them.
    pub const ALL: Self = Self { tcp: true, udp: true };
    /// None of them.
    pub const NONE: Self = Self {
        tcp: false,
        udp: false,
    };
}

impl fmt::Display for TunOffloads {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match (self.tcp, self.udp) {
            (true, true) => "super-packets of TCP and UDP",
            (true, false) => "super-packets of TCP, none of UDP",
            (false, true) => "super-packets of UDP, none of TCP",
            (false, false) => "no super-packets",
        })
    }
}

/// A TUN device with its queues.
pub struct Tun {
    name: String,
    queues: Vec<File>,
    offloads: TunOffloads,
}

// linux/if_tun.h
const TUNSETIFF: libc::Ioctl = 0x4004_54ca;
const TUNGETIFF: libc::Ioctl = 0x8004_54d2;
const TUNSETOFFLOAD: libc::Ioctl = 0x4004_54d0;
const TUNGETDEVNETNS: libc::Ioctl = 0x54e3;
const TUN_F_CSUM: libc::c_ulong = 0x01;
const TUN_F_TSO4: libc::c_ulong = 0x02;
const TUN_F_TSO6: libc::c_ulong = 0x04;
const TUN_F_TSO_ECN: libc::c_ulong = 0x08;
const TUN_F_USO4: libc::c_ulong = 0x20;
const TUN_F_USO6: libc::c_ulong = 0x40;

impl Tun {
    /// Creates the interface `name`, or takes one over that was made to persist, with so many queues.
    ///
    /// # Errors
    /// What the operating system says; [`io::ErrorKind::InvalidInput`] if it cannot be a name.
    pub fn create(name: &str, queues: usize, wanted: TunOffloads) -> io::Result<Self> {
        let first = Self::open_queue(name, queues > 1)?;
        let mut tun = Self::adopt(first, wanted)?;
        for _ in 1..queues {
            let queue = Self::open_queue(&tun.name, true)?;
            // Offloads belong to the interface, but each queue asks for them as it is attached.
            set_offloads(&queue, tun.offloads)?;
            tun.queues.push(queue);
        }
        Ok(tun)
    }

    /// Takes over a descriptor of a TUN device that somebody else opened (`WG_TUN_FD`).
    ///
    /// # Errors
    /// If it is none, or was opened without the header that tells of offloads.
    pub fn from_descriptor(descriptor: OwnedFd, wanted: TunOffloads) -> io::Result<Self> {
        // Whatever knows no such request is no TUN, and one that stands for no interface is of no use.
        let flags = get_interface(&descriptor).map_or(0, |request| {
            // SAFETY: the kernel filled in the flags.
            i32::from(unsafe { request.ifr_ifru.ifru_flags })
        });
        if flags & libc::IFF_TUN == 0 || flags & libc::IFF_VNET_HDR == 0 || flags & libc::IFF_NO_PI == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the descriptor in WG_TUN_FD is not a TUN device opened with IFF_NO_PI and IFF_VNET_HDR",
            ));
        }
        rustix::io::ioctl_fionbio(&descriptor, true)?;
        Self::adopt(File::from(descriptor), wanted)
    }

    fn adopt(queue: File, wanted: TunOffloads) -> io::Result<Self> {
        let name = name_of(&get_interface(&queue)?);
        let offloads = probe_offloads(&queue, wanted)?;
        Ok(Self {
            name,
            queues: vec![queue],
            offloads,
        })
    }

    fn open_queue(name: &str, several: bool) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = File::from(rustix::fs::open("/dev/net/tun", flags, Mode::empty())?);
        let mut request = ifreq::request_for(name)?;
        let mut wanted = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
        if several {
            wanted |= libc::IFF_MULTI_QUEUE;
        }
        request.ifr_ifru.ifru_flags = wanted as libc::c_short;
        // SAFETY: TUNSETIFF takes a pointer to an ifreq, which lives through the call.
        let made = unsafe { sys::ioctl(&file, TUNSETIFF, (&raw mut request) as libc::c_ulong) };
        match made {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) && ifreq::index_of(name).is_some() => {
                Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "an interface of this name is there already, and is not a TUN device that can be taken over",
                ))
            }
            made => made.map(|()| file),
        }
    }

    /// The interface's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the kernel was found to take.
    #[must_use]
    pub fn offloads(&self) -> TunOffloads {
        self.offloads
    }

    /// How many queues it has.
    #[must_use]
    pub fn queues(&self) -> usize {
        self.queues.len()
    }

    /// Another descriptor of the device, by which to follow it.
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        let queue = self.queues.first().ok_or(io::ErrorKind::NotFound)?;
        queue.as_fd().try_clone_to_owned()
    }

    /// The queues, one for each thread.
    #[must_use]
    pub fn into_queues(self) -> Vec<Queue> {
        self.queues.into_iter().map(Queue).collect()
    }
}

/// One queue of a TUN device.
pub struct Queue(File);

/// Whether no later call of reading a queue can succeed: its interface was deleted (`EBADFD`), or the descriptor or the buffer
/// is none. Anything else is about one packet, or about the machine, and passes.
#[must_use]
pub fn is_final(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EBADFD | libc::EBADF | libc::EFAULT | libc::ENOSYS | libc::EOPNOTSUPP)
    )
}

impl Queue {
    /// Reads one packet with its header. `None`: there is none now.
    ///
    /// # Errors
    /// What the operating system says; a device that is gone gives `EBADFD`.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match rustix::io::read(&self.0, &mut *buffer) {
                Ok(len) => return Ok(Some(len)),
                Err(rustix::io::Errno::AGAIN) => return Ok(None),
                Err(rustix::io::Errno::INTR) => (),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writes one packet, header and all, in pieces.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn write(&self, pieces: &[IoSlice<'_>]) -> io::Result<()> {
        loop {
            match rustix::io::writev(&self.0, pieces) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => (),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Turns on as much as is wanted and the kernel takes.
fn probe_offloads(queue: &File, wanted: TunOffloads) -> io::Result<TunOffloads> {
    let mut tries = vec![wanted];
    tries.push(TunOffloads { udp: false, ..wanted });
    let taken = tries
        .into_iter()
        .find(|offloads| set_offloads(queue, *offloads).is_ok());
    match taken {
        Some(offloads) => Ok(offloads),
        None => set_offloads(queue, TunOffloads::NONE).map(|()| TunOffloads::NONE),
    }
}

fn set_offloads(queue: &File, offloads: TunOffloads) -> io::Result<()> {
    // Without checksums to complete there is nothing to cut either.
    let mut flags = 0;
    if offloads.tcp {
        flags |= TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    }
    if offloads.udp {
        flags |= TUN_F_CSUM | TUN_F_USO4 | TUN_F_USO6;
    }
    // SAFETY: TUNSETOFFLOAD takes flags, no pointer.
    unsafe { sys::ioctl(queue, TUNSETOFFLOAD, flags) }
}

/// The name that a device has by now.
pub(crate) fn name_now(tun: impl AsFd) -> io::Result<String> {
    Ok(name_of(&get_interface(tun)?))
}

/// The network namespace that a device is in by now.
pub(crate) fn namespace(tun: impl AsFd) -> io::Result<OwnedFd> {
    // SAFETY: TUNGETDEVNETNS takes no argument and opens a descriptor.
    unsafe { sys::opening(tun, TUNGETDEVNETNS) }
}

fn get_interface(queue: impl AsFd) -> io::Result<libc::ifreq> {
    // SAFETY: an ifreq is made of numbers and arrays of them.
    let mut request: libc::ifreq = unsafe { sys::zeroed() };
    // SAFETY: TUNGETIFF writes an ifreq to the pointer, which lives through the call.
    unsafe { sys::ioctl(queue, TUNGETIFF, (&raw mut request) as libc::c_ulong)? };
    Ok(request)
}

fn name_of(request: &libc::ifreq) -> String {
    let bytes: Vec<u8> = request.ifr_name.iter().map(|byte| *byte as u8).collect();
    CStr::from_bytes_until_nul(&bytes)
        .map_or_else(|_| String::new(), |name| name.to_string_lossy().into_owned())
}

//! The listening socket, and the file that stands for it: made here, or inherited from whoever started us.
//!
//! While the file is there, the interface is served; whoever removes it asks the interface to end.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::inotify;
use rustix::net::{AddressFamily, SocketType, sockopt};

use crate::sys;

/// Where `wg` looks for it.
const DIRECTORY: &str = "/var/run/wireguard";

/// The socket file of an interface, which goes when this does. Another process may have put its own in the same place by
/// then: that one stays.
pub(crate) struct SocketFile {
    /// `None` if the socket has no file.
    place: Option<Place>,
    watch: OwnedFd,
}

struct Place {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

/// A listening socket and its file, where `wg` looks for it.
pub(crate) fn listen(interface: &str) -> io::Result<(UnixListener, SocketFile)> {
    let path = Path::new(DIRECTORY).join(format!("{interface}.sock"));
    let made = make(&path);
    // Which file it is about is what helps.
    made.map_err(|error| match error.raw_os_error() {
        Some(_) => io::Error::new(error.kind(), format!("{}: {}", path.display(), sys::told(&error))),
        None => error,
    })
}

/// Removes a file unless it is kept: a start that fails leaves nothing.
struct Made<'a>(Option<&'a Path>);

impl Drop for Made<'_> {
    fn drop(&mut self) {
        if let Some(path) = self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn make(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(DIRECTORY)?;
    if UnixStream::connect(path).is_ok() {
        let message = format!("another process serves {}", path.display());
        return Err(io::Error::new(ErrorKind::AddrInUse, message));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => (),
    }
    // Whoever can connect can read the keys: the file is made for its owner alone, with no moment before.
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(path);
    rustix::process::umask(before);
    let listener = listener?;
    let mut made = Made(Some(path));
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    let file = SocketFile::watching(Some(path.to_owned()))?;
    made.0 = None;
    Ok((listener, file))
}

/// Takes over a socket that somebody else bound and listens on (`WG_UAPI_FD`), and its file.
///
/// # Errors
/// If it is none.
pub(crate) fn listen_at(descriptor: OwnedFd) -> io::Result<(UnixListener, SocketFile)> {
    let listens = sockopt::socket_domain(&descriptor).is_ok_and(|domain| domain == AddressFamily::UNIX)
        && sockopt::socket_type(&descriptor).is_ok_and(|kind| kind == SocketType::STREAM)
        && sockopt::socket_acceptconn(&descriptor).unwrap_or(false);
    if !listens {
        return Err(io::Error::new(
            ErrorKind::InvalidInput,
            "the descriptor in WG_UAPI_FD is not a Unix stream socket that listens",
        ));
    }
    let listener = UnixListener::from(descriptor);
    listener.set_nonblocking(true)?;
    // A relative path was so to a directory that nobody knows any more.
    let path = listener.local_addr()?.as_pathname().map(Path::to_owned);
    let path = path.filter(|path| path.is_absolute() && path.exists());
    let file = SocketFile::watching(path)?;
    Ok((listener, file))
}

impl SocketFile {
    fn watching(path: Option<PathBuf>) -> io::Result<Self> {
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
            .map_err(unwatched)?;
        let gone =
            inotify::WatchFlags::DELETE_SELF | inotify::WatchFlags::ATTRIB | inotify::WatchFlags::MOVE_SELF;
        let place = match path {
            Some(path) => {
                inotify::add_watch(&watch, &path, gone).map_err(unwatched)?;
                let identity = identity_of(&path)?;
                Some(Place { path, identity })
            }
            None => None,
        };
        Ok(Self { place, watch })
    }

    /// Whether somebody removed the file, which asks the interface to end.
    pub(crate) fn is_gone(&self) -> bool {
        let mut events = [0; 512];
        while rustix::io::read(&self.watch, &mut events).is_ok_and(|len| len > 0) {}
        self.place.as_ref().is_some_and(Place::is_gone)
    }

    /// Where it is, if it is a file.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.place.as_ref().map(|place| place.path.as_path())
    }
}

/// Which of the limits it was, and where it is set.
fn unwatched(error: rustix::io::Errno) -> io::Error {
    let what = match error {
        rustix::io::Errno::MFILE => {
            "too many inotify instances: raise fs.inotify.max_user_instances (sysctl), or else the limit of open files"
        }
        rustix::io::Errno::NOSPC => "too many inotify watches: raise fs.inotify.max_user_watches (sysctl)",
        other => return other.into(),
    };
    io::Error::other(format!("the socket file cannot be watched: {what}"))
}

impl Place {
    /// An error that passes, such as a lack of memory, says nothing of the file.
    fn is_gone(&self) -> bool {
        match identity_of(&self.path) {
            Ok(identity) => identity != self.identity,
            Err(error) => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
        }
    }

    fn is_there(&self) -> bool {
        identity_of(&self.path).is_ok_and(|identity| identity == self.identity)
    }
}

fn identity_of(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = std::fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

impl AsFd for SocketFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Some(place) = self.place.as_ref().filter(|place| place.is_there()) {
            let _ = std::fs::remove_file(&place.path);
        }
    }
}

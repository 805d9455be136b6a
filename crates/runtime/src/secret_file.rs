//! Files that hold keys: read into memory that is wiped, written so that nobody else can read them.

use std::{
    ffi::OsString,
    io,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{self, AtFlags, FileType, Mode, OFlags, Stat},
    io::Errno,
};
use zeroize::{Zeroize, Zeroizing};

/// The content of a file, and who may read it.
pub struct SecretFile {
    /// The content; wiped when dropped.
    pub bytes: Zeroizing<Vec<u8>>,
    /// The permission bits (such as `0o600`) of a regular file; `None` for a pipe or a device.
    pub mode: Option<u32>,
    /// Whether every user of the machine can read it: the file lets others read, and its directory lets them
    /// pass.
    pub readable_by_others: bool,
}

/// Called when a signal interrupts a call that may wait for long (a pipe); an error ends the reading.
pub type OnInterrupt<'a> = &'a mut dyn FnMut() -> io::Result<()>;

/// Reads the whole of `path`, at most `limit` bytes.
///
/// A longer file is an error of kind [`io::ErrorKind::FileTooLarge`].
pub fn read(path: &Path, limit: usize, on_interrupt: OnInterrupt<'_>) -> io::Result<SecretFile> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = retry(on_interrupt, || fs::open(path, flags, Mode::empty()))?;
    let stat = fs::fstat(&file)?;
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    Ok(SecretFile {
        bytes: read_descriptor(file.as_fd(), limit, on_interrupt)?,
        mode: is_file.then(|| Mode::from_raw_mode(stat.st_mode).as_raw_mode()),
        readable_by_others: is_file && others_may(&stat, Mode::ROTH) && others_may_pass(directory_of(path)),
    })
}

/// Reads `descriptor` to its end, at most `limit` bytes.
pub fn read_descriptor(
    descriptor: BorrowedFd<'_>,
    limit: usize,
    on_interrupt: OnInterrupt<'_>,
) -> io::Result<Zeroizing<Vec<u8>>> {
    const CHUNK: usize = 4096;
    let expected = fs::fstat(descriptor)?.st_size;
    let expected = usize::try_from(expected).unwrap_or(0).min(limit);
    // One byte more than expected, so that a file of that size shows its end without growing the buffer.
    let mut bytes = Zeroizing::new(vec![0; (expected + 1).max(CHUNK)]);
    let mut filled = 0;
    loop {
        if filled > limit {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("longer than {limit} bytes"),
            ));
        }
        if filled == bytes.len() {
            bytes = grown(&bytes);
        }
        let room = bytes.get_mut(filled..).unwrap_or_default();
        match retry(on_interrupt, || rustix::io::read(descriptor, &mut *room))? {
            0 => break,
            count => filled += count,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Writes all of `bytes` to `descriptor`.
pub fn write_descriptor(
    descriptor: BorrowedFd<'_>,
    mut bytes: &[u8],
    on_interrupt: OnInterrupt<'_>,
) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = retry(on_interrupt, || rustix::io::write(descriptor, bytes))?;
        bytes = bytes.get(count..).unwrap_or_default();
    }
    Ok(())
}

/// Replaces the content of `path` by `bytes`, wholly or not at all.
///
/// A new file, readable by its owner only, is written beside it, brought to the disk, and renamed over it. A
/// symbolic link is followed, so that the link stays and its target is replaced.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if path.as_os_str().is_empty() {
        // It would be taken for the working directory.
        return Err(Errno::NOENT.into());
    }
    let path = match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        resolved => resolved?,
    };
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::from(io::ErrorKind::IsADirectory))?;
    let directory = directory_of(&path);
    let directory = fs::open(
        &directory,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    if fs::statat(&directory, name, AtFlags::empty())
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile)
    {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }

    let temporary = temporary_name()?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = fs::openat(&directory, &temporary, flags, Mode::RUSR | Mode::WUSR).map_err(|error| {
        match error {
            // The directory is there: it is one, such as /proc, in which no file can be made.
            Errno::NOENT => io::Error::other("its directory takes no new files"),
            error => error.into(),
        }
    })?;
    let written = write_descriptor(file.as_fd(), bytes, &mut || Ok(()))
        .and_then(|()| Ok(fs::fsync(&file)?))
        .and_then(|()| Ok(fs::renameat(&directory, &temporary, &directory, name)?));
    if written.is_err() {
        // The first error is the one to tell; what is left behind is unreadable to others in any case.
        let _ = fs::unlinkat(&directory, &temporary, AtFlags::empty());
    }
    written?;
    // Some file systems cannot sync a directory; the rename has happened all the same.
    match fs::fsync(&directory) {
        Err(Errno::INVAL) => Ok(()),
        synced => Ok(synced?),
    }
}

fn retry<T>(on_interrupt: OnInterrupt<'_>, mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => on_interrupt()?,
            done => return Ok(done?),
        }
    }
}

/// A buffer twice as long with the same beginning; `Vec` would leave the old one behind unwiped.
fn grown(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut larger = Zeroizing::new(vec![0; bytes.len().saturating_mul(2)]);
    larger.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    larger
}

fn others_may(stat: &Stat, right: Mode) -> bool {
    Mode::from_raw_mode(stat.st_mode).intersects(right)
}

fn others_may_pass(directory: PathBuf) -> bool {
    fs::stat(&directory).is_ok_and(|stat| others_may(&stat, Mode::XOTH))
}

fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => PathBuf::from("/"),
    }
}

fn temporary_name() -> io::Result<OsString> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    let name = format!(".wirewright-{:016x}.tmp", u64::from_ne_bytes(random));
    random.zeroize();
    Ok(name.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A directory of this test alone, removed at its end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            let path = std::env::temp_dir().join(temporary_name().unwrap());
            std::fs::create_dir(&path).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
            Self(path)
        }

        fn file(&self, content: &[u8], mode: u32) -> PathBuf {
            let path = self.0.join("wg0.conf");
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            path
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn read_all(path: &Path, limit: usize) -> io::Result<SecretFile> {
        read(path, limit, &mut || Ok(()))
    }

    #[test]
    fn a_file_is_read_whole_whatever_its_size() {
        let scratch = Scratch::new();
        for size in [0, 1, 4095, 4096, 4097, 100_000] {
            let content: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
            let file = read_all(&scratch.file(&content, 0o600), 100_000).unwrap();
            assert!(*file.bytes == content, "{size}");
            assert_eq!(file.mode, Some(0o600));
        }
    }

    #[test]
    fn a_pipe_is_read_whole_though_its_size_is_unknown() {
        let (reader, writer) = std::io::pipe().unwrap();
        let content = vec![7; 50_000];
        std::thread::scope(|scope| {
            scope.spawn(|| write_descriptor(writer.as_fd(), &content, &mut || Ok(())).map(|()| drop(writer)));
            assert!(*read_descriptor(reader.as_fd(), 50_000, &mut || Ok(())).unwrap() == content);
        });
    }

    #[test]
    fn a_file_over_the_limit_is_refused() {
        let scratch = Scratch::new();
        let path = scratch.file(&[b'x'; 5000], 0o600);
        assert_eq!(
            read_all(&path, 4999).err().unwrap().kind(),
            io::ErrorKind::FileTooLarge
        );
        assert!(read_all(&path, 5000).is_ok());
        let endless = read_all(Path::new("/dev/zero"), 1_000_000);
        assert_eq!(endless.err().unwrap().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_file_that_others_can_reach_and_read_is_told() {
        let scratch = Scratch::new();
        assert!(
            read_all(&scratch.file(b"", 0o644), 10)
                .unwrap()
                .readable_by_others
        );
        assert!(
            !read_all(&scratch.file(b"", 0o640), 10)
                .unwrap()
                .readable_by_others
        );
        let path = scratch.file(b"", 0o644);
        std::fs::set_permissions(&scratch.0, PermissionsExt::from_mode(0o700)).unwrap();
        assert!(!read_all(&path, 10).unwrap().readable_by_others);
    }

    #[test]
    fn a_written_file_belongs_to_its_owner_alone_and_nothing_is_left_beside_it() {
        let scratch = Scratch::new();
        let path = scratch.file(b"old", 0o644);
        write_atomically(&path, b"new").unwrap();
        let file = read_all(&path, 10).unwrap();
        assert_eq!(
            (file.bytes.as_slice(), file.mode),
            (b"new".as_slice(), Some(0o600))
        );
        assert_eq!(std::fs::read_dir(&scratch.0).unwrap().count(), 1);
    }

    #[test]
    fn a_link_stays_and_its_target_is_replaced() {
        let scratch = Scratch::new();
        let path = scratch.file(b"old", 0o600);
        let link = scratch.0.join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        write_atomically(&link, b"new").unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn a_write_that_cannot_be_finished_changes_nothing() {
        let scratch = Scratch::new();
        std::fs::create_dir(scratch.0.join("wg0.conf")).unwrap();
        assert!(write_atomically(&scratch.0.join("wg0.conf"), b"new").is_err());
        assert!(write_atomically(&scratch.0.join("missing").join("wg0.conf"), b"new").is_err());
        assert_eq!(std::fs::read_dir(&scratch.0).unwrap().count(), 1);
    }

    #[test]
    fn an_interrupted_read_asks_whether_to_go_on() {
        let mut asked = 0;
        let mut calls = 0;
        let result = retry(
            &mut || {
                asked += 1;
                Ok(())
            },
            || {
                calls += 1;
                if calls < 3 { Err(Errno::INTR) } else { Ok(calls) }
            },
        );
        assert_eq!((result.unwrap(), asked), (3, 2));
    }
}

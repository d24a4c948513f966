// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Unix sockets that only their owner can reach, and that leave nothing
//! behind. Both the device's socket and its control socket are made here.

use std::{
    fs, io,
    os::{
        fd::OwnedFd,
        unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
};

/// Connections that may wait to be accepted at a socket with a path.
const BACKLOG: i32 = 8;

/// A socket that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// Something has that name already.
    #[error("{path} exists: choose another path, or remove it if nothing uses it", path = .0.display())]
    Exists(PathBuf),
    /// Somebody listens there.
    #[error("{path} is in use by a running process: choose another path", path = .0.display())]
    InUse(PathBuf),
    /// Longer than a socket address.
    #[error("{path} is too long for a socket, which takes 107 bytes: choose a shorter one", path = .0.display())]
    TooLong(PathBuf),
    /// The folder does not exist or cannot be examined.
    #[error(
        "cannot use the folder {folder} for the socket {path}",
        folder = path.parent().unwrap_or(path).display(),
        path = path.display()
    )]
    NoFolder {
        /// Path of the socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others could replace the socket.
    #[error(
        "{path} is a folder where others may remove files: use one of your own (mode 0700)",
        path = .0.display()
    )]
    OpenFolder(PathBuf),
    /// The system refused.
    #[error("cannot make a socket at {path}", path = path.display())]
    Refused {
        /// Path of the socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused a socket without a path.
    #[error("cannot make a socket in {folder}, the folder for temporary files (TMPDIR)", folder = std::env::temp_dir().display())]
    Unnamed(#[source] io::Error),
}

/// A listening socket and its path, which is removed on drop if it still is
/// this socket's.
#[derive(Debug)]
pub struct BoundSocket {
    listener: OwnedFd,
    path: PathBuf,
    /// Device and inode of the path.
    identity: (u64, u64),
}

impl BoundSocket {
    /// Listens at a path of mode 0600 that must not exist yet, in a folder
    /// where nobody else may remove it.
    ///
    /// # Errors
    /// Says what is wrong with the path.
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        let owned = || path.to_path_buf();
        check_folder(path)?;
        let address = SocketAddrUnix::new(path).map_err(|errno| match errno {
            Errno::NAMETOOLONG => SocketError::TooLong(owned()),
            errno => refused(path, errno),
        })?;
        let listener = new_socket().map_err(|errno| refused(path, errno))?;
        // Linux makes the path with the mode of the socket itself: the path
        // is never open to others, not even until a chmod.
        rustix::fs::fchmod(&listener, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| refused(path, errno))?;
        rustix::net::bind(&listener, &address).map_err(|errno| match errno {
            Errno::ADDRINUSE => SocketError::Exists(owned()),
            errno => refused(path, errno),
        })?;
        let metadata = fs::symlink_metadata(path).map_err(|source| SocketError::Refused {
            path: owned(),
            source,
        })?;
        let bound = Self {
            listener,
            path: owned(),
            identity: (metadata.dev(), metadata.ino()),
        };
        rustix::net::listen(&bound.listener, BACKLOG).map_err(|errno| refused(path, errno))?;
        Ok(bound)
    }

    /// As [`BoundSocket::bind`], but takes the place of a socket that nobody
    /// listens at any more.
    ///
    /// # Errors
    /// Says what is wrong with the path.
    pub fn bind_or_replace(path: &Path) -> Result<Self, SocketError> {
        if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
            match std::os::unix::net::UnixStream::connect(path) {
                Ok(_) => return Err(SocketError::InUse(path.to_path_buf())),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    // Whether it went is seen by the bind.
                    let _ = fs::remove_file(path);
                }
                Err(_) => {}
            }
        }
        Self::bind(path)
    }

    /// The listening socket.
    #[must_use]
    pub fn listener(&self) -> &OwnedFd {
        &self.listener
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for BoundSocket {
    fn drop(&mut self) {
        let found = fs::symlink_metadata(&self.path).map(|found| (found.dev(), found.ino()));
        if found.is_ok_and(|found| found == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A listening socket without a path, and the handle by which it can be
/// reached: whoever inherits the second as file descriptor `N` connects to
/// `/proc/self/fd/N`. Nobody else can, and nothing is left on a disk.
///
/// The socket has a path for a moment, in a folder of its own, and keeps its
/// inode when that is removed; the handle (`O_PATH`) stands for the inode.
///
/// # Errors
/// Where no folder can be made in the system's own for temporary ones.
pub fn unnamed() -> Result<(OwnedFd, OwnedFd), SocketError> {
    let folder = tempfile::Builder::new()
        .prefix("irqbed-")
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir()
        .map_err(SocketError::Unnamed)?;
    let bound = BoundSocket::bind(&folder.path().join("device"))?;
    let handle = rustix::fs::open(
        bound.path(),
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|errno| SocketError::Unnamed(errno.into()))?;
    let listener = bound.listener().try_clone();
    Ok((listener.map_err(SocketError::Unnamed)?, handle))
}

fn new_socket() -> Result<OwnedFd, Errno> {
    rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
}

fn refused(path: &Path, errno: Errno) -> SocketError {
    SocketError::Refused {
        path: path.to_path_buf(),
        source: errno.into(),
    }
}

/// Others may put files into a shared folder such as /tmp, but must not be
/// able to take ours away: it is theirs to write only with the sticky bit.
fn check_folder(path: &Path) -> Result<(), SocketError> {
    let folder = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let no_folder = |source| SocketError::NoFolder {
        path: path.to_path_buf(),
        source,
    };
    let found = fs::metadata(folder).map_err(no_folder)?;
    if !found.is_dir() {
        return Err(no_folder(io::ErrorKind::NotADirectory.into()));
    }
    let (mode, sticky) = (found.mode(), 0o1000);
    if mode & 0o022 != 0 && mode & sticky == 0 {
        return Err(SocketError::OpenFolder(folder.to_path_buf()));
    }
    Ok(())
}

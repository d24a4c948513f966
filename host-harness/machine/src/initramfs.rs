// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The guest's initial file system with the user's files in it: the archive that
//! was built, and a second one behind it, which the kernel unpacks after the
//! first (Documentation/driver-api/early-userspace/buffer-format.rst). It lives
//! in memory, as long as QEMU needs it.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

use cpio::newc::{Builder, ModeFileType, Reader, trailer};

use crate::anonymous_file;

/// A file for the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestFile {
    /// Where it will be, absolute.
    pub path: String,
    /// Whether it is a program.
    pub executable: bool,
    /// What is in it.
    pub content: Vec<u8>,
}

/// The paths in an archive, absolute.
///
/// # Errors
/// When it is none.
pub fn paths(archive: &[u8]) -> io::Result<BTreeSet<String>> {
    let mut paths = BTreeSet::new();
    find(archive, |entry| {
        paths.insert(format!("/{}", entry.entry().name()));
        Ok(None::<()>)
    })?;
    Ok(paths)
}

/// What is in the file of this absolute path.
///
/// # Errors
/// When this is no archive, or has no such file.
pub fn file(archive: &[u8], path: &str) -> io::Result<Vec<u8>> {
    let found = find(archive, |entry| {
        if entry.entry().name() != relative(path) {
            return Ok(None);
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        Ok(Some(content))
    })?;
    found.ok_or(io::ErrorKind::NotFound.into())
}

/// Goes through an archive until something is found in an entry.
fn find<'a, T>(
    archive: &'a [u8],
    mut pick: impl FnMut(&mut Reader<&'a [u8]>) -> io::Result<Option<T>>,
) -> io::Result<Option<T>> {
    let mut rest = archive;
    loop {
        let mut entry = Reader::new(rest)?;
        if entry.entry().is_trailer() {
            return Ok(None);
        }
        if let Some(found) = pick(&mut entry)? {
            return Ok(Some(found));
        }
        rest = entry.finish()?;
    }
}

/// An archive with files behind it, in memory.
///
/// # Errors
/// When there is no memory, or a file is larger than an archive can hold.
pub fn with_files(archive: &[u8], files: &[GuestFile]) -> io::Result<File> {
    let mut out = anonymous_file::create("irqbed-initramfs", 0)?;
    out.write_all(archive)?;
    // An archive begins at a multiple of four.
    out.write_all(&[0; 3][..archive.len().next_multiple_of(4) - archive.len()])?;
    append(&mut out, files)?;
    Ok(out)
}

fn append(mut out: impl Write, files: &[GuestFile]) -> io::Result<()> {
    for folder in folders(files) {
        Builder::new(&folder)
            .mode(0o755)
            .set_mode_file_type(ModeFileType::Directory)
            .write(&mut out, 0)
            .finish()?;
    }
    for file in files {
        let size = u32::try_from(file.content.len())
            .map_err(|_| io::Error::other(format!("{} is larger than 4 GiB", file.path)))?;
        let mut entry = Builder::new(relative(&file.path))
            .mode(if file.executable { 0o755 } else { 0o644 })
            .set_mode_file_type(ModeFileType::Regular)
            .write(&mut out, size);
        entry.write_all(&file.content)?;
        entry.finish()?;
    }
    trailer(&mut out)?;
    out.flush()
}

/// The folders that files lie in, each before what is in it. One that is there
/// already stays as it is.
fn folders(files: &[GuestFile]) -> BTreeSet<String> {
    let of_a_file = |file: &GuestFile| -> Vec<String> {
        Path::new(relative(&file.path))
            .ancestors()
            .skip(1)
            .map(|folder| folder.to_string_lossy().into_owned())
            .filter(|folder| !folder.is_empty())
            .collect()
    };
    files.iter().flat_map(of_a_file).collect()
}

fn relative(path: &str) -> &str {
    path.trim_start_matches('/')
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn file(path: &str, content: &[u8]) -> GuestFile {
        GuestFile {
            path: path.to_owned(),
            executable: false,
            content: content.to_vec(),
        }
    }

    fn archive(files: &[GuestFile]) -> Vec<u8> {
        let mut archive = Vec::new();
        append(&mut archive, files).expect("memory");
        archive
    }

    #[test]
    fn folders_come_before_what_is_in_them() {
        let files = [file("/a/b/c", b"1"), file("/d", b"")];
        let paths: Vec<String> = paths(&archive(&files))
            .expect("an archive")
            .into_iter()
            .collect();
        assert_eq!(paths, ["/a", "/a/b", "/a/b/c", "/d"]);
    }

    #[test]
    fn a_folder_is_one() {
        let archive = archive(&[file("/a/b", b"")]);
        let reader = Reader::new(&archive[..]).expect("an entry");
        let entry = (reader.entry().name(), reader.entry().mode());
        assert_eq!(entry, ("a", 0o40_755));
    }

    #[test]
    fn the_second_archive_begins_at_a_multiple_of_four() {
        use std::io::Seek;
        let mut joined = with_files(b"12345", &[file("/x", b"hello")]).expect("memory");
        let mut bytes = Vec::new();
        joined.rewind().expect("a file");
        joined.read_to_end(&mut bytes).expect("a file");
        assert_eq!(&bytes[..8], b"12345\0\0\0");
        assert_eq!(&bytes[8..14], b"070701");
        let reader = Reader::new(&bytes[8..]).expect("an entry");
        assert_eq!(
            (reader.entry().name(), reader.entry().mode()),
            ("x", 0o100_644)
        );
    }

    #[test]
    fn what_is_no_archive_is_an_error() {
        assert!(paths(b"no archive").is_err());
    }
}

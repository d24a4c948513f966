// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The files of a package: a `.deb` is an `ar` archive with a `tar` archive inside.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use anyhow::{Context, Result, bail, ensure};
use tar::Archive;

use crate::compression::plain;

const MAGIC: &[u8; 8] = b"!<arch>\n";
const HEADER: usize = 60;

/// Unpacks a package into a folder.
///
/// # Errors
///
/// It is damaged, or the folder cannot be written.
pub fn package(path: &Path, into: &Path) -> Result<()> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let name = path.file_name().unwrap_or_default().display();
    let data = data(BufReader::new(file)).with_context(|| format!("{name} is damaged"))?;
    let mut archive = Archive::new(plain(BufReader::new(data))?);
    archive.set_preserve_permissions(true);
    archive
        .unpack(into)
        .with_context(|| format!("cannot unpack {name}"))
}

/// The member with the files.
fn data(mut file: impl BufRead + Seek) -> Result<impl Read> {
    let mut magic = [0; 8];
    file.read_exact(&mut magic)?;
    ensure!(&magic == MAGIC, "it is no package");
    loop {
        let mut header = [0; HEADER];
        file.read_exact(&mut header)?;
        let text = |range| {
            std::str::from_utf8(&header[range])
                .unwrap_or_default()
                .trim()
        };
        let size: u64 = text(48..58).parse().context("a member without a size")?;
        let name: &str = text(0..16);
        if name.starts_with("data.tar") {
            return Ok(file.take(size));
        }
        if size > i64::MAX as u64 / 2 {
            bail!("a member of {size} bytes");
        }
        file.seek(SeekFrom::Current((size + size % 2) as i64))?;
    }
}

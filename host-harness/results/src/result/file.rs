// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Documents on disk: written whole or not at all, read with care.

use std::{
    fmt, fs, io,
    io::{BufWriter, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::Deserialize;
use tempfile::NamedTempFile;

use super::{Document, SCHEMA, StageStats};
use crate::stages::Stage;

/// Where a document goes: a path, or `-` for standard output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonTarget {
    /// Standard output.
    Stdout,
    /// A file, replaced when the document is complete.
    File(PathBuf),
}

impl FromStr for JsonTarget {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" => Err("give the name of a file, or - for standard output"),
            "-" => Ok(Self::Stdout),
            path => Ok(Self::File(PathBuf::from(path))),
        }
    }
}

impl fmt::Display for JsonTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// A document cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the results to {target}: {error}")]
pub struct WriteError {
    /// Where to.
    pub target: JsonTarget,
    /// Why not.
    #[source]
    pub error: io::Error,
}

impl JsonTarget {
    /// Makes sure, as far as can be told, that a document can be written here
    /// later. Leaves nothing behind and an existing file as it is.
    ///
    /// # Errors
    /// [`WriteError`] with the reason.
    pub fn ensure_writable(&self) -> Result<(), WriteError> {
        let Self::File(path) = self else {
            return Ok(());
        };
        self.explain(|| match Place::of(path)? {
            Place::Special => fs::File::options().write(true).open(path).map(drop),
            Place::Regular { path, folder } => {
                if path.exists() {
                    fs::File::options().write(true).open(&path)?;
                }
                tempfile::tempfile_in(folder).map(drop)
            }
        })
    }

    /// Writes a document; a file is there whole or not at all.
    ///
    /// # Errors
    /// [`WriteError`]; a former file is left as it was then.
    pub fn write(&self, bytes: &[u8]) -> Result<(), WriteError> {
        self.explain(|| {
            let Self::File(path) = self else {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes)?;
                return stdout.flush();
            };
            match Place::of(path)? {
                Place::Special => fs::File::options().write(true).open(path)?.write_all(bytes),
                Place::Regular { path, folder } => replace(&path, &folder, bytes),
            }
        })
    }

    fn explain<T>(&self, act: impl FnOnce() -> io::Result<T>) -> Result<T, WriteError> {
        act().map_err(|error| WriteError {
            target: self.clone(),
            error,
        })
    }
}

/// What a path names.
enum Place {
    /// A device or a pipe, which must not be replaced by a file.
    Special,
    /// A file, there or not, with links resolved, and the folder it lies in.
    Regular { path: PathBuf, folder: PathBuf },
}

impl Place {
    fn of(path: &Path) -> io::Result<Self> {
        let path = match fs::metadata(path) {
            Ok(found) if found.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(found) if !found.is_file() => return Ok(Self::Special),
            Ok(_) => fs::canonicalize(path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
            Err(error) => return Err(error),
        };
        if path.file_name().is_none() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "that names no file",
            ));
        }
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        if !folder.is_dir() {
            let why = format!("there is no folder {}", folder.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, why));
        }
        Ok(Self::Regular { path, folder })
    }
}

/// A reader sees the old file or the new one, never a part of it.
fn replace(path: &Path, folder: &Path, bytes: &[u8]) -> io::Result<()> {
    // Like any new file, less the umask; an old one keeps its mode.
    let mode = fs::metadata(path).map_or(0o666, |found| found.permissions().mode() & 0o777);
    let permissions = fs::Permissions::from_mode(mode);
    let mut file: NamedTempFile = tempfile::Builder::new()
        .prefix(".irqbed-")
        .permissions(permissions)
        .tempfile_in(folder)?;
    let mut writer = BufWriter::new(file.as_file_mut());
    writer.write_all(bytes)?;
    writer.flush()?;
    drop(writer);
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// A document cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No such file, or no permission.
    #[error("cannot read {path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// There is nothing in the file.
    #[error("{0} is empty")]
    Empty(PathBuf),
    /// The file ends in the middle of a value.
    #[error("{path} is cut short: {error}")]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Where.
        #[source]
        error: serde_json::Error,
    },
    /// Something else.
    #[error("{path} is not JSON: {error}")]
    NotJson {
        /// The file.
        path: PathBuf,
        /// Where, and why not.
        #[source]
        error: serde_json::Error,
    },
    /// JSON, but not ours.
    #[error("{path} is not a result of irqbed: it has no \"schema\" that begins with \"irqbed/\"")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Of another version.
    #[error(
        "{path} is of schema {found}, this irqbed {} reads {SCHEMA}: use the irqbed that wrote it, \
         or measure again",
        env!("CARGO_PKG_VERSION")
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: String,
    },
    /// Ours, but it contradicts the schema or itself.
    #[error("{path} is not a valid {SCHEMA} document: {error}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        #[source]
        error: serde_json::Error,
    },
}

/// The part of a document that says what it is.
#[derive(Deserialize)]
struct Head {
    schema: Option<serde_json::Value>,
}

impl Document {
    /// The document as text.
    ///
    /// # Panics
    /// Never: every key is a string and every number is finite or `null`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("plain data with string keys");
        text.push('\n');
        text
    }

    /// Writes the document; a file is there whole or not at all.
    ///
    /// # Errors
    /// [`WriteError`]; a former file is left as it was then.
    pub fn write(&self, target: &JsonTarget) -> Result<(), WriteError> {
        target.write(self.to_json().as_bytes())
    }

    /// Reads a document.
    ///
    /// # Errors
    /// [`ReadError`] names the file and what is wrong with it.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        let text = fs::read(path).map_err(|error| ReadError::Io {
            path: path.to_owned(),
            error,
        })?;
        Self::from_json(path, &text)
    }

    /// Reads a document from a text, which came from `path`.
    ///
    /// # Errors
    /// [`ReadError`] names the path and what is wrong with the text.
    pub fn from_json(path: &Path, text: &[u8]) -> Result<Self, ReadError> {
        let path = || path.to_owned();
        if text.iter().all(u8::is_ascii_whitespace) {
            return Err(ReadError::Empty(path()));
        }
        let head: Head = serde_json::from_slice(text).map_err(|error| match error.classify() {
            serde_json::error::Category::Eof => ReadError::Truncated {
                path: path(),
                error,
            },
            serde_json::error::Category::Data => ReadError::Foreign { path: path() },
            _ => ReadError::NotJson {
                path: path(),
                error,
            },
        })?;
        match head.schema.as_ref().and_then(serde_json::Value::as_str) {
            Some(SCHEMA) => {}
            Some(found) if found.starts_with("irqbed/") => {
                return Err(ReadError::OtherVersion {
                    path: path(),
                    found: found.to_owned(),
                });
            }
            _ => return Err(ReadError::Foreign { path: path() }),
        }
        let document: Self = serde_json::from_slice(text).map_err(|error| ReadError::Invalid {
            path: path(),
            error,
        })?;
        match document.foreign_unit() {
            Some(stage) => {
                let why = format!("the unit of {stage} is not that of its clock");
                let error = serde::de::Error::custom(why);
                Err(ReadError::Invalid {
                    path: path(),
                    error,
                })
            }
            None => Ok(document),
        }
    }

    /// A stage whose figures its clock cannot have counted.
    fn foreign_unit(&self) -> Option<Stage> {
        self.results.iter().find_map(|result| {
            let foreign = |stats: &StageStats| stats.unit != result.clock.unit();
            result
                .stages
                .iter()
                .find_map(|(&stage, stats)| foreign(stats).then_some(stage))
        })
    }
}

#[cfg(test)]
mod tests;

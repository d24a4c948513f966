// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Files of a mirror, by HTTP or from a folder. A download that was cut off goes on
//! where it was.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use ring::digest::{Context as Hash, SHA256};
use thiserror::Error;
use ureq::{
    Agent, Proxy,
    tls::{RootCerts, TlsConfig},
};

use crate::mirror::setting;

/// How often something is asked for again that does not come.
const TRIES: u32 = 3;
/// The longest that nothing may come.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest that one request may take; a longer download goes on with another.
const REQUEST: Duration = Duration::from_secs(60);

/// A file that is not, or no longer, there.
#[derive(Debug, Error)]
#[error("{0} is not there")]
pub struct Gone(pub String);

/// What the lists say of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Bytes.
    pub size: u64,
    /// SHA-256, hexadecimal.
    pub hash: String,
}

/// SHA-256 of what is read, hexadecimal.
///
/// # Errors
///
/// It cannot be read.
pub fn hash_of(mut content: impl Read) -> io::Result<String> {
    let mut hash = Hash::new(&SHA256);
    let mut buffer = vec![0; 1 << 17];
    loop {
        match content.read(&mut buffer)? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    let bytes = hash.finish();
    Ok(bytes
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// Whether a file is the expected one.
#[must_use]
pub fn is(path: &Path, expected: &Expected) -> bool {
    let size = fs::metadata(path).map(|metadata| metadata.len());
    size.is_ok_and(|size| size == expected.size)
        && File::open(path)
            .and_then(|file| hash_of(BufReader::new(file)))
            .is_ok_and(|hash| hash == expected.hash)
}

/// Who asks a mirror.
pub struct Client(Agent);

impl Client {
    /// By the proxies of apt, where it has any, else of the environment.
    ///
    /// # Errors
    ///
    /// A proxy's address cannot be understood.
    pub fn new() -> Result<Self> {
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .build();
        let mut config = Agent::config_builder()
            .tls_config(tls)
            .timeout_resolve(Some(PATIENCE))
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_recv_body(Some(REQUEST))
            .user_agent("irqbed");
        let proxy = setting("Acquire::http::Proxy").or_else(|| setting("Acquire::https::Proxy"));
        if let Some(proxy) = proxy.filter(|proxy| !proxy.is_empty() && proxy != "DIRECT") {
            let proxy = Proxy::new(&proxy).with_context(|| format!("apt's proxy {proxy}"))?;
            config = config.proxy(Some(proxy));
        }
        Ok(Self(config.build().into()))
    }

    /// A text, whatever it is.
    ///
    /// # Errors
    ///
    /// It is not there, does not come, or is longer than `limit` bytes.
    pub fn text(&self, url: &str, limit: u64) -> Result<String> {
        let mut content = Vec::new();
        let mut tries = 0;
        loop {
            content.clear();
            match self.ask(url, 0).and_then(|(body, _)| {
                body.take(limit + 1).read_to_end(&mut content)?;
                Ok(())
            }) {
                Ok(()) => break,
                Err(error) => self.again(&mut tries, error)?,
            }
        }
        if content.len() as u64 > limit {
            bail!("{url} is longer than {limit} bytes");
        }
        String::from_utf8(content).with_context(|| format!("{url} is no text"))
    }

    /// A file, verified. What an earlier call left of it is used.
    ///
    /// # Errors
    ///
    /// It is not there, does not come, or is another one than was expected.
    pub fn file(&self, url: &str, to: &Path, expected: &Expected) -> Result<()> {
        if is(to, expected) {
            return Ok(());
        }
        let part = to.with_extension("part");
        let mut tries = 0;
        loop {
            let before = fs::metadata(&part).map_or(0, |metadata| metadata.len());
            if before >= expected.size && part.exists() {
                break;
            }
            if let Err(error) = self.go_on(url, &part, before, expected.size) {
                let after = fs::metadata(&part).map_or(0, |metadata| metadata.len());
                if after > before {
                    tries = 0;
                }
                self.again(&mut tries, error)?;
            }
        }
        if !is(&part, expected) {
            fs::remove_file(&part)?;
            bail!(
                "{url} is not what the archive's lists say: it was damaged or changed on its way"
            );
        }
        fs::rename(&part, to).with_context(|| format!("cannot write {}", to.display()))
    }

    /// What of a file is behind `from`.
    fn go_on(&self, url: &str, part: &Path, from: u64, size: u64) -> Result<()> {
        let (body, continues) = self.ask(url, from)?;
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .append(continues)
            .truncate(!continues)
            .open(part)
            .with_context(|| format!("cannot write {}", part.display()))?;
        let left = if continues { size - from } else { size };
        let copied = io::copy(&mut body.take(left), &mut file)
            .with_context(|| format!("{url} broke off"))?;
        if copied < left {
            bail!("{url} broke off");
        }
        Ok(())
    }

    /// The body of an answer, and whether it begins at `from`.
    fn ask(&self, url: &str, from: u64) -> Result<(Box<dyn Read>, bool)> {
        if let Some(path) = url.strip_prefix("file:") {
            let path = Path::new(path.strip_prefix("//").unwrap_or(path));
            let file = File::open(path).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => Gone(url.to_owned()).into(),
                _ => anyhow::Error::from(error).context(format!("cannot read {}", path.display())),
            })?;
            return Ok((Box::new(file), false));
        }
        let mut request = self.0.get(url);
        if from > 0 {
            request = request.header("Range", format!("bytes={from}-"));
        }
        match request.call() {
            Ok(answer) => {
                let continues = from > 0 && answer.status() == 206;
                Ok((Box::new(answer.into_body().into_reader()), continues))
            }
            Err(ureq::Error::StatusCode(404 | 410)) => Err(Gone(url.to_owned()).into()),
            Err(error @ ureq::Error::StatusCode(_)) => {
                Err(anyhow::Error::from(error).context(url.to_owned()))
            }
            Err(error) => Err(anyhow::Error::from(error)
                .context(format!("{url} does not answer: is the network there?"))),
        }
    }

    /// Whether to try once more after this error.
    fn again(&self, tries: &mut u32, error: anyhow::Error) -> Result<()> {
        *tries += 1;
        let is_final = error.is::<Gone>() || no_room(&error);
        if is_final || *tries >= TRIES {
            return Err(error);
        }
        Ok(())
    }
}

/// An error with its causes, and what to do where the disk is full.
#[must_use]
pub fn explained(error: &anyhow::Error) -> String {
    let room = if no_room(error) {
        ": the disk is full, make room and run again"
    } else {
        ""
    };
    format!("{error:#}{room}")
}

fn no_room(error: &anyhow::Error) -> bool {
    let mut causes = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|cause| cause.kind() == io::ErrorKind::StorageFull)
}

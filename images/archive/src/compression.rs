// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Files as they were before they were compressed.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::StreamingDecoder;

/// Reads what is compressed by xz, zstd or gzip, which its first bytes say, and
/// anything else as it is.
///
/// # Errors
///
/// The file cannot be read, or is damaged.
pub fn plain<'a>(mut file: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let head = file.fill_buf()?;
    Ok(match head {
        [0xfd, b'7', b'z', b'X', b'Z', ..] => Box::new(XzReader::new(file, true)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            Box::new(StreamingDecoder::new(file).map_err(io::Error::other)?)
        }
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(file)),
        _ => Box::new(file),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use base64::{Engine, prelude::BASE64_STANDARD};
    use flate2::{Compression, write::GzEncoder};
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    /// The text by the program `xz`.
    const XZ: &str = "/Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4AtTACRdADoaCM522XbSbgNZDJDld0Hl12d4bKXzlNmhOeil2oMGJoCOAABnX5IBpJ7XTAABQNQWAAAAaw8KxbHEZ/sCAAAAAARZWg==";

    fn read(file: &[u8]) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        plain(file)?.read_to_end(&mut content)?;
        Ok(content)
    }

    #[test]
    fn what_is_compressed_in_any_of_the_ways_is_the_same_again() {
        let text = b"the same, the same, the same\n".repeat(100);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&text).expect("memory");
        let zstd = compress_to_vec(&text[..], CompressionLevel::Fastest);
        for file in [
            gzip.finish().expect("memory"),
            BASE64_STANDARD.decode(XZ).expect("base64"),
            zstd,
            text.clone(),
        ] {
            assert_eq!(read(&file).expect("sound"), text);
            let damaged = read(&file[..file.len() - 5]);
            assert!(damaged.is_err() || damaged.is_ok_and(|content| content != text));
        }
        assert_eq!(read(b"").expect("sound"), b"");
    }
}

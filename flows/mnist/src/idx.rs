//! The IDX format of the MNIST files: a magic number, the size of each dimension, then the bytes.
//!
//! ```text
//! 00 00 08 nn    unsigned bytes in nn dimensions
//! u32 × nn       the sizes, big-endian
//! …              the elements, the last dimension fastest
//! ```

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::dataset::{CLASSES, IMAGE_PIXELS, IMAGE_SIDE};
use crate::{Error, Result};

/// More items than the largest set of digits in this format has (EMNIST's 240,000), and few enough that a damaged
/// or malicious file cannot fill the memory: 411 MB of pixels.
const MAX_ITEMS: u32 = 1 << 19;

/// Reads a file of images, gzip or plain: the pixels of all images, [`IMAGE_PIXELS`] each.
pub(crate) fn read_images(input: impl Read, file: &str) -> Result<Vec<u8>> {
    let mut reader = Reader::open(input, file)?;
    let [count, rows, columns] = reader.header()?;
    if (rows, columns) != (IMAGE_SIDE as u32, IMAGE_SIDE as u32) {
        return Err(Error::ImageSize { file: file.to_owned(), rows, columns });
    }
    reader.body(count, IMAGE_PIXELS, 16)
}

/// Reads a file of labels, gzip or plain. Each is below [`CLASSES`].
pub(crate) fn read_labels(input: impl Read, file: &str) -> Result<Vec<u8>> {
    let mut reader = Reader::open(input, file)?;
    let [count] = reader.header()?;
    let labels = reader.body(count, 1, 8)?;
    match labels.iter().position(|label| usize::from(*label) >= CLASSES) {
        Some(position) => Err(Error::Label { file: file.to_owned(), position, found: labels[position] }),
        None => Ok(labels),
    }
}

/// Opens `name` or `name.gz` in `directory`. Returns its path for messages, too.
pub(crate) fn open(directory: &Path, name: &'static str) -> Result<(File, String)> {
    for candidate in [name.to_owned(), format!("{name}.gz")] {
        let path = directory.join(candidate);
        let file = path.display().to_string();
        match File::open(&path) {
            Ok(open) => return Ok((open, file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(Error::Read { file, source }),
        }
    }
    Err(Error::MissingFile { directory: directory.to_owned(), name })
}

/// An IDX file, decompressed on the way if it starts as a gzip stream does.
struct Reader<'a> {
    input: Box<dyn Read + 'a>,
    file: &'a str,
}

impl<'a> Reader<'a> {
    fn open(input: impl Read + 'a, file: &'a str) -> Result<Self> {
        let mut input = BufReader::with_capacity(64 * 1024, input);
        let read = |source| Error::Read { file: file.to_owned(), source };
        let gzip = input.fill_buf().map_err(read)?.starts_with(&[0x1f, 0x8b]);
        let input: Box<dyn Read> = if gzip { Box::new(MultiGzDecoder::new(input)) } else { Box::new(input) };
        Ok(Self { input, file })
    }

    /// Fills `buffer` as far as the file goes and returns how far that is.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.input.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // How flate2 reports a gzip stream that stops half-way.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(source) => return Err(Error::Read { file: self.file.to_owned(), source }),
            }
        }
        Ok(filled)
    }

    /// Reads the magic number and the sizes of `N` dimensions.
    fn header<const N: usize>(&mut self) -> Result<[u32; N]> {
        let expected = 0x0800 + N as u32;
        let length = 4 + 4 * N;
        let truncated = |found: usize, file: &str| Error::Truncated {
            file: file.to_owned(),
            expected: length as u64,
            found: found as u64,
        };
        let mut word = [0; 4];
        let filled = self.fill(&mut word)?;
        if filled < 4 {
            return Err(truncated(filled, self.file));
        }
        let found = u32::from_be_bytes(word);
        if found != expected {
            let file = self.file.to_owned();
            return Err(Error::Magic { file, expected_dimensions: N as u8, expected, found });
        }
        let mut sizes = [0; N];
        for (number, size) in sizes.iter_mut().enumerate() {
            let filled = self.fill(&mut word)?;
            if filled < 4 {
                return Err(truncated(4 + 4 * number + filled, self.file));
            }
            *size = u32::from_be_bytes(word);
        }
        Ok(sizes)
    }

    /// Reads `count` items of `item_len` bytes after a header of `header_len`, and makes sure that nothing
    /// follows.
    fn body(&mut self, count: u32, item_len: usize, header_len: u64) -> Result<Vec<u8>> {
        let file = || self.file.to_owned();
        if count > MAX_ITEMS {
            return Err(Error::TooManyItems { file: file(), limit: MAX_ITEMS, found: count });
        }
        let body_len = u64::from(count) * item_len as u64;
        let expected = header_len + body_len;
        // The vector grows with what arrives: a header alone never allocates what it announces.
        let mut body = Vec::new();
        let mut chunk = vec![0; 64 * 1024];
        while (body.len() as u64) < body_len {
            let wanted = chunk.len().min((body_len - body.len() as u64) as usize);
            let filled = self.fill(&mut chunk[..wanted])?;
            body.extend_from_slice(&chunk[..filled]);
            if filled < wanted {
                let found = header_len + body.len() as u64;
                return Err(Error::Truncated { file: self.file.to_owned(), expected, found });
            }
        }
        // Reading on also makes the decoder check the checksum at the end of a gzip stream.
        match self.input.read(&mut chunk[..1]) {
            Ok(0) => Ok(body),
            Ok(_) => Err(Error::TrailingBytes { file: self.file.to_owned(), expected }),
            Err(source) => Err(Error::Read { file: self.file.to_owned(), source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn images(count: u32, rows: u32, columns: u32, body: usize) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, 3];
        for size in [count, rows, columns] {
            bytes.extend(size.to_be_bytes());
        }
        bytes.extend((0..body).map(|i| (i % 251) as u8));
        bytes
    }

    fn labels(values: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, 1];
        bytes.extend((values.len() as u32).to_be_bytes());
        bytes.extend(values);
        bytes
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn plain_and_gzip_files_are_read() {
        let plain = images(2, 28, 28, 2 * 784);
        let expected = plain[16..].to_vec();
        assert_eq!(read_images(&plain[..], "i").unwrap(), expected);
        assert_eq!(read_images(&gzip(&plain)[..], "i").unwrap(), expected);
        assert_eq!(read_labels(&gzip(&labels(&[3, 9, 0]))[..], "l").unwrap(), [3, 9, 0]);
        assert!(read_images(&images(0, 28, 28, 0)[..], "i").unwrap().is_empty());
    }

    #[test]
    fn truncated_files() {
        let error = read_images(&images(2, 28, 28, 1000)[..], "train-images").unwrap_err();
        assert_eq!(
            error.to_string(),
            "train-images is truncated: its header announces 1584 bytes (uncompressed), it holds 1016; delete it \
             and run `veilflow data fetch mnist`, or choose another folder with `--data-dir`"
        );
        for length in 0..16 {
            let error = read_images(&images(1, 28, 28, 784)[..length], "i").unwrap_err();
            assert!(
                matches!(error, Error::Truncated { expected: 16, found, .. } if found == length as u64),
                "{error:?}"
            );
        }
        let whole = gzip(&images(100, 28, 28, 78_400));
        for length in [3, whole.len() / 2, whole.len() - 9] {
            let error = read_images(&whole[..length], "i").unwrap_err();
            assert!(matches!(error, Error::Truncated { .. } | Error::Read { .. }), "{error:?}");
        }
        // Only the checksum at the end of the gzip stream is missing.
        assert!(matches!(read_images(&whole[..whole.len() - 4], "i"), Err(Error::Read { .. })));
    }

    #[test]
    fn damaged_gzip_streams() {
        let mut bytes = gzip(&images(3, 28, 28, 3 * 784));
        let checksum = bytes.len() - 8;
        bytes[checksum] ^= 1;
        assert!(matches!(read_images(&bytes[..], "i"), Err(Error::Read { .. })));
    }

    #[test]
    fn files_of_another_kind() {
        let error = read_images(&labels(&[1, 2])[..], "labels").unwrap_err();
        assert_eq!(
            error.to_string(),
            "labels is not an IDX file of 3-dimensional bytes: it starts with 0x00000801 instead of 0x00000803; \
             `veilflow data fetch mnist` downloads the right one"
        );
        assert!(matches!(
            read_labels(&b"<html>"[..], "l"),
            Err(Error::Magic { expected: 0x801, found: 0x3c68_746d, .. })
        ));
        assert!(matches!(
            read_images(&images(1, 32, 28, 896)[..], "i"),
            Err(Error::ImageSize { rows: 32, columns: 28, .. })
        ));
    }

    #[test]
    fn trailing_bytes() {
        let plain = images(1, 28, 28, 785);
        for bytes in [plain.clone(), gzip(&plain)] {
            assert!(matches!(read_images(&bytes[..], "i"), Err(Error::TrailingBytes { expected: 800, .. })));
        }
    }

    #[test]
    fn labels_that_are_no_digits() {
        assert!(matches!(
            read_labels(&labels(&[1, 9, 10])[..], "l"),
            Err(Error::Label { position: 2, found: 10, .. })
        ));
    }

    #[test]
    fn a_header_alone_allocates_nothing() {
        let error = read_images(&images(MAX_ITEMS, 28, 28, 0)[..], "i").unwrap_err();
        assert!(matches!(error, Error::Truncated { found: 16, .. }));
        let error = read_images(&images(u32::MAX, 28, 28, 0)[..], "i").unwrap_err();
        assert!(matches!(error, Error::TooManyItems { found: u32::MAX, .. }));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = read_images(&bytes[..], "i");
            let _ = read_labels(&bytes[..], "l");
        }

        #[test]
        fn damaged_files_never_panic(
            position in 0_usize..3000, value: u8, cut in 0_usize..3000, compressed: bool,
        ) {
            let mut bytes = images(3, 28, 28, 3 * 784);
            if compressed {
                bytes = gzip(&bytes);
            }
            let position = position % bytes.len();
            bytes[position] = value;
            bytes.truncate(cut.max(1));
            let _ = read_images(&bytes[..], "i");
            let _ = read_labels(&bytes[..], "l");
        }

        #[test]
        fn what_is_written_is_read(values in prop::collection::vec(0_u8..10, 0..300)) {
            prop_assert_eq!(read_labels(&gzip(&labels(&values))[..], "l").unwrap(), values);
        }
    }
}

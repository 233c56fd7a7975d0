//! Memory for chunks that wait: in mappings of their own.
//!
//! An allocator keeps what is freed in the middle of its heap, so that a content which is read and dropped chunk by chunk
//! would stay in memory beside the value that was read from it. A mapping goes back to the system when it is dropped.

use bytes::Bytes;
use memmap2::MmapMut;

/// Fewer bytes are not worth a mapping.
const MAPPED: usize = 64 * 1024;

/// These bytes, to wait for as long as it takes; none where there is no memory.
pub(crate) fn keep(bytes: &[u8]) -> Option<Bytes> {
    if bytes.len() >= MAPPED
        && let Ok(mut map) = MmapMut::map_anon(bytes.len())
    {
        map.copy_from_slice(bytes);
        return Some(Bytes::from_owner(map));
    }
    // A process may have only so many mappings.
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len()).ok()?;
    copy.extend_from_slice(bytes);
    Some(Bytes::from(copy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_the_same() {
        for size in [0, 1, MAPPED - 1, MAPPED, MAPPED + 1] {
            let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            assert_eq!(keep(&bytes).unwrap(), bytes);
        }
    }
}

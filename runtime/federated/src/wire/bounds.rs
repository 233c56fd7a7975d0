//! A first pass over CBOR (RFC 8949) that allocates nothing: after it a decoder meets no length that is not there, no
//! nesting that overflows its stack, and nothing that our own encoder would not write.

/// How deep arrays and maps may lie in each other. Our own messages stay under a third of it.
pub const MAX_DEPTH: usize = 32;

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// They end inside an item.
    #[error("the message ends inside an item, at byte {0}")]
    Truncated(usize),
    /// A length or a count that the rest of the message cannot hold.
    #[error("the item at byte {at} claims {claimed} bytes or items, and {left} bytes are left")]
    Claim {
        /// Where.
        at: usize,
        /// What is claimed.
        claimed: u64,
        /// What there is.
        left: usize,
    },
    /// Nested too deep.
    #[error("the message nests deeper than {MAX_DEPTH} at byte {0}")]
    Depth(usize),
    /// An encoding that is not used here: a tag, an indefinite length, a reserved value.
    #[error("the byte 0x{byte:02x} at {at} starts nothing that a message may hold")]
    Foreign {
        /// Where.
        at: usize,
        /// Which.
        byte: u8,
    },
    /// More after the message.
    #[error("{0} bytes follow the end of the message")]
    Trailing(usize),
    /// Well formed, and not a message of this kind.
    #[error("not a message of the expected kind: {0}")]
    Kind(String),
}

/// Checks that these bytes are exactly one item within the bounds.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Malformed> {
    // How many items are still open at each level.
    let mut open = [0_u64; MAX_DEPTH];
    let mut depth = 0;
    let mut at = 0;
    let mut left_here = 1_u64;
    loop {
        while left_here == 0 {
            if depth == 0 {
                return if at == bytes.len() { Ok(()) } else { Err(Malformed::Trailing(bytes.len() - at)) };
            }
            depth -= 1;
            left_here = open.get(depth).copied().unwrap_or(0);
        }
        left_here -= 1;
        let start = at;
        let (major, argument, next) = head(bytes, at)?;
        at = next;
        let left = bytes.len() - at;
        let claim = |claimed: u64| {
            if usize::try_from(claimed).is_ok_and(|claimed| claimed <= left) {
                Ok(())
            } else {
                Err(Malformed::Claim { at: start, claimed, left })
            }
        };
        let inside = match major {
            2 | 3 => {
                claim(argument)?;
                at += usize::try_from(argument).unwrap_or(left);
                continue;
            }
            4 => argument,
            5 => argument.saturating_mul(2),
            _ => continue,
        };
        claim(inside)?;
        *open.get_mut(depth).ok_or(Malformed::Depth(start))? = left_here;
        depth += 1;
        left_here = inside;
    }
}

/// The major type and argument of the item at `at`, and where its content starts.
fn head(bytes: &[u8], at: usize) -> Result<(u8, u64, usize), Malformed> {
    let first = *bytes.get(at).ok_or(Malformed::Truncated(at))?;
    let (major, info) = (first >> 5, first & 0x1f);
    let foreign = Malformed::Foreign { at, byte: first };
    if major == 6 {
        return Err(foreign);
    }
    let width = match info {
        0..=23 => return Ok((major, u64::from(info), at + 1)),
        // A simple value in a second byte: none is in use.
        24 if major == 7 => return Err(foreign),
        24..=27 => 1_usize << (info - 24),
        _ => return Err(foreign),
    };
    let rest = bytes.get(at + 1..at + 1 + width).ok_or(Malformed::Truncated(at))?;
    let argument = rest.iter().fold(0, |value, &byte| value << 8 | u64::from(byte));
    Ok((major, argument, at + 1 + width))
}

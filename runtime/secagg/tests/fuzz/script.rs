//! The bytes of a fuzzer, read as decisions.

use ciborium::Value;

/// Gives zeros when it is used up: then nothing is disturbed any more.
pub(crate) struct Script<'a> {
    bytes: &'a [u8],
}

impl<'a> Script<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn byte(&mut self) -> u8 {
        match self.bytes.split_first() {
            Some((first, rest)) => {
                self.bytes = rest;
                *first
            }
            None => 0,
        }
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::from(u16::from_le_bytes([self.byte(), self.byte()])) % end
    }

    /// Changes an encoded message: some bits, its end, or its parts.
    pub(crate) fn corrupt(&mut self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            bytes.push(self.byte());
            return;
        }
        match self.byte() % 4 {
            0 => {
                let at = self.below(bytes.len());
                bytes.truncate(at);
            }
            1 => {
                let (at, byte) = (self.below(bytes.len()), self.byte());
                bytes.insert(at, byte);
            }
            2 => self.exchange(bytes),
            _ => {
                for _ in 0..=self.byte() % 3 {
                    let at = self.below(bytes.len());
                    bytes[at] ^= 1 << (self.byte() % 8);
                }
            }
        }
    }

    /// Exchanges two parts of the same length, or leaves out an entry of a map: what still decodes.
    fn exchange(&mut self, bytes: &mut Vec<u8>) {
        let Ok(mut value) = ciborium::from_reader::<Value, _>(bytes.as_slice()) else { return };
        let mut strings = Vec::new();
        collect(&mut value, &mut strings);
        if strings.len() > 1 && !self.byte().is_multiple_of(4) {
            let (one, other) = (self.below(strings.len()), self.below(strings.len()));
            if strings[one].len() == strings[other].len() && one != other {
                let taken = strings[one].clone();
                *strings[one] = std::mem::replace(strings[other], taken);
            }
        } else if let Value::Map(fields) = &mut value
            && !fields.is_empty()
        {
            let at = self.below(fields.len());
            match &mut fields[at].1 {
                Value::Map(entries) if !entries.is_empty() => drop(entries.remove(self.below(entries.len()))),
                Value::Array(items) if !items.is_empty() => drop(items.remove(self.below(items.len()))),
                _ => drop(fields.remove(at)),
            }
        }
        bytes.clear();
        ciborium::into_writer(&value, bytes).unwrap();
    }
}

fn collect<'a>(value: &'a mut Value, strings: &mut Vec<&'a mut Vec<u8>>) {
    match value {
        Value::Bytes(bytes) => strings.push(bytes),
        Value::Array(items) => items.iter_mut().for_each(|item| collect(item, strings)),
        Value::Map(pairs) => pairs.iter_mut().for_each(|(_, item)| collect(item, strings)),
        _ => {}
    }
}

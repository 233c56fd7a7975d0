//! How a modulus is written down: as a number, or as a power, because few formats have a number as large as 2⁶⁴.

use std::fmt;

use serde::{Deserializer, Serializer, de};

pub(super) fn serialize<S: Serializer>(modulus: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    match u64::try_from(*modulus) {
        Ok(modulus) => serializer.serialize_u64(modulus),
        Err(_) if modulus.is_power_of_two() => {
            serializer.serialize_str(&format!("2^{}", modulus.trailing_zeros()))
        }
        Err(_) => serializer.serialize_u128(*modulus),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
    deserializer.deserialize_any(Modulus)
}

struct Modulus;

impl de::Visitor<'_> for Modulus {
    type Value = u128;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a power of two, as a number or as a text such as \"2^64\"")
    }

    fn visit_u64<E: de::Error>(self, modulus: u64) -> Result<u128, E> {
        Ok(modulus.into())
    }

    fn visit_i64<E: de::Error>(self, modulus: i64) -> Result<u128, E> {
        u128::try_from(modulus).map_err(|_| E::invalid_value(de::Unexpected::Signed(modulus), &self))
    }

    fn visit_u128<E: de::Error>(self, modulus: u128) -> Result<u128, E> {
        Ok(modulus)
    }

    /// What readers of JSON make of 18446744073709551616.
    fn visit_f64<E: de::Error>(self, modulus: f64) -> Result<u128, E> {
        const LARGEST: f64 = 18_446_744_073_709_551_616.0;
        if modulus == LARGEST {
            return Ok(LARGEST as u128);
        }
        Err(E::invalid_value(de::Unexpected::Float(modulus), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u128, E> {
        let exponent = text.strip_prefix("2^").and_then(|exponent| exponent.parse().ok());
        let modulus = exponent.and_then(|exponent| 1_u128.checked_shl(exponent));
        modulus.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

//! Whether there is a point of P-256 with a given x coordinate, without computing it.
//!
//! y² = x³ − 3x + b has a solution modulo the prime p where the right side is a quadratic residue (SP 800-186, section
//! 3.2.1.3), which its Jacobi symbol tells in a third of the time of the square root itself. The group's order is odd, so
//! no point has y = 0. Coordinates of public keys are public, so nothing has to take constant time.

use p256::{
    U256,
    elliptic_curve::bigint::{
        JacobiSymbol, const_monty_params,
        modular::{ConstMontyForm, ConstMontyParams},
    },
};

const_monty_params!(
    Prime,
    U256,
    "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
    "The field's prime."
);

type Element = ConstMontyForm<Prime, { U256::LIMBS }>;

/// The curve's constant term.
const B: Element =
    Element::new(&U256::from_be_hex("5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b"));

/// Of a coordinate, big-endian. One that is not reduced modulo p is none.
#[allow(clippy::arithmetic_side_effects, reason = "elements of a field, which cannot overflow")]
pub(crate) fn is_on_curve(x: &[u8; 32]) -> bool {
    let x = U256::from_be_slice(x);
    if x >= *Prime::PARAMS.modulus().as_ref() {
        return false;
    }
    let x = Element::new(&x);
    let square = x * (x * x - Element::new(&U256::from_u8(3))) + B;
    square.jacobi_symbol_vartime() == JacobiSymbol::One
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EncodedKey;

    /// The library computes the square root, or finds that there is none.
    #[test]
    fn the_same_points_as_the_library_finds() {
        let mut found = [0, 0];
        for i in 0..400_u16 {
            let x = crate::transcript::Transcript::new("test").int(i.into()).hash();
            let mut key = [2; 33];
            key[1..].copy_from_slice(&x);
            let decodes = EncodedKey::from_bytes(key).decode("relay", "eve").is_ok();
            assert_eq!(is_on_curve(&x), decodes, "{x:?}");
            found[usize::from(decodes)] += 1;
        }
        assert!(found[0] > 100 && found[1] > 100, "{found:?}");
    }

    #[test]
    fn a_coordinate_is_below_the_prime() {
        let prime = Prime::PARAMS.modulus().as_ref().to_be_bytes();
        let mut bytes = [0; 32];
        bytes.copy_from_slice(prime.as_slice());
        assert!(!is_on_curve(&bytes) && !is_on_curve(&[0xff; 32]));
        // b is a square, so there is a point at 0; p is 0 in another form.
        assert!(is_on_curve(&[0; 32]));
    }
}

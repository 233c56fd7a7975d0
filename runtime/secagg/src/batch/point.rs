//! Points of P-256, for public values: nothing here takes constant time.

use p256::{AffinePoint, elliptic_curve::point::AffineCoordinates as _};

use super::field::{Element, words};

/// b of y² = x³ − 3x + b (SP 800-186, section 3.2.1.3).
const B: [u64; 4] =
    [0x3bce_3c3e_27d2_604b, 0x651d_06b0_cc53_b0f6, 0xb3eb_bd55_7698_86bc, 0x5ac6_35d8_aa3a_93e7];

/// A point of the curve by its coordinates. The neutral point has none. As the group's order is an odd prime, no point is
/// its own opposite: y is not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Affine {
    pub(super) x: Element,
    pub(super) y: Element,
}

#[allow(clippy::arithmetic_side_effects, reason = "field elements, which cannot overflow")]
impl Affine {
    /// `None` of the neutral point.
    pub(super) fn new(point: &AffinePoint) -> Option<Self> {
        let element = |bytes: [u8; 32]| Element::from_words(words(&bytes));
        let is_neutral = bool::from(point.is_identity());
        (!is_neutral).then(|| Self { x: element(point.x().into()), y: element(point.y().into()) })
    }

    /// The point with this x coordinate, a number below p, whose y coordinate is odd, if there is one.
    pub(super) fn with_odd_y(x: &[u8; 32]) -> Option<Self> {
        let x = Element::from_words(words(x));
        let three = Element::ONE.double() + Element::ONE;
        let y = ((x.square() - three) * x + Element::from_words(B)).root()?;
        Some(Self { x, y: if y.is_odd() { y } else { -y } })
    }

    pub(super) fn opposite(self) -> Self {
        Self { x: self.x, y: -self.y }
    }

    pub(super) fn is_opposite(&self, other: &Self) -> bool {
        self.x == other.x && self.y != other.y
    }

    /// What the slope of the line through both, or of the tangent, is divided by. Not zero, unless they are opposite.
    #[inline(always)]
    pub(super) fn run(&self, other: &Self) -> Element {
        if self.x == other.x { self.y.double() } else { other.x - self.x }
    }

    /// The sum of two points that are not opposite, where 1/[`run`](Self::run) is known.
    #[inline(always)]
    pub(super) fn plus(&self, other: &Self, over_run: Element) -> Self {
        let rise = if self.x == other.x {
            let squared = self.x.square() - Element::ONE;
            squared.double() + squared
        } else {
            other.y - self.y
        };
        let slope = rise * over_run;
        let x = slope.square() - self.x - other.x;
        Self { x, y: slope * (self.x - x) - self.y }
    }
}

/// A point (x/z², y/z³), or the neutral one, whose z is zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Jacobian {
    x: Element,
    y: Element,
    z: Element,
}

/// Formulas dbl-2001-b and madd of the Explicit-Formulas Database (Bernstein and Lange).
#[allow(clippy::arithmetic_side_effects, reason = "field elements, which cannot overflow")]
impl Jacobian {
    pub(super) const NEUTRAL: Self = Self { x: Element::ONE, y: Element::ONE, z: Element::ZERO };

    pub(super) fn is_neutral(&self) -> bool {
        self.z == Element::ZERO
    }

    pub(super) fn double(self) -> Self {
        let (delta, gamma) = (self.z.square(), self.y.square());
        let beta4 = (self.x * gamma).double().double();
        let third = (self.x - delta) * (self.x + delta);
        let alpha = third.double() + third;
        let x = alpha.square() - beta4.double();
        let y = alpha * (beta4 - x) - gamma.square().double().double().double();
        Self { x, y, z: (self.y * self.z).double() }
    }

    pub(super) fn plus(self, other: &Affine) -> Self {
        if self.is_neutral() {
            return Self { x: other.x, y: other.y, z: Element::ONE };
        }
        let squared = self.z.square();
        let run = other.x * squared - self.x;
        let rise = other.y * squared * self.z - self.y;
        if run == Element::ZERO {
            return if rise == Element::ZERO { self.double() } else { Self::NEUTRAL };
        }
        let run2 = run.square();
        let run3 = run2 * run;
        let v = self.x * run2;
        let x = rise.square() - run3 - v.double();
        Self { x, y: rise * (v - x) - self.y * run3, z: self.z * run }
    }
}

#[cfg(test)]
mod tests {
    use p256::{
        ProjectivePoint, Scalar,
        elliptic_curve::{Generate as _, point::DecompressPoint as _, subtle::Choice},
    };

    use super::*;

    fn affine(point: ProjectivePoint) -> Option<Affine> {
        Affine::new(&point.into())
    }

    /// The point is in Jacobian coordinates with a z other than 1.
    fn jacobian(point: ProjectivePoint) -> Jacobian {
        let half = point * Scalar::from(2_u64).invert().unwrap();
        affine(half).map_or(Jacobian::NEUTRAL, |half| Jacobian::NEUTRAL.plus(&half).double())
    }

    fn is_same(sum: Jacobian, expected: ProjectivePoint) -> bool {
        match affine(-expected) {
            Some(opposite) => !sum.is_neutral() && sum.plus(&opposite).is_neutral(),
            None => sum.is_neutral(),
        }
    }

    #[test]
    fn an_x_coordinate_gives_the_point_with_an_odd_y() {
        for _ in 0..50 {
            let mut x = [0; 32];
            rand::Rng::fill_bytes(&mut rand::rng(), &mut x[1..]);
            let expected = Option::<AffinePoint>::from(AffinePoint::decompress(&x.into(), Choice::from(1)));
            assert_eq!(Affine::with_odd_y(&x), expected.and_then(|point| Affine::new(&point)));
        }
        assert_eq!(Affine::new(&AffinePoint::IDENTITY), None);
    }

    #[test]
    fn points_add_up_also_where_they_are_equal_opposite_or_neutral() {
        let point = ProjectivePoint::GENERATOR * Scalar::generate();
        let others = [point, -point, point + point, ProjectivePoint::GENERATOR];
        for first in others.into_iter().chain([ProjectivePoint::IDENTITY]) {
            assert!(is_same(jacobian(first), first));
            assert!(is_same(jacobian(first).double(), first + first));
            for second in others {
                let other = affine(second).unwrap();
                assert!(is_same(jacobian(first).plus(&other), first + second));
                let Some(one) = affine(first) else { continue };
                assert_eq!(one.is_opposite(&other), first == -second);
                if first != -second {
                    let sum = one.plus(&other, one.run(&other).inverse());
                    assert_eq!(Some(sum), affine(first + second));
                }
            }
        }
    }
}

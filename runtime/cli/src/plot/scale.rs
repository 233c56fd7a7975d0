//! From values to places, with ticks at round numbers.

/// A linear axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    step: f64,
}

impl Scale {
    /// An axis that holds `values`, with about `ticks` ticks; whole numbers only where `whole`. Its ends are
    /// ticks unless it is `tight`.
    pub(super) fn around(
        values: impl Iterator<Item = f64> + Clone,
        ticks: usize,
        whole: bool,
        tight: bool,
    ) -> Self {
        let low = values.clone().fold(f64::INFINITY, f64::min);
        let high = values.fold(f64::NEG_INFINITY, f64::max);
        let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
        // One value, or as good as one, gets room on both sides.
        let room = if whole { 1.0 } else { (low.abs() * 0.1).max(1e-3) };
        let (low, high) = if high - low < room * 1e-6 { (low - room, high + room) } else { (low, high) };
        let mut step = round_step((high - low) / ticks.max(1) as f64);
        if whole {
            step = step.max(1.0).round();
        }
        if tight {
            let margin = (high - low) * 0.02;
            return Self { low: low - margin, high: high + margin, step };
        }
        Self { low: (low / step).floor() * step, high: (high / step).ceil() * step, step }
    }

    /// Where a value stands: 0 at the low end, 1 at the high one.
    pub(super) fn place(&self, value: f64) -> f32 {
        ((value - self.low) / (self.high - self.low)) as f32
    }

    /// The ticks with their labels.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        let first = (self.low / self.step - 1e-9).ceil() as i64;
        let last = (self.high / self.step + 1e-9).floor() as i64;
        (first..=last)
            .map(|number| number as f64 * self.step)
            .map(|value| (value, self.label(value)))
            .collect()
    }

    fn label(&self, value: f64) -> String {
        let largest = self.low.abs().max(self.high.abs());
        if !(1e-3..1e6).contains(&largest) {
            return if value == 0.0 { "0".to_owned() } else { format!("{value:.1e}") };
        }
        // A step is 1, 2 or 5 times a power of ten: so many decimals show it whole.
        let decimals = (-self.step.log10().floor()).max(0.0) as usize;
        format!("{value:.decimals$}")
    }
}

/// The next larger of 1, 2 and 5 times a power of ten.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= step * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: &[f64], whole: bool) -> Vec<String> {
        let scale = Scale::around(values.iter().copied(), 5, whole, false);
        scale.ticks().into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_numbers_around_the_values() {
        assert_eq!(labels(&[0.766, 0.857], false), ["0.76", "0.78", "0.80", "0.82", "0.84", "0.86"]);
        assert_eq!(labels(&[0.0, 1.0], true), ["0", "1"]);
        assert_eq!(labels(&[0.0, 19.0], true), ["0", "5", "10", "15", "20"]);
        assert_eq!(labels(&[3.0], true), ["2", "3", "4"]);
        assert_eq!(labels(&[-3.0, 12.0], false), ["-5", "0", "5", "10", "15"]);
        assert!(!labels(&[], false).is_empty());
        assert!(!labels(&[0.0], false).is_empty());
    }
}

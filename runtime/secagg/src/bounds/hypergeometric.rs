//! The distribution of how many of a client's neighbours are in a set.

/// The number of marked ones among `draws` from a population, without replacement.
pub(super) struct Hypergeometric {
    pub(super) smallest: usize,
    /// Multiples of the probabilities of `smallest`, `smallest + 1`, …; the mode's is 1, and what is too small for an
    /// `f64` beside it is 0.
    pub(super) weights: Vec<f64>,
    pub(super) total: f64,
}

impl Hypergeometric {
    pub(super) fn new(population: usize, marked: usize, draws: usize) -> Self {
        let unmarked = population.saturating_sub(marked);
        let (smallest, largest) = (draws.saturating_sub(unmarked), marked.min(draws));
        let mode = (draws as f64 + 1.0) * (marked as f64 + 1.0) / (population as f64 + 2.0);
        let mode = (mode as usize).clamp(smallest, largest);
        // Pr[x + 1] / Pr[x]
        let (m, d, u) = (marked as f64, draws as f64, unmarked as f64);
        let ratio = |x: usize| {
            let x = x as f64;
            (m - x) * (d - x) / ((x + 1.0) * (u - d + x + 1.0))
        };
        let mut weights: Vec<f64> = (smallest..mode)
            .rev()
            .scan(1.0, |weight, x| {
                *weight /= ratio(x);
                Some(*weight)
            })
            .collect();
        weights.reverse();
        weights.push(1.0);
        weights.extend((mode..largest).scan(1.0, |weight, x| {
            *weight *= ratio(x);
            Some(*weight)
        }));
        let total = weights.iter().sum();
        Self { smallest, weights, total }
    }

    /// Pr\[X ≥ x\].
    pub(super) fn tail(&self, x: usize) -> f64 {
        let below = x.saturating_sub(self.smallest);
        self.weights.iter().skip(below).rev().sum::<f64>() / self.total
    }

    /// The smallest x with Pr\[X ≥ x\] ≤ `limit`.
    pub(super) fn smallest_with_tail_at_most(&self, limit: f64) -> usize {
        let mut tail = 0.0;
        let rare = self.weights.iter().rev().take_while(|weight| {
            tail += **weight;
            tail <= limit * self.total
        });
        self.smallest.saturating_add(self.weights.len()).saturating_sub(rare.count())
    }

    /// The largest x with Pr\[X < x\] < `limit`.
    pub(super) fn largest_with_fewer_rarer_than(&self, limit: f64) -> usize {
        let mut tail = 0.0;
        let rare = self.weights.iter().take_while(|weight| {
            tail += **weight;
            tail < limit * self.total
        });
        self.smallest.saturating_add(rare.count())
    }
}

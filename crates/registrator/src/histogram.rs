//! How long things take, as Prometheus counts it.

use std::time::Duration;

/// How many of something took how long.
#[derive(Debug, Clone)]
pub struct Histogram {
    /// The upper bounds, in seconds.
    pub bounds: &'static [f64],
    /// How many were within each bound and above the one before.
    pub counts: Vec<u64>,
    /// All of them.
    pub count: u64,
    /// How long all took, in seconds.
    pub sum: f64,
}

impl Histogram {
    /// Nothing yet. `bounds` grow.
    pub fn new(bounds: &'static [f64]) -> Histogram {
        Histogram {
            bounds,
            counts: vec![0; bounds.len()],
            count: 0,
            sum: 0.0,
        }
    }

    /// One took so long.
    pub fn observe(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bound = self.bounds.iter().position(|bound| seconds <= *bound);
        if let Some(count) = bound.and_then(|at| self.counts.get_mut(at)) {
            *count += 1;
        }
        self.count += 1;
        self.sum += seconds;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lies_within_the_first_bound_that_is_not_smaller() {
        let mut histogram = Histogram::new(&[0.001, 1.0]);
        for milliseconds in [1, 2, 1000, 2000] {
            histogram.observe(Duration::from_millis(milliseconds));
        }
        assert_eq!(histogram.counts, [1, 2]);
        assert_eq!((histogram.count, histogram.sum), (4, 3.003));
    }
}

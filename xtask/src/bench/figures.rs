//! What was found out: numbers with their unit, their floor and what they should be.

/// In what a figure is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Milliseconds,
    Seconds,
    PerSecond,
    Mebibytes,
}

impl Unit {
    pub(super) fn name(self) -> &'static str {
        match self {
            Unit::Milliseconds => "ms",
            Unit::Seconds => "s",
            Unit::PerSecond => "/s",
            Unit::Mebibytes => "MiB",
        }
    }
}

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Target {
    /// At most so many times the original's.
    RatioAtMost(f64),
    /// At least so many times the original's.
    RatioAtLeast(f64),
    /// At most so much.
    AtMost(f64),
}

impl Target {
    pub(super) fn text(self, unit: Unit) -> String {
        match self {
            Target::RatioAtMost(ratio) => format!("≤ {ratio}×"),
            Target::RatioAtLeast(ratio) => format!("≥ {ratio}×"),
            Target::AtMost(value) => format!("≤ {value} {}", unit.name()),
        }
    }
}

/// One line of the report.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    pub(super) name: String,
    pub(super) unit: Unit,
    /// Ours first, then the original's.
    pub(super) values: Vec<f64>,
    /// What the bare input and output takes, or the algorithm's own waiting.
    pub(super) floor: Option<f64>,
    pub(super) target: Option<Target>,
    /// Why there are no values.
    pub(super) why_not: Option<String>,
}

impl Figure {
    pub(super) fn new(name: &str, unit: Unit, values: Vec<f64>) -> Figure {
        Figure {
            name: name.to_owned(),
            unit,
            values,
            floor: None,
            target: None,
            why_not: None,
        }
    }

    /// Nothing was measured.
    pub(super) fn skipped(name: &str, why: &str) -> Figure {
        let why_not = Some(why.to_owned());
        Figure {
            why_not,
            ..Figure::new(name, Unit::Seconds, Vec::new())
        }
    }

    pub(super) fn floor(self, floor: Option<f64>) -> Figure {
        Figure { floor, ..self }
    }

    pub(super) fn target(self, target: Target) -> Figure {
        Figure {
            target: Some(target),
            ..self
        }
    }

    /// Ours divided by the original's.
    pub(super) fn ratio(&self) -> Option<f64> {
        match self.values.as_slice() {
            [ours, original] if *original > 0.0 => Some(ours / original),
            _ => None,
        }
    }

    /// Whether the target is met; `None` where there is nothing to compare with.
    pub(super) fn met(&self) -> Option<bool> {
        let ours = *self.values.first()?;
        match self.target? {
            Target::RatioAtMost(most) => self.ratio().map(|ratio| ratio <= most),
            Target::RatioAtLeast(least) => self.ratio().map(|ratio| ratio >= least),
            Target::AtMost(most) => Some(ours <= most),
        }
    }
}

/// Three significant digits, and no more than whole numbers above a thousand.
pub(super) fn digits(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

/// The value below which that share (0 to 1) of the values lie; the nearest rank. NaN for none.
pub(super) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    // Truncation is what the rank wants; the share is not negative.
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}

/// The middle value. NaN for none.
pub(super) fn median(values: &[f64]) -> f64 {
    percentile(values, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(&values, 0.5), 50.0);
        assert_eq!(percentile(&values, 0.99), 99.0);
        assert_eq!(percentile(&[7.0], 0.99), 7.0);
        assert!(percentile(&[], 0.5).is_nan());
    }

    #[test]
    fn a_target_without_a_comparison_is_open() {
        let alone = Figure::new("x", Unit::Seconds, vec![1.0]);
        assert_eq!(alone.clone().target(Target::RatioAtMost(0.5)).met(), None);
        assert_eq!(alone.target(Target::AtMost(0.5)).met(), Some(false));
        let both = Figure::new("x", Unit::PerSecond, vec![3.0, 1.0]);
        assert_eq!(both.target(Target::RatioAtLeast(2.0)).met(), Some(true));
    }

    #[test]
    fn digits_are_as_many_as_mean_something() {
        assert_eq!(digits(1234.5), "1234");
        assert_eq!(digits(12.345), "12.3");
        assert_eq!(digits(0.0456), "0.046");
    }
}

//! What a device's peaks allow at best: a prediction, not a measurement.

use std::{fmt, str::FromStr};

use crate::{Error, Result, exec::OpCost};

/// What a command costs however little it does, in seconds.
const DISPATCH: f64 = 5e-6;

/// NVIDIA's figures for an H100 SXM: float32 outside of the tensor cores, HBM3.
const H100: Roofline = Roofline { flops: 67e12, bandwidth: 3.35e12 };

/// A device by its peaks (Williams, Waterman and Patterson 2009).
///
/// An op takes at least `max(flops/peak, bytes/bandwidth) + 5 µs·commands`.
///
/// As text: `h100`, or `PEAK_GFLOPS:PEAK_GBS` such as `67000:3350`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Roofline {
    /// Floating-point operations a second.
    flops: f64,
    /// Bytes a second.
    bandwidth: f64,
}

impl Roofline {
    /// The least time of an op, in seconds.
    #[must_use]
    pub fn seconds(&self, cost: &OpCost) -> f64 {
        (cost.flops as f64 / self.flops).max(cost.bytes as f64 / self.bandwidth) + DISPATCH * cost.dispatches as f64
    }

    /// The least time of a run, in seconds.
    #[must_use]
    pub fn total(&self, costs: &[OpCost]) -> f64 {
        costs.iter().map(|cost| self.seconds(cost)).sum()
    }
}

impl FromStr for Roofline {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "h100" {
            return Ok(H100);
        }
        let peak = |text: &str| text.parse().ok().filter(|peak: &f64| *peak > 0.0 && peak.is_finite());
        let peaks = text.split_once(':').and_then(|(flops, bytes)| Some((peak(flops)?, peak(bytes)?)));
        let (gflops, gbytes) = peaks.ok_or_else(|| Error::Usage {
            setting: "roofline".into(),
            expected: "`h100`, or GFLOP/s and GB/s as `67000:3350`".into(),
            found: format!("`{text}`"),
            hint: "both stand in the device's data sheet".into(),
        })?;
        Ok(Self { flops: gflops * 1e9, bandwidth: gbytes * 1e9 })
    }
}

impl fmt::Display for Roofline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} GFLOP/s, {} GB/s, {} µs a command", self.flops / 1e9, self.bandwidth / 1e9, DISPATCH * 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(flops: u64, bytes: u64, dispatches: usize) -> OpCost {
        OpCost { op: "conv.Conv2d".into(), kind: "Conv2d", dispatches, flops, bytes }
    }

    #[test]
    fn the_scarcer_of_arithmetic_and_memory_counts() {
        let roofline: Roofline = "1000:10".parse().expect("two peaks");
        let (arithmetic, memory) = (cost(4_000_000_000, 10_000_000, 1), cost(4_000_000, 30_000_000, 2));
        assert!((roofline.seconds(&arithmetic) - (4e-3 + 5e-6)).abs() < 1e-12);
        assert!((roofline.seconds(&memory) - (3e-3 + 10e-6)).abs() < 1e-12);
        assert!((roofline.total(&[arithmetic, memory]) - 7.015e-3).abs() < 1e-12);
        assert_eq!("h100".parse::<Roofline>().expect("a preset"), "67000:3350".parse().expect("its peaks"));
    }

    #[test]
    fn other_texts_are_refused() {
        for wrong in ["", "h200", "67000", "67000:", "0:3350", "-1:1", "nan:1", "inf:1", "1:2:3"] {
            assert_eq!(wrong.parse::<Roofline>().expect_err(wrong).exit_code(), 2, "{wrong}");
        }
    }
}

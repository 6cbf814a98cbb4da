//! How many threads work is shared among.

use crate::{Error, Result};

/// More threads than this for each of the hardware's only wait for each other.
const MOST_FOR_EACH: usize = 4;

/// The threads of the hardware.
#[must_use]
pub fn hardware() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The threads to start where `asked` are asked for: 1 to 4 times those of the hardware. None, or 0, are those of the
/// hardware.
///
/// # Errors
/// [`Error::Usage`] for more.
pub fn count(asked: Option<usize>) -> Result<usize> {
    let most = MOST_FOR_EACH * hardware();
    match asked {
        None | Some(0) => Ok(hardware()),
        Some(threads) if threads <= most => Ok(threads),
        Some(threads) => Err(Error::Usage {
            setting: "threads".to_owned(),
            expected: format!("1 to {most}, 4 for each of the hardware's, or 0 for one each"),
            found: threads.to_string(),
            hint: "leave it out to use every core".to_owned(),
        }),
    }
}

/// The error where threads cannot be started.
#[must_use]
pub fn refused(what: &str, error: &dyn std::fmt::Display) -> Error {
    Error::Device {
        device: "cpu".to_owned(),
        problem: format!("{what} could not be started: {error}"),
        hint: "ask for fewer threads, end other programs, or raise the limit on processes or memory".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_at_most_four_for_each_of_the_hardwares() {
        let all = hardware();
        for (asked, expected) in [(None, all), (Some(0), all), (Some(1), 1), (Some(4 * all), 4 * all)] {
            assert_eq!(count(asked).expect("a good number"), expected);
        }
        for asked in [4 * all + 1, 100_000, usize::MAX] {
            let error = count(Some(asked)).expect_err("too many");
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(&format!("1 to {}", 4 * all)), "{error}");
        }
    }
}

//! Adds up what the test programs print, and says it in the end.

use std::fmt::Write as _;

/// A test that did not run, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ignored {
    /// The test.
    pub(crate) name: String,
    /// Why it did not run.
    pub(crate) reason: String,
}

impl Ignored {
    /// The reason stands after the name (`#[ignore = "reason"]`), or in brackets at its end where the harness has no
    /// other place for it.
    fn read(name: &str, reason: &str) -> Self {
        let bracketed = name.strip_suffix(')').and_then(|name| name.split_once(" ("));
        let (name, reason) = match (reason, bracketed) {
            ("", Some((name, reason))) => (name, reason),
            ("", None) => (name, "no reason given"),
            _ => (name, reason),
        };
        Self { name: name.to_owned(), reason: reason.to_owned() }
    }
}

/// Results of a number of tests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// How many passed.
    pub(crate) passed: usize,
    /// Each that failed.
    pub(crate) failed: Vec<String>,
    /// Each that did not run.
    pub(crate) ignored: Vec<Ignored>,
}

impl Tally {
    /// The result of one check.
    pub(crate) fn one(name: &str, passed: bool) -> Self {
        let failed = if passed { Vec::new() } else { vec![name.to_owned()] };
        Self { passed: usize::from(passed), failed, ignored: Vec::new() }
    }

    /// One check that did not run.
    pub(crate) fn skipped(name: &str, reason: &str) -> Self {
        let ignored = vec![Ignored { name: name.to_owned(), reason: reason.to_owned() }];
        Self { ignored, ..Self::default() }
    }

    /// All tests, run or not.
    pub(crate) fn total(&self) -> usize {
        self.passed + self.failed.len() + self.ignored.len()
    }

    /// Adds another tally to this one.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed.extend(other.failed);
        self.ignored.extend(other.ignored);
    }

    /// What a run of `cargo test` or of a test binary printed.
    ///
    /// The numbers come from the `test result:` lines; the names and reasons from the lines before them. A program
    /// that ended badly without naming a failed test counts as one failure, as does one that printed no result.
    pub(crate) fn parse(what: &str, output: &str, success: bool) -> Self {
        let mut tally = Self::default();
        let (mut failed, mut ignored, mut results) = (0, 0, 0);
        for line in output.lines() {
            if let Some(counts) = line.trim_start().strip_prefix("test result: ") {
                results += 1;
                tally.passed += count(counts, "passed");
                failed += count(counts, "failed");
                ignored += count(counts, "ignored");
            } else if let Some((name, ending)) = test_line(line) {
                if ending == "FAILED" {
                    tally.failed.push(name.to_owned());
                } else if let Some(reason) = ending.strip_prefix("ignored") {
                    tally.ignored.push(Ignored::read(name, reason.trim_start_matches(',').trim()));
                }
            }
        }
        for _ in tally.failed.len()..failed {
            tally.failed.push(format!("{what}: a test that did not print its name"));
        }
        for _ in tally.ignored.len()..ignored {
            let reason = "no reason given".to_owned();
            tally.ignored.push(Ignored { name: format!("{what}: a test that did not print its name"), reason });
        }
        if tally.failed.is_empty() && (!success || results == 0) {
            let how = if results == 0 { "printed no result" } else { "ended badly" };
            tally.failed.push(format!("{what} {how}"));
        }
        tally
    }
}

/// The number that stands before `word` in `12 passed; 0 failed; …`.
fn count(counts: &str, word: &str) -> usize {
    let mut before = counts.split_once(&format!(" {word}")).map_or("", |(before, _)| before);
    before = before.rsplit([' ', ';']).next().unwrap_or_default();
    before.parse().unwrap_or(0)
}

/// The name and the ending of a line such as `test ops::sum ... ignored, needs a GPU`.
fn test_line(line: &str) -> Option<(&str, &str)> {
    let (name, ending) = line.strip_prefix("test ")?.split_once(" ... ")?;
    Some((name.trim(), ending.trim()))
}

/// The parts of a whole run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    steps: Vec<(String, Tally, f64)>,
    missing: Vec<String>,
}

impl Report {
    /// Adds a finished part.
    pub(crate) fn step(&mut self, name: &str, tally: Tally, seconds: f64) {
        self.steps.push((name.to_owned(), tally, seconds));
    }

    /// Names something that is not there and what that means.
    pub(crate) fn missing(&mut self, sentence: impl Into<String>) {
        self.missing.push(sentence.into());
    }

    /// Whether nothing failed.
    pub(crate) fn good(&self) -> bool {
        self.steps.iter().all(|(_, tally, _)| tally.failed.is_empty())
    }

    /// The whole report; its last line is `N passed, N failed, N skipped`.
    pub(crate) fn text(&self) -> String {
        let mut text = String::from("\n== summary\n");
        let mut all = Tally::default();
        for (name, tally, seconds) in &self.steps {
            let (passed, failed, skipped) = (tally.passed, tally.failed.len(), tally.ignored.len());
            // Writing to a string does not fail.
            let _ = writeln!(text, "{name:<42} {passed:>5} ok {failed:>4} bad {skipped:>4} skipped {seconds:>7.1} s");
            all.absorb(tally.clone());
        }
        for sentence in &self.missing {
            let _ = writeln!(text, "missing: {sentence}");
        }
        // Tests ignored for one reason stand together.
        let mut reasons: Vec<&str> = all.ignored.iter().map(|test| test.reason.as_str()).collect();
        reasons.sort_unstable();
        reasons.dedup();
        for reason in reasons {
            let _ = writeln!(text, "ignored: {reason}");
            for test in all.ignored.iter().filter(|test| test.reason == reason) {
                let _ = writeln!(text, "    {}", test.name);
            }
        }
        for name in &all.failed {
            let _ = writeln!(text, "failed: {name}");
        }
        let _ = writeln!(text, "{} passed, {} failed, {} skipped", all.passed, all.failed.len(), all.ignored.len());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "
running 3 tests
test rng::tests::same_seed_same_numbers ... ok
test ops::conv2d::gpu_vulkan_llvmpipe ... ignored, needs a Vulkan driver
test shape::tests::wrong ... FAILED
test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s

running 12 tests
test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 2 filtered out; finished in 1.00s
";

    #[test]
    fn results_of_all_binaries_are_added_up_with_names_and_reasons() {
        let tally = Tally::parse("cargo test", OUTPUT, false);
        assert_eq!(tally.passed, 13);
        assert_eq!(tally.failed, ["shape::tests::wrong"]);
        assert_eq!(tally.ignored[0].name, "ops::conv2d::gpu_vulkan_llvmpipe");
        assert_eq!(tally.ignored[0].reason, "needs a Vulkan driver");
        assert_eq!(tally.total(), 15);
    }

    #[test]
    fn a_reason_may_stand_in_brackets_in_the_name() {
        let read = Ignored::read("gpu cases (no adapter (Vulkan))", "");
        assert_eq!((read.name.as_str(), read.reason.as_str()), ("gpu cases", "no adapter (Vulkan)"));
        assert_eq!(Ignored::read("plain", "").reason, "no reason given");
    }

    #[test]
    fn a_crash_without_a_failed_test_is_a_failure() {
        let good = "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert!(Tally::parse("ops", good, true).failed.is_empty());
        assert_eq!(Tally::parse("ops", good, false).failed, ["ops ended badly"]);
        assert_eq!(Tally::parse("ops", "running 5 tests\n", true).failed, ["ops printed no result"]);
    }

    #[test]
    fn the_last_line_adds_up_and_an_ignored_test_is_no_pass() {
        let mut report = Report::default();
        report.step("cargo test", Tally::parse("cargo test", OUTPUT, false), 1.0);
        report.step("actionlint", Tally::skipped("actionlint", "actionlint is not installed"), 0.0);
        assert!(!report.good());
        let text = report.text();
        assert_eq!(text.lines().last(), Some("13 passed, 1 failed, 2 skipped"));
        assert!(text.contains("ignored: actionlint is not installed\n    actionlint\n"));
        assert!(text.contains("failed: shape::tests::wrong"));
    }
}

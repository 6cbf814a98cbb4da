//! The licences of all packages that some build of the project uses: each must allow to use the whole under MIT and
//! Apache-2.0.

use std::time::Instant;

use serde_json::Value;

use crate::{
    Result,
    command::Command,
    report::{Report, Tally},
};

/// What a package may ask for, by its SPDX name. All are permissive; a new one is added after reading it.
const ALLOWED: [&str; 12] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Looks at every package of Cargo.lock, each a check.
///
/// # Errors
/// A sentence where cargo could not be started or its answer not be read.
pub(crate) fn run(report: &mut Report) -> Result<()> {
    let begin = Instant::now();
    let output = Command::cargo(["metadata", "--format-version", "1", "--locked"]).hidden().run()?;
    if !output.success() {
        return Err(format!("cargo metadata: {}", output.ending()));
    }
    let metadata = output.last_json()?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata named no packages")?;
    let mut tally = Tally::default();
    for package in packages {
        match judge(package) {
            Ok(()) => tally.passed += 1,
            Err(problem) => tally.failed.push(format!("{}: {problem}", package["name"].as_str().unwrap_or_default())),
        }
    }
    report.step("licences of all packages", tally, begin.elapsed().as_secs_f64());
    Ok(())
}

fn judge(package: &Value) -> Result<()> {
    let licence = package["license"].as_str().ok_or("its manifest names no licence")?;
    match is_allowed(licence)? {
        true => Ok(()),
        false => Err(format!("its licence is `{licence}`")),
    }
}

/// Whether an SPDX expression can be met by allowed licences alone. `/` is how old manifests write `OR`.
fn is_allowed(expression: &str) -> Result<bool> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let allowed = any(&mut words).filter(|_| words.peek().is_none());
    allowed.ok_or_else(|| format!("expected an SPDX expression, found `{expression}`"))
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words<'_>) -> Option<bool> {
    let mut allowed = all(words)?;
    while words.next_if_eq(&"OR").is_some() {
        allowed |= all(words)?;
    }
    Some(allowed)
}

/// `AND` binds stronger than `OR`.
fn all(words: &mut Words<'_>) -> Option<bool> {
    let mut allowed = one(words)?;
    while words.next_if_eq(&"AND").is_some() {
        allowed &= one(words)?;
    }
    Some(allowed)
}

fn one(words: &mut Words<'_>) -> Option<bool> {
    match words.next()? {
        "(" => any(words).filter(|_| words.next() == Some(")")),
        ")" | "AND" | "OR" | "WITH" => None,
        name if words.next_if_eq(&"WITH").is_some() => {
            Some(ALLOWED.contains(&format!("{name} WITH {}", words.next()?).as_str()))
        }
        name => Some(ALLOWED.contains(&name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_allowed_where_allowed_licences_meet_it() {
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0-only OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "MIT OR GPL-3.0-only AND MPL-2.0",
            "Apache-2.0 WITH LLVM-exception OR MPL-2.0",
        ] {
            assert_eq!(is_allowed(good), Ok(true), "{good}");
        }
        for bad in [
            "GPL-3.0-only",
            "MIT AND GPL-3.0-only",
            "(MIT OR Apache-2.0) AND MPL-2.0",
            "GPL-2.0-only WITH Classpath-exception-2.0",
            "mit",
        ] {
            assert_eq!(is_allowed(bad), Ok(false), "{bad}");
        }
        for broken in ["", "MIT OR", "(MIT", "MIT Apache-2.0", "OR MIT", "MIT)"] {
            assert!(is_allowed(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_package_without_a_licence_fails() {
        assert!(judge(&serde_json::json!({ "name": "a", "license": null })).is_err());
        assert!(judge(&serde_json::json!({ "name": "a", "license": "MPL-2.0" })).is_err());
        assert_eq!(judge(&serde_json::json!({ "name": "a", "license": "MIT" })), Ok(()));
    }
}

//! The rows of web pages: the same op tests and golden files through browsers' WebGPU, and through the CPU executor as
//! WebAssembly.

use std::{collections::BTreeSet, path::Path, time::Instant};

use super::{
    Adapter, Programs, Row,
    cases::{self, GOLDEN},
};
use crate::{
    Result,
    browsers::{packages, parse},
    command::{Command, on_path},
    environment::{self, Variables, shared},
    report::Tally,
    root, web,
};

/// A page's browser and backend, and the golden files that it compares in every run and with `--full`; the others take
/// it too long.
struct Page {
    browser: &'static str,
    backend: &'static str,
    quick: &'static [&'static str],
    full: &'static [&'static str],
}

const PAGES: [Page; 3] = [
    Page { browser: "chromium", backend: "webgpu", quick: &[], full: &ESR3 },
    Page { browser: "firefox", backend: "webgpu", quick: &["esr3_plain"], full: &ESR3 },
    Page { browser: "chromium", backend: "cpu", quick: &ESR3, full: &GOLDEN },
];
const ESR3: [&str; 3] = ["esr3_plain", "esr3_gamma0.005", "esr3"];

impl Page {
    fn label(&self) -> String {
        format!("{}_{}", self.browser, self.backend)
    }
}

/// What only the machine's program has beside the op: the loader whose batches the device's must equal.
const LOADER: &str = "augment::batches_";

/// A row for each page; `native` are the names of the op tests of every adapter's row.
pub(super) fn rows(native: &BTreeSet<String>, full: bool, install: bool) -> Vec<Row> {
    let built = if on_path("node") && packages(install) {
        web::build_ops()
    } else {
        Err("needs node, and its packages: `npm ci` in web/".to_owned())
    };
    let row = |(number, page): (usize, &Page)| {
        let begin = Instant::now();
        println!("\n== {} in {}", page.backend, page.browser);
        let mut adapter = Adapter {
            index: 100 + number as u64,
            name: page.backend.to_owned(),
            backend: page.browser.to_owned(),
            driver: String::new(),
            software: true,
            features: Vec::new(),
            unusable: None,
        };
        let tally = built.clone().and_then(|built| run(page, &built, native, full, &mut adapter));
        let tally = tally.unwrap_or_else(|problem| {
            adapter.unusable = Some(problem);
            Tally::default()
        });
        Row { label: page.label(), adapter, tally, seconds: begin.elapsed().as_secs_f64() }
    };
    // Beside each other: each waits for its browser most of the time.
    std::thread::scope(|scope| {
        let row = &row;
        let rows: Vec<_> = PAGES.iter().enumerate().map(|page| scope.spawn(move || row(page))).collect();
        rows.into_iter().map(|row| row.join().expect("invariant: a row does not panic")).collect()
    })
}

/// The tests of a page; an error where it cannot run.
fn run(page: &Page, built: &Path, native: &BTreeSet<String>, full: bool, adapter: &mut Adapter) -> Result<Tally> {
    let label = page.label();
    let golden = |name: &str| {
        let file = shared()?.join(format!("golden/{name}.safetensors"));
        file.is_file().then_some(file)
    };
    let compared: Vec<&str> =
        (if full { page.full } else { page.quick }).iter().copied().filter(|name| golden(name).is_some()).collect();
    let script = root().join("web/tests/ops.mjs");
    let mut words = vec![script.into_os_string(), "--built".into(), built.into()];
    words.extend(["--browser", page.browser, "--backend", page.backend].map(Into::into));
    words.extend(compared.iter().filter_map(|name| golden(name)).flat_map(|file| ["--golden".into(), file.into()]));
    let output = Command::new("node", words).env(&environment::of_browsers()).limit_minutes(60).run()?;
    if output.code == Some(2) {
        return Err(format!("needs {}", page.browser));
    }
    let json = output.stdout.lines().next().and_then(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    if let Some(json) = json {
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        (adapter.name, adapter.driver) = (text("device"), text("browser"));
    }
    let mut tally = parse(&label, &output.stdout, output.success());
    tally.absorb(left_out(&label, &output.stdout, native));
    for name in GOLDEN.iter().filter(|name| !compared.contains(name)) {
        let reason = match golden(name) {
            Some(_) => "slow on a software adapter; runs with --full",
            None => "needs ../shared/golden",
        };
        tally.absorb(Tally::skipped(&format!("golden::{name}::{label}"), reason));
    }
    tally.absorb(Tally::skipped(&format!("training::{label}"), "a page does not train"));
    Ok(tally)
}

/// The tests of the machine's program that a page did not name.
fn left_out(label: &str, output: &str, native: &BTreeSet<String>) -> Tally {
    let named = |line: &str| {
        let name = ["ok ", "FAILED ", "ignored "].iter().find_map(|word| line.strip_prefix(word))?;
        Some(name.split(": ").next().unwrap_or(name).to_owned())
    };
    let seen: BTreeSet<String> = output.lines().filter_map(named).collect();
    let mut tally = Tally::default();
    for name in native.difference(&seen) {
        tally.absorb(if name.starts_with(LOADER) {
            Tally::skipped(&format!("{name}::{label}"), "a page has no loader of data sets")
        } else {
            Tally::one(&format!("{name}::{label}: expected among the page's tests, found not"), false)
        });
    }
    tally
}

/// The names of the op tests of an adapter, without the adapter's.
///
/// # Errors
/// A sentence where the program could not be started.
pub(super) fn native(
    adapter: &Adapter,
    all: &[Adapter],
    programs: &Programs,
    variables: &Variables,
) -> Result<BTreeSet<String>> {
    let slug = adapter.slug();
    let slugs: Vec<String> = all.iter().map(Adapter::slug).collect();
    let args = cases::filter(&slug, &slugs).into_iter().chain(["--list".to_owned()]);
    let output = Command::new(&programs.ops, args).env(variables).silent().limit_minutes(2).run()?;
    let ending = format!("::{slug}: test");
    Ok(output.stdout.lines().filter_map(|line| line.trim().strip_suffix(&ending).map(str::to_owned)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_leaves_out_is_ignored_where_it_needs_the_loader_and_fails_elsewhere() {
        let native = ["augment::batches_mixed_are_the_loaders", "concat::of_two", "sgd::one_step", "sgd::two"];
        let native = native.map(str::to_owned).into();
        let output = "{}\nok sgd::one_step\nFAILED sgd::two: why\nok augment::of_one\n2 passed, 1 failed, 0 ignored\n";
        let tally = left_out("firefox_webgpu", output, &native);
        assert_eq!(tally.ignored.len(), 1);
        assert_eq!(tally.failed.len(), 1);
        assert!(tally.failed[0].starts_with("concat::of_two::firefox_webgpu"));
    }
}

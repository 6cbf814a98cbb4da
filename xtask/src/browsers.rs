//! The page's tests in real browsers, and the check of its types; `web/tests/run.mjs` says what they need.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use crate::{
    Result,
    command::{Command, Output, on_path},
    environment::{self, Variables},
    report::{Ignored, Report, Tally},
    root, target,
};

const BROWSERS: [&str; 2] = ["chromium", "firefox"];

/// Whether node's packages for the tests are there; installs them where that is asked for.
pub(crate) fn packages(install: bool) -> bool {
    let web = root().join("web");
    let is_there = |name| web.join("node_modules").join(name).join("package.json").is_file();
    let there = || ["puppeteer-core", "webgpu"].into_iter().all(is_there);
    if !there() && install && on_path("npm") {
        let words = ["ci".as_ref(), "--prefix".as_ref(), web.as_os_str()];
        // What counts is whether they are there afterwards.
        let _ = Command::new("npm", words).limit_minutes(10).run();
    }
    there()
}

/// A small ESR and a small MA-Net for the built page, trained for one epoch on a few drawn faces; what they answer is of no
/// importance.
fn models() -> Result<[PathBuf; 2]> {
    let folder = root().join("target/web-model");
    let _ = fs::remove_dir_all(&folder);
    let made = |name: &str, network: &[&str]| -> Result<PathBuf> {
        let file = folder.join(name).with_extension("safetensors");
        let begin = ["train", "--device", "cpu", "--epochs", "1", "--data", "synthetic:train=128,valid=64,test=8"];
        let train = [&begin, network, &["--name", name, "--out"]].concat();
        moue(&train, &folder)?;
        let best = folder.join(name).join("checkpoints/best.safetensors");
        moue(&["export", &best.to_string_lossy(), "--web", "--out"], &file)?;
        Ok(file)
    };
    let small = ["--model", "manet", "--width", "0.125", "--image-size", "64", "--batch-size", "16"];
    Ok([made("esr", &[])?, made("manet", &small)?])
}

fn moue(args: &[&str], out: &Path) -> Result<()> {
    let out = out.to_string_lossy();
    said(&args.iter().copied().chain([&*out]).collect::<Vec<_>>(), &[]).map(|_| ())
}

/// The program that the tests built: cargo would build it once more, since tests have dependencies of their own.
fn program() -> Result<PathBuf> {
    let path = target("release").join(format!("moue{}", std::env::consts::EXE_SUFFIX));
    if !path.is_file() && !Command::cargo(["build", "--release", "--package", "moue", "--bin", "moue"]).run()?.success()
    {
        return Err("the program could not be built".to_owned());
    }
    Ok(path)
}

/// What the program says on its standard output.
fn said(args: &[&str], variables: &[(String, Option<OsString>)]) -> Result<Output> {
    let output = Command::new(program()?, args).env(variables).limit_minutes(10).run()?;
    if output.success() { Ok(output) } else { Err(format!("`moue {}` failed", args.join(" "))) }
}

/// What the program answers on each device of this machine, as JSON files beside the picture `face.bmp`, for the page's
/// answers to be compared with.
fn answers(model: &Path, variables: &Variables) -> Result<PathBuf> {
    let folder = model.with_file_name("answers");
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(&folder).map_err(failed)?;
    let (picture, drawing) = (folder.join("face.bmp"), folder.join("face.svg"));
    fs::write(&picture, face(120, 136)).map_err(failed)?;
    let doctor = said(&["doctor", "--json"], variables)?.last_json()?;
    let adapters = doctor["adapters"].as_array().into_iter().flatten().filter(|adapter| adapter["unusable"].is_null());
    let mut devices = vec!["cpu".to_owned()];
    devices.extend(adapters.filter_map(|adapter| Some(format!("gpu:{}", adapter["index"].as_u64()?))));
    for device in devices {
        let [picture, model, drawing] = [&picture, model, &drawing].map(|path| path.to_string_lossy());
        let args = ["explain", &picture, "--model", &model, "--out", &drawing, "--device", &device, "--json"];
        let answer = said(&args, variables)?.last_json()?;
        fs::write(folder.join(device.replace(':', "-") + ".json"), answer.to_string()).map_err(failed)?;
    }
    Ok(folder)
}

/// A drawn face as an uncompressed bitmap, whose pixels every decoder reads alike.
fn face(width: usize, height: usize) -> Vec<u8> {
    let inside = |x: usize, y: usize, [cx, cy, rx, ry]: [f64; 4]| {
        let (x, y) = (x as f64 / width as f64 - cx, y as f64 / height as f64 - cy);
        (x / rx).powi(2) + (y / ry).powi(2) < 1.0
    };
    let colour = |x: usize, y: usize| -> [u8; 3] {
        let dark = [[0.35, 0.42, 0.06, 0.04], [0.65, 0.42, 0.06, 0.04], [0.5, 0.72, 0.16, 0.05]];
        if dark.iter().any(|part| inside(x, y, *part)) {
            [30, 25, 40]
        } else if inside(x, y, [0.5, 0.5, 0.38, 0.45]) {
            [(170 + y / 4) as u8, (140 + x / 4) as u8, 120]
        } else {
            [(x * 2 % 256) as u8, 60, (y % 256) as u8]
        }
    };
    let row = (3 * width).next_multiple_of(4);
    let mut bytes = b"BM".to_vec();
    let head = [54 + row * height, 0, 54, 40, width, height, 1 | 24 << 16, 0, row * height, 2835, 2835, 0, 0];
    bytes.extend(head.iter().flat_map(|number| (*number as u32).to_le_bytes()));
    // From the bottom up, blue first.
    for y in (0..height).rev() {
        let pixels = (0..width).flat_map(|x| {
            let [r, g, b] = colour(x, y);
            [b, g, r]
        });
        bytes.extend(pixels.chain([0; 3]).take(row));
    }
    bytes
}

/// Runs the tests in each browser; those that cannot run are ignored with their reason.
pub(crate) fn run(report: &mut Report, variables: &Variables, install: bool) {
    if !on_path("node") || !packages(install) {
        let reason = "needs node, and its packages: `npm ci` in web/";
        for name in BROWSERS {
            report.step(name, Tally::skipped(&format!("the page in {name}"), reason), 0.0);
        }
        return;
    }
    let web = root().join("web");
    let begin = Instant::now();
    let checked = Command::new("npm", ["run".as_ref(), "check".as_ref(), "--prefix".as_ref(), web.as_os_str()]).run();
    let good = checked.is_ok_and(|output| output.success());
    report.step("types of the page", Tally::one("npm run check, in web/", good), begin.elapsed().as_secs_f64());
    let [model, manet] = match models() {
        Ok(models) => models,
        Err(problem) => {
            let failed = vec![format!("a model for the page: {problem}")];
            report.step("a model for the page", Tally { failed, ..Tally::default() }, 0.0);
            return;
        }
    };
    let answers = match answers(&model, variables) {
        Ok(answers) => answers,
        Err(problem) => {
            let failed = vec![format!("the program's answers: {problem}")];
            report.step("the program's answers", Tally { failed, ..Tally::default() }, 0.0);
            return;
        }
    };
    let variables = environment::of_browsers();
    for name in BROWSERS {
        let script = web.join("tests/run.mjs");
        let dist = web.join("dist");
        let words = [script.as_os_str(), "--browser".as_ref(), name.as_ref(), "--dist".as_ref(), dist.as_os_str()];
        let words = words.into_iter().chain(["--model".as_ref(), model.as_os_str()]);
        let words = words.chain(["--answers".as_ref(), answers.as_os_str(), "--manet".as_ref(), manet.as_os_str()]);
        let begin = Instant::now();
        let tally = match Command::new("node", words).env(&variables).limit_minutes(30).run() {
            Ok(output) => parse(name, &output.stdout, output.success()),
            Err(problem) => Tally { failed: vec![format!("the page in {name}: {problem}")], ..Tally::default() },
        };
        report.step(&format!("the page in {name}"), tally, begin.elapsed().as_secs_f64());
    }
}

/// What the tests printed: a line for each, and the sum, which must agree with them.
pub(crate) fn parse(browser: &str, output: &str, success: bool) -> Tally {
    let mut tally = Tally::default();
    let named = |name: &str| format!("{browser}: {name}");
    for line in output.lines() {
        if line.starts_with("ok ") {
            tally.passed += 1;
        } else if let Some(failed) = line.strip_prefix("FAILED ") {
            tally.failed.push(named(failed));
        } else if let Some((name, reason)) = line.strip_prefix("ignored ").and_then(|line| line.split_once(": ")) {
            tally.ignored.push(Ignored { name: named(name), reason: reason.to_owned() });
        }
    }
    let (passed, failed, ignored) = (tally.passed, tally.failed.len(), tally.ignored.len());
    let sum = format!("{passed} passed, {failed} failed, {ignored} ignored");
    if output.lines().last() != Some(&sum) || (failed == 0) != success || tally.total() == 0 {
        tally.failed.push(named("the tests ended before their sum"));
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_counts_and_the_sum_must_agree() {
        let tally = parse("firefox", "ok a\nignored b: only in chromium\n1 passed, 0 failed, 1 ignored\n", true);
        assert_eq!((tally.passed, tally.failed.len(), tally.ignored.len()), (1, 0, 1));
        assert_eq!(tally.ignored[0].reason, "only in chromium");
        let tally = parse("firefox", "FAILED a: why\n0 passed, 1 failed, 0 ignored\n", false);
        assert_eq!(tally.failed, ["firefox: a: why"]);
    }

    #[test]
    fn the_bitmap_has_as_many_bytes_as_it_says_whatever_its_width() {
        for width in [4, 5, 6, 7] {
            let bytes = face(width, 3);
            assert_eq!(bytes[2..6], (bytes.len() as u32).to_le_bytes());
            assert_eq!((bytes.len() - 54) % (4 * 3), 0);
        }
    }

    #[test]
    fn a_run_that_breaks_off_fails() {
        assert_eq!(parse("chromium", "ok a\n", true).failed.len(), 1);
        assert_eq!(parse("chromium", "0 passed, 0 failed, 0 ignored\n", true).failed.len(), 1);
        assert_eq!(parse("chromium", "ok a\n1 passed, 0 failed, 0 ignored\n", false).failed.len(), 1);
    }
}

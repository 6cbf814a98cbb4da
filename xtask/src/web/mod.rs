//! `cargo xtask web`: the engine as WebAssembly, its JavaScript glue and the page's files in `web/dist`.

mod bundle;
pub(crate) mod serve;
mod std_source;

use std::{
    ffi::OsString,
    io::Write,
    path::{Path, PathBuf},
};

use crate::{
    Result,
    command::{Command, Output},
    root, target,
};

/// The most that a page should have to load of the engine, in bytes after `gzip -9`.
const MOST_COMPRESSED: usize = 1 << 20;

const TARGET: &str = "wasm32-unknown-unknown";

/// Builds the engine and puts everything that a server needs into `web/dist`.
///
/// # Errors
/// A sentence where the target's standard library cannot be had, the build fails, or its result is too large or names
/// paths of this machine.
pub(crate) fn build() -> Result<bool> {
    let std = std_source::standard_library()?;
    let wasm = compile(&std)?;
    let dist = root().join("web").join("dist");
    bundle::fresh(&dist)?;
    bindgen(&wasm, "moue", &dist)?;
    bundle::copy_page(&dist)?;
    bundle::copy_detector(&dist)?;
    bundle::list_files(&dist)?;
    let bytes = std::fs::read(dist.join("moue_bg.wasm")).map_err(|error| format!("web/dist/moue_bg.wasm: {error}"))?;
    let compressed = gzip(&bytes).len();
    println!("web/dist/moue_bg.wasm: {} bytes, {compressed} by gzip -9", bytes.len());
    if compressed > MOST_COMPRESSED {
        return Err(format!("expected at most {MOST_COMPRESSED} bytes by gzip -9, found {compressed}"));
    }
    match machine_paths(&bytes).first() {
        Some(path) => Err(format!("moue_bg.wasm names a path of this machine, {path}; add it to `remapped`")),
        None => Ok(true),
    }
}

/// Builds the op tests for a page into `target/web-ops`: `ops.js` and `ops_bg.wasm`.
///
/// # Errors
/// A sentence where the target's standard library cannot be had or the build fails.
pub(crate) fn build_ops() -> Result<PathBuf> {
    let args = ["--test", "ops", "--release", "--message-format=json-render-diagnostics"];
    let output = rustc(&std_source::standard_library()?, &args)?;
    let artifacts = output.stdout.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let wasm = artifacts
        .filter(|message| message["target"]["name"] == "ops")
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .next_back();
    let folder = target("web-ops");
    bundle::fresh(&folder)?;
    bindgen(&wasm.ok_or("expected cargo to build the op tests, found none")?, "ops", &folder)?;
    Ok(folder)
}

/// Compiles the crate for WebAssembly; returns the module's path.
fn compile(std: &std_source::Std) -> Result<PathBuf> {
    rustc(std, &["--lib", "--crate-type", "cdylib", "--profile", "web"])?;
    Ok(target(TARGET).join("web").join("moue.wasm"))
}

fn rustc(std: &std_source::Std, what: &[&str]) -> Result<Output> {
    let mut args = vec!["rustc", "--target", TARGET, "--no-default-features", "--features", "web,cpu,gpu"];
    args.extend(what);
    let mut flags = flags(std)?;
    if what.contains(&"--test") {
        // Numbers of 32 bits end where those of the machines that build have room.
        flags.push("\u{1f}-Coverflow-checks=on");
    }
    let mut variables = vec![("CARGO_ENCODED_RUSTFLAGS".to_owned(), Some(flags))];
    if let std_source::Std::FromSource(_) = std {
        args.push("-Zbuild-std=std,panic_abort");
        variables.push(("RUSTC_BOOTSTRAP".to_owned(), Some("1".into())));
    }
    let command = Command::cargo(args).env(&variables);
    let output = if what.contains(&"--test") { command.silent().run()? } else { command.run()? };
    if !output.success() {
        return Err(format!("the build for {TARGET} failed: {}", output.ending()));
    }
    Ok(output)
}

/// Vector instructions, which every browser with WebGPU has, and names for this machine's folders.
fn flags(std: &std_source::Std) -> Result<OsString> {
    let mut flags = OsString::from("-Ctarget-feature=+simd128");
    for (folder, name) in remapped(std)? {
        flags.push("\u{1f}--remap-path-prefix=");
        flags.push(folder);
        flags.push("=");
        flags.push(name);
    }
    Ok(flags)
}

/// Folders whose paths the compiler would write into the module, and what it writes instead.
fn remapped(std: &std_source::Std) -> Result<Vec<(OsString, &'static str)>> {
    let home = |variable: &str, folder: &str| {
        std::env::var_os(variable).or_else(|| {
            let home = std::env::home_dir()?;
            Some(home.join(folder).into_os_string())
        })
    };
    let mut folders = vec![(root().as_os_str().to_owned(), "moue")];
    folders.extend(home("CARGO_HOME", ".cargo").map(|folder| (folder, "cargo")));
    folders.push((std.sysroot().as_os_str().to_owned(), "rust"));
    Ok(folders)
}

fn bindgen(wasm: &Path, name: &str, folder: &Path) -> Result<()> {
    let mut bindgen = wasm_bindgen_cli_support::Bindgen::new();
    let made = bindgen.input_path(wasm).out_name(name).web(true).and_then(|bindgen| {
        bindgen.typescript(true).remove_name_section(true).remove_producers_section(true).generate(folder)
    });
    made.map_err(|error| format!("wasm-bindgen: {error:#}"))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.expect("invariant: memory takes all that is written")
}

/// Absolute paths of a machine that builds, in what a module says.
fn machine_paths(module: &[u8]) -> Vec<String> {
    let folders = [&b"/root/"[..], b"/home/", b"/Users/", b"/work/", b"/tmp/", b":\\Users\\", b"/builds/"];
    let printable = |byte: &u8| byte.is_ascii_graphic();
    let starts = folders.iter().flat_map(|folder| {
        (0..module.len().saturating_sub(folder.len())).filter(|at| module[*at..].starts_with(folder))
    });
    let text = |at: usize| {
        let end = module[at..].iter().take(80).take_while(|byte| printable(byte)).count();
        String::from_utf8_lossy(&module[at..at + end]).into_owned()
    };
    starts.map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_one_machine_in_a_module_is_found_and_a_remapped_one_is_none() {
        let module = |path: &str| [b"\0asm\x01\0\0\0", path.as_bytes(), b"\xff\0"].concat();
        // Written apart, for the sources must not name such paths either.
        let path = ["/root", ".cargo/registry/src/index/wgpu/src/lib.rs"].join("/");
        assert_eq!(machine_paths(&module(&path)), [path]);
        assert!(machine_paths(&module("cargo/registry/src/index/wgpu/src/lib.rs /rustc/5980/library")).is_empty());
    }

    #[test]
    fn what_repeats_is_compressed() {
        assert!(gzip(&[7; 100_000]).len() < 1000);
    }
}

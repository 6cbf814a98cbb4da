//! The standard library for WebAssembly: from rustup where it can fetch, else built from its source.

use std::path::{Path, PathBuf};

use super::TARGET;
use crate::{
    Result,
    command::{Command, on_path},
    environment::shared,
    target,
};

/// How the target's standard library is had.
#[derive(Debug)]
pub(super) enum Std {
    /// It is installed in this sysroot.
    Installed(PathBuf),
    /// Cargo builds it from the source in this sysroot.
    FromSource(PathBuf),
}

impl Std {
    pub(super) fn sysroot(&self) -> &Path {
        match self {
            Self::Installed(sysroot) | Self::FromSource(sysroot) => sysroot,
        }
    }
}

/// Looks for it, installs what is missing.
pub(super) fn standard_library() -> Result<Std> {
    let sysroot = PathBuf::from(rustc(&["--print", "sysroot"])?);
    let installed = || sysroot.join("lib/rustlib").join(TARGET).join("lib").is_dir();
    if installed() {
        return Ok(Std::Installed(sysroot));
    }
    let source = sysroot.join("lib/rustlib/src/rust");
    let there = || source.join("library/Cargo.lock").is_file();
    if there() {
        return Ok(Std::FromSource(sysroot));
    }
    if on_path("rustup") {
        // What counts is whether it is there afterwards.
        let _ = Command::new("rustup", ["target", "add", TARGET]).limit_minutes(5).run();
        if installed() {
            return Ok(Std::Installed(sysroot));
        }
        let _ = Command::new("rustup", ["component", "add", "rust-src"]).limit_minutes(5).run();
    }
    let mut tried = vec!["rustup".to_owned()];
    for (name, fetch) in [("../shared/toolchain", from_shared as fn(&Path) -> Result<()>), ("Debian", from_debian)] {
        if there() {
            break;
        }
        println!("the standard library's source: trying {name}");
        // Beside its place, so that one step puts it there whole.
        let part = source.with_extension(format!("part-{}", std::process::id()));
        let fetched = std::fs::create_dir_all(&part).map_err(|error| error.to_string()).and_then(|()| fetch(&part));
        let moved = fetched.and_then(|()| {
            let failed = |error: std::io::Error| format!("{}: {error}", source.display());
            std::fs::create_dir_all(&source).map_err(failed)?;
            let moved = std::fs::rename(part.join("library"), source.join("library"));
            // Somebody else may have been faster.
            if there() { Ok(()) } else { moved.map_err(failed) }
        });
        let _ = std::fs::remove_dir_all(&part);
        if let Err(problem) = moved {
            tried.push(format!("{name} ({problem})"));
        }
    }
    if there() {
        Ok(Std::FromSource(sysroot))
    } else {
        Err(format!(
            "the standard library for {TARGET} cannot be had; tried {}. Run `rustup target add {TARGET}`, or put the folder \
         `library` of Rust's source at {}",
            tried.join(", "),
            source.display()
        ))
    }
}

fn rustc(args: &[&str]) -> Result<String> {
    let output = Command::new("rustc", args).quiet().run()?;
    Ok(output.stdout.trim().to_owned())
}

/// The version of the compiler, which its library must have.
fn version() -> Result<String> {
    let text = rustc(&["--version"])?;
    text.split(' ').nth(1).map(str::to_owned).ok_or_else(|| format!("expected a version from rustc, found `{text}`"))
}

fn succeed(command: Command, what: &str) -> Result<()> {
    let output = command.limit_minutes(15).run()?;
    if output.success() { Ok(()) } else { Err(format!("{what}: {}", output.ending())) }
}

/// From an archive beside the repository.
fn from_shared(into: &Path) -> Result<()> {
    let name = format!("rust-{}-library.tar.xz", version()?);
    let archive = shared().map(|shared| shared.join("toolchain").join(&name)).filter(|path| path.is_file());
    let archive = archive.ok_or_else(|| format!("there is no {name}"))?;
    succeed(Command::new("tar", ["xJf".as_ref(), archive.as_os_str(), "-C".as_ref(), into.as_os_str()]), "tar")
}

/// From Debian's package `rust-src` of the same version, which newer releases and backports have. Nothing is installed:
/// apt works on lists of its own.
fn from_debian(into: &Path) -> Result<()> {
    if !on_path("apt-get") || !on_path("dpkg") {
        return Err("there is no apt-get".to_owned());
    }
    let version = version()?;
    let apt = target("rust-src");
    let make = |path: &Path| std::fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()));
    make(&apt.join("lists/partial"))?;
    make(&apt.join("cache/archives/partial"))?;
    let list = apt.join("sources.list");
    let keys = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]";
    let suites =
        ["trixie-backports", "sid"].map(|suite| format!("deb {keys} http://deb.debian.org/debian {suite} main\n"));
    std::fs::write(&list, suites.concat()).map_err(|error| format!("{}: {error}", list.display()))?;
    let options = [
        format!("-oDir::Etc::sourcelist={}", list.display()),
        "-oDir::Etc::sourceparts=-".to_owned(),
        format!("-oDir::State::lists={}", apt.join("lists").display()),
        format!("-oDir::Cache={}", apt.join("cache").display()),
        "-oAPT::Sandbox::User=root".to_owned(),
    ];
    let with =
        |words: &[&str]| options.iter().cloned().chain(words.iter().map(|word| (*word).to_owned())).collect::<Vec<_>>();
    succeed(Command::new("apt-get", with(&["update", "-qq"])), "apt-get update")?;
    let versions = Command::new("apt-cache", with(&["madison", "rust-src"])).quiet().run()?.stdout;
    let found = versions.lines().filter_map(|line| line.split('|').nth(1)).map(str::trim);
    let found = found.filter(|found| found.starts_with(&format!("{version}+"))).min_by_key(|found| found.len());
    let found = found.ok_or_else(|| format!("Debian has no rust-src {version}"))?;
    let uris = Command::new("apt-get", with(&["download", "--print-uris", "-qq", &format!("rust-src={found}")]));
    let line = uris.quiet().run()?.stdout;
    let mut words = line.split_whitespace().map(|word| word.trim_matches('\''));
    let (Some(_), Some(name)) = (words.next(), words.next()) else {
        return Err(format!("expected the address of rust-src, found `{line}`"));
    };
    let name = apt.join(name);
    let script = format!("cd '{}' && exec apt-get \"$@\"", apt.display());
    let args = ["-c".to_owned(), script, "apt-get".to_owned()].into_iter();
    succeed(
        Command::new("sh", args.chain(with(&["download", "-qq", &format!("rust-src={found}")]))),
        "apt-get download",
    )?;
    let unpacked = into.join("deb");
    make(&unpacked)?;
    succeed(Command::new("dpkg", ["-x".as_ref(), name.as_os_str(), unpacked.as_os_str()]), "dpkg")?;
    let library = unpacked.join(format!("usr/src/rustc-{version}/library"));
    std::fs::rename(&library, into.join("library")).map_err(|error| format!("{}: {error}", library.display()))
}

//! Looks for what the tests need, installs what it can, names what it cannot.

use crate::{
    command::{Command, on_path},
    environment::{Drivers, shared},
    report::Report,
};

/// Something that tests need, and the Debian packages that bring it.
struct Need {
    what: &'static str,
    packages: &'static [&'static str],
    there: bool,
    without: &'static str,
}

/// The first Firefox with the commands that puppeteer sends to each page (`web/tests/browser.mjs` says so too).
const FIREFOX: u32 = 144;

fn needs(drivers: &Drivers) -> Vec<Need> {
    let mut needs = vec![
        Need {
            what: "lavapipe, Mesa's Vulkan driver on the processor",
            packages: &["mesa-vulkan-drivers"],
            there: drivers.lavapipe,
            without: "GPU tests run without it",
        },
        Need {
            what: "llvmpipe, Mesa's OpenGL driver on the processor",
            packages: &["libegl1", "libegl-mesa0", "libgl1-mesa-dri", "libgles2"],
            there: drivers.llvmpipe,
            without: "GPU tests run without it",
        },
        Need {
            what: "SwiftShader, Chromium's Vulkan driver on the processor",
            packages: &["chromium"],
            there: drivers.swiftshader,
            without: "GPU tests run without it",
        },
        Need {
            what: "spirv-val, the validator of SPIR-V",
            packages: &["spirv-tools"],
            there: on_path("spirv-val"),
            without: "the translated shaders are checked by naga alone",
        },
    ];
    for (what, packages, there) in [
        ("Firefox 144 or later, for the page's tests", &["firefox-esr"] as &[_], has_firefox()),
        ("node and npm, which drive the browsers", &["nodejs", "npm"], on_path("node")),
    ] {
        needs.push(Need { what, packages, there, without: "the page's tests that need it are ignored or fail" });
    }
    if shared().is_some() {
        needs.push(Need {
            what: "xz, which unpacks FER+",
            packages: &["xz-utils"],
            there: on_path("xz"),
            without: "tests on FER+ are ignored",
        });
    }
    needs
}

/// Whether there is a Firefox in which the tests' driver can open a page.
fn has_firefox() -> bool {
    let program = ["firefox-esr", "firefox"].into_iter().find(|program| on_path(program));
    let version = program.and_then(|program| Command::new(program, ["--version"]).quiet().run().ok());
    version.and_then(|output| major(&output.stdout)).is_some_and(|major| major >= FIREFOX)
}

/// The first number of a version, such as `Mozilla Firefox 153.8.0esr`.
fn major(text: &str) -> Option<u32> {
    text.split_whitespace().find_map(|word| word.split('.').next()?.parse().ok())
}

/// Makes the machine ready, as far as that is possible; says in the report what stays missing.
pub(crate) fn prepare(install: bool, report: &mut Report) -> Drivers {
    let mut drivers = Drivers::find();
    if !cfg!(target_os = "linux") {
        return drivers;
    }
    if install && needs(&drivers).iter().any(|need| !need.there) {
        match apt_get() {
            Some(apt_get) => install_missing(&apt_get, &drivers),
            None => println!("nothing is installed: that takes apt-get, and root or a sudo that does not ask"),
        }
        drivers = Drivers::find();
    }
    for need in needs(&drivers) {
        if need.there {
            println!("found: {}", need.what);
        } else {
            let packages = need.packages.join(" ");
            report.missing(format!("{} (Debian: {packages}); {}", need.what, need.without));
        }
    }
    drivers
}

/// The words that run apt-get with the rights it needs, where that is possible.
fn apt_get() -> Option<Vec<&'static str>> {
    if !on_path("apt-get") {
        return None;
    }
    let root = Command::new("id", ["-u"]).quiet().run().is_ok_and(|output| output.stdout.trim() == "0");
    if root {
        return Some(vec!["apt-get"]);
    }
    let sudo = on_path("sudo") && Command::new("sudo", ["-n", "true"]).quiet().run().is_ok_and(|out| out.success());
    sudo.then(|| vec!["sudo", "-n", "apt-get"])
}

fn install_missing(apt_get: &[&str], drivers: &Drivers) {
    let run = |args: &[&str]| {
        let words: Vec<&str> = apt_get[1..].iter().chain(args).copied().collect();
        // Without a terminal, packages must not ask.
        let quiet = ("DEBIAN_FRONTEND".to_owned(), Some("noninteractive".into()));
        match Command::new(apt_get[0], words).env([&quiet]).limit_minutes(15).run() {
            Ok(output) if output.success() => true,
            Ok(output) => {
                println!("apt-get {}: {}", args.join(" "), output.ending());
                false
            }
            Err(problem) => {
                println!("{problem}");
                false
            }
        }
    };
    if !run(&["update", "-qq"]) {
        println!("the package lists could not be renewed; trying with those that are there");
    }
    // One need at a time: a package that this release does not have must not keep the others out.
    for need in needs(drivers).iter().filter(|need| !need.there) {
        println!("missing: {}; installing {}", need.what, need.packages.join(" "));
        let mut args = vec!["install", "-y", "-qq", "-o=Dpkg::Use-Pty=0", "--no-install-recommends"];
        args.extend(need.packages);
        run(&args);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browsers_major_version_is_read() {
        assert_eq!(major("Mozilla Firefox 153.8.0esr\n"), Some(153));
        assert_eq!(major("Mozilla Firefox"), None);
    }
}

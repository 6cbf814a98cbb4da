//! What the tests are told about the machine, through environment variables.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use crate::{
    Result,
    command::{Command, on_path},
    root, target,
};

/// The drivers found on this machine.
#[derive(Debug, Default, Clone)]
pub(crate) struct Drivers {
    /// All Vulkan driver manifests, software ones and others.
    pub(crate) vulkan: Vec<PathBuf>,
    /// Mesa's Vulkan driver that computes on the processor.
    pub(crate) lavapipe: bool,
    /// The second Vulkan driver that computes on the processor; it comes with Chromium.
    pub(crate) swiftshader: bool,
    /// Mesa's OpenGL driver that computes on the processor.
    pub(crate) llvmpipe: bool,
}

const MANIFEST_FOLDERS: [&str; 3] = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];

/// Where a Chromium browser may keep its own files.
const BROWSER_FOLDERS: [&str; 6] = [
    "/usr/lib/chromium",
    "/usr/lib/chromium-browser",
    "/usr/lib64/chromium-browser",
    "/opt/google/chrome",
    "/opt/chromium",
    "/opt/microsoft/msedge",
];

impl Drivers {
    /// Looks for drivers; an empty list on systems that bring their own (macOS, Windows).
    pub(crate) fn find() -> Self {
        if !cfg!(target_os = "linux") {
            return Self::default();
        }
        let mut vulkan: Vec<PathBuf> = MANIFEST_FOLDERS.iter().flat_map(|dir| manifests(Path::new(dir))).collect();
        let lavapipe = vulkan.iter().any(|path| file_name(path).starts_with("lvp_icd"));
        let swiftshader = BROWSER_FOLDERS.iter().map(|dir| Path::new(dir).join("vk_swiftshader_icd.json"));
        let swiftshader: Vec<_> = swiftshader.filter(|path| path.is_file()).take(1).collect();
        vulkan.extend(swiftshader.iter().cloned());
        let library = |name| LIBRARY_FOLDERS.iter().any(|dir| library_below(Path::new(dir), name));
        let llvmpipe = library("libEGL.so.1") && library("libEGL_mesa.so.0") && library("swrast_dri.so");
        Self { vulkan, lavapipe, swiftshader: !swiftshader.is_empty(), llvmpipe }
    }

    /// How many adapters these drivers must show.
    pub(crate) fn expected_adapters(&self) -> usize {
        [self.lavapipe, self.swiftshader, self.llvmpipe].into_iter().filter(|there| *there).count()
    }
}

const LIBRARY_FOLDERS: [&str; 3] = ["/usr/lib", "/usr/lib64", "/usr/local/lib"];

/// Whether a shared library lies in a folder, in a subfolder of it (such as `x86_64-linux-gnu`) or in the `dri` folder
/// of one; Mesa 24 and later has its software renderer in `libgallium` instead of `swrast_dri.so`.
fn library_below(dir: &Path, name: &str) -> bool {
    let has = |dir: &Path| {
        dir.join(name).exists()
            || dir.join("dri").join(name).exists()
            || (name == "swrast_dri.so" && files(dir).iter().any(|path| file_name(path).starts_with("libgallium")))
    };
    has(dir) || files(dir).iter().filter(|path| path.is_dir()).any(|sub| has(sub))
}

fn files(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).map(|entries| entries.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The driver manifests in a folder, in order of their names.
fn manifests(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> =
        files(dir).into_iter().filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    found.sort();
    found
}

/// Variables to set, or to remove.
pub(crate) type Variables = Vec<(String, Option<OsString>)>;

/// What every test program is given.
///
/// # Errors
/// A sentence where a folder below `target` could not be made.
pub(crate) fn variables(drivers: &Drivers, full: bool) -> Result<Variables> {
    let mut all = of_drivers(drivers, std::env::var_os(REQUIRED).is_some())?;
    let mut set = |name: &str, value: OsString| all.push((name.to_owned(), Some(value)));
    if cfg!(target_os = "linux") {
        set("NODEVICE_SELECT", "1".into());
        if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
            set("XDG_RUNTIME_DIR", private_folder(&target("xdg"))?.into());
        }
    }
    if full {
        set("MOUE_FULL", "1".into());
    }
    if let Some(shared) = shared() {
        set("MOUE_SHARED", shared.into());
    }
    for (variable, modules) in [
        ("MOUE_TEST_PYTHON", "torch, safetensors, onnx, onnxruntime"),
        ("MOUE_TEST_SKLEARN", "numpy, safetensors, scipy, sklearn"),
    ] {
        if let Some(python) = python(variable, modules) {
            set(variable, python.into());
        }
    }
    if let Some(ferplus) = ferplus()? {
        set("MOUE_FERPLUS", ferplus.into());
    }
    let dist = root().join("web").join("dist");
    if dist.join("moue_bg.wasm").is_file() && on_path("node") {
        set("MOUE_WEB_DIST", dist.into());
    }
    all.extend(unhidden(&OPENGL));
    Ok(all)
}

const OPENGL: [&str; 2] = ["__EGL_VENDOR_LIBRARY_FILENAMES", "LIBGL_DRIVERS_PATH"];
const VULKAN: [&str; 2] = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"];

/// For browsers, which find their drivers by themselves: the variables that hide them are removed.
pub(crate) fn of_browsers() -> Variables {
    [unhidden(&VULKAN), unhidden(&OPENGL)].concat()
}

/// Removes those variables that point at nothing: they hide the very drivers that are there.
fn unhidden(names: &[&str]) -> Variables {
    let hides = |name: &&&str| {
        let value = std::env::var_os(name).filter(|value| !std::env::split_paths(value).any(|path| path.exists()));
        value
            .inspect(|value| println!("{name}={} names nothing that exists: left out", value.to_string_lossy()))
            .is_some()
    };
    names.iter().filter(hides).map(|name| ((*name).to_owned(), None)).collect()
}

/// How many adapters the tests must find at least; who sets it knows the machine better.
const REQUIRED: &str = "MOUE_REQUIRE_ADAPTERS";

/// What tells wgpu where the drivers are, and the tests how many adapters they must find, unless that is `given`.
fn of_drivers(drivers: &Drivers, given: bool) -> Result<Variables> {
    let mut all: Variables = Vec::new();
    let mut set = |name: &str, value: OsString| all.push((name.to_owned(), Some(value)));
    if !drivers.vulkan.is_empty() {
        // Older loaders know only the second name. The list is whole, so that no driver of the machine is hidden.
        let list = std::env::join_paths(&drivers.vulkan).map_err(|error| format!("a driver's path: {error}"))?;
        set("VK_DRIVER_FILES", list.clone());
        set("VK_ICD_FILENAMES", list);
    }
    if drivers.expected_adapters() > 0 && !given {
        set(REQUIRED, drivers.expected_adapters().to_string().into());
    }
    Ok(all)
}

/// How many adapters the tests must find at least.
pub(crate) fn required_adapters(variables: &Variables) -> usize {
    let given = variables.iter().find(|(name, _)| name == REQUIRED).and_then(|(_, value)| value.clone());
    let number = given.or_else(|| std::env::var_os(REQUIRED)).and_then(|value| value.to_str()?.parse().ok());
    number.unwrap_or(0)
}

/// A folder that only this user may read, as the desktop's conventions ask.
fn private_folder(path: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(path.to_owned())
}

/// The folder with golden files, weights and data that some tests need.
pub(crate) fn shared() -> Option<PathBuf> {
    let named = std::env::var_os("MOUE_SHARED").map(PathBuf::from);
    let beside = root().parent().map(|parent| parent.join("shared"));
    named.or(beside).filter(|path| path.join("golden").is_dir())
}

/// A Python that has these modules: named by the user in this variable, or the one of the yardsticks.
fn python(variable: &str, modules: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let yardstick = target("yardstick").join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let python = named.or_else(|| yardstick.is_file().then_some(yardstick))?;
    let probe = ["-c", &format!("import {modules}")];
    Command::new(&python, probe).quiet().run().is_ok_and(|output| output.success()).then_some(python)
}

/// FER+ as a folder: named by the user, or unpacked once from the shared folder.
fn ferplus() -> Result<Option<PathBuf>> {
    if let Some(named) = std::env::var_os("MOUE_FERPLUS").map(PathBuf::from) {
        return Ok(Some(named).filter(|path| path.is_dir()));
    }
    let whole = target("ferplus");
    if whole.join("ferplus").is_dir() {
        return Ok(Some(whole.join("ferplus")));
    }
    let Some(archive) = shared().map(|shared| shared.join("data").join("ferplus.tar.xz")).filter(|path| path.is_file())
    else {
        return Ok(None);
    };
    // Unpacked aside and renamed, so that an interrupted run leaves no half data set.
    let part = target("ferplus.part");
    if part.exists() {
        std::fs::remove_dir_all(&part).map_err(|error| format!("{}: {error}", part.display()))?;
    }
    std::fs::create_dir_all(&part).map_err(|error| format!("{}: {error}", part.display()))?;
    let args = [OsString::from("-xJf"), archive.into(), "-C".into(), part.clone().into()];
    match Command::new("tar", args).run() {
        Ok(output) if output.success() && part.join("ferplus").is_dir() => {
            std::fs::rename(&part, &whole).map_err(|error| format!("{}: {error}", whole.display()))?;
            Ok(Some(whole.join("ferplus")))
        }
        Ok(output) => {
            println!("FER+ could not be unpacked (tar: {}); the tests on it are ignored", output.ending());
            Ok(None)
        }
        Err(problem) => {
            println!("FER+ could not be unpacked ({problem}); the tests on it are ignored");
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_software_driver_is_expected_to_show_one_adapter() {
        let drivers = Drivers { lavapipe: true, llvmpipe: true, ..Drivers::default() };
        assert_eq!(drivers.expected_adapters(), 2);
        let all = of_drivers(&drivers, false).unwrap();
        let required = all.iter().find(|(name, _)| name == REQUIRED).unwrap();
        assert_eq!(required.1, Some("2".into()));
        assert!(of_drivers(&drivers, true).unwrap().iter().all(|(name, _)| name != REQUIRED));
    }

    #[test]
    fn without_drivers_no_adapter_is_required() {
        assert_eq!(of_drivers(&Drivers::default(), false).unwrap(), []);
    }
}

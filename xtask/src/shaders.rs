//! `cargo xtask shaders`: the translations of all shaders, for reading.

use crate::{Result, command::Command, target};

/// Lets the test that translates every shader leave what it translated.
///
/// # Errors
/// A sentence where cargo could not be started or left nothing.
pub(crate) fn run() -> Result<bool> {
    let folder = target("shaders");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let variables = [("MOUE_SHADERS_OUT".to_owned(), Some(folder.clone().into_os_string()))];
    let args = ["test", "--release", "--package", "moue", "--test", "shaders"];
    let output = Command::cargo(args).env(&variables).run()?;
    let mut counts = [("spv", 0), ("metal", 0), ("hlsl", 0), ("glsl", 0)];
    for entry in std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?.flatten() {
        let end = entry.path().extension().unwrap_or_default().to_string_lossy().into_owned();
        if let Some((_, count)) = counts.iter_mut().find(|(name, _)| *name == end) {
            *count += 1;
        }
    }
    println!("{}: {}", folder.display(), counts.map(|(end, count)| format!("{count} {end}")).join(", "));
    Ok(output.success() && counts.iter().all(|(_, count)| *count > 0))
}

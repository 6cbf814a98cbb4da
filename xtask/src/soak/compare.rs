//! What two runs left: their records, less wall-clock figures, and the tensors of their model files.

use std::{fs, path::Path};

use serde_json::{Map, Value};

use crate::Result;

/// The figures of a record that differ between any two runs.
const CLOCK: [&str; 3] = ["seconds", "training_seconds", "images_per_s"];

/// The lines of a run's `metrics.jsonl`.
pub(super) fn records(folder: &Path) -> Result<Vec<Value>> {
    let path = folder.join("metrics.jsonl");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let record = |line: &str| serde_json::from_str(line).map_err(|error| format!("{}: {error}", path.display()));
    text.lines().map(record).collect()
}

/// Whether a run ended as another did; else what differs.
pub(super) fn runs(expected: &Path, found: &Path) -> Result<()> {
    same_records(expected, found)?;
    for name in ["last", "best"] {
        let file = |folder: &Path| folder.join("checkpoints").join(name).with_extension("safetensors");
        same_tensors(&file(expected), &file(found)).map_err(|problem| format!("{name}.safetensors: {problem}"))?;
    }
    let path = found.join("run.json");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let facts: Value = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    if facts["status"] != "finished" {
        return Err(format!("run.json says {}", facts["status"]));
    }
    for folder in [found.to_owned(), found.join("checkpoints")] {
        let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?.flatten();
        let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        if let Some(left) = names.find(|name| name.ends_with(".partial")) {
            return Err(format!("{left} was left"));
        }
    }
    Ok(())
}

/// Whether two runs have the same records, less wall-clock figures.
pub(super) fn same_records(expected: &Path, found: &Path) -> Result<()> {
    let (expected, found) = (records(expected)?, records(found)?);
    let timeless = |record: &Value| {
        let mut record = record.clone();
        if let Value::Object(figures) = &mut record {
            figures.retain(|key, _| !CLOCK.contains(&key.as_str()));
        }
        record
    };
    if let Some(line) = (0..expected.len().min(found.len())).find(|&at| timeless(&expected[at]) != timeless(&found[at]))
    {
        let kind = found[line]["kind"].as_str().unwrap_or("unknown");
        return Err(format!("line {} of metrics.jsonl, of kind {kind}", line + 1));
    }
    if expected.len() != found.len() {
        return Err(format!("metrics.jsonl: expected {} lines, found {}", expected.len(), found.len()));
    }
    Ok(())
}

/// The header of a model file, and its tensors' bytes.
fn parts(path: &Path) -> Result<(Map<String, Value>, Vec<u8>)> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let length = bytes.first_chunk::<8>().map(|length| u64::from_le_bytes(*length) as usize);
    let header = length.and_then(|length| bytes.get(8..8 + length)).ok_or("expected a header")?;
    let parsed = serde_json::from_slice(header).map_err(|error| error.to_string())?;
    Ok((parsed, bytes[8 + header.len()..].to_vec()))
}

/// Whether two model files have the same tensors and say the same of the model.
fn same_tensors(expected: &Path, found: &Path) -> Result<()> {
    let ((mut expected, expected_bytes), (mut found, found_bytes)) = (parts(expected)?, parts(found)?);
    let said = |header: &mut Map<String, Value>| header.remove("__metadata__").map(|all| all["moue"].clone());
    if said(&mut expected) != said(&mut found) {
        return Err("other metadata".into());
    }
    if expected != found {
        return Err("other names or shapes".into());
    }
    match expected_bytes == found_bytes {
        true => Ok(()),
        false => Err("other values".into()),
    }
}

/// The step that a checkpoint was saved after, where there is one.
pub(super) fn step_of(checkpoint: &Path) -> Option<u64> {
    let (header, _) = parts(checkpoint).ok()?;
    let all = header.get("__metadata__")?;
    // The second name is that of files before version 0.2.
    let text = ["moue_state", "moue-state"].iter().find_map(|key| all[*key].as_str())?;
    let state: Value = serde_json::from_str(text).ok()?;
    let images = ["training", "loop"].iter().find_map(|key| state[*key]["images"].as_u64())?;
    Some(images / 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn folder(name: &str, metrics: &str, values: &[u8]) -> PathBuf {
        let folder = crate::target("tmp").join(format!("soak-{}-{name}", std::process::id()));
        fs::create_dir_all(folder.join("checkpoints")).unwrap();
        fs::write(folder.join("metrics.jsonl"), metrics).unwrap();
        fs::write(folder.join("run.json"), r#"{"status":"finished"}"#).unwrap();
        let header =
            r#"{"__metadata__":{"moue":"{}","moue_state":"{\"training\":{\"images\":48}}"},"a":{"shape":[2]}}"#;
        let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), values].concat();
        fs::write(folder.join("checkpoints/last.safetensors"), &bytes).unwrap();
        fs::write(folder.join("checkpoints/best.safetensors"), &bytes).unwrap();
        folder
    }

    #[test]
    fn times_may_differ_and_nothing_else() {
        let one = folder("one", "{\"kind\":\"epoch\",\"loss\":1,\"seconds\":2}\n", &[1, 2]);
        let slower = folder("slower", "{\"kind\":\"epoch\",\"loss\":1,\"seconds\":3}\n", &[1, 2]);
        assert_eq!(runs(&one, &slower), Ok(()));
        assert_eq!(step_of(&one.join("checkpoints/last.safetensors")), Some(3));
        let other = folder("other", "{\"kind\":\"epoch\",\"loss\":2,\"seconds\":2}\n", &[1, 2]);
        assert_eq!(runs(&one, &other), Err("line 1 of metrics.jsonl, of kind epoch".into()));
        let longer = folder("longer", "{\"kind\":\"epoch\",\"loss\":1}\n{\"kind\":\"epoch\"}\n", &[1, 2]);
        assert!(runs(&one, &longer).unwrap_err().contains("expected 1 lines, found 2"));
        let drifted = folder("drifted", "{\"kind\":\"epoch\",\"loss\":1}\n", &[1, 3]);
        assert_eq!(runs(&one, &drifted), Err("last.safetensors: other values".into()));
        fs::write(slower.join("checkpoints/.moue-x.partial"), "").unwrap();
        assert!(runs(&one, &slower).unwrap_err().contains("was left"));
        for folder in [one, slower, other, longer, drifted] {
            fs::remove_dir_all(folder).unwrap();
        }
    }
}

//! Model files: what comes back, what is refused, and what survives a full disk.
#![cfg(feature = "cli")]

mod support_run;

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use moue::checkpoint::{
    ColourOrder, Model, ModelMeta, ModelResult, file_hash, load_model, load_state, model_bytes, save_model, save_state,
    state_bytes, write_atomic,
};
use moue::nn::variables::Tensors;
use moue::train::{Settings, settings::words::ModelKind};
use moue::{Error, Result};
use serde_json::{Value, json};
use support_run::{classes, meta, tensors};

fn momenta() -> Tensors {
    Tensors::from([("branches.0.conv1.weight.momentum".into(), (vec![2, 1, 1, 2], vec![1e-30, -2.5, 0.0, 3.0]))])
}

/// One sentence of the kind that a user can act on, and the exit code for bad files.
fn refused<T: std::fmt::Debug>(result: Result<T>, path: &Path, needed: &[&str]) {
    refused_with(3, result, path, needed);
}

/// The same with another exit code.
fn refused_with<T: std::fmt::Debug>(code: u8, result: Result<T>, path: &Path, needed: &[&str]) {
    let error = result.expect_err("refused");
    let text = error.to_string();
    assert_eq!(error.exit_code(), code, "{text}");
    assert!(text.contains(&path.display().to_string()) && !text.contains('\n'), "{text}");
    for part in needed {
        assert!(text.contains(part), "`{part}` in: {text}");
    }
}

#[test]
fn a_model_comes_back_bit_for_bit_with_what_it_says_about_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let mut meta = meta();
    meta.colour = ColourOrder::Bgr;
    let (accuracy, images) = (0.1 + 0.2, Some(3137));
    let by_branches = vec![0.25, 0.3];
    meta.result = Some(ModelResult { split: "test".into(), accuracy, balanced_accuracy: None, images, by_branches });
    save_model(&path, &meta, &tensors(0.7)).unwrap();
    let model = load_model(&path).unwrap();
    assert_eq!(model.meta, meta);
    let bits = |tensors: &Tensors| -> Vec<(String, Vec<usize>, Vec<u32>)> {
        let each = tensors.iter();
        each.map(|(n, (s, v))| (n.clone(), s.clone(), v.iter().map(|v| v.to_bits()).collect())).collect()
    };
    assert_eq!(bits(&model.tensors), bits(&tensors(0.7)));
}

#[test]
fn other_tools_find_the_classes_and_the_architecture() {
    let bytes = model_bytes(Path::new("m"), &meta(), &tensors(1.0)).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = header.metadata().clone().unwrap();
    assert_eq!(serde_json::from_str::<Vec<String>>(&metadata["classes"]).unwrap(), classes());
    assert_eq!(serde_json::from_str::<Value>(&metadata["architecture"]).unwrap()["branches"], 4);
    assert_eq!(metadata["format"], "pt");
    assert_eq!(serde_json::from_str::<Value>(&metadata["moue"]).unwrap()["normalisation"]["mean"][0], 0.485);
}

#[test]
fn the_same_model_gives_the_same_bytes_every_time() {
    let bytes = || model_bytes(Path::new("m"), &meta(), &tensors(1.0)).unwrap();
    let first = bytes();
    // The metadata come from a hash map that is seeded anew each time.
    assert!((0..20).all(|_| bytes() == first));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m");
    save_model(&path, &meta(), &tensors(1.0)).unwrap();
    assert_eq!(fs::read(&path).unwrap(), first);
    assert_eq!(file_hash(&path).unwrap(), moue::checkpoint::bytes_hash(&first));
    assert_eq!(
        moue::checkpoint::bytes_hash(b"abc"),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

#[test]
fn a_training_state_comes_back_and_its_model_can_be_used_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.safetensors");
    let state = json!({ "epoch": 7, "rng": [u64::MAX, 1], "best": 0.1 + 0.2, "stage": { "lr": 1e-300 } });
    save_state(&path, &meta(), &tensors(0.3), &momenta(), &state).unwrap();
    let training = load_state(&path).unwrap();
    assert_eq!((&training.model.tensors, &training.momenta, &training.state), (&tensors(0.3), &momenta(), &state));
    assert_eq!(load_model(&path).unwrap(), training.model);
    // A model without a state is no checkpoint.
    save_model(&path, &meta(), &tensors(0.3)).unwrap();
    refused(load_state(&path), &path, &["state of a training", "last.safetensors"]);
}

#[test]
fn metadata_are_written_in_snake_case_and_read_as_earlier_versions_wrote_them() {
    let path = Path::new("m.safetensors");
    let mut meta = meta();
    let by_branches = vec![0.25, 0.3];
    let balanced_accuracy = Some(0.5);
    meta.result =
        Some(ModelResult { split: "test".into(), accuracy: 0.75, balanced_accuracy, images: None, by_branches });
    let state = json!({ "epoch": 7 });
    let bytes = state_bytes(path, &meta, &tensors(1.0), &momenta(), &state).unwrap();
    let (length, header) = bytes.split_first_chunk().unwrap();
    let (header, data) = header.split_at(u64::from_le_bytes(*length) as usize);
    let header = std::str::from_utf8(header).unwrap();
    let names = [
        (r#"\"created_by\""#, r#"\"created-by\""#),
        (r#"\"balanced_accuracy\""#, r#"\"balanced-accuracy\""#),
        (r#"\"by_branches\""#, r#"\"by-branches\""#),
        (r#""moue_state""#, r#""moue-state""#),
    ];
    let old = names.iter().fold(header.to_owned(), |header, (new, old)| {
        assert!(header.contains(new) && !header.contains(old), "{header}");
        header.replace(new, old)
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.safetensors");
    fs::write(&path, [length, old.as_bytes(), data].concat()).unwrap();
    let old = load_state(&path).unwrap();
    assert_eq!((old.model.meta, old.state), (meta, state));
}

#[test]
fn an_architecture_that_this_version_does_not_know_is_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let mut other = json!(meta());
    other["architecture"] = json!({ "model": "vgg", "size": 64 });
    foreign(&path, &[("moue", &other.to_string())], safetensors::Dtype::F32);
    refused(load_model(&path), &path, &["{\"model\":\"vgg\",\"size\":64}", "expected `esr` or `manet`"]);
    let mut wide = meta();
    wide.architecture = Settings { branches: 17, ..Settings::default() }.architecture();
    refused(wide.network(&path), &path, &["branches of 1 to 16 in its architecture, found 17"]);
}

#[test]
fn a_file_without_a_class_list_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let mut bare = json!(meta());
    bare.as_object_mut().unwrap().remove("classes");
    foreign(&path, &[("moue", &bare.to_string())], safetensors::Dtype::F32);
    refused(load_model(&path), &path, &["class list", "missing field `classes`"]);
    for (classes, needed) in [(vec![], "0 class names"), (vec!["a", "a"], "`a` twice"), (vec!["a", " "], "empty name")]
    {
        let wrong = ModelMeta { classes: classes.into_iter().map(str::to_owned).collect(), ..meta() };
        refused(save_model(&path, &wrong, &tensors(1.0)), &path, &[needed]);
        foreign(&path, &[("moue", &json!(wrong).to_string())], safetensors::Dtype::F32);
        refused(load_model(&path), &path, &[needed]);
    }
}

#[test]
fn foreign_and_damaged_files_are_refused_each_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    refused(load_model(&path), &path, &["reading the model failed"]);
    foreign(&path, &[("format", "pt")], safetensors::Dtype::F32);
    refused(load_model(&path), &path, &["metadata key `moue`"]);
    foreign(&path, &[("moue", &json!(meta()).to_string())], safetensors::Dtype::I32);
    refused(load_model(&path), &path, &["`weight` in F32", "found I32"]);
    let later = ModelMeta { format: "moue 2".into(), created_by: "moue 9.0".into(), ..meta() };
    foreign(&path, &[("moue", &json!(later).to_string())], safetensors::Dtype::F32);
    refused(load_model(&path), &path, &["`moue 1`", "`moue 2`, written by moue 9.0"]);
    foreign(&path, &[("moue", "{")], safetensors::Dtype::F32);
    refused(load_model(&path), &path, &["metadata of a moue model"]);
    for junk in [&b""[..], b"PK\x03\x04 a zip file of PyTorch", &[0; 64], &[255; 64]] {
        fs::write(&path, junk).unwrap();
        refused(load_model(&path), &path, &["a safetensors file"]);
    }
}

#[test]
fn a_file_cut_anywhere_is_refused_and_says_how_long_it_should_be() {
    let path = Path::new("cut.safetensors");
    let whole = model_bytes(path, &meta(), &tensors(1.0)).unwrap();
    for length in (0..whole.len()).step_by(7).chain([whole.len() / 2, whole.len() - 1]) {
        let part = &whole[..length];
        refused(Model::from_bytes(path, part), path, &["found"]);
        if length > 9 {
            refused(
                Model::from_bytes(path, part),
                path,
                &["as its header says", &format!("found {length} bytes"), "cut short"],
            );
        }
    }
    let longer = [&whole[..], b"more"].concat();
    refused(Model::from_bytes(path, &longer), path, &["safetensors"]);
    assert!(Model::from_bytes(path, &whole).is_ok());
}

#[test]
fn values_that_are_not_finite_are_neither_saved_nor_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    save_model(&path, &meta(), &tensors(1.0)).unwrap();
    let good = fs::read(&path).unwrap();
    for bad in [f32::NAN, f32::INFINITY] {
        let error = save_model(&path, &meta(), &tensors(bad)).unwrap_err();
        assert!(matches!(error, Error::NotFinite { .. }), "{error}");
        assert!(error.to_string().contains("`base.bn1.running_mean`, element 1"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), good);
        let mut bytes = good.clone();
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&bad.to_le_bytes());
        refused(Model::from_bytes(&path, &bytes), &path, &["finite", "element 3 of `branches.0.conv1.weight`"]);
    }
}

#[test]
fn another_architecture_is_named_key_by_key_and_tensor_by_tensor() {
    let path = Path::new("m.safetensors");
    let model = Model::from_bytes(path, &model_bytes(path, &meta(), &tensors(1.0)).unwrap()).unwrap();
    let wanted = Settings { branches: 9, attention: false, ..Settings::default() }.architecture();
    let found = ["expected a model with branches 9, attention false, found branches 4, attention true"];
    refused(model.meta.require_architecture(path, &wanted), path, &found);
    model.meta.require_architecture(path, &meta().architecture).unwrap();
    let manet = Settings::default();
    refused(
        model.meta.require_architecture(path, &Settings { model: ModelKind::Manet, ..manet }.architecture()),
        path,
        &["a model with model \"manet\", no branches", "found model \"esr\", branches 4"],
    );
    let (mean, weight) = (("base.bn1.running_mean", &[3][..]), ("branches.0.conv1.weight", &[2, 1, 1, 2][..]));
    model.require_tensors([mean, weight]).unwrap();
    refused(model.require_tensors([mean]), path, &["also `branches.0.conv1.weight`"]);
    refused(model.require_tensors([mean, ("fc.bias", &[8])]), path, &["a tensor `fc.bias` [8]"]);
    refused(model.require_tensors([(mean.0, &[4][..]), weight]), path, &["of shape [4], found [3]"]);
}

#[test]
fn tensors_that_do_not_fit_are_a_fault_of_the_saver() {
    let path = Path::new("never.safetensors");
    let short = Tensors::from([("w".into(), (vec![2, 2], vec![1.0; 3]))]);
    refused(model_bytes(path, &meta(), &short), path, &["`w` [2, 2], found 3"]);
    let training = "names that end in `.momentum` or `.average` for a training's tensors only";
    refused(model_bytes(path, &meta(), &momenta()), path, &[training]);
    assert!(!path.exists());
}

#[test]
fn a_writer_that_fails_leaves_the_old_file_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.safetensors");
    let attempt =
        |contents: &dyn Fn(&mut dyn Write) -> io::Result<()>| write_atomic(&path, "writing the checkpoint", contents);
    let full = |writer: &mut dyn Write| {
        writer.write_all(&[7; 100_000])?;
        Err(io::Error::from(io::ErrorKind::StorageFull))
    };
    refused_with(1, attempt(&full), &path, &["writing the checkpoint failed", "no partial file was left"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    attempt(&|writer| writer.write_all(b"good")).unwrap();
    refused_with(1, attempt(&full), &path, &["free space on the disk", "the file that was there is unchanged"]);
    assert_eq!(fs::read(&path).unwrap(), b"good");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let nowhere = folder.path().join("missing/last.safetensors");
    refused(save_model(&nowhere, &meta(), &tensors(1.0)), &nowhere, &["writing the model failed"]);
}

#[cfg(unix)]
#[test]
fn a_new_file_is_as_readable_as_the_users_others() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
    fs::write(folder.path().join("plain"), "").unwrap();
    save_model(&folder.path().join("model"), &meta(), &tensors(1.0)).unwrap();
    assert_eq!(mode("model"), mode("plain"));
}

/// The variable that makes a test of a full disk the child process that fills it, and names the folder.
#[cfg(unix)]
const FOLDER: &str = "MOUE_TEST_SMALL_DISK";

/// In a child process of the test `name`, started by `script` (where `"$0" "$@"` is that child), saves a small checkpoint and
/// then one of 4 MB that does not fit, and checks what the child says of it. True in the child, which then is done.
#[cfg(unix)]
fn fill_the_disk(name: &str, script: &str, folder: &Path) -> bool {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let path = Path::new(&folder).join("last.safetensors");
        save_state(&path, &meta(), &tensors(1.0), &Tensors::new(), &json!({ "epoch": 1 })).unwrap();
        let big = Tensors::from([("w".into(), (vec![1 << 20], vec![0.5; 1 << 20]))]);
        let error = save_state(&path, &meta(), &big, &Tensors::new(), &json!({ "epoch": 2 })).unwrap_err();
        println!("exit code {}; {error}", error.exit_code());
        return true;
    }
    let output = std::process::Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .args(["--include-ignored", "--exact", "--nocapture", name])
        .env(FOLDER, folder)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for part in
        ["exit code 1; ", "writing the checkpoint failed", "free space on the disk", "that was there is unchanged"]
    {
        assert!(text.contains(part), "`{part}` in: {text}");
    }
    false
}

#[cfg(unix)]
#[test]
fn a_checkpoint_larger_than_a_file_may_be_leaves_the_last_good_one() {
    let folder = tempfile::tempdir().unwrap();
    // No file above 512 KiB; the signal that goes with it is ignored, so that writing fails as on a full disk.
    let script = "trap '' XFSZ; ulimit -f 1024; exec \"$0\" \"$@\"";
    if fill_the_disk("a_checkpoint_larger_than_a_file_may_be_leaves_the_last_good_one", script, folder.path()) {
        return;
    }
    assert_eq!(load_state(&folder.path().join("last.safetensors")).unwrap().state["epoch"], 1);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "mounts a file system of 1 MB: needs root"]
fn a_full_disk_leaves_the_last_good_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let kept = tempfile::tempdir().unwrap();
    // The mount is the child's own and goes with it, so its content is copied out.
    let script = format!(
        "exec unshare --mount sh -c 'mount -t tmpfs -o size=1m tmpfs \"${FOLDER}\" && \"$0\" \"$@\" && cp -r \"${FOLDER}/.\" {}' \
         \"$0\" \"$@\"",
        kept.path().display()
    );
    if fill_the_disk("a_full_disk_leaves_the_last_good_checkpoint", &script, folder.path()) {
        return;
    }
    assert_eq!(load_state(&kept.path().join("last.safetensors")).unwrap().state["epoch"], 1);
    assert_eq!(fs::read_dir(kept.path()).unwrap().count(), 1);
}

/// A safetensors file of another program: one tensor and the given metadata.
fn foreign(path: &Path, metadata: &[(&str, &str)], dtype: safetensors::Dtype) {
    let data = vec![0; 2 * dtype.bitsize() / 8];
    let view = safetensors::tensor::TensorView::new(dtype, vec![2], &data).unwrap();
    let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    fs::write(path, safetensors::serialize([("weight", view)], Some(metadata)).unwrap()).unwrap();
}

//! The command line as a user meets it: results on stdout, one clear sentence on stderr, exit codes.
#![cfg(all(feature = "cpu", feature = "cli"))]
#![allow(missing_docs)]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use moue::{
    checkpoint::{ModelMeta, save_model},
    models::{EsrSpec, NetworkSpec, Padding},
    train::trainer::fresh,
};
use serde_json::Value;

const SMALL: [&str; 16] = [
    "--data",
    "synthetic:train=48,valid=16,test=16,size=54",
    "--image-size",
    "54",
    "--width",
    "0.0625",
    "--branches",
    "2",
    "--batch-size",
    "16",
    "--epochs",
    "2",
    "--device",
    "cpu",
    "--log-every",
    "1",
];

fn moue(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_moue")).current_dir(folder).args(args).output().expect("moue starts")
}

fn train(folder: &Path, more: &[&str]) -> Output {
    moue(folder, &[&["train"], &SMALL[..], more].concat())
}

/// The last line of stdout.
fn json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {text}\n{}", stderr(output)))
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Fails with this code and a sentence that has these words, and nothing that looks like a panic.
fn fails(output: &Output, code: i32, words: &[&str]) {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    for word in words {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn train_leaves_a_whole_run_folder_and_its_model_evaluates_and_predicts() {
    let folder = folder();
    let output = train(folder.path(), &["--json", "--name", "first"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let result = json(&output);
    for key in ["run", "best_val_accuracy", "epochs", "seconds", "images_per_s", "device"] {
        assert!(!result[key].is_null(), "{key} in {result}");
    }
    let run = folder.path().join("runs/first");
    for file in [
        "config.toml",
        "run.json",
        "metrics.jsonl",
        "checkpoints/last.safetensors",
        "checkpoints/best.safetensors",
        "curves.svg",
        "confusion.svg",
        "similarity.svg",
        "report.html",
        "MODEL_CARD.md",
    ] {
        assert!(run.join(file).metadata().is_ok_and(|data| data.len() > 0), "{file}");
    }
    let model = run.join("checkpoints/best.safetensors");
    let model = model.to_str().expect("a path");
    let output = moue(folder.path(), &["eval", "--model", model, "--data", SMALL[1], "--device", "cpu", "--json"]);
    let result = json(&output);
    assert_eq!(result["images"], 16);
    assert!(result["accuracy"].is_f64() && result["balanced_accuracy"].is_f64());
    assert_eq!(result["confusion"].as_array().map(Vec::len), Some(8));

    image::RgbImage::from_pixel(60, 50, image::Rgb([200, 150, 120]))
        .save(folder.path().join("face.png"))
        .expect("a png");
    let output = moue(folder.path(), &["predict", "--model", model, "face.png", "--device", "cpu", "--json"]);
    let probabilities = json(&output)["images"][0]["probabilities"].as_object().expect("probabilities").clone();
    let sum: f64 = probabilities.values().filter_map(Value::as_f64).sum();
    assert!(probabilities.len() == 8 && (sum - 1.0).abs() < 1e-5, "{probabilities:?}");
    let output = moue(folder.path(), &["predict", "--model", model, "face.png", "--device", "cpu", "--csv"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().next().map(|l| l.split(',').count()), Some(2 + 8 + 16));
}

#[test]
fn a_manet_trains_evaluates_and_predicts_by_its_combined_head() {
    let folder = folder();
    let rest = ["--width", "0.0625", "--image-size", "32", "--batch-size", "16", "--epochs", "1", "--device", "cpu"];
    let output = moue(folder.path(), &[&["train", "--model", "manet", "--name", "m"], &SMALL[..2], &rest].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let run = folder.path().join("runs/m");
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).expect("records");
    for kind in ["branch", "spatial", "channel"] {
        assert!(metrics.contains(&format!("\"diversity_{kind}\":")), "{kind} in {metrics}");
    }
    let card = fs::read_to_string(run.join("MODEL_CARD.md")).expect("a card");
    assert!(card.contains("MA-Net") && card.contains("\"model\":\"manet\""), "{card}");
    let model = run.join("checkpoints/best.safetensors");
    let model = model.to_str().expect("a path");
    let output = moue(folder.path(), &["eval", "--model", model, "--data", SMALL[1], "--device", "cpu", "--json"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("local ") && text.contains("global ") && text.contains("combined "), "{text}");
    let result = json(&output);
    assert_eq!(result["accuracy"], result["branch_accuracy"][2]);

    image::RgbImage::from_pixel(60, 50, image::Rgb([200, 150, 120]))
        .save(folder.path().join("face.png"))
        .expect("a png");
    let output = moue(folder.path(), &["predict", "--model", model, "face.png", "--device", "cpu", "--csv", "--raw"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!((rows.len(), rows[0].len(), rows[0][10]), (2, 2 + 8 + 24, "local.neutral"));
    // The ensemble's probabilities are the combined head's.
    assert_eq!(rows[1][2..10], rows[1][26..34]);
}

#[test]
fn weights_to_start_from_bring_their_normalisation_along() {
    let folder = folder();
    assert!(train(folder.path(), &["--name", "first", "--normalise", "imagenet"]).status.success());
    let of = |name: &str| {
        let path = folder.path().join("runs").join(name).join("checkpoints/last.safetensors");
        moue::checkpoint::load_model(&path).expect("a model").meta.normalisation
    };
    assert_eq!(of("first"), moue::checkpoint::Normalisation::IMAGENET);
    let init = ["--init", "runs/first/checkpoints/best.safetensors"];
    let output = train(folder.path(), &[&init[..], &["--name", "second"]].concat());
    assert!(stderr(&output).contains("normalised: imagenet"), "{}", stderr(&output));
    assert_eq!(of("second"), of("first"));
    let output = train(folder.path(), &[&init[..], &["--name", "third", "--normalise", "none"]].concat());
    assert!(stderr(&output).contains("will have to adapt"), "{}", stderr(&output));
    assert_eq!(of("third"), moue::checkpoint::Normalisation::default());
    // What the training sees is what the evaluation reads: the best accuracy is found again.
    let result = json(&train(folder.path(), &["--name", "fourth", "--normalise", "imagenet", "--json"]));
    let spec = "synthetic:train=48,valid=16,test=16,size=54";
    let best = "runs/fourth/checkpoints/best.safetensors";
    let again = moue(
        folder.path(),
        &["eval", "--model", best, "--data", spec, "--split", "valid", "--device", "cpu", "--json"],
    );
    assert_eq!(json(&again)["vote_accuracy"], result["best_val_accuracy"]);
}

#[test]
fn eval_with_mirror_answers_an_image_as_its_mirror_image() {
    let folder = folder();
    let network = NetworkSpec::Esr(EsrSpec {
        branches: 2,
        width: 0.125,
        size: 54,
        classes: 8,
        attention: true,
        padding: Padding::Published,
    });
    let classes = moue::data::EXPRESSIONS.map(str::to_owned).to_vec();
    let meta = ModelMeta::new(network.architecture(), classes, 54);
    let mut tensors = fresh(&network, 3).expect("a network");
    // As after a training: with the variances of the start each layer makes what it sees several times smaller.
    for (_, (_, values)) in tensors.iter_mut().filter(|(name, _)| name.contains("running_var")) {
        values.fill(0.02);
    }
    save_model(&folder.path().join("fresh.safetensors"), &meta, &tensors).expect("a model");
    for (k, class) in moue::data::EXPRESSIONS.iter().enumerate() {
        let pixel = |x: u32, y: u32| image::Rgb([(5 * x + y) as u8, (x * y / 9) as u8, (40 * k as u32 + x) as u8]);
        let drawn = image::RgbImage::from_fn(54, 54, pixel);
        let mirrored = image::imageops::flip_horizontal(&drawn);
        for (name, picture) in [("drawn", &drawn), ("mirrored", &mirrored)] {
            let path = folder.path().join(name).join("test").join(class);
            fs::create_dir_all(&path).expect("a folder");
            picture.save(path.join("a.png")).expect("a png");
        }
    }
    let loss = |data: &str, more: &[&str]| {
        let args =
            [&["eval", "--model", "fresh.safetensors", "--data", data, "--device", "cpu", "--json"], more].concat();
        let result = json(&moue(folder.path(), &args));
        assert_eq!(result["mirror"], !more.is_empty());
        result["loss"].as_f64().expect("a loss")
    };
    let [drawn, mirrored] =
        ["folder:drawn", "folder:mirrored"].map(|data| (loss(data, &[]), loss(data, &["--tta-flip"])));
    assert!((drawn.1 - mirrored.1).abs() < 1e-6, "{drawn:?}, {mirrored:?}");
    assert!((drawn.0 - mirrored.0).abs() > 1e-5 && (drawn.0 - drawn.1).abs() > 1e-5, "{drawn:?}, {mirrored:?}");
}

#[test]
#[cfg(unix)]
fn ctrl_c_saves_exits_130_and_resume_ends_with_the_same_bytes() {
    let folder = folder();
    let arguments = |name: &'static str| [&["train"], &SMALL[..], &["--epochs", "30", "--name", name]].concat();
    assert!(moue(folder.path(), &arguments("whole")).status.success());
    let child = Command::new(env!("CARGO_BIN_EXE_moue"))
        .current_dir(folder.path())
        .args(arguments("parts"))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("moue starts");
    let metrics = folder.path().join("runs/parts/metrics.jsonl");
    let lines = || fs::read_to_string(&metrics).map_or(0, |text| text.lines().count());
    for _ in 0..600 {
        if lines() > 8 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(killed.success());
    let output = child.wait_with_output().expect("moue ends");
    fails(&output, 130, &["interrupted", "last.safetensors", "--resume"]);
    let resumed = moue(folder.path(), &["train", "--resume", "runs/parts"]);
    assert!(resumed.status.success(), "{}", stderr(&resumed));
    let weights = |name: &str| {
        let path = folder.path().join("runs").join(name).join("checkpoints/best.safetensors");
        moue::checkpoint::load_model(&path).expect("a model").tensors
    };
    assert_eq!(weights("whole"), weights("parts"));
}

#[test]
fn bad_data_ends_with_3_and_says_what_and_where() {
    let folder = folder();
    fails(&train(folder.path(), &["--data", "folder:nowhere"]), 3, &["nowhere"]);
    fails(&train(folder.path(), &["--data", "ferplus:nowhere"]), 3, &["nowhere"]);
    fs::create_dir(folder.path().join("empty")).expect("a folder");
    fails(&train(folder.path(), &["--data", "folder:empty"]), 3, &["empty"]);
    assert!(!folder.path().join("runs").exists(), "a run that could not begin leaves nothing");
}

#[test]
fn bad_settings_end_with_2_and_name_the_setting() {
    let folder = folder();
    fails(&train(folder.path(), &["--data", "ferplu:x"]), 2, &["ferplus:DIR", "ferplu:x"]);
    fails(&train(folder.path(), &["--lr=-1"]), 2, &["lr"]);
    fails(&moue(folder.path(), &["train", "--width", "99"]), 2, &["width"]);
    fails(&moue(folder.path(), &["train", "--image-size", "20"]), 2, &["size"]);
    fails(&moue(folder.path(), &["train", "--augment", "wild"]), 2, &["wild"]);
    fs::write(folder.path().join("config.toml"), "epochs = 3\nbatchsize = 4\n").expect("a file");
    fails(&moue(folder.path(), &["train", "--config", "config.toml"]), 2, &["batchsize", "batch"]);
}

#[test]
fn a_model_file_cut_in_half_or_foreign_is_refused() {
    let folder = folder();
    assert!(train(folder.path(), &["--name", "a", "--epochs", "1"]).status.success());
    let best = fs::read(folder.path().join("runs/a/checkpoints/best.safetensors")).expect("a model");
    fs::write(folder.path().join("half.safetensors"), &best[..best.len() / 2]).expect("a file");
    let eval = |model: &str| moue(folder.path(), &["eval", "--model", model, "--data", SMALL[1], "--device", "cpu"]);
    fails(&eval("half.safetensors"), 3, &["half.safetensors"]);
    fails(&eval("nothing.safetensors"), 3, &["nothing.safetensors"]);
    let last = folder.path().join("runs/a/checkpoints/last.safetensors");
    let state = fs::read(&last).expect("a state");
    fs::write(&last, &state[..state.len() / 2]).expect("a file");
    fails(&moue(folder.path(), &["train", "--resume", "runs/a"]), 3, &["last.safetensors"]);
    fails(&moue(folder.path(), &["train", "--resume", "runs/a", "--branches", "3"]), 2, &["branches"]);
}

#[test]
fn data_of_other_classes_is_refused() {
    let folder = folder();
    assert!(train(folder.path(), &["--name", "a", "--epochs", "1"]).status.success());
    for class in ["cat", "dog"] {
        let path = folder.path().join("pets/test").join(class);
        fs::create_dir_all(&path).expect("a folder");
        image::RgbImage::new(50, 50).save(path.join("0.png")).expect("a png");
    }
    let arguments =
        ["eval", "--model", "runs/a/checkpoints/best.safetensors", "--data", "folder:pets", "--device", "cpu"];
    fails(&moue(folder.path(), &arguments), 3, &["classes", "cat", "neutral"]);
}

#[test]
#[cfg(unix)]
fn an_image_whose_name_is_no_text_is_answered() {
    use std::os::unix::ffi::OsStrExt;
    let folder = folder();
    assert!(train(folder.path(), &["--name", "a", "--epochs", "1"]).status.success());
    let name = std::ffi::OsStr::from_bytes(b"f\xff.png");
    let image = image::RgbImage::from_pixel(60, 50, image::Rgb([200, 150, 120]));
    fs::write(folder.path().join(name), png(&image)).expect("a png");
    let model = ["--model", "runs/a/checkpoints/best.safetensors", "--device", "cpu", "--json"];
    for (command, key) in [("predict", "images"), ("explain", "branches")] {
        let mut moue = Command::new(env!("CARGO_BIN_EXE_moue"));
        let output = moue.current_dir(folder.path()).arg(command).arg(name).args(model).output().expect("moue starts");
        assert!(json(&output)[key].is_array(), "{}", stderr(&output));
    }
}

fn png(image: &image::RgbImage) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).expect("a png");
    bytes.into_inner()
}

#[test]
fn a_loss_that_is_not_finite_ends_with_1_and_the_last_checkpoint_survives() {
    let folder = folder();
    let output = train(folder.path(), &["--lr", "1e30", "--lr-schedule", "constant", "--warmup-fraction", "0"]);
    fails(&output, 1, &["not finite", "first at", "lower learning rate", "--init"]);
    // A resumed run keeps its settings.
    assert!(!stderr(&output).contains("--resume"), "{}", stderr(&output));
}

#[test]
#[cfg(feature = "gpu")]
fn no_adapter_ends_with_4_and_says_what_to_install() {
    let folder = folder();
    let output = Command::new(env!("CARGO_BIN_EXE_moue"))
        .current_dir(folder.path())
        .args(["train", "--device", "gpu"])
        .args(["--data", SMALL[1], "--image-size", "54"])
        .envs(
            ["VK_DRIVER_FILES", "VK_ICD_FILENAMES", "__EGL_VENDOR_LIBRARY_FILENAMES", "LIBGL_DRIVERS_PATH"]
                .map(|key| (key, "/nonexistent")),
        )
        .env("WGPU_BACKEND", "vulkan")
        .output()
        .expect("moue starts");
    fails(&output, 4, &["gpu", "--device cpu"]);
}

#[test]
fn a_precision_that_a_device_or_a_training_does_not_have_is_refused() {
    let folder = folder();
    fails(&train(folder.path(), &["--precision", "mixed"]), 4, &["mixed precision", "--device gpu"]);
    fails(&train(folder.path(), &["--precision", "f64"]), 2, &["precision", "f32 or mixed"]);
    let bench = ["bench", "--device", "cpu", "--branches", "1", "--steps", "1", "--precision", "mixed"];
    fails(&moue(folder.path(), &bench), 4, &["mixed precision", "--precision f32"]);
}

#[cfg(feature = "gpu")]
/// The losses of the first 20 steps of the default training at a learning rate of 0.01.
fn first_losses(folder: &Path, device: &str, name: &str) -> Vec<f64> {
    let data = "synthetic:train=640,valid=32";
    let rest = ["--lr", "0.01", "--epochs", "1", "--log-every", "1", "--device", device, "--name", name];
    let output = moue(folder, &[&["train", "--data", data][..], &rest].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let text = fs::read_to_string(folder.join("runs").join(name).join("metrics.jsonl")).expect("metrics");
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    records.filter(|record| record["kind"] == "step").map(|step| step["loss"].as_f64().expect("a loss")).collect()
}

#[cfg(feature = "gpu")]
#[test]
#[ignore = "slow on a software adapter: set MOUE_FULL"]
fn the_loss_on_a_gpu_follows_the_cpus_over_20_steps() {
    let folder = folder();
    let expected = first_losses(folder.path(), "cpu", "cpu");
    let found = first_losses(folder.path(), "gpu:llvmpipe", "gpu");
    assert_eq!((expected.len(), found.len()), (20, 20));
    for (step, (e, f)) in expected.iter().zip(&found).enumerate() {
        let error = (e - f).abs() / e.abs();
        println!("step {step}: {e} {f} {error:.1e}");
        assert!(error <= 1e-2, "step {step}: {f} where the CPU has {e}");
    }
}

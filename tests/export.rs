//! Models for other programs, and what the command line says of weights that come and go.
#![cfg(all(feature = "cpu", feature = "cli"))]
#![allow(missing_docs)]

mod support_torch;

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use moue::{
    Error,
    checkpoint::{
        ColourOrder, Model, ModelMeta, Normalisation, half_bytes, load_model, model_bytes, onnx_bytes, save_model,
        torch_bytes,
    },
    data::EXPRESSIONS,
    graph::Graph,
    models::{Calibration, EsrSpec, ManetSpec, NetworkSpec, Padding},
    nn::{Mode, variables::Tensors},
    ops::Emit,
    train::trainer::fresh,
};
use safetensors::{Dtype, SafeTensors};
use support_torch::{archive, state_dict, tensor, text};

fn network() -> NetworkSpec {
    NetworkSpec::Esr(EsrSpec {
        branches: 2,
        width: 0.0625,
        size: 54,
        classes: 8,
        attention: true,
        padding: Padding::Published,
    })
}

fn model() -> (ModelMeta, Tensors) {
    let classes = EXPRESSIONS.map(str::to_owned).to_vec();
    (ModelMeta::new(network().architecture(), classes, 54), fresh(&network(), 3).expect("a network"))
}

#[test]
fn a_model_in_16_bits_is_half_as_long_and_moue_reads_it_again() {
    let ((meta, tensors), path) = (model(), Path::new("m"));
    let (half, full) = (half_bytes(path, &meta, &tensors).unwrap(), model_bytes(path, &meta, &tensors).unwrap());
    let elements: usize = tensors.values().map(|(_, values)| values.len()).sum();
    assert!(
        full.len() - half.len() > 2 * elements - 4096 && half.len() > 2 * elements,
        "{} {}",
        half.len(),
        full.len()
    );
    let back = Model::from_bytes(path, &half).unwrap();
    assert_eq!(back.meta, meta);
    for (name, (shape, values)) in &tensors {
        let (found, rounded) = &back.tensors[name];
        assert_eq!(found, shape);
        // Eleven bits of mantissa; below the smallest normal number a fixed step.
        let near = |(a, b): (&f32, &f32)| (a - b).abs() <= (a.abs() / 2048.0).max(3e-8);
        assert!(values.iter().zip(rounded).all(near), "{name}");
    }
    assert!(back.tensors["base.conv1.weight"] != tensors["base.conv1.weight"], "nothing was rounded");
}

#[test]
fn what_16_bits_cannot_hold_is_named_and_not_written() {
    let (meta, mut tensors) = model();
    tensors.get_mut("base.bn1.running_var").unwrap().1[2] = 7e4;
    let error = half_bytes(Path::new("m"), &meta, &tensors).unwrap_err();
    assert!(matches!(error, Error::NotFinite { .. }), "{error}");
    assert!(
        error.to_string().contains("`base.bn1.running_var`, element 2; 16-bit floating point ends at 65504"),
        "{error}"
    );
}

#[test]
fn the_file_for_pytorch_has_batch_norms_counters_and_is_a_model_still() {
    let ((meta, tensors), path) = (model(), Path::new("m"));
    let bytes = torch_bytes(path, &meta, &tensors).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let norms = tensors.keys().filter_map(|name| name.strip_suffix("running_var"));
    let mut counters = 0;
    for norm in norms {
        let view = file.tensor(&format!("{norm}num_batches_tracked")).unwrap();
        assert_eq!((view.dtype(), view.shape(), view.data()), (Dtype::I64, &[][..], &[0; 8][..]));
        counters += 1;
    }
    assert_eq!(file.len(), tensors.len() + counters);
    assert!(counters > 20, "{counters}");
    assert_eq!(Model::from_bytes(path, &bytes).unwrap().tensors, tensors);
}

#[test]
fn only_a_network_in_evaluation_whose_tensors_are_all_there_becomes_onnx() {
    let (meta, mut tensors) = model();
    let graph = |images: usize, mode| {
        let mut graph = Graph::new();
        let x = graph.input("images", [images, 3, 54, 54]);
        let logits = network().build(&mut graph, x, mode)?.logits;
        Ok((graph, vec![("logits", logits)]))
    };
    let export = |tensors: &Tensors, mode| onnx_bytes(Path::new("m"), &meta, tensors, |images| graph(images, mode));
    let bytes = export(&tensors, Mode::Eval).unwrap();
    assert_eq!(bytes, export(&tensors, Mode::Eval).unwrap());
    let has = |name: &str| bytes.windows(name.len()).any(|window| window == name.as_bytes());
    assert!(tensors.keys().all(|name| has(name)), "published names");
    let error = export(&tensors, Mode::Train).unwrap_err().to_string();
    assert!(error.contains("evaluation mode") && error.contains("BatchNorm"), "{error}");
    tensors.remove("branches.1.fc.bias");
    let error = export(&tensors, Mode::Eval).unwrap_err().to_string();
    assert!(error.contains("`branches.1.fc.bias`") && error.contains("found none"), "{error}");
    // A slice of images has no place in a file for any number of them.
    let sliced = |images: usize| {
        let mut graph = Graph::new();
        let x = graph.input("images", [images, 3]);
        let part = graph.slice(x, 0, 0, 1)?;
        assert_eq!(graph.shape(part).dims(), [1, 3]);
        Ok((graph, vec![("part", part)]))
    };
    assert!(onnx_bytes(Path::new("m"), &meta, &tensors, sliced).is_err());
}

#[test]
fn an_onnx_file_says_how_a_picture_becomes_its_input() {
    let (mut meta, tensors) = model();
    (meta.colour, meta.normalisation) = (ColourOrder::Bgr, Normalisation::IMAGENET);
    let build = |images: usize| {
        let mut graph = Graph::new();
        let x = graph.input("images", [images, 3, 54, 54]);
        let logits = network().build(&mut graph, x, Mode::Eval)?.logits;
        Ok((graph, vec![("logits", logits)]))
    };
    let bytes = onnx_bytes(Path::new("m"), &meta, &tensors, build).unwrap();
    let key = b"preprocessing";
    let at = bytes.windows(key.len()).position(|window| window == key).expect("the key");
    let json = at + bytes[at..].iter().position(|byte| *byte == b'{').expect("an object");
    let said: serde_json::Value =
        serde_json::Deserializer::from_slice(&bytes[json..]).into_iter().next().expect("a value").expect("JSON");
    assert_eq!((&said["size"], &said["channels"]), (&serde_json::json!([54, 54]), &"bgr".into()));
    let resize = serde_json::json!({
        "mode": "linear", "coordinate_transformation_mode": "half_pixel", "antialias": 0,
        "keep_aspect_ratio_policy": "stretch",
    });
    assert_eq!(said["resize"], resize);
    // Blue first: ImageNet's mean and deviation from the last to the first.
    let near = |name: &str, expected: [f64; 3]| {
        let found = said[name].as_array().expect("three numbers").iter().map(|v| v.as_f64().expect("a number"));
        assert!(found.zip(expected).all(|(a, e)| (a - e).abs() < 1e-6), "{}", said[name]);
    };
    near("mean", [0.406, 0.456, 0.485]);
    near("std", [0.225, 0.224, 0.229]);
    let help = moue(Path::new("."), &["export", "--help"]);
    let help = String::from_utf8_lossy(&help.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    for words in ["bilinear", "half-pixel centres", "without antialias", "`preprocessing`"] {
        assert!(help.contains(words), "`{words}` is not in: {help}");
    }
}

fn moue(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_moue")).current_dir(folder).args(args).output().expect("moue starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn fails(output: &Output, code: i32, words: &[&str]) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word) && !said.contains("panicked"), "`{word}` is not in: {said}");
    }
}

#[test]
fn an_exported_model_in_16_bits_evaluates_as_the_original_and_a_format_must_be_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (meta, tensors) = model();
    save_model(&folder.join("m.safetensors"), &meta, &tensors).unwrap();
    fails(&moue(folder, &["export", "m.safetensors", "--out", "x"]), 2, &["--onnx", "--torch", "--f16"]);
    fails(&moue(folder, &["export", "m.safetensors", "--out", "x", "--onnx", "--f16"]), 2, &["cannot be used with"]);
    let output = moue(folder, &["export", "m.safetensors", "--f16", "--out", "h.safetensors", "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let eval = |model: &str| {
        let data = "synthetic:train=8,valid=8,test=16,size=54";
        let output = moue(folder, &["eval", "--model", model, "--data", data, "--device", "cpu", "--json"]);
        assert!(output.status.success(), "{}", stderr(&output));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let json: serde_json::Value = serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap();
        json["accuracy"].as_f64().expect("an accuracy")
    };
    assert!((eval("m.safetensors") - eval("h.safetensors")).abs() < 0.15);
}

#[test]
fn an_exported_model_says_what_an_evaluation_of_it_and_of_no_other_said() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ((meta, mut tensors), said) = (model(), folder.join("said.json"));
    save_model(&folder.join("m.safetensors"), &meta, &tensors).unwrap();
    let data = ["--data", "synthetic:train=8,valid=8,test=16,size=54", "--device", "cpu", "--early-exits", "--json"];
    let output = moue(folder, &[&["eval", "--model", "m.safetensors"], &data[..]].concat());
    fs::write(&said, &output.stdout).unwrap();
    let export = ["--web", "--out", "w.safetensors", "--result", "said.json"];
    assert!(moue(folder, &[&["export", "m.safetensors"], &export[..]].concat()).status.success());
    let result = load_model(&folder.join("w.safetensors")).unwrap().meta.result.expect("a result");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let json: serde_json::Value = serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap();
    assert_eq!((result.split.as_str(), result.images, result.by_branches.len()), ("test", Some(16), 2));
    assert_eq!((json["accuracy"].as_f64(), result.by_branches[1]), (Some(result.accuracy), result.accuracy));

    // A calibrated model's file does not say what its mean probabilities reached.
    let mut calibrated = meta.clone();
    calibrated.answer = Some(Calibration::new(1.0, 0.0, vec![0.125; 8]));
    save_model(&folder.join("c.safetensors"), &calibrated, &tensors).unwrap();
    let output = moue(folder, &[&["eval", "--model", "c.safetensors", "--raw"], &data[..]].concat());
    fs::write(folder.join("raw.json"), &output.stdout).unwrap();
    let raw = ["export", "c.safetensors", "--web", "--out", "r.safetensors", "--result", "raw.json"];
    fails(&moue(folder, &raw), 3, &["raw.json", "expected an evaluation of the model's calibrated answers"]);

    tensors.get_mut("base.conv1.weight").unwrap().1[0] += 1.0;
    save_model(&folder.join("other.safetensors"), &meta, &tensors).unwrap();
    let output = moue(folder, &[&["export", "other.safetensors"], &export[..]].concat());
    fails(&output, 3, &["said.json", "expected an evaluation of the model with sha256"]);
    fs::write(&said, "accuracy 0.9").unwrap();
    fails(&moue(folder, &[&["export", "m.safetensors"], &export[..]].concat()), 3, &["said.json", "JSON"]);
}

#[test]
fn a_checkpoint_of_pytorch_in_place_of_a_model_file_is_answered_with_moue_import() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for name in ["zip.pt", "legacy.pt"] {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        fs::copy(fixture, folder.join(name)).unwrap();
        let said = format!(
            "{name}: expected a model file of moue, a safetensors file, found a checkpoint of PyTorch; make one of it: \
             `moue import {name} --out MODEL.safetensors`"
        );
        let data = "synthetic:train=8,valid=8,test=16,size=54";
        for args in [
            &["predict", "--model", name, "face.png"][..],
            &["explain", "--model", name, "face.png"],
            &["eval", "--model", name, "--data", data],
            &["export", name, "--f16", "--out", "x"],
        ] {
            fails(&moue(folder, args), 3, &[&said]);
        }
    }
}

#[test]
fn an_imported_manet_keeps_its_files_local_weight_or_takes_the_one_that_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let spec = NetworkSpec::Manet(ManetSpec { width: 0.0625, size: 16, classes: 8, local_weight: 0.3 });
    let tensors = fresh(&spec, 3).expect("a network");
    let meta = ModelMeta::new(spec.architecture(), EXPRESSIONS.map(str::to_owned).to_vec(), 16);
    save_model(&folder.join("own.safetensors"), &meta, &tensors).unwrap();
    let wrapped: Vec<_> = tensors
        .iter()
        .map(|(name, (shape, values))| {
            (format!("_orig_mod.module.{name}"), shape, values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>())
        })
        .collect();
    let views = wrapped.iter().map(|(name, shape, bytes)| {
        (name, safetensors::tensor::TensorView::new(Dtype::F32, (*shape).clone(), bytes).unwrap())
    });
    fs::write(folder.join("foreign.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
    for (file, given, expected) in [
        ("own.safetensors", None, 0.3),
        ("own.safetensors", Some("0.5"), 0.5),
        ("foreign.safetensors", None, 0.6),
        ("foreign.safetensors", Some("0"), 0.0),
    ] {
        let given = given.map_or_else(Vec::new, |given| vec!["--local-weight", given]);
        let args = [&["import", file, "--image-size", "16", "--out", "m"], &given[..]].concat();
        let output = moue(folder, &args);
        assert!(output.status.success(), "{}", stderr(&output));
        let said = stderr(&output).contains("taken off: `_orig_mod.module.` in front of all names");
        assert_eq!(said, file == "foreign.safetensors", "{}", stderr(&output));
        let model = load_model(&folder.join("m")).unwrap();
        assert_eq!(model.network().unwrap().head_weights(), [expected, 1.0 - expected, 0.0]);
        assert_eq!(model.tensors, tensors);
    }
    let wrong = ["import", "own.safetensors", "--out", "m", "--local-weight", "1.5"];
    fails(&moue(folder, &wrong), 2, &["local_weight: expected a share from 0 to 1, found 1.5"]);
    let (meta, tensors) = model();
    save_model(&folder.join("esr.safetensors"), &meta, &tensors).unwrap();
    let wrong = ["import", "esr.safetensors", "--out", "m", "--local-weight", "0.5"];
    fails(&moue(folder, &wrong), 2, &["--local-weight", "an ESR, whose branches vote"]);
}

#[test]
fn the_command_line_refuses_code_and_says_what_a_base_alone_cannot_do() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let code = [b"\x80\x02cos\nsystem\n", &text("touch done")[..], b"\x85R."].concat();
    fs::write(folder.join("code.pt"), archive(&code, &[])).unwrap();
    fails(
        &moue(folder, &["import", "code.pt", "--out", "m.safetensors"]),
        3,
        &["`os.system`", "nothing of it was run"],
    );
    let train =
        ["train", "--data", "synthetic:train=16,valid=8,test=8,size=54", "--image-size", "54", "--init", "code.pt"];
    fails(&moue(folder, &train), 3, &["code.pt", "`os.system`"]);
    assert!(!folder.join("done").exists() && !folder.join("m.safetensors").exists() && !folder.join("runs").exists());

    // Five classes have no names of their own.
    let heads = state_dict(&[
        tensor("base.conv1.weight", "0", 5, &[5], &[1]),
        tensor("branches.0.fc.weight", "0", 5, &[5], &[1]),
    ]);
    fs::write(folder.join("five.pt"), archive(&heads, &[("0", &[0; 20])])).unwrap();
    fails(&moue(folder, &["import", "five.pt", "--out", "m"]), 2, &["the names of the 5 classes", "--classes"]);

    let (_, mut tensors) = model();
    tensors.retain(|name, _| name.starts_with("base."));
    let architecture = network().with_branches(0).architecture();
    save_model(&folder.join("base.safetensors"), &ModelMeta::new(architecture, vec![], 54), &tensors).unwrap();
    assert!(load_model(&folder.join("base.safetensors")).unwrap().meta.architecture.is_base());
    fails(&moue(folder, &["export", "base.safetensors", "--onnx", "--out", "x"]), 3, &["its base alone", "--init"]);
}

//! Weights to and from the real PyTorch, networks to the real ONNX Runtime: they answer as moue does.
//!
//! `MOUE_TEST_PYTHON` names a Python with torch, safetensors, onnx and onnxruntime; the networks in PyTorch are those of
//! `peer` in the shared folder.
#![cfg(all(feature = "cpu", feature = "cli"))]
#![allow(missing_docs)]

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use moue::{
    checkpoint::{Weights, load_model},
    data::{ColourOrder, Spec, Transform},
    exec::cpu::CpuExecutor,
    models::{EsrSpec, ManetSpec, NetworkSpec},
    train::session::Evaluator,
};
use safetensors::{Dtype, serialize_to_file, tensor::TensorView};

/// The largest difference between two logits of the same network.
const BAR: f32 = 1e-4;

/// Images of the batch.
const IMAGES: usize = 5;

fn python(folder: &Path, script: &str, network: &NetworkSpec) {
    let python = std::env::var_os("MOUE_TEST_PYTHON").expect("MOUE_TEST_PYTHON");
    let shared = std::env::var_os("MOUE_SHARED").map_or_else(|| PathBuf::from("../shared"), PathBuf::from);
    let shared = std::path::absolute(shared.join("peer")).expect("a path");
    let head = "import sys, torch\nfrom safetensors.torch import load_file, save_file\n\
                sys.path.insert(0, sys.argv[1])\nimport diversified_fer_torch as peer\n";
    let output = Command::new(python)
        .args(["-B", "-c", &format!("{head}{NETWORK}{script}")])
        .arg(shared)
        .args(arguments(network))
        .current_dir(folder)
        .output()
        .expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn moue(folder: &Path, args: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_moue")).current_dir(folder).args(args).output().expect("moue starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Real faces [N, 3, size, size] where FER+ is there, drawn ones otherwise; also for Python, as `images.safetensors`.
fn images(folder: &Path, size: usize) -> Vec<f32> {
    let spec = match std::env::var("MOUE_FERPLUS") {
        Ok(ferplus) => format!("ferplus:{ferplus}"),
        Err(_) => format!("synthetic:train=8,valid=8,test=8,size={size}"),
    };
    let data = spec.parse::<Spec>().expect("a data set").load_splits(&["test"]).expect("images");
    let transform = Transform { size, normalise: None, order: ColourOrder::Bgr };
    let mut pixels = vec![0.0; IMAGES * 3 * size * size];
    let samples = &data.split("test").expect("the split").samples;
    for (sample, pixels) in samples.iter().zip(pixels.chunks_mut(3 * size * size)) {
        transform.evaluate(&sample.image, pixels).expect("an image");
    }
    let bytes: Vec<u8> = pixels.iter().flat_map(|value| value.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, vec![IMAGES, 3, size, size], &bytes).expect("a tensor");
    serialize_to_file([("images", view)], None, &folder.join("images.safetensors")).expect("a file");
    pixels
}

/// moue's logits [N, B, K] and maps by their names, computed in batches of `batch`.
fn answers(model: &Path, network: &NetworkSpec, pixels: &[f32], batch: usize) -> Vec<(&'static str, Vec<f32>)> {
    let model = load_model(model).expect("a model");
    let mut executor = CpuExecutor::<f32>::new(None).expect("the processor");
    let mut evaluator = Evaluator::new(&mut executor, network, batch, &model.tensors).expect("the network fits");
    let mut all: Vec<(&'static str, Vec<f32>)> = vec![("logits", vec![])];
    for images in pixels.chunks_exact(batch * 3 * network.size() * network.size()) {
        let answers = evaluator.answer(images).expect("logits");
        all[0].1.extend(answers.logits);
        for (kind, map) in answers.maps {
            match all.iter_mut().find(|(name, _)| *name == kind) {
                Some((_, values)) => values.extend(map),
                None => all.push((kind, map)),
            }
        }
    }
    all
}

fn same(file: &Path, name: &str, ours: &[f32]) {
    let theirs = Weights::read(file).expect("results");
    let theirs = &theirs.tensors[name].1;
    assert_eq!(ours.len(), theirs.len(), "{name}");
    let largest = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let (first, rest) = theirs.split_at(theirs.len() / IMAGES);
    let spread = first.iter().zip(rest).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("{}: {name} differ by {spread} between images, by {largest:e} from moue's", file.display());
    assert!(spread > 0.1, "{name} says nothing of the images: {spread}");
    assert!(largest <= BAR, "{name}: {largest}");
}

fn esr(branches: usize, attention: bool) -> NetworkSpec {
    NetworkSpec::Esr(EsrSpec { branches, width: 1.0, size: 96, classes: 8, attention })
}

fn manet() -> NetworkSpec {
    NetworkSpec::Manet(ManetSpec { width: 1.0, size: 224, classes: 8 })
}

/// The network in the script's terms: `esr 9 True` or `manet`.
fn arguments(network: &NetworkSpec) -> Vec<String> {
    match network {
        NetworkSpec::Esr(esr) => {
            vec!["esr".into(), esr.branches.to_string(), if esr.attention { "True" } else { "False" }.into()]
        }
        NetworkSpec::Manet(_) => vec!["manet".into()],
    }
}

/// Builds the network; `logits` are those of its heads [N, B, K].
const NETWORK: &str = "
if sys.argv[2] == 'esr':
    build = lambda: peer.ESR(int(sys.argv[3]), sys.argv[4] == 'True', 8)
    logits_of = lambda model, x: torch.stack(model(x)[0], 1)
else:
    build = lambda: peer.MANet(8)
    def logits_of(model, x):
        local, glob = model(x)[:2]
        return torch.stack([local, glob, 0.6 * local + 0.4 * glob], 1)
";

const SAVE: &str = "
model = build()
peer.fill(model, 'interop')
images = load_file('images.safetensors')['images']
# Running statistics of these images, so that what they show reaches the logits.
for module in model.modules():
    if isinstance(module, torch.nn.BatchNorm2d):
        module.momentum = None
model.train()
with torch.no_grad():
    model(images)
model.eval()
with torch.inference_mode():
    logits = logits_of(model, images)
save_file({'logits': logits.contiguous()}, 'logits.safetensors')
state = model.state_dict()
torch.save(state, 'zip.pt')
torch.save({'epoch': 1, 'state_dict': {'module.' + k: v for k, v in state.items()}}, 'legacy.pt', _use_new_zipfile_serialization=False)
if sys.argv[2] == 'esr':
    torch.save(model.base.state_dict(), 'Net-Base-Shared_Representations.pt')
    for b, branch in enumerate(model.branches, 1):
        torch.save(branch.state_dict(), f'Net-Branch_{b}.pt')
save_file(state, 'plain.safetensors')
";

#[test]
#[ignore = "needs PyTorch and its networks: set MOUE_TEST_PYTHON and MOUE_SHARED"]
fn what_pytorch_saves_answers_here_as_there() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let pixels = images(folder, 96);
    python(folder, SAVE, &esr(9, true));
    let branches: Vec<_> = (1..10).map(|b| format!("Net-Branch_{b}.pt")).collect();
    let mut pairs = vec!["Net-Base-Shared_Representations.pt"];
    pairs.extend(branches.iter().map(String::as_str));
    for files in [&["zip.pt"][..], &["legacy.pt"], &pairs, &["plain.safetensors"]] {
        let output = moue(folder, &[&["import", "--out", "m.safetensors"], files].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("\"branches\":9") && text.contains("colours bgr"), "{text}");
        let answers = answers(&folder.join("m.safetensors"), &esr(9, true), &pixels, IMAGES);
        same(&folder.join("logits.safetensors"), "logits", &answers[0].1);
    }
}

#[test]
#[ignore = "needs PyTorch and its networks: set MOUE_TEST_PYTHON and MOUE_SHARED"]
fn what_pytorch_saves_of_a_manet_answers_here_as_there() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let pixels = images(folder, 224);
    python(folder, SAVE, &manet());
    for file in ["zip.pt", "legacy.pt"] {
        let output = moue(folder, &["import", "--out", "m.safetensors", file]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("\"manet\"") && text.contains("colours bgr"), "{text}");
        let answers = answers(&folder.join("m.safetensors"), &manet(), &pixels, IMAGES);
        same(&folder.join("logits.safetensors"), "logits", &answers[0].1);
    }
}

fn exports_load_strictly(network: &NetworkSpec) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let pixels = images(folder, network.size());
    python(folder, SAVE, network);
    moue(folder, &["import", "zip.pt", "--out", "m.safetensors"]);
    moue(folder, &["export", "m.safetensors", "--torch", "--out", "t.safetensors"]);
    let load = "
model = build()
model.load_state_dict(load_file('t.safetensors'), strict=True)
model.eval()
with torch.inference_mode():
    logits = logits_of(model, load_file('images.safetensors')['images'])
save_file({'logits': logits.contiguous()}, 'back.safetensors')
";
    python(folder, load, network);
    let answers = answers(&folder.join("m.safetensors"), network, &pixels, IMAGES);
    same(&folder.join("back.safetensors"), "logits", &answers[0].1);
    // And it comes back here.
    moue(folder, &["import", "t.safetensors", "--out", "again.safetensors"]);
    let tensors = |name: &str| load_model(&folder.join(name)).expect("a model").tensors;
    assert_eq!(tensors("again.safetensors"), tensors("m.safetensors"));
    assert_eq!(tensors("t.safetensors"), tensors("m.safetensors"));
}

#[test]
#[ignore = "needs PyTorch and its networks: set MOUE_TEST_PYTHON and MOUE_SHARED"]
fn what_moue_exports_loads_strictly_in_pytorch_and_answers_the_same() {
    exports_load_strictly(&esr(9, true));
    exports_load_strictly(&manet());
}

const RUN_ONNX: &str = "
import json, onnx, onnxruntime
onnx.checker.check_model('m.onnx', full_check=True)
model = onnx.load('m.onnx')
named = set(build().state_dict())
named = {name for name in named if not name.endswith('num_batches_tracked')}
assert named <= {t.name for t in model.graph.initializer}, 'published names'
props = {p.key: p.value for p in model.metadata_props}
assert len(json.loads(props['classes'])) == 8 and json.loads(props['moue'])['colour'] == 'bgr'
session = onnxruntime.InferenceSession('m.onnx', providers=['CPUExecutionProvider'])
images = load_file('images.safetensors')['images'].numpy()
names = [o.name for o in session.get_outputs()]
for batch in (1, 5):
    runs = [session.run(None, {'images': images[i:i + batch]}) for i in range(0, 5, batch)]
    out = {name: torch.cat([torch.from_numpy(run[k]) for run in runs]) for k, name in enumerate(names)}
    save_file(out, f'onnx{batch}.safetensors')
";

fn onnx_equals(network: &NetworkSpec) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let pixels = images(folder, network.size());
    python(folder, SAVE, network);
    moue(folder, &["import", "zip.pt", "--out", "m.safetensors"]);
    moue(folder, &["export", "m.safetensors", "--onnx", "--out", "m.onnx"]);
    python(folder, RUN_ONNX, network);
    for batch in [1, IMAGES] {
        for (name, ours) in answers(&folder.join("m.safetensors"), network, &pixels, batch) {
            same(&folder.join(format!("onnx{batch}.safetensors")), name, &ours);
        }
    }
}

#[test]
#[ignore = "needs PyTorch, its networks and ONNX Runtime: set MOUE_TEST_PYTHON and MOUE_SHARED"]
fn onnx_runtime_answers_as_moue_for_one_image_and_for_five() {
    onnx_equals(&esr(9, true));
    onnx_equals(&manet());
}

#[test]
#[ignore = "needs PyTorch, its networks and ONNX Runtime: set MOUE_TEST_PYTHON and MOUE_SHARED"]
fn onnx_runtime_answers_as_moue_without_attention_and_with_one_branch() {
    onnx_equals(&esr(2, false));
    onnx_equals(&esr(1, true));
}

#[test]
#[ignore = "needs the weights of the shared folder: set MOUE_SHARED"]
fn the_authors_base_is_imported_and_starts_a_training() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let shared = std::env::var_os("MOUE_SHARED").map_or_else(|| PathBuf::from("../shared"), PathBuf::from);
    let file = std::path::absolute(shared.join("weights/esr9-affectnet-base.pt")).unwrap();
    let file = file.to_str().unwrap();
    let output = moue(folder, &["import", file, "--out", "base.safetensors"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for words in ["28 tensors", "\"branches\":0", "\"attention\":false", "a base alone", "colours bgr"] {
        assert!(text.contains(words), "{words} in {text}");
    }
    for (init, attention, missing) in [(file, "true", true), ("base.safetensors", "false", false)] {
        let small =
            ["--data", "synthetic:train=16,valid=8,test=8,size=54", "--size", "54", "--branches", "1", "--width", "1"];
        let more = ["--batch", "8", "--epochs", "1", "--device", "cpu", "--lr", "1e-6", "--name", "run"];
        let init = ["train", "--init", init, "--attention", attention];
        let output = moue(folder, &[&init[..], &small, &more].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("init: taken: 24 tensors (base.bn1 4"), "{said}");
        assert!(said.contains("init: images are read as bgr"), "{said}");
        assert_eq!(said.contains("base.cbam1"), missing, "{said}");
        assert!(said.contains("start afresh") && said.contains("branches.*.conv1 2"), "{said}");
    }
    let (base, trained) = (
        load_model(&folder.join("base.safetensors")).unwrap(),
        load_model(&folder.join("runs/run-2/checkpoints/last.safetensors")).unwrap(),
    );
    assert_eq!(trained.meta.colour, moue::checkpoint::ColourOrder::Bgr);
    let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-3;
    let name = "base.conv3.weight";
    assert!(base.tensors[name].1.iter().zip(&trained.tensors[name].1).all(near), "the base was not taken");
}

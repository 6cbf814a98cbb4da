//! Weights to and from the real PyTorch, networks to the real ONNX Runtime: they answer as moue does.
//!
//! `MOUE_TEST_PYTHON` names a Python with torch, safetensors, onnx and onnxruntime; the networks in PyTorch are those of
//! `peer` in the shared folder.
#![cfg(all(feature = "cpu", feature = "cli"))]
#![allow(missing_docs)]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use moue::{
    checkpoint::{Weights, load_model, save_model},
    data::{ColourOrder, Image, Spec, Transform},
    exec::cpu::CpuExecutor,
    models::{Calibration, EsrSpec, ManetSpec, NetworkSpec, Padding},
    predict::{decide, transform_of},
    train::session::{Evaluator, LearnersMaps},
};
use safetensors::{Dtype, serialize_to_file, tensor::TensorView};

/// The largest difference between two logits of the same network.
const BAR: f32 = 1e-4;

/// Images of the batch.
const IMAGES: usize = 5;

/// Before every script: the networks, built and asked as moue does.
const HEAD: &str = "
import sys, torch
from safetensors.torch import load_file, save_file
sys.path.insert(0, sys.argv[1])
import diversified_fer_torch as peer

def network():
    return peer.MANet(8) if sys.argv[2] == 'manet' else peer.ESR(int(sys.argv[2]), sys.argv[3] == 'True', 8)

def logits(model):
    model.eval()
    with torch.inference_mode():
        out = model(load_file('images.safetensors')['images'])
    heads = (out[0], out[1], 0.6 * out[0] + 0.4 * out[1]) if sys.argv[2] == 'manet' else out[0]
    return {'logits': torch.stack(tuple(heads), 1).contiguous()}
";

/// Runs a script on the PyTorch network like `network`.
fn python(folder: &Path, script: &str, network: &NetworkSpec) {
    let python = std::env::var_os("MOUE_TEST_PYTHON").expect("MOUE_TEST_PYTHON");
    let shared = std::env::var_os("MOUE_SHARED").map_or_else(|| PathBuf::from("../shared"), PathBuf::from);
    let (name, attention) = match network {
        NetworkSpec::Esr(esr) => (esr.branches.to_string(), esr.attention),
        NetworkSpec::Manet(_) => ("manet".to_owned(), true),
    };
    let output = Command::new(python)
        .args(["-B", "-c", &format!("{HEAD}{script}")])
        .arg(std::path::absolute(shared.join("peer")).expect("a path"))
        .args([name.as_str(), if attention { "True" } else { "False" }])
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

/// moue's logits [N, B, K], computed in batches of `batch`, and its maps, by their names.
fn answers(model: &Path, network: &NetworkSpec, pixels: &[f32], batch: usize) -> BTreeMap<&'static str, Vec<f32>> {
    let model = load_model(model).expect("a model");
    let mut executor = CpuExecutor::<f32>::new(None).expect("the processor");
    let mut evaluator = Evaluator::new(&mut executor, network, batch, &model.tensors).expect("the network fits");
    let mut all = BTreeMap::<_, Vec<f32>>::new();
    for images in pixels.chunks_exact(batch * 3 * network.size() * network.size()) {
        let answers = evaluator.answer(images).expect("logits");
        all.entry("logits").or_default().extend(answers.logits);
        for LearnersMaps { kind, values: map, .. } in answers.maps {
            all.entry(kind).or_default().extend(map);
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
    // Eight probabilities lie closer together than logits.
    let least = if name == "probabilities" { 1e-3 } else { 1e-2 };
    assert!(spread > least, "{name} says nothing of the images: {spread}");
    assert!(largest <= BAR, "{name}: {largest}");
}

fn esr(branches: usize, attention: bool) -> NetworkSpec {
    NetworkSpec::Esr(EsrSpec { branches, width: 1.0, size: 96, classes: 8, attention, padding: Padding::Published })
}

fn manet() -> NetworkSpec {
    NetworkSpec::Manet(ManetSpec { width: 1.0, size: 224, classes: 8, local_weight: 0.6 })
}

/// Weights of a network in every form that there is, and its logits.
const SAVE: &str = "
model = network()
peer.fill(model, 'interop')
# Running statistics of these images, so that what they show reaches the logits; with a share of the others, since a
# channel of hardly any variance would enlarge every rounding error.
for module in model.modules():
    if isinstance(module, torch.nn.BatchNorm2d):
        module.momentum = 0.98
model.train()
with torch.no_grad():
    model(load_file('images.safetensors')['images'])
save_file(logits(model), 'logits.safetensors')
state = model.state_dict()
torch.save(state, 'zip.pt')
nested = {'epoch': 1, 'state_dict': {'module.' + name: tensor for name, tensor in state.items()}}
torch.save(nested, 'legacy.pt', _use_new_zipfile_serialization=False)
save_file(state, 'plain.safetensors')
if hasattr(model, 'branches'):
    torch.save(model.base.state_dict(), 'Net-Base-Shared_Representations.pt')
    for b, branch in enumerate(model.branches, 1):
        torch.save(branch.state_dict(), f'Net-Branch_{b}.pt')
";

/// Each of the lists of files is imported and answers as PyTorch does.
fn imports_equal(network: &NetworkSpec, imports: &[&[&str]], words: &str) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let pixels = images(folder, network.size());
    python(folder, SAVE, network);
    for files in imports {
        let output = moue(folder, &[&["import", "--out", "m.safetensors"], *files].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains(words) && text.contains("colours bgr"), "{text}");
        let ours = answers(&folder.join("m.safetensors"), network, &pixels, IMAGES);
        same(&folder.join("logits.safetensors"), "logits", &ours["logits"]);
    }
}

#[test]
#[ignore = "needs PyTorch and its networks: set MOUE_TEST_PYTHON and MOUE_SHARED"]
fn an_esr_of_pytorch_answers_here_as_there() {
    let branches: Vec<_> = (1..10).map(|b| format!("Net-Branch_{b}.pt")).collect();
    let mut pairs = vec!["Net-Base-Shared_Representations.pt"];
    pairs.extend(branches.iter().map(String::as_str));
    let imports = [&["zip.pt"][..], &["legacy.pt"], &pairs, &["plain.safetensors"]];
    imports_equal(&esr(9, true), &imports, "\"branches\":9");
}

#[test]
#[ignore = "needs PyTorch and its networks: set MOUE_TEST_PYTHON and MOUE_SHARED"]
fn a_manet_of_pytorch_answers_here_as_there() {
    imports_equal(&manet(), &[&["zip.pt"], &["legacy.pt"]], "\"model\":\"manet\"");
}

const LOAD: &str = "
model = network()
model.load_state_dict(load_file('t.safetensors'), strict=True)
save_file(logits(model), 'back.safetensors')
";

/// The export for PyTorch loads there strictly, answers the same, and comes back here.
fn exports_load(network: &NetworkSpec) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let pixels = images(folder, network.size());
    python(folder, SAVE, network);
    moue(folder, &["import", "zip.pt", "--out", "m.safetensors"]);
    moue(folder, &["export", "m.safetensors", "--torch", "--out", "t.safetensors"]);
    python(folder, LOAD, network);
    let ours = answers(&folder.join("m.safetensors"), network, &pixels, IMAGES);
    same(&folder.join("back.safetensors"), "logits", &ours["logits"]);
    moue(folder, &["import", "t.safetensors", "--out", "again.safetensors"]);
    let tensors = |name: &str| load_model(&folder.join(name)).expect("a model").tensors;
    assert!(tensors("again.safetensors") == tensors("m.safetensors"), "not what was exported");
    assert!(tensors("t.safetensors") == tensors("m.safetensors"), "not what was exported");
}

#[test]
#[ignore = "needs PyTorch and its networks: set MOUE_TEST_PYTHON and MOUE_SHARED"]
fn what_moue_exports_loads_strictly_in_pytorch_and_answers_the_same() {
    exports_load(&esr(9, true));
    exports_load(&manet());
}

const RUN_ONNX: &str = "
import json, onnx, onnxruntime
onnx.checker.check_model('m.onnx', full_check=True)
model = onnx.load('m.onnx')
named = {name for name in network().state_dict() if not name.endswith('num_batches_tracked')}
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

const PREPARE: &str = "
import json, onnx
from torch.nn import functional as F
props = {p.key: p.value for p in onnx.load('m.onnx').metadata_props}
said = json.loads(props['preprocessing'])
size, resize = said['size'][0], said['resize']
assert (resize['mode'], resize['coordinate_transformation_mode'], resize['antialias']) == ('linear', 'half_pixel', 0)
mean, std = (torch.tensor(said[k]).double()[:, None, None] for k in ('mean', 'std'))
out = {}
for name, picture in load_file('pictures.safetensors').items():
    x = picture.permute(2, 0, 1).double() / 255
    factor = min(x.shape[1:]) // size
    if factor >= 2:
        x = F.avg_pool2d(x, factor)
    x = F.interpolate(x[None], said['size'], mode='bilinear', align_corners=False, antialias=False)[0]
    x = x.flip(0) if said['channels'] == 'bgr' else x
    out[name] = ((x - mean) / std).float().contiguous()
save_file(out, 'inputs.safetensors')
";

#[test]
#[ignore = "needs PyTorch, its networks and ONNX: set MOUE_TEST_PYTHON and MOUE_SHARED"]
fn what_an_onnx_file_says_of_its_input_gives_pytorch_moues_input() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let (network, size) = (esr(1, false), 96);
    // Smaller than the input, a little larger, twice and more as large, of other proportions.
    let sides = [(48, 48), (130, 101), (192, 250), (701, 340)];
    let pictures = sides.map(|(width, height)| {
        let pixels = (0..width * height * 3).map(|i| ((i * i / 7 + 31 * (i / (3 * width))) % 251) as u8).collect();
        Image { width, height, channels: 3, pixels }
    });
    let views = pictures.iter().map(|picture| {
        let shape = vec![picture.height, picture.width, 3];
        (picture.width.to_string(), TensorView::new(Dtype::U8, shape, &picture.pixels).expect("a tensor"))
    });
    serialize_to_file(views, None, &folder.join("pictures.safetensors")).expect("a file");
    images(folder, size);
    python(folder, SAVE, &network);
    moue(folder, &["import", "zip.pt", "--out", "m.safetensors", "--normalise", "imagenet"]);
    moue(folder, &["export", "m.safetensors", "--onnx", "--out", "m.onnx"]);
    python(folder, PREPARE, &network);
    let theirs = Weights::read(&folder.join("inputs.safetensors")).expect("inputs");
    let transform = transform_of(&load_model(&folder.join("m.safetensors")).expect("a model").meta);
    for picture in &pictures {
        let mut ours = vec![0.0; 3 * size * size];
        transform.evaluate(picture, &mut ours).expect("an image");
        let theirs = &theirs.tensors[&picture.width.to_string()].1;
        let largest = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("{} × {}: {largest:e}", picture.width, picture.height);
        assert!(largest < 1e-4, "{} × {}: {largest}", picture.width, picture.height);
    }
}

/// The answer's probabilities [N, K] from logits [N, B, K].
fn shown(logits: &[f32], network: &NetworkSpec, calibration: &Calibration) -> Vec<f32> {
    let images = logits.chunks(network.heads() * network.classes());
    let answer = |image| decide(image, network.classes(), network.decision(), Some(calibration)).probabilities;
    images.flat_map(answer).collect()
}

/// Every result in ONNX Runtime, for one image and for all at once.
fn onnx_equals(network: &NetworkSpec) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let pixels = images(folder, network.size());
    python(folder, SAVE, network);
    moue(folder, &["import", "zip.pt", "--out", "m.safetensors"]);
    let path = folder.join("m.safetensors");
    let mut model = load_model(&path).expect("a model");
    let prior = [0.3, 0.25, 0.15, 0.15, 0.07, 0.05, 0.03, 0.0].to_vec();
    let calibration = Calibration::new(0.6, 0.4, prior);
    model.meta.answer = Some(calibration.clone());
    save_model(&path, &model.meta, &model.tensors).expect("written");
    moue(folder, &["export", "m.safetensors", "--onnx", "--out", "m.onnx"]);
    python(folder, RUN_ONNX, network);
    for batch in [1, IMAGES] {
        let theirs = folder.join(format!("onnx{batch}.safetensors"));
        let ours = answers(&path, network, &pixels, batch);
        same(&theirs, "probabilities", &shown(&ours["logits"], network, &calibration));
        for (name, ours) in ours {
            same(&theirs, name, &ours);
        }
    }
}

#[test]
#[ignore = "needs PyTorch, its networks and ONNX Runtime: set MOUE_TEST_PYTHON and MOUE_SHARED"]
fn onnx_runtime_answers_as_moue_with_an_esr() {
    onnx_equals(&esr(9, true));
}

#[test]
#[ignore = "needs PyTorch, its networks and ONNX Runtime: set MOUE_TEST_PYTHON and MOUE_SHARED"]
fn onnx_runtime_answers_as_moue_without_attention_and_with_one_branch() {
    onnx_equals(&esr(2, false));
    onnx_equals(&esr(1, true));
}

#[test]
#[ignore = "needs PyTorch, its networks and ONNX Runtime: set MOUE_TEST_PYTHON and MOUE_SHARED"]
fn onnx_runtime_answers_as_moue_with_a_manet() {
    onnx_equals(&manet());
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
        let small = [
            "--data",
            "synthetic:train=16,valid=8,test=8,size=54",
            "--image-size",
            "54",
            "--branches",
            "1",
            "--width",
            "1",
        ];
        let more = ["--batch-size", "8", "--epochs", "1", "--device", "cpu", "--lr", "1e-6", "--name", "run"];
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

//! `moue explain`: its Grad-CAM is that of the gradient, its picture and its JSON are whole, bad input is named.
#![cfg(all(feature = "cpu", feature = "cli"))]
#![allow(missing_docs)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use moue::{
    checkpoint::{ModelMeta, save_model},
    data::{ColourOrder, EXPRESSIONS, Image, Transform},
    exec::{Executor, cpu::CpuExecutor},
    graph::Graph,
    models::{EsrSpec, Features, ManetSpec, NetworkSpec, Padding},
    nn::{
        Mode,
        variables::{self, Tensors},
    },
    ops::Emit,
    predict::{Predictor, evidence},
    rng::Rng,
    train::trainer::fresh,
};
use serde_json::Value;

/// On images of 64×64 pixels, which leave 2×2 places; of a MA-Net's local branch 4×4.
fn esr(branches: usize, attention: bool) -> NetworkSpec {
    NetworkSpec::Esr(EsrSpec { branches, width: 0.0625, size: 64, classes: 8, attention, padding: Padding::Published })
}

fn manet() -> NetworkSpec {
    NetworkSpec::Manet(ManetSpec { width: 0.0625, size: 64, classes: 8, local_weight: 0.6 })
}

/// The same on 96×96 pixels, which leave 6×6 places; of a MA-Net's global branch 3×3.
fn larger(spec: NetworkSpec) -> NetworkSpec {
    match spec {
        NetworkSpec::Esr(spec) => NetworkSpec::Esr(EsrSpec { size: 96, ..spec }),
        NetworkSpec::Manet(spec) => NetworkSpec::Manet(ManetSpec { size: 96, ..spec }),
    }
}

/// A network that was never trained, but whose running estimates are not those of the start.
fn tensors(spec: &NetworkSpec) -> Tensors {
    let mut tensors = fresh(spec, 7).expect("a network");
    for (name, (_, values)) in &mut tensors {
        let mut rng = Rng::named(name, &[3]);
        if name.contains("running_var") {
            values.iter_mut().for_each(|value| *value = rng.range(0.01, 0.3) as f32);
        } else if name.contains("running_mean") {
            values.iter_mut().for_each(|value| *value = rng.range(-0.1, 0.1) as f32);
        }
    }
    tensors
}

/// Grad-CAM by its definition, from a map [P·C, h, w] and the gradient with respect to it: each channel of each patch is
/// weighed by the mean over positions of its gradient; the patches are put in their places.
fn by_definition(features: &Features, [rows, columns]: [usize; 2], map: &[f64], gradient: &[f64]) -> Vec<f64> {
    let (height, width) = (rows / features.patches.rows, columns / features.patches.columns);
    let patches = features.patches.rows * features.patches.columns;
    let channels = map.len() / (patches * height * width);
    let mut cam = vec![0.0; rows * columns];
    for patch in 0..patches {
        for channel in 0..channels {
            let plane = (patch * channels + channel) * height * width;
            let weight = gradient[plane..plane + height * width].iter().sum::<f64>() / (height * width) as f64;
            for y in 0..height {
                for x in 0..width {
                    let at_row = patch / features.patches.columns * height + y;
                    let at_column = patch % features.patches.columns * width + x;
                    cam[at_row * columns + at_column] += weight * map[plane + y * width + x];
                }
            }
        }
    }
    cam.into_iter().map(|value| value.max(0.0)).collect()
}

fn assert_close(what: &str, found: f64, expected: f64) {
    // Sums of some hundred products of float64.
    assert!((found - expected).abs() <= 1e-13 + 1e-12 * expected.abs(), "{what}: {found} instead of {expected}");
}

#[test]
fn the_evidence_is_grad_cam_by_the_graphs_own_gradient_and_sums_to_the_logit() {
    for spec in [esr(3, true), esr(2, false), esr(1, true), manet()].map(larger) {
        let (heads, classes) = (spec.heads(), spec.classes());
        let mut graph = Graph::new();
        let images = graph.input("images", [1, 3, spec.size(), spec.size()]);
        let network = spec.build(&mut graph, images, Mode::Eval).expect("a network");
        let evidence: Vec<_> =
            network.features.iter().map(|features| evidence(&mut graph, features).expect("evidence")).collect();
        // The gradient of one logit, which a mask selects.
        let mask = graph.input("mask", [1, heads * classes]);
        let masked = graph.multiply(network.logits, mask).expect("a product");
        let logit = graph.axis_sum(masked, 1, 1.0).expect("a sum");
        let maps: Vec<_> = network.features.iter().map(|features| features.map).collect();
        let gradients = graph.gradients(logit, &maps).expect("gradients");
        for id in [&maps[..], &evidence, &gradients, &[network.logits]].concat() {
            graph.output(id);
        }
        let mut executor = CpuExecutor::<f64>::new(Some(2)).expect("threads");
        let program = executor.compile(&graph).expect("a program");
        let tensors = tensors(&spec);
        variables::write(&mut executor, &graph, &tensors).expect("variables");
        let mut rng = Rng::named("image", &[1]);
        let pixels: Vec<f32> = (0..3 * spec.size() * spec.size()).map(|_| rng.range(0.0, 1.0) as f32).collect();
        executor.write(program, images, &pixels).expect("an image");
        let mut positive = 0;
        for (index, features) in network.features.iter().enumerate() {
            let [rows, columns] = match *graph.shape(evidence[index]).dims() {
                [1, _, rows, columns] => [rows, columns],
                ref other => panic!("{other:?}"),
            };
            for head in features.heads.clone() {
                for class in 0..classes {
                    let chosen = head * classes + class;
                    let mask_of: Vec<f32> = (0..heads * classes).map(|k| f32::from(u8::from(k == chosen))).collect();
                    executor.write(program, mask, &mask_of).expect("a mask");
                    executor.run(program).expect("a run");
                    let mut read = |id| executor.read_f64(program, id).expect("values");
                    let (map, gradient) = (read(maps[index]), read(gradients[index]));
                    let expected = by_definition(features, [rows, columns], &map, &gradient);
                    let all = read(evidence[index]);
                    let of = ((head - features.heads.start) * classes + class) * rows * columns;
                    let found = &all[of..of + rows * columns];
                    for (found, expected) in found.iter().zip(&expected) {
                        assert_close("Grad-CAM", found.max(0.0), *expected);
                        positive += usize::from(*expected > 0.0);
                    }
                    let bias = bias(&tensors, features, head, class);
                    assert_close("the logit", found.iter().sum::<f64>() + bias, read(network.logits)[chosen]);
                }
            }
        }
        assert!(positive > 50, "{positive} places speak for a class");
    }
}

fn bias(tensors: &Tensors, features: &Features, head: usize, class: usize) -> f64 {
    f64::from(tensors[&format!("{}.bias", features.classifier.replace('*', &head.to_string()))].1[class])
}

/// Before, a predictor kept the weights and the program of its first call, whatever it was given later, and answered by
/// another predictor's network where both used one executor.
#[test]
fn a_predictor_answers_by_the_weights_and_the_executor_that_it_is_given_or_refuses() {
    let spec = esr(2, false);
    let classes = (0..spec.classes()).map(|k| format!("class {k}")).collect();
    let meta = ModelMeta::new(spec.architecture(), classes, spec.size());
    let (first, second) = (tensors(&spec), fresh(&spec, 11).expect("a network"));
    let image = Image { width: 1, height: 1, channels: 3, pixels: vec![200, 100, 50] };
    let executor = || CpuExecutor::<f32>::new(Some(1)).expect("a thread");
    let (mut one, mut other) = (executor(), executor());
    let mut predictor = Predictor::new(&meta).expect("a predictor");
    let answer = |predictor: &mut Predictor, executor: &mut CpuExecutor<f32>| {
        pollster::block_on(predictor.predict(executor, &image, false)).map(|prediction| prediction.probabilities)
    };
    let refused = |answer: moue::Result<Vec<f32>>| {
        let error = answer.expect_err("nothing is loaded there");
        assert!(error.exit_code() == 2 && error.to_string().contains("Predictor::load"), "{error}");
    };
    refused(answer(&mut predictor, &mut one));
    predictor.load(&mut one, &first, 2).expect("a network");
    let by_first = answer(&mut predictor, &mut one).expect("an answer");
    predictor.load(&mut one, &second, 2).expect("a network");
    let by_second = answer(&mut predictor, &mut one).expect("an answer");
    assert_ne!(by_first, by_second);
    // Another executor has no such network.
    refused(answer(&mut predictor, &mut other));
    // The second predictor's network takes the first's place.
    let mut rival = Predictor::new(&meta).expect("a predictor");
    rival.load(&mut one, &first, 2).expect("a network");
    assert_eq!(answer(&mut rival, &mut one).expect("an answer"), by_first);
    refused(answer(&mut predictor, &mut one));
    predictor.load(&mut other, &second, 2).expect("a network");
    assert_eq!(answer(&mut predictor, &mut other).expect("an answer"), by_second);
    assert_eq!(answer(&mut rival, &mut one).expect("an answer"), by_first);
    // After a load that failed there is nothing to answer with.
    assert!(rival.load(&mut one, &first, 9).is_err());
    assert_eq!(rival.branches(), None);
    refused(answer(&mut rival, &mut one));
}

/// Also where a file does not say the layer, as those of earlier versions.
#[test]
fn branches_are_compared_in_the_layer_that_was_diversified() {
    let spec = esr(3, true);
    let classes = (0..spec.classes()).map(|k| format!("class {k}")).collect();
    let mut meta = ModelMeta::new(spec.architecture(), classes, spec.size());
    let tensors = tensors(&spec);
    let image =
        Image { width: 64, height: 64, channels: 3, pixels: (0..64 * 64 * 3).map(|i| (i % 251) as u8).collect() };
    let mut executor = CpuExecutor::<f32>::new(Some(1)).expect("a thread");
    for layer in [None, Some(1), Some(3), Some(4)] {
        meta.diversity = layer.map(|layer| {
            let mut json = serde_json::json!({"similarity": "paper", "objective": "det", "gamma": {"spatial": 0.5}});
            if layer < 4 {
                json["layer"] = layer.into();
            }
            serde_json::from_value(json).expect("a model's diversity")
        });
        let mut predictor = Predictor::new(&meta).expect("a predictor");
        predictor.load(&mut executor, &tensors, 3).expect("a network");
        let prediction = pollster::block_on(predictor.predict(&mut executor, &image, true)).expect("an answer");
        // What the branches look at for their answer stays the last layer's.
        assert_eq!(prediction.branches[0].attention.as_ref().expect("attention").values.len(), 4);
        let found = prediction.kinships[0].as_ref().expect("spatial maps").similarity.clone();
        let gamma = prediction.gammas[0];

        let mut graph = Graph::new();
        let images = graph.input("images", [1, 3, 64, 64]);
        let network = spec.build(&mut graph, images, Mode::Eval).expect("a network");
        let maps = network.maps_of(layer.unwrap_or(4))[0].map;
        graph.output(maps);
        graph.output(network.logits);
        executor.clear();
        let program = executor.compile(&graph).expect("a program");
        variables::write(&mut executor, &graph, &tensors).expect("variables");
        let mut input = vec![0.0; 3 * 64 * 64];
        Transform { size: 64, normalise: None, order: ColourOrder::Rgb }
            .evaluate(&image, &mut input)
            .expect("an input");
        executor.write(program, images, &input).expect("an input");
        executor.run(program).expect("a run");
        let maps = executor.read(program, maps).expect("maps");
        let each: Vec<_> = maps.chunks(maps.len() / 3).collect();
        for (at, found) in found.iter().enumerate() {
            let pairs = each[at / 3].iter().zip(each[at % 3]);
            let distance: f64 = pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum();
            let expected = (-gamma * distance).exp();
            assert!((f64::from(*found) - expected).abs() < 1e-5, "layer {layer:?}, {at}: {found}, expected {expected}");
        }
    }
}

/// A folder with a face and a model of each network.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(models: &[(&str, NetworkSpec)]) -> Self {
        let bench = Self { folder: tempfile::tempdir().expect("a folder") };
        let face = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/samples/drawn-happiness.jpg");
        fs::copy(face, bench.path("face.jpg")).expect("a face");
        for (name, spec) in models {
            let name_of = |k: usize| EXPRESSIONS.get(k).map_or_else(|| format!("class {k}"), |name| (*name).to_owned());
            let classes = (0..spec.classes()).map(name_of).collect();
            let meta = ModelMeta::new(spec.architecture(), classes, spec.size());
            save_model(&bench.path(name), &meta, &tensors(spec)).expect("a model");
        }
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn moue(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_moue"));
        command.current_dir(self.folder.path()).args(args).output().expect("moue starts")
    }

    fn explain(&self, args: &[&str]) -> Output {
        self.moue(&[&["explain", "face.jpg", "--device", "cpu"], args].concat())
    }

    /// The JSON of a successful call.
    fn answer(&self, args: &[&str]) -> Value {
        let output = self.explain(&[args, &["--json"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap_or_else(|_| panic!("no JSON: {text}"))
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("a text")
    }

    /// Fails with this code and one sentence that has these words; writes no picture.
    fn fails(&self, args: &[&str], code: i32, words: &[&str]) {
        let output = self.moue(args);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}");
        let sentence = text.lines().find(|line| line.starts_with("moue: ")).unwrap_or_default();
        for word in words {
            assert!(sentence.contains(word), "`{word}` is not in: {text}");
        }
        assert!(!self.path("face.explain.svg").exists() && !text.contains("panicked"), "{text}");
    }
}

/// The values of a map in JSON, row by row.
fn values(map: &Value) -> Vec<f64> {
    let rows = map["values"].as_array().expect("rows");
    assert_eq!(Some(rows.len() as u64), map["height"].as_u64());
    let row = |row: &Value| {
        let row = row.as_array().expect("a row").clone();
        assert_eq!(Some(row.len() as u64), map["width"].as_u64());
        row.into_iter().map(|value| value.as_f64().expect("a number"))
    };
    rows.iter().flat_map(row).collect()
}

#[test]
fn an_esr_is_explained_branch_by_branch_with_the_answer_that_predict_gives() {
    let bench = Bench::new(&[("esr.safetensors", esr(3, true))]);
    let answer = bench.answer(&["--model", "esr.safetensors"]);
    let predicted = bench.moue(&["predict", "face.jpg", "--model", "esr.safetensors", "--device", "cpu", "--json"]);
    let predicted = String::from_utf8(predicted.stdout).expect("text");
    let predicted: Value = serde_json::from_str(predicted.lines().last().expect("a line")).expect("JSON");
    let predicted = &predicted["images"][0];
    assert_eq!(
        (&answer["prediction"], &answer["probabilities"]),
        (&predicted["prediction"], &predicted["probabilities"])
    );
    assert_eq!(answer["classes"].as_array().map(Vec::len), Some(8));
    let branches = answer["branches"].as_array().expect("branches");
    assert_eq!(branches.len(), 3);
    for (index, branch) in branches.iter().enumerate() {
        assert_eq!(branch["name"], format!("branch{index}"));
        assert_eq!(branch["probabilities"], predicted["branches"][index]);
        let attention = values(&branch["attention"]);
        assert!(attention.len() == 4 && attention.iter().all(|value| *value > 0.0 && *value < 1.0), "{attention:?}");
        let cam = values(&branch["grad_cam"]["map"]);
        assert!(cam.len() == 4 && cam.iter().all(|value| *value >= 0.0), "{cam:?}");
        assert_eq!(branch["grad_cam"]["class"], branch["vote"]);
    }
    for kind in ["spatial", "channel"] {
        let s = values(&serde_json::json!({"values": answer["similarity"][kind]["s"], "height": 3, "width": 3}));
        assert!(s[0] > 0.999 && s[4] > 0.999 && (s[1] - s[3]).abs() < 1e-6, "{s:?}");
        assert!(answer["similarity"][kind]["determinant"].is_number());
    }
    // One picture of the face, two of each branch, two of the scale, all of them inside.
    let svg = bench.text("face.explain.svg");
    assert_eq!(svg.matches("href='data:image/jpeg;base64,").count(), 1 + 2 * 3 + 2);
    assert_eq!(svg.matches("href=").count(), svg.matches("href='data:").count());
    for words in ["face.jpg", "branch2: ", "spatial attention", "Grad-CAM: ", "det S", "largest "] {
        assert!(svg.contains(words), "{words}");
    }
}

#[test]
fn a_class_may_be_chosen_and_a_png_shows_what_the_svg_does() {
    let bench = Bench::new(&[("esr.safetensors", esr(2, true))]);
    let voted = bench.answer(&["--model", "esr.safetensors", "--out", "voted.png"]);
    let other = EXPRESSIONS.iter().find(|class| (0..2).all(|b| voted["branches"][b]["vote"] != **class)).expect("one");
    let chosen = bench.answer(&["--model", "esr.safetensors", "--out", "chosen.svg", "--class", other]);
    for branch in 0..2 {
        let [voted, chosen] = [&voted, &chosen].map(|answer| &answer["branches"][branch]);
        assert_eq!(chosen["grad_cam"]["class"], *other);
        assert_ne!(chosen["grad_cam"]["map"], voted["grad_cam"]["map"]);
        assert_eq!((&chosen["vote"], &chosen["attention"]), (&voted["vote"], &voted["attention"]));
    }
    assert!(bench.text("chosen.svg").contains(&format!("Grad-CAM: {other}")));
    let png = image::open(bench.path("voted.png")).expect("a PNG").into_rgb8();
    let svg = bench.text("chosen.svg");
    let (width, height) = png.dimensions();
    assert!(svg.contains(&format!("viewBox='0 0 {} {}'", width / 2, height / 2)), "{}", &svg[..200]);
    // The map's orange over the faces, letters and bars besides the white ground.
    let orange = png.pixels().filter(|p| p.0[0] > p.0[2].saturating_add(60)).count();
    let dark = png.pixels().filter(|p| p.0.iter().all(|value| *value < 60)).count();
    assert!(orange > 5_000 && dark > 1_000, "{orange} {dark}");
}

#[test]
fn a_network_of_one_branch_has_no_similarity_and_one_without_attention_says_so() {
    let bench = Bench::new(&[("one.safetensors", esr(1, true)), ("plain.safetensors", esr(2, false))]);
    let one = bench.answer(&["--model", "one.safetensors"]);
    assert_eq!((one["branches"].as_array().map(Vec::len), &one["similarity"]), (Some(1), &serde_json::json!({})));
    assert!(!bench.text("face.explain.svg").contains("det S"));
    let plain = bench.answer(&["--model", "plain.safetensors", "--out", "plain.svg"]);
    assert!(plain["attention"].is_null() && plain["branches"][1]["attention"].is_null());
    assert!(values(&plain["branches"][0]["grad_cam"]["map"]).iter().any(|value| *value > 0.0));
    let svg = bench.text("plain.svg");
    assert!(svg.contains("This model has no attention.") && !svg.contains("spatial attention"));
    assert_eq!(svg.matches("<image ").count(), 1 + 2 + 1);
    let said = bench.explain(&["--model", "plain.safetensors", "--out", "plain.svg"]).stdout;
    assert!(String::from_utf8_lossy(&said).contains("no attention"));
}

#[test]
fn a_manet_shows_its_two_branches_and_the_patches_of_one() {
    let bench = Bench::new(&[("manet.safetensors", manet())]);
    let answer = bench.answer(&["--model", "manet.safetensors"]);
    let branches = answer["branches"].as_array().expect("branches");
    assert_eq!(
        branches.iter().map(|branch| branch["name"].as_str()).collect::<Vec<_>>(),
        [Some("local"), Some("global")]
    );
    assert_eq!(
        (&answer["attention"], answer["similarity"]["spatial"]["of"].as_str()),
        (&"mean activation".into(), Some("patches"))
    );
    assert_eq!([0, 1].map(|b| values(&branches[b]["grad_cam"]["map"]).len()), [16, 4]);
    assert_eq!(values(&branches[0]["attention"]).len(), 16);
    assert!(branches[1]["attention"].is_null());
    assert_eq!(
        values(&serde_json::json!({"values": answer["similarity"]["spatial"]["s"], "height": 4, "width": 4})).len(),
        16
    );
    let svg = bench.text("face.explain.svg");
    assert!(svg.contains("by the combined head") && svg.contains("similarity of patches"));
}

#[test]
fn of_many_classes_the_picture_has_the_most_probable_and_the_json_all() {
    let spec =
        EsrSpec { branches: 1, width: 0.0625, size: 64, classes: 12, attention: true, padding: Padding::Published };
    let bench = Bench::new(&[("many.safetensors", NetworkSpec::Esr(spec))]);
    let answer = bench.answer(&["--model", "many.safetensors"]);
    let mut probabilities: Vec<_> = answer["probabilities"].as_object().expect("probabilities").iter().collect();
    probabilities.sort_by(|a, b| b.1.as_f64().partial_cmp(&a.1.as_f64()).expect("numbers"));
    let svg = bench.text("face.explain.svg");
    assert!(svg.contains("mean probability, 10 of 12 classes"));
    for (index, (class, _)) in probabilities.iter().enumerate() {
        // The bars of the answer and of the one branch, whose probabilities are the answer's.
        let bars = svg.matches(&format!("<title>{class}: ")).count();
        assert_eq!(bars, if index < 10 { 2 } else { 0 }, "{class}");
    }
}

#[test]
fn only_an_own_picture_is_written_over_unasked_and_what_is_read_never_is() {
    let bench = Bench::new(&[("esr.safetensors", esr(1, true))]);
    let model = ["--model", "esr.safetensors"];
    assert!(bench.explain(&model).status.success());
    let first = bench.text("face.explain.svg");
    assert!(bench.explain(&[&model[..], &["--class", "fear"]].concat()).status.success());
    assert_ne!(bench.text("face.explain.svg"), first);
    fs::write(bench.path("face.explain.svg"), "<svg xmlns='http://www.w3.org/2000/svg'>mine</svg>").expect("a file");
    let output = bench.explain(&model);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(3) && text.contains("face.explain.svg") && text.contains("--out"), "{text}");
    assert!(bench.text("face.explain.svg").contains("mine"));
    assert!(bench.explain(&[&model[..], &["--out", "face.explain.svg"]].concat()).status.success(), "asked for");
    fs::remove_file(bench.path("face.explain.svg")).expect("the picture goes");
    fs::copy(bench.path("face.jpg"), bench.path("photo.png")).expect("a face");
    let photo = fs::read(bench.path("photo.png")).expect("a face");
    let over = ["explain", "photo.png", "--model", "esr.safetensors", "--out", "./photo.png", "--device", "cpu"];
    bench.fails(&over, 2, &["--out", "photo.png", "another file"]);
    assert_eq!(fs::read(bench.path("photo.png")).expect("a face"), photo);
}

#[test]
fn bad_input_is_named_in_one_sentence_and_leaves_no_picture() {
    let bench = Bench::new(&[("esr.safetensors", esr(1, true))]);
    fs::write(bench.path("text.jpg"), "no picture").expect("a file");
    let explain = |image: &'static str, args: &[&'static str]| {
        [&["explain", image, "--device", "cpu", "--model", "esr.safetensors"], args].concat()
    };
    bench.fails(&explain("text.jpg", &[]), 3, &["text.jpg", "PNG, JPEG"]);
    bench.fails(&explain("absent.jpg", &[]), 3, &["absent.jpg"]);
    bench.fails(&["explain", "face.jpg", "--model", "absent.safetensors"], 3, &["absent.safetensors"]);
    bench.fails(&explain("face.jpg", &["--class", "joy"]), 2, &["--class", "`joy`", "neutral, happiness, sadness"]);
    bench.fails(&explain("face.jpg", &["--out", "face.gif"]), 2, &["--out", "face.gif", ".svg or .png"]);
    bench.fails(&explain("face.jpg", &["--out", "face"]), 2, &["--out", "`face`", ".svg or .png"]);
    bench.fails(&explain("face.jpg", &["--out", "absent/face.svg"]), 3, &["absent/face.svg", "writing the picture"]);
}

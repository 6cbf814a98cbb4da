//! The engine of the web page on the CPU executor, and model files that are read while they arrive.

use moue::{
    checkpoint::{ModelMeta, ModelStream, StreamError, model_bytes, write_streamed},
    exec::{Executor, cpu::CpuExecutor},
    graph::Graph,
    models::{Calibration, EsrSpec, ManetSpec, NetworkSpec, Padding},
    nn::{
        Mode,
        variables::{self, Tensors},
    },
    predict::Prediction,
    rng::Rng,
    web::{Crop, Engine, Fault},
};

const SIZE: usize = 56;

fn spec() -> EsrSpec {
    EsrSpec { branches: 3, width: 0.125, size: SIZE, classes: 8, attention: true, padding: Padding::Published }
}

fn eval_graph(spec: &EsrSpec) -> (Graph, moue::ops::TensorId, moue::models::Network) {
    let mut graph = Graph::new();
    let images = graph.input("images", [1, 3, spec.size, spec.size]);
    let esr = spec.build(&mut graph, images, Mode::Eval).expect("a valid network");
    for id in esr.maps.iter().map(|maps| maps.map).chain([esr.logits]) {
        graph.output(id);
    }
    (graph, images, esr)
}

/// A network that was never trained, but whose running estimates are not those of the start.
fn model(spec: &EsrSpec) -> (ModelMeta, Tensors) {
    let mut tensors = variables::initial(&eval_graph(spec).0, 7);
    for (name, (_, values)) in &mut tensors {
        let mut rng = Rng::named(name, &[3]);
        if name.contains("running_var") {
            values.iter_mut().for_each(|value| *value = rng.range(0.01, 0.3) as f32);
        } else if name.contains("running_mean") {
            values.iter_mut().for_each(|value| *value = rng.range(-0.1, 0.1) as f32);
        }
    }
    let architecture = NetworkSpec::Esr(spec.clone()).architecture();
    let classes = moue::data::EXPRESSIONS.iter().map(|class| (*class).to_owned()).collect();
    let mut meta = ModelMeta::new(architecture, classes, spec.size);
    meta.normalisation = moue::checkpoint::Normalisation { mean: [0.4, 0.5, 0.6], std: [0.3, 0.2, 0.25] };
    meta.colour = moue::checkpoint::ColourOrder::Bgr;
    (meta, tensors)
}

fn streamed(spec: &EsrSpec) -> Vec<u8> {
    let (meta, tensors) = model(spec);
    write_streamed("model".as_ref(), &meta, &tensors).expect("a model that fits half precision")
}

fn engine() -> Engine {
    Engine::new(Box::new(CpuExecutor::<f32>::new(Some(1)).expect("a thread")))
}

fn loaded(bytes: &[u8]) -> Engine {
    let mut engine = engine();
    engine.push_model(bytes).expect("a good model");
    engine.end_model().expect("a whole model");
    engine
}

fn picture(width: usize, height: usize) -> Vec<u8> {
    (0..width * height).flat_map(|i| [(7 * i) as u8, (i * i / 5) as u8, (i / width) as u8, (3 * i) as u8]).collect()
}

fn predict(engine: &mut Engine, rgba: &[u8], size: [usize; 2], branches: usize) -> Result<Prediction, Fault> {
    wait(engine.predict(rgba, size, None, branches, true))
}

/// The CPU executor's futures are ready at once.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("the CPU executor made somebody wait"),
    }
}

fn code<T>(outcome: Result<T, Fault>) -> &'static str {
    outcome.err().map_or("no fault", |fault| fault.code)
}

#[test]
fn a_manet_answers_once_it_is_whole_and_by_its_last_head_whatever_number_is_asked_for() {
    let spec = NetworkSpec::Manet(ManetSpec { width: 0.0625, size: 32, classes: 8, local_weight: 0.6 });
    let mut graph = Graph::new();
    let image = graph.input("images", [1, 3, 32, 32]);
    spec.build(&mut graph, image, Mode::Eval).expect("a valid network");
    let (mut meta, _) = model(&self::spec());
    (meta.architecture, meta.size) = (spec.architecture(), 32);
    let bytes = write_streamed("model".as_ref(), &meta, &variables::initial(&graph, 7)).expect("a model");
    let mut engine = engine();
    let progress = engine.push_model(&bytes[..bytes.len() - 1]).expect("the beginning of a model");
    assert_eq!((progress.branches, progress.total_branches), (0, Some(3)));
    assert_eq!(engine.push_model(&bytes[bytes.len() - 1..]).expect("its end").branches, 3);
    engine.end_model().expect("a whole model");
    let info = engine.info().expect("a model");
    assert_eq!((&info["votes"], &info["heads"]), (&false.into(), &serde_json::json!(["local", "global", "combined"])));
    let rgba = picture(40, 30);
    let answers = [0, 1, 3].map(|branches| predict(&mut engine, &rgba, [40, 30], branches).expect("an answer"));
    for answer in &answers {
        assert_eq!((answer.branches.len(), &answer.probabilities), (3, &answer.branches[2].probabilities));
        assert_eq!(answer.branches, answers[0].branches);
    }
}

#[test]
fn branches_become_usable_one_by_one_and_the_first_before_half_the_file() {
    let bytes = streamed(&EsrSpec { branches: 12, width: 0.0625, ..spec() });
    let mut engine = engine();
    let (mut branches, mut first) = (0, None);
    for (index, piece) in bytes.chunks(997).enumerate() {
        let progress = engine.push_model(piece).expect("a good model");
        assert!(progress.branches == branches || progress.branches == branches + 1, "one after the other");
        branches = progress.branches;
        if branches == 1 {
            first.get_or_insert(index * 997);
        }
        if let Some(total) = progress.total_bytes {
            assert_eq!((progress.total_branches, total), (Some(12), bytes.len() as u64));
        }
    }
    engine.end_model().expect("a whole model");
    assert_eq!(branches, 12);
    assert!(first.expect("a first branch") < bytes.len() / 2, "{first:?} of {}", bytes.len());
}

#[test]
fn the_first_branches_answer_as_they_do_in_the_whole_network_whatever_has_arrived() {
    let bytes = streamed(&spec());
    let rgba = picture(60, 50);
    let whole = predict(&mut loaded(&bytes), &rgba, [60, 50], 0).expect("an answer");
    assert_eq!(whole.branches.len(), 3);
    let mut arriving = engine();
    let mut seen = 0;
    for piece in bytes.chunks(5000) {
        let there = arriving.push_model(piece).expect("a good model").branches;
        if there == seen {
            continue;
        }
        seen = there;
        let early = predict(&mut arriving, &rgba, [60, 50], 0).expect("an answer");
        assert_eq!(early.branches.len(), there);
        for (a, b) in early.branches.iter().zip(&whole.branches) {
            let (a, b) = (&a.probabilities, &b.probabilities);
            assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5), "{a:?} {b:?}");
        }
        assert_eq!(early.kinships[0].is_some(), there > 1);
    }
    assert_eq!(seen, 3);
}

#[test]
fn the_engine_answers_as_the_command_line_does() {
    let (meta, tensors) = model(&spec());
    let mut engine = loaded(&model_bytes("model".as_ref(), &meta, &tensors).expect("a model"));
    let rgba = picture(60, 50);
    let found = predict(&mut engine, &rgba, [60, 50], 0).expect("an answer");

    let pixels: Vec<u8> = rgba.chunks(4).flat_map(|pixel| pixel[..3].to_vec()).collect();
    let image = moue::data::Image { width: 60, height: 50, channels: 3, pixels };
    let mut input = vec![0.0; 3 * SIZE * SIZE];
    moue::predict::transform_of(&meta).evaluate(&image, &mut input).expect("a good image");
    let (graph, images, esr) = eval_graph(&spec());
    let mut executor = CpuExecutor::<f32>::new(Some(1)).expect("a thread");
    let program = executor.compile(&graph).expect("a network that fits");
    variables::write(&mut executor, &graph, &tensors).expect("the network's tensors");
    executor.write(program, images, &input).expect("an input");
    executor.run(program).expect("a run");
    let logits = executor.read(program, esr.logits).expect("logits");
    let attention = executor.read(program, esr.maps[0].map).expect("maps");
    for (branch, (logits, map)) in
        found.branches.iter().zip(logits.chunks(8).zip(attention.chunks(attention.len() / 3)))
    {
        assert_eq!(branch.probabilities, moue::predict::softmax(logits));
        assert_eq!(branch.attention.as_ref().expect("a map").values, map);
    }
    // Eq. 1 for one image, with γ = 10, and the determinant of three learners.
    let maps: Vec<&[f32]> = attention.chunks(attention.len() / 3).collect();
    let distance = |l: usize, k: usize| maps[l].iter().zip(maps[k]).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
    let s = |l: usize, k: usize| (-10.0 * distance(l, k)).exp();
    let kinship = found.kinships[0].as_ref().expect("three branches");
    for (at, value) in kinship.similarity.iter().enumerate() {
        assert!((f64::from(*value) - s(at / 3, at % 3)).abs() < 1e-5, "S[{at}] = {value}");
    }
    let (a, b, c) = (s(0, 1), s(0, 2), s(1, 2));
    let determinant = 1.0 + 2.0 * a * b * c - a * a - b * b - c * c;
    assert!((f64::from(kinship.determinant) - determinant).abs() < 1e-5, "{} {determinant}", kinship.determinant);
}

#[test]
fn half_precision_moves_no_probability_by_a_hundredth() {
    let (meta, tensors) = model(&spec());
    let mut exact = loaded(&model_bytes("model".as_ref(), &meta, &tensors).expect("a model"));
    let rgba = picture(SIZE, SIZE);
    let exact = predict(&mut exact, &rgba, [SIZE, SIZE], 0).expect("an answer");
    let half = predict(&mut loaded(&streamed(&spec())), &rgba, [SIZE, SIZE], 0).expect("an answer");
    for (a, b) in exact.probabilities.iter().zip(&half.probabilities) {
        assert!((a - b).abs() < 0.01, "{a} {b}");
    }
    assert_ne!(exact.probabilities, half.probabilities, "nothing was rounded");
}

#[test]
fn votes_are_counted_and_the_mean_is_the_branches_mean() {
    let answer = predict(&mut loaded(&streamed(&spec())), &picture(SIZE, SIZE), [SIZE, SIZE], 2).expect("an answer");
    assert_eq!(answer.branches.len(), 2);
    assert_eq!(answer.votes.iter().sum::<u32>(), 2);
    assert!(answer.votes[answer.vote] >= 1);
    let mean = (answer.branches[0].probabilities[3] + answer.branches[1].probabilities[3]) / 2.0;
    assert!((answer.mean[3] - mean).abs() < 1e-6);
    assert_eq!((&answer.probabilities, answer.gammas), (&answer.mean, [10.0, 10.0]));

    let (mut meta, tensors) = model(&spec());
    let prior = (0..8).map(|class| if class == answer.class { 0.993 } else { 0.001 }).collect();
    let calibration = Calibration::new(0.9, 1.0, prior);
    meta.answer = Some(calibration.clone());
    let bytes = write_streamed("model".as_ref(), &meta, &tensors).expect("a model");
    let mut engine = loaded(&bytes);
    let rare = predict(&mut engine, &picture(SIZE, SIZE), [SIZE, SIZE], 2).expect("an answer");
    assert_eq!((&rare.mean, rare.vote, &rare.votes), (&answer.mean, answer.vote, &answer.votes));
    assert_eq!(rare.probabilities, calibration.answer(&rare.mean));
    assert_eq!(rare.class, moue::predict::arg_max(&rare.probabilities));
    assert_ne!(rare.class, answer.class, "the prior decides here");
    assert_eq!(engine.info().expect("what is known")["answer"], serde_json::json!(calibration));
}

#[test]
fn a_part_of_an_image_answers_as_that_part_alone() {
    let mut engine = loaded(&streamed(&spec()));
    let rgba = picture(60, 50);
    let part: Vec<u8> = rgba.chunks(240).skip(5).take(40).flat_map(|row| row[4 * 10..4 * 55].to_vec()).collect();
    let alone = predict(&mut engine, &part, [45, 40], 0).expect("an answer");
    let crop = Crop { x: 10.2, y: 4.9, width: 44.9, height: 40.0 };
    let inside = wait(engine.predict(&rgba, [60, 50], Some(crop), 0, true)).expect("an answer");
    assert_eq!(inside.probabilities, alone.probabilities);
    let beyond = Crop { x: -30.0, y: -1.0, width: 500.0, height: 500.0 };
    let whole = wait(engine.predict(&rgba, [60, 50], Some(beyond), 0, true)).expect("an answer");
    assert_eq!(whole.probabilities, predict(&mut engine, &rgba, [60, 50], 0).expect("an answer").probabilities);
}

#[test]
fn bad_images_have_a_code_and_the_engine_lives_on() {
    let mut engine = loaded(&streamed(&spec()));
    let good = picture(10, 10);
    assert_eq!(code(predict(&mut engine, &[], [0, 0], 0)), "bad-image");
    assert_eq!(code(predict(&mut engine, &good, [10, 11], 0)), "bad-image");
    assert_eq!(code(predict(&mut engine, &good, [20_000, 20_000], 0)), "too-large");
    assert_eq!(code(predict(&mut engine, &good, [usize::MAX, 3], 0)), "too-large");
    for (x, width) in [(10.0, 5.0), (-5.0, 5.0), (2.0, 0.0), (f64::NAN, 0.0), (5.0, -3.0), (f64::INFINITY, 1.0)] {
        let crop = Crop { x, y: 0.0, width, height: 10.0 };
        assert_eq!(code(wait(engine.predict(&good, [10, 10], Some(crop), 0, true))), "bad-image", "{crop:?}");
    }
    assert!(predict(&mut engine, &good, [10, 10], 0).is_ok());
}

#[test]
fn without_a_model_there_is_no_answer() {
    let (bytes, good) = (streamed(&spec()), picture(10, 10));
    let mut engine = engine();
    assert_eq!(code(predict(&mut engine, &good, [10, 10], 0)), "no-model");
    assert_eq!(code(engine.info()), "no-model");
    engine.push_model(&bytes[..bytes.len() / 4]).expect("a good beginning");
    assert_eq!(code(engine.end_model()), "model-truncated");
    engine.begin_model();
    assert_eq!(code(engine.info()), "no-model");
    engine.push_model(&bytes).expect("a good model");
    assert!(predict(&mut engine, &good, [10, 10], 9).is_ok_and(|answer| answer.branches.len() == 3));
    engine.begin_model();
    assert_eq!(code(predict(&mut engine, &good, [10, 10], 0)), "no-model");
}

#[test]
fn a_model_says_what_it_is() {
    let (meta, tensors) = model(&spec());
    let mut engine = engine();
    engine.push_model(&write_streamed("model".as_ref(), &meta, &tensors).expect("a model")).expect("a good model");
    let info = engine.info().expect("what is known");
    let trained = tensors.iter().filter(|(name, _)| !name.contains("running_"));
    assert_eq!(info["parameters"], trained.map(|(_, (_, values))| values.len()).sum::<usize>());
    assert_eq!((&info["branches"], &info["size"], &info["colour"]), (&3.into(), &SIZE.into(), &"bgr".into()));
    assert_eq!(info["classes"][1], "happiness");
    assert!(info["result"].is_null() && info["data"].is_null());
}

#[test]
fn foreign_and_mismatched_models_have_codes_and_stay_refused() {
    let good = streamed(&spec());
    let mut cases: Vec<(Vec<u8>, &str)> = vec![
        (b"GIF89a is no model of ours".to_vec(), "model-foreign"),
        (u64::MAX.to_le_bytes().to_vec(), "model-foreign"),
        ([&2_u64.to_le_bytes()[..], b"{}"].concat(), "model-foreign"),
        ([&good[..], b"more"].concat(), "model-foreign"),
    ];
    let (meta, mut tensors) = model(&spec());
    tensors.remove("base.conv2.bias");
    cases.push((write_streamed("model".as_ref(), &meta, &tensors).expect("bytes"), "model-mismatch"));
    let (meta, mut tensors) = model(&spec());
    tensors.insert("extra".into(), (vec![1], vec![0.0]));
    cases.push((write_streamed("model".as_ref(), &meta, &tensors).expect("bytes"), "model-mismatch"));
    let (mut meta, tensors) = model(&spec());
    meta.architecture = NetworkSpec::Esr(EsrSpec { width: 1e9, ..spec() }).architecture();
    cases.push((write_streamed("model".as_ref(), &meta, &tensors).expect("bytes"), "model-mismatch"));
    let (meta, mut tensors) = model(&spec());
    tensors.get_mut("base.bn1.weight").expect("a weight").1[0] = f32::NAN;
    cases.push((write_streamed("model".as_ref(), &meta, &tensors).expect("bytes"), "model-mismatch"));
    for (at, (bytes, expected)) in cases.iter().enumerate() {
        let mut engine = engine();
        assert_eq!(code(engine.push_model(bytes)), *expected, "case {at}");
        assert_eq!(code(engine.push_model(&good)), "model-foreign", "case {at} goes on");
        assert_eq!(code(predict(&mut engine, &picture(4, 4), [4, 4], 0)), "no-model", "case {at}");
        engine.begin_model();
        engine.push_model(&good).expect("a good model after a bad one");
    }
}

#[test]
fn a_weight_beyond_half_precision_is_not_written() {
    let (meta, mut tensors) = model(&spec());
    tensors.get_mut("base.conv2.weight").expect("a filter").1[5] = 1e5;
    let error = write_streamed("model".as_ref(), &meta, &tensors).expect_err("too large");
    assert!(error.to_string().contains("base.conv2.weight") && error.exit_code() == 3, "{error}");
}

#[test]
fn no_cut_and_no_change_of_a_model_panics_and_a_cut_one_never_ends_well() {
    let good = streamed(&EsrSpec { width: 0.0625, branches: 2, ..spec() });
    let header = 8 + u64::from_le_bytes(good[..8].try_into().expect("eight bytes")) as usize;
    let mut rng = Rng::named("streams", &[1]);
    let mut below = |n: usize| rng.range(0.0, n as f64) as usize;
    for round in 0..400 {
        let mut bytes = good.clone();
        let kind = round % 4;
        if kind != 0 {
            // Most changes within the header, where they are not mere numbers.
            for _ in 0..=below(3) {
                let at = if kind == 1 { below(bytes.len()) } else { below(header) };
                bytes[at] = match kind {
                    3 => b"0123456789{}[]\",:-"[below(18)],
                    _ => below(256) as u8,
                };
            }
        }
        let cut = if kind == 0 { below(bytes.len()) } else { bytes.len() };
        let mut stream = ModelStream::new();
        let mut outcome = Ok(());
        for piece in bytes[..cut].chunks(1 + below(40_000)) {
            outcome = stream.push(piece);
            let progress = stream.progress();
            assert!(progress.branches <= progress.total_branches.unwrap_or(0));
            if outcome.is_err() {
                break;
            }
        }
        if kind == 0 {
            assert!(outcome.is_ok());
            assert!(matches!(stream.finish(), Err(StreamError::Truncated(_))), "cut at {cut}");
        } else if outcome.is_ok() && stream.finish().is_ok() {
            // What is taken can be used.
            let mut engine = engine();
            engine.push_model(&bytes).expect("taken before");
            let _ = predict(&mut engine, &picture(4, 4), [4, 4], 0);
        }
    }
}

/// The model that the crate rustface ships.
fn detector_model() -> Vec<u8> {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--features", "web"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let rustface = packages.iter().find(|package| package["name"] == "rustface").expect("the crate rustface");
    let manifest = std::path::Path::new(rustface["manifest_path"].as_str().expect("a path"));
    std::fs::read(manifest.with_file_name("model").join("seeta_fd_frontal_v1.0.bin")).expect("the model")
}

#[test]
fn only_the_known_detector_is_taken() {
    let (mut engine, model) = (engine(), detector_model());
    let rgba = picture(64, 64);
    assert_eq!(code(engine.detect(&rgba, [64, 64])), "no-detector");
    assert_eq!(code(engine.load_detector(&model[..1000])), "detector-foreign");
    let mut changed = model.clone();
    changed[5000] ^= 1;
    assert_eq!(code(engine.load_detector(&changed)), "detector-foreign");
    engine.load_detector(&model).expect("the known model");
    assert_eq!(engine.detect(&rgba, [64, 64]).expect("no fault"), []);
    assert_eq!(code(engine.detect(&rgba, [64, 65])), "bad-image");
    for side in [1, 5, 23, 24, 25] {
        engine.detect(&picture(side, side), [side, side]).expect("no fault");
    }
}

/// A picture of the page as `rgba`, with its sides.
#[cfg(feature = "cli")]
fn sample(name: &str) -> (Vec<u8>, [usize; 2]) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("web/samples").join(name);
    let image = moue::data::Image::open(&path).expect("a picture");
    assert_eq!(image.channels, 3);
    let rgba = image.pixels.chunks(3).flat_map(|pixel| [pixel[0], pixel[1], pixel[2], 255]).collect();
    (rgba, [image.width, image.height])
}

#[test]
#[cfg(feature = "cli")]
fn one_face_is_found_in_a_portrait_and_it_moves_along_with_the_picture() {
    let mut engine = engine();
    engine.load_detector(&detector_model()).expect("the known model");
    let (rgba, [width, height]) = sample("collins.jpg");
    let faces = engine.detect(&rgba, [width, height]).expect("no fault");
    let [face] = faces[..] else { panic!("{faces:?}") };
    assert!(face.width > 0.1 * width as f64 && face.score > 5.0, "{face:?}");
    assert!(face.x > 0.0 && face.x + face.width < width as f64 && face.y + face.height < height as f64, "{face:?}");
    // Two of them side by side, and grey below.
    let (wide, high) = (2 * width, height + 50);
    let mut twice = vec![128; 4 * wide * high];
    for (row, from) in twice.chunks_exact_mut(4 * wide).zip(rgba.chunks_exact(4 * width)) {
        row[..4 * width].copy_from_slice(from);
        row[4 * width..].copy_from_slice(from);
    }
    let mut both = engine.detect(&twice, [wide, high]).expect("no fault");
    both.sort_by(|a, b| a.x.total_cmp(&b.x));
    let [left, right] = both[..] else { panic!("{both:?}") };
    let near = |a: f64, b: f64| (a - b).abs() < 0.15 * face.width;
    assert!(near(left.x, face.x) && near(right.x, face.x + width as f64), "{both:?} {face:?}");
    assert!(near(left.y, face.y) && near(right.width, face.width), "{both:?} {face:?}");
}

/// Runs the engine as WebAssembly under Node on a picture; what it prints.
fn under_node(dist: &str, model: &[u8], rgba: &[u8], [width, height]: [usize; 2]) -> serde_json::Value {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (model_path, rgba_path) = (folder.join("web.safetensors"), folder.join("web.rgba"));
    std::fs::write(&model_path, model).expect("a place for files");
    std::fs::write(&rgba_path, rgba).expect("a place for files");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/web_node/answer.mjs");
    let mut command = std::process::Command::new("node");
    command.arg(script).arg(dist).args([model_path, rgba_path]).args([width.to_string(), height.to_string()]);
    let output = command.output().expect("node");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(text.lines().last().unwrap_or_default()).expect("a last line of JSON")
}

fn assert_near(what: &str, found: &serde_json::Value, expected: &[f32]) {
    let found: Vec<f64> = serde_json::from_value(found.clone()).expect(what);
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - f64::from(*b)).abs() < 1e-3, "{what}[{at}]: {a} in WebAssembly, {b} natively");
    }
}

#[test]
#[ignore = "needs the built page and Node: set MOUE_WEB_DIST to web/dist"]
fn webassembly_answers_as_the_processor_does_and_refuses_the_same() {
    let dist = std::env::var("MOUE_WEB_DIST").expect("MOUE_WEB_DIST");
    let (bytes, rgba) = (streamed(&spec()), picture(60, 50));
    let found = under_node(&dist, &bytes, &rgba, [60, 50]);
    let mut engine = loaded(&bytes);
    for (index, found) in found["answers"].as_array().expect("answers").iter().enumerate() {
        let expected = predict(&mut engine, &rgba, [60, 50], index + 1).expect("an answer");
        assert_eq!((&found["class"], &found["vote"]), (&expected.class.into(), &expected.vote.into()));
        assert_near("the mean", &found["mean"], &expected.mean);
        assert_near("probabilities", &found["probabilities"], &expected.probabilities);
        for (found, expected) in found["branches"].as_array().expect("branches").iter().zip(&expected.branches) {
            assert_near("a branch", &found["probabilities"], &expected.probabilities);
            assert_near("attention", &found["attention"], &expected.attention.as_ref().expect("a map").values);
        }
        for (kind, expected) in ["spatial", "channel"].into_iter().zip(&expected.kinships) {
            match expected {
                Some(expected) => {
                    assert_near(kind, &found[kind]["similarity"], &expected.similarity);
                    assert_near(kind, &serde_json::json!([found[kind]["determinant"]]), &[expected.determinant]);
                }
                None => assert!(found[kind].is_null()),
            }
        }
    }
    assert_eq!(found["answers"].as_array().map(Vec::len), Some(3));
    assert_eq!(found["info"], engine.info().expect("what is known"));
    assert_eq!((&found["device"]["kind"], &found["faces"]), (&"cpu".into(), &0.into()));
    let codes = serde_json::json!({
        "empty": "no-model", "foreign": "model-foreign", "truncated": "model-truncated", "image": "bad-image",
        "box": "bad-image", "huge": "too-large", "detector": "detector-foreign", "undetected": "no-detector",
        "webgpu": "no-adapter", "freed": "none",
    });
    assert_eq!(found["codes"], codes);
}

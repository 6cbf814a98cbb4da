//! What the GPU executor promises beyond the ops: one trial for each claim and adapter.

#[path = "gpu/half_maps.rs"]
mod half_maps;
#[path = "gpu/variants.rs"]
mod variants;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial, run};
use moue::{
    Error,
    diversity::{Diversity, diversified_loss, loss_sums},
    exec::{
        Executor, Program,
        gpu::{AdapterReport, GpuExecutor, Options, Selector, adapters},
    },
    graph::{Graph, Init},
    models::esr::{EsrSpec, Padding},
    nn::{Mode, variables},
    ops::{
        Augment, BatchNorm, Conv2d, Emit, Function, Objective, Pool2d, Pooling, SpatialGate, SpatialGateEval, TensorId,
        augment::RECORD,
    },
};

type Outcome = Result<(), Failed>;
type Claim = fn(usize) -> Outcome;

fn main() -> ExitCode {
    let claims: [(&str, Claim); 12] = [
        ("steps_create_no_resources_after_the_first", steps_create_no_resources_after_the_first),
        ("an_esr_training_step_takes_at_most_130_commands", an_esr_step_takes_at_most_130_commands),
        ("a_weight_of_diversity_takes_three_commands_a_term", a_weight_of_diversity_takes_three_commands_a_term),
        ("diversity_of_answers_takes_four_commands", diversity_of_answers_takes_four_commands),
        ("tensors_larger_than_a_binding_are_split_by_image", tensors_larger_than_a_binding_are_split_by_image),
        ("a_gate_in_evaluation_mode_is_split_by_image", a_gate_in_evaluation_mode_is_split_by_image),
        ("a_gate_with_too_large_a_filter_is_an_error", a_gate_with_too_large_a_filter_is_an_error),
        ("one_image_larger_than_a_binding_is_an_error", one_image_larger_than_a_binding_is_an_error),
        ("runs_from_the_same_start_end_in_the_same_bits", runs_from_the_same_start_end_in_the_same_bits),
        ("the_first_op_that_is_not_finite_is_named", the_first_op_that_is_not_finite_is_named),
        ("what_is_read_later_is_of_the_run_before_it_was_asked_for", what_is_read_later_is_of_the_run_before),
        ("a_profile_has_a_time_for_each_op", a_profile_has_a_time_for_each_op),
    ];
    let found = adapters();
    let mut trials = vec![Trial::test("an_adapter_that_does_not_exist_is_an_error", || {
        an_adapter_that_does_not_exist_is_an_error()
    })];
    trials.extend(on_each(&claims, &found));
    trials.extend(half_maps::trials(&found));
    trials.extend(variants::trials(&found));
    let conclusion = run(&Arguments::from_args(), trials);
    // A thread of the run may still be in its drivers' thread-local destructors, which must not meet the process's end:
    // what both free is freed twice.
    std::thread::sleep(std::time::Duration::from_millis(300));
    conclusion.exit_code()
}

/// A trial for each claim and adapter.
fn on_each(claims: &[(&str, Claim)], found: &[AdapterReport]) -> Vec<Trial> {
    let mut trials = Vec::new();
    for &(name, claim) in claims {
        for adapter in found {
            let (index, reason) = (adapter.index, adapter.unusable.clone());
            let trial = Trial::test(format!("{name}::{}", short(adapter)), move || claim(index));
            trials.push(trial.with_ignored_flag(reason.is_some()));
        }
        if found.is_empty() {
            let name = format!("{name} (no adapter was found)");
            trials.push(Trial::test(name, || Err("no adapter".into())).with_ignored_flag(true));
        }
    }
    trials
}

/// Such as `gpu_vulkan_llvmpipe`.
fn short(adapter: &AdapterReport) -> String {
    let name = adapter.name.split(' ').next().unwrap_or_default().to_lowercase();
    format!("gpu_{}_{name}", adapter.backend.to_lowercase())
}

/// A number in −1..1 that depends on `i` only.
fn value(i: usize) -> f32 {
    let mixed = (i as u32).wrapping_mul(2_654_435_761).wrapping_add(0x9E37) ^ 0x5bd1_e995;
    (mixed.wrapping_mul(2_246_822_519) >> 8) as f32 / (1 << 23) as f32 - 1.0
}

fn values(count: usize, salt: usize) -> Vec<f32> {
    (0..count).map(|i| value(i + salt * 7919)).collect()
}

/// A small network with all that CBAM needs, and its training step.
struct Net {
    graph: Graph,
    images: TensorId,
    targets: TensorId,
    loss: TensorId,
    map: TensorId,
}

fn net(n: usize, side: usize) -> moue::Result<Net> {
    let mut g = Graph::new();
    let images = g.input("images", [n, 4, side, side]);
    let targets = g.input("targets", [n, 3]);
    let weights = g.input("weights", [2]);
    let w = g.parameter("conv.weight", 1, [8, 2, 3, 3], Init::Uniform { bound: 0.4 });
    let b = g.parameter("conv.bias", 1, [8], Init::Uniform { bound: 0.1 });
    g.set_scope("conv");
    let mut x = g.conv2d(images, w, Some(b), Conv2d { stride: 1, padding: 1, groups: 2 })?;
    let [pooled, described] = normalised(&mut g, "bn", x, 8, pooled_relu())?;
    x = pooled;
    g.set_scope("gate");
    let uniform = Init::Uniform { bound: 0.5 };
    let mlp = [
        g.parameter("mlp.1.weight", 1, [2, 4], uniform),
        g.parameter("mlp.1.bias", 1, [2], uniform),
        g.parameter("mlp.3.weight", 1, [8, 1], uniform),
        g.parameter("mlp.3.bias", 1, [8], uniform),
    ];
    let attention = g.channel_attention(described, mlp, 2)?;
    let [gated, descriptors] = g.channel_gate(x, attention, 2)?;
    let filters = g.parameter("spatial.weight", 1, [2, 2, 7, 7], Init::Uniform { bound: 0.2 });
    let (affine, running) = norm(&mut g, "spatial.bn", 2);
    let op = SpatialGate { groups: 2, eps: 1e-5, momentum: 0.01 };
    let [y, map] = g.spatial_gate([gated, descriptors], [filters, affine[0], affine[1]], running, op)?;
    x = y;
    g.set_scope("head");
    let w = g.parameter("conv2.weight", 1, [20, 4, 3, 3], Init::Uniform { bound: 0.2 });
    let b = g.parameter("conv2.bias", 1, [20], Init::Uniform { bound: 0.1 });
    x = g.conv2d(x, w, Some(b), Conv2d { stride: 1, padding: 0, groups: 2 })?;
    x = g.pool2d(x, Pool2d::MAX2)?;
    let both = g.global_pool(x, Pooling::AvgMax)?;
    let [mean, maximum] = [g.slice(both, 0, 0, 1)?, g.slice(both, 0, 1, 1)?];
    let mean = g.add_tensors(mean, maximum)?;
    let mean = g.reshape(mean, [n, 20].into())?;
    let w = g.parameter("fc.weight", 1, [6, 10], Init::Uniform { bound: 0.3 });
    let b = g.parameter("fc.bias", 1, [6], Init::Uniform { bound: 0.1 });
    let logits = g.linear(mean, w, Some(b), 2)?;
    let [loss, ..] = g.cross_entropy(logits, targets, weights)?;
    g.sgd(loss, 0.9, true)?;
    g.output(loss);
    g.output(map);
    Ok(Net { graph: g, images, targets, loss, map })
}

fn pooled_relu() -> BatchNorm {
    BatchNorm { eps: 1e-5, momentum: 0.1, activation: Some(Function::Relu), pool: true, descriptors: true }
}

/// The map and its descriptors.
fn normalised(g: &mut Graph, name: &str, x: TensorId, c: usize, op: BatchNorm) -> moue::Result<[TensorId; 2]> {
    g.set_scope(name);
    let (affine, running) = norm(g, name, c);
    g.batch_norm_described(x, affine, running, op)
}

/// Weight and bias, running mean and variance.
fn norm(g: &mut Graph, name: &str, c: usize) -> ([TensorId; 2], [TensorId; 2]) {
    let affine = [
        g.parameter(&format!("{name}.weight"), 1, [c], Init::Fill(1.0)),
        g.parameter(&format!("{name}.bias"), 1, [c], Init::Fill(0.1)),
    ];
    let running = [
        g.state(&format!("{name}.running_mean"), 1, [c], Init::Fill(0.0)),
        g.state(&format!("{name}.running_var"), 1, [c], Init::Fill(1.0)),
    ];
    (affine, running)
}

fn start(executor: &mut dyn Executor, net: &Net) -> moue::Result<Program> {
    let program = executor.compile(&net.graph)?;
    variables::write(executor, &net.graph, &variables::initial(&net.graph, 7))?;
    variables::write_momenta(executor, &net.graph, &variables::Tensors::new())?;
    let count = |id: TensorId| net.graph.tensor(id).shape.elements();
    executor.write(program, net.images, &values(count(net.images), 1))?;
    let targets: Vec<f32> = (0..count(net.targets)).map(|i| if i % 3 == i / 3 % 3 { 1.0 } else { 0.0 }).collect();
    executor.write(program, net.targets, &targets)?;
    let parts = net.graph.part_names().len();
    for (name, value, count) in [("lr", 0.05, parts), ("decay", 1e-4, parts), ("weights", 1.0, 2)] {
        let id = net.graph.find(name).ok_or_else(|| no_input(name))?;
        executor.write(program, id, &vec![value; count])?;
    }
    Ok(program)
}

fn no_input(name: &str) -> Error {
    Error::Usage {
        setting: name.to_owned(),
        expected: "an input".to_owned(),
        found: "none".to_owned(),
        hint: "correct the test".to_owned(),
    }
}

/// The loss, a map, and all variables after some steps.
fn train(executor: &mut dyn Executor, net: &Net, steps: usize) -> moue::Result<Vec<Vec<f32>>> {
    let program = start(executor, net)?;
    for _ in 0..steps {
        executor.run(program)?;
    }
    let mut results = vec![executor.read(program, net.loss)?, executor.read(program, net.map)?];
    for tensor in net.graph.tensors() {
        if net.graph.find(&tensor.name).is_some_and(|id| net.graph.variable(id).is_some()) {
            results.push(executor.read_variable(&tensor.name)?);
        }
    }
    Ok(results)
}

fn open(adapter: usize, max_binding: Option<u64>) -> moue::Result<GpuExecutor> {
    GpuExecutor::with_options(&Selector::Index(adapter), &Options { max_binding, ..Options::default() })
}

fn steps_create_no_resources_after_the_first(adapter: usize) -> Outcome {
    let net = net(5, 12)?;
    let mut executor = open(adapter, None)?;
    let program = start(&mut executor, &net)?;
    let step = |executor: &mut GpuExecutor| -> moue::Result<u64> {
        executor.write(program, net.images, &values(5 * 4 * 144, 2))?;
        executor.run(program)?;
        executor.read(program, net.loss)?;
        Ok(executor.stats(program).resources_created)
    };
    let first = step(&mut executor)?;
    for _ in 0..3 {
        let now = step(&mut executor)?;
        if now != first {
            return Err(format!("{} resources were made by a later step", now - first).into());
        }
    }
    Ok(())
}

const AUGMENT: Augment = Augment { size: 96, mean: [0.0; 3], std: [1.0; 3], bgr: false };

/// The commands of a training step of an ESR.
fn commands(adapter: usize, spec: &EsrSpec, diversity: &Diversity) -> Result<usize, Failed> {
    let mut graph = Graph::new();
    // Batches are made on the device too: no step has more to do.
    let (records, pool) = (graph.input("records", [32, RECORD]), graph.input("pool", [4096]));
    let images = graph.augment(records, &[pool], Augment { size: spec.size, ..AUGMENT })?;
    let targets = graph.input("targets", [32, spec.classes]);
    let weights = graph.input("branch_weights", [spec.branches]);
    let esr = spec.build(&mut graph, images, Mode::Train)?;
    let loss = diversified_loss(&mut graph, &esr, targets, weights, diversity)?;
    graph.sgd(loss.total, 0.9, false)?;
    loss_sums(&mut graph, &loss)?;
    graph.output(loss.total);
    let mut executor = open(adapter, None)?;
    let program = executor.compile(&graph)?;
    Ok(executor.stats(program).dispatches)
}

/// A product with D, one with its gradient, and one of that with the cofactors: of constants it needs none.
fn a_weight_of_diversity_takes_three_commands_a_term(adapter: usize) -> Outcome {
    let spec = EsrSpec { branches: 3, width: 0.25, size: 64, classes: 8, attention: true, padding: Padding::Published };
    let count = |diversity| commands(adapter, &spec, &diversity);
    let plain = count(Diversity::PAPER)?;
    let weighted = count(Diversity { weighted: true, ..Diversity::PAPER })?;
    println!("commands without and with a weight: {plain}, {weighted}");
    if weighted == plain + 6 {
        Ok(())
    } else {
        Err(format!("{weighted} commands with a weight, {plain} without").into())
    }
}

/// The mixture's cross-entropy, its gradient, and the sum of each with the branches' own; log det S and that of S + εI
/// take no more than det S.
fn diversity_of_answers_takes_four_commands(adapter: usize) -> Outcome {
    let spec = EsrSpec { branches: 3, width: 0.25, size: 64, classes: 8, attention: true, padding: Padding::Published };
    let count = |diversity| commands(adapter, &spec, &diversity);
    let plain = count(Diversity::PAPER)?;
    let answers = count(Diversity { mixture: 0.25, ..Diversity::PAPER })?;
    let shifted = count(Diversity { objective: Objective::ShiftedLogDet { eps: 0.01 }, ..Diversity::PAPER })?;
    println!("commands without and with diversity of answers, with log det of S + εI: {plain}, {answers}, {shifted}");
    if (answers, shifted) == (plain + 4, plain) {
        Ok(())
    } else {
        Err(format!("{answers} commands with diversity of answers, {shifted} with logdet, {plain} without").into())
    }
}

fn an_esr_step_takes_at_most_130_commands(adapter: usize) -> Outcome {
    let mut counts = Vec::new();
    for branches in [2, 3, 9, 15, 16] {
        let spec = EsrSpec { branches, width: 1.0, size: 96, classes: 8, attention: true, padding: Padding::Published };
        counts.push(commands(adapter, &spec, &Diversity::PAPER)?);
    }
    println!("commands with 2, 3, 9, 15, 16 branches: {counts:?}");
    if counts[2] != counts[3] || counts.iter().any(|&count| count > 130) {
        return Err(format!("commands with 2, 3, 9, 15, 16 branches: {counts:?}").into());
    }
    Ok(())
}

fn tensors_larger_than_a_binding_are_split_by_image(adapter: usize) -> Outcome {
    // Five images of 4·45² numbers: the largest tensor, after the first convolution, has 324,000 bytes, those of
    // the gates 77,440.
    let net = net(5, 45)?;
    let mut whole = open(adapter, None)?;
    let mut split = open(adapter, Some(64 << 10))?;
    let [expected, found] = [train(&mut whole, &net, 2)?, train(&mut split, &net, 2)?];
    let commands = |executor: &mut GpuExecutor| -> moue::Result<usize> {
        let program = executor.compile(&net.graph)?;
        Ok(executor.stats(program).dispatches)
    };
    let commands = [commands(&mut whole)?, commands(&mut split)?];
    if commands[1] < 2 * commands[0] {
        return Err(format!("too little was split: {commands:?} commands").into());
    }
    for (i, (expected, found)) in expected.iter().zip(&found).enumerate() {
        let size = expected.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        for (e, f) in expected.iter().zip(found) {
            // NaN fails too.
            let close = (e - f).abs() <= 2e-5 * size.max(1e-3);
            if !close {
                return Err(format!("result {i}: {f} where {e} was expected").into());
            }
        }
    }
    Ok(())
}

/// A gate of two groups with filters of side K: the graph, its maps and parameters.
fn gate(maps: [[usize; 4]; 2], k: usize) -> (Graph, [TensorId; 2], [TensorId; 3], [TensorId; 2]) {
    let mut g = Graph::new();
    let maps = [g.input("x", maps[0]), g.input("pooled", maps[1])];
    let filters = g.parameter("filters", 1, [2, 2, k, k], Init::Uniform { bound: 0.2 });
    let (affine, running) = norm(&mut g, "bn", 2);
    (g, maps, [filters, affine[0], affine[1]], running)
}

fn a_gate_in_evaluation_mode_is_split_by_image(adapter: usize) -> Outcome {
    // An image of x has 21,576 bytes.
    let (mut g, maps, parameters, running) = gate([[5, 6, 29, 31], [5, 4, 29, 31]], 7);
    let [y, a] = g.spatial_gate_eval(maps, parameters, running, SpatialGateEval { groups: 2, eps: 1e-5 })?;
    g.output(y);
    g.output(a);
    let mut results = Vec::new();
    for (limit, commands) in [(None, 1), (Some(48 << 10), 3)] {
        let mut executor = open(adapter, limit)?;
        let program = executor.compile(&g)?;
        variables::write(&mut executor, &g, &variables::initial(&g, 7))?;
        for id in maps {
            executor.write(program, id, &values(g.tensor(id).shape.elements(), 3))?;
        }
        executor.run(program)?;
        let found = executor.stats(program).dispatches;
        if found != commands {
            return Err(format!("{found} commands, expected {commands}").into());
        }
        results.push([executor.read(program, y)?, executor.read(program, a)?].concat());
    }
    if results[0] == results[1] { Ok(()) } else { Err("the parts differ from the whole".into()) }
}

fn a_gate_with_too_large_a_filter_is_an_error(adapter: usize) -> Outcome {
    let (mut g, maps, parameters, running) = gate([[2, 4, 5, 5], [2, 4, 5, 5]], 23);
    let [y, _] = g.spatial_gate(maps, parameters, running, SpatialGate { groups: 2, eps: 1e-5, momentum: 0.01 })?;
    let row = g.reshape(y, [1, 200].into())?;
    let ones = g.input("ones", [1, 200]);
    let loss = g.linear(row, ones, None, 1)?;
    let loss = g.reshape(loss, [1].into())?;
    let gradient = g.gradients(loss, &parameters)?[0];
    g.output(gradient);
    match open(adapter, None)?.compile(&g) {
        Err(error @ Error::Shape { .. }) if error.to_string().contains("at most 21×21") => Ok(()),
        Err(error) => Err(format!("the wrong error: {error}").into()),
        Ok(_) => Err("compiled".into()),
    }
}

fn one_image_larger_than_a_binding_is_an_error(adapter: usize) -> Outcome {
    let net = net(2, 80)?;
    let mut executor = open(adapter, Some(64 << 10))?;
    match executor.compile(&net.graph) {
        Err(error @ Error::Memory { .. }) if error.exit_code() == 4 && error.to_string().contains("--batch-size") => {
            Ok(())
        }
        Err(error) => Err(format!("the wrong error: {error}").into()),
        Ok(_) => Err("compiled".into()),
    }
}

fn runs_from_the_same_start_end_in_the_same_bits(adapter: usize) -> Outcome {
    let net = net(5, 21)?;
    let bits = |results: Vec<Vec<f32>>| results.concat().iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let first = bits(train(&mut open(adapter, None)?, &net, 3)?);
    let second = bits(train(&mut open(adapter, None)?, &net, 3)?);
    if first == second { Ok(()) } else { Err("two runs differ".into()) }
}

fn the_first_op_that_is_not_finite_is_named(adapter: usize) -> Outcome {
    let net = net(3, 12)?;
    let mut executor = open(adapter, None)?;
    let program = start(&mut executor, &net)?;
    if let Some(found) = executor.first_not_finite(program)? {
        return Err(format!("all is finite, but it names {found}").into());
    }
    executor.write_variable("bn.weight", &[f32::MAX; 8])?;
    executor.write_variable("bn.bias", &[f32::MAX; 8])?;
    executor.run(program)?;
    let found = executor.first_not_finite(program)?.unwrap_or_default();
    if !found.contains("bn.BatchNorm") {
        return Err(format!("it names {found:?}").into());
    }
    executor.write_variable("fc.bias", &[0.0, f32::NAN, 0.0, 0.0, 0.0, 0.0])?;
    let found = executor.first_not_finite(program)?.unwrap_or_default();
    if found == "variable fc.bias" { Ok(()) } else { Err(format!("it names {found:?}").into()) }
}

fn what_is_read_later_is_of_the_run_before(adapter: usize) -> Outcome {
    let net = net(3, 12)?;
    let mut executor = open(adapter, None)?;
    let program = start(&mut executor, &net)?;
    executor.run(program)?;
    let expected = [executor.read(program, net.map)?, executor.read(program, net.loss)?];
    let later = executor.read_later(program, &[net.map, net.loss])?;
    executor.run(program)?;
    let next = executor.read(program, net.loss)?;
    let found = pollster::block_on(later)?;
    if next == expected[1] {
        return Err("a training step left the loss as it was".into());
    }
    if found == expected { Ok(()) } else { Err(format!("{:?} instead of {:?}", found[1], expected[1]).into()) }
}

fn a_profile_has_a_time_for_each_op(adapter: usize) -> Outcome {
    let net = net(3, 12)?;
    let mut executor = open(adapter, None)?;
    let program = start(&mut executor, &net)?;
    let profile = executor.profile(program, 3)?;
    let medians = profile.medians();
    let total: f64 = medians.iter().sum();
    let commands: usize = profile.ops.iter().map(|op| op.dispatches).sum();
    let has = |name: &str| profile.ops.iter().any(|op| op.op.ends_with(name) && op.flops > 0 && op.bytes > 0);
    let whole = profile.runs.len() == 3 && profile.runs.iter().all(|run| run.len() == profile.ops.len());
    let counted = profile.ops == executor.costs(program)? && commands == executor.stats(program).dispatches;
    if total > 0.0 && whole && counted && has("conv.Conv2d") && has("conv.Conv2dGradWeight") {
        Ok(())
    } else {
        Err(format!("{profile:?}").into())
    }
}

fn an_adapter_that_does_not_exist_is_an_error() -> Outcome {
    for selector in [Selector::Index(999), Selector::Named("no such adapter".to_owned())] {
        match GpuExecutor::new(&selector) {
            Err(error @ Error::Device { .. }) if error.exit_code() == 4 && error.to_string().contains("cpu") => {}
            Err(error) => return Err(format!("the wrong error: {error}").into()),
            Ok(_) => return Err("opened".into()),
        }
    }
    Ok(())
}

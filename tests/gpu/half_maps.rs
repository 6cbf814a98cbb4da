//! Feature maps kept as f16: each op that reads or writes them gives what it gives of the same values in f32, rounded.

use libtest_mimic::Trial;
use moue::{
    exec::{
        Executor,
        gpu::{AdapterReport, GpuExecutor, Options, Selector},
    },
    graph::{Graph, Init},
    ops::{
        BatchNorm, BatchNormEval, BatchNormGrad, ChannelGate, ChannelGateGrad, Conv2d, Conv2dGradInput,
        Conv2dGradWeight, Function, GlobalPool, GlobalPoolGrad, Multiply, Op, Pooling, SpatialGate, SpatialGateEval,
        SpatialGateGrad, TensorId,
    },
};

use super::{Claim, Net, Outcome, net, short, start, values};

/// An op, or one and its gradient, whose results are outputs.
type Build = fn(&mut Graph) -> moue::Result<Vec<TensorId>>;

/// The trials of this file.
pub(crate) fn trials(found: &[AdapterReport]) -> Vec<Trial> {
    let ops: [(&'static str, Build); 14] = [
        ("convolution", convolution),
        ("convolution_to_few_channels", convolution_to_few_channels),
        ("batch_norm", batch_norm),
        ("batch_norm_with_pooling", batch_norm_with_pooling),
        ("batch_norm_of_aligned_maps", batch_norm_of_aligned_maps),
        ("batch_norm_of_large_maps", batch_norm_of_large_maps),
        ("batch_norm_of_large_aligned_maps", batch_norm_of_large_aligned_maps),
        ("batch_norm_in_evaluation", batch_norm_in_evaluation),
        ("channel_gate", channel_gate),
        ("channel_gate_of_odd_maps", channel_gate_of_odd_maps),
        ("spatial_gate", spatial_gate),
        ("spatial_gate_of_odd_maps", spatial_gate_of_odd_maps),
        ("spatial_gate_in_evaluation", spatial_gate_in_evaluation),
        ("global_pool", global_pool),
    ];
    let claims: [(&str, Claim); 3] = [
        ("half_maps_with_a_wrong_result_are_refused_and_said", half_maps_with_a_wrong_result_are_refused_and_said),
        ("half_maps_take_half_the_memory", half_maps_take_half_the_memory),
        ("maps_that_another_op_reads_are_not_half", maps_that_another_op_reads_are_not_half),
    ];
    let mut trials = Vec::new();
    for adapter in found {
        let index = adapter.index;
        let has_f16 = adapter.features.iter().any(|feature| feature == "SHADER_F16");
        let without = if has_f16 { "" } else { " (it has no f16 in shaders)" };
        let named = |name: &str| format!("{name}::{}{without}", short(adapter));
        for (name, build) in ops {
            let trial = Trial::test(named(&format!("half_maps_round_{name}")), move || rounds(index, build));
            trials.push(trial.with_ignored_flag(!has_f16));
        }
        for (name, claim) in claims {
            trials.push(Trial::test(named(name), move || claim(index)).with_ignored_flag(!has_f16));
        }
    }
    trials
}

fn open(adapter: usize, options: &Options) -> moue::Result<GpuExecutor> {
    GpuExecutor::with_options(&Selector::Index(adapter), options)
}

/// Mixed precision with feature maps as f16, and with them as f32.
fn half_and_wide(adapter: usize) -> moue::Result<[GpuExecutor; 2]> {
    let mixed = Options { mixed: true, ..Options::default() };
    Ok([open(adapter, &mixed)?, open(adapter, &Options { wide_maps: true, ..mixed })?])
}

/// Runs a graph with maps as f16, then on the values that were read so in f32: results differ by at most one unit of
/// f16's last place where they are maps, by a rounding of f32 where they are not.
fn rounds(adapter: usize, build: Build) -> Outcome {
    let mut graph = Graph::new();
    let outputs = build(&mut graph)?;
    outputs.iter().for_each(|&id| graph.output(id));
    let [mut half, mut wide] = half_and_wide(adapter)?;
    let programs = [half.compile(&graph)?, wide.compile(&graph)?];
    let mut rounded = 0;
    for (salt, id) in graph.select(|role| matches!(role, moue::graph::Role::Input)).into_iter().enumerate() {
        let tensor = graph.tensor(id);
        // Gradients of a size that f16 alone would not keep.
        let scale = if tensor.name.starts_with('d') { 1e-5 } else { 1.0 };
        let given: Vec<f32> = values(tensor.shape.elements(), salt).iter().map(|value| scale * value).collect();
        half.write(programs[0], id, &given)?;
        let kept = half.read(programs[0], id)?;
        rounded += kept.iter().zip(&given).filter(|(kept, given)| kept != given).count();
        wide.write(programs[1], id, &kept)?;
    }
    if rounded == 0 {
        return Err("no input was kept as f16".into());
    }
    for id in graph.select(|role| matches!(role, moue::graph::Role::State(_) | moue::graph::Role::Parameter(_))) {
        let tensor = graph.tensor(id);
        // Variances too.
        let given: Vec<f32> = values(tensor.shape.elements(), 77).iter().map(|value| value.abs() + 0.1).collect();
        half.write_variable(&tensor.name, &given)?;
        wide.write_variable(&tensor.name, &given)?;
    }
    half.run(programs[0])?;
    wide.run(programs[1])?;
    for (at, &id) in outputs.iter().enumerate() {
        let (found, exact) = (half.read(programs[0], id)?, wide.read(programs[1], id)?);
        if exact.iter().all(|value| *value == 0.0) {
            return Err(format!("output {at} is nothing but zeros").into());
        }
        // What is written and read comes back as it is kept.
        half.write(programs[0], id, &exact)?;
        let expected = half.read(programs[0], id)?;
        let unit = if expected == exact { 1e-6 } else { 1.0 / 1024.0 };
        let least = exact.iter().fold(0.0_f32, |most, value| most.max(value.abs())) * 1e-6;
        for (i, (f, e)) in found.iter().zip(&expected).enumerate() {
            // NaN fails too.
            let close = (f - e).abs() <= unit * e.abs() + least;
            if !close {
                return Err(format!("output {at}, element {i}: {f:e} where {e:e} was expected").into());
            }
        }
    }
    Ok(())
}

fn push(g: &mut Graph, op: impl Into<Op>, inputs: &[TensorId]) -> moue::Result<Vec<TensorId>> {
    g.push(op.into(), inputs, &[])
}

fn conv_and_gradients(g: &mut Graph, outputs: usize) -> moue::Result<Vec<TensorId>> {
    let conv = Conv2d { stride: 1, padding: 1, groups: 2 };
    let (x, dy) = (g.input("x", [3, 10, 9, 7]), g.input("dy", [3, 2 * outputs, 9, 7]));
    let (weight, bias) = (g.input("weight", [2 * outputs, 5, 3, 3]), g.input("bias", [2 * outputs]));
    let mut results = push(g, conv, &[x, weight, bias])?;
    results.extend(push(g, Conv2dGradInput { conv, size: [9, 7] }, &[dy, weight])?);
    results.extend(push(g, Conv2dGradWeight { conv, kernel: [3, 3], bias: true }, &[dy, x])?);
    Ok(results)
}

fn convolution(g: &mut Graph) -> moue::Result<Vec<TensorId>> {
    conv_and_gradients(g, 18)
}

fn convolution_to_few_channels(g: &mut Graph) -> moue::Result<Vec<TensorId>> {
    conv_and_gradients(g, 2)
}

fn states<const K: usize>(g: &mut Graph, names: [&str; K], count: usize) -> [TensorId; K] {
    names.map(|name| g.state(name, 1, [count], Init::Fill(1.0)))
}

fn norm_and_gradient(g: &mut Graph, dims: [usize; 4], pool: bool) -> moue::Result<Vec<TensorId>> {
    let [n, c, h, w] = dims;
    let (activation, descriptors) = (Some(Function::Relu), true);
    let op = BatchNorm { eps: 1e-5, momentum: 0.1, activation, pool, descriptors };
    let y = if pool { [n, c, h / 2, w / 2] } else { dims };
    let (x, dy, described) = (g.input("x", dims), g.input("dy", y), g.input("descriptors' gradient", [2, n, c]));
    let [weight, bias] = ["weight", "bias"].map(|name| g.input(name, [c]));
    let running = states(g, ["mean", "variance"], c);
    let mut results = g.push(op.into(), &[x, weight, bias], &running)?;
    let op = BatchNormGrad { activation, pool, descriptors };
    let inputs = [dy, x, weight, bias, results[1], described, results[3]];
    results.extend(push(g, op, &inputs)?);
    Ok(results)
}

fn batch_norm(g: &mut Graph) -> moue::Result<Vec<TensorId>> {
    norm_and_gradient(g, [3, 6, 9, 7], false)
}

fn batch_norm_with_pooling(g: &mut Graph) -> moue::Result<Vec<TensorId>> {
    norm_and_gradient(g, [3, 6, 9, 7], true)
}

/// Planes of whole vectors.
fn batch_norm_of_aligned_maps(g: &mut Graph) -> moue::Result<Vec<TensorId>> {
    norm_and_gradient(g, [3, 6, 6, 8], false)
}

fn batch_norm_of_large_aligned_maps(g: &mut Graph) -> moue::Result<Vec<TensorId>> {
    norm_and_gradient(g, [3, 4, 76, 84], false)
}

/// More elements of a channel than one workgroup takes.
fn batch_norm_of_large_maps(g: &mut Graph) -> moue::Result<Vec<TensorId>> {
    norm_and_gradient(g, [3, 4, 85, 75], true)
}

fn batch_norm_in_evaluation(g: &mut Graph) -> moue::Result<Vec<TensorId>> {
    let op = BatchNormEval { eps: 1e-5, activation: Some(Function::Relu), pool: true, descriptors: true };
    let x = g.input("x", [3, 6, 9, 7]);
    let [weight, bias] = ["weight", "bias"].map(|name| g.input(name, [6]));
    let [mean, variance] = states(g, ["mean", "variance"], 6);
    push(g, op, &[x, weight, bias, mean, variance])
}

fn channel_gate_of(g: &mut Graph, dims: [usize; 4]) -> moue::Result<Vec<TensorId>> {
    let [n, c, h, w] = dims;
    let (x, a) = (g.input("x", dims), g.input("a", [n, c]));
    let (dy, dpooled) = (g.input("dy", dims), g.input("dpooled", [n, 4, h, w]));
    let mut results = push(g, ChannelGate { groups: 2 }, &[x, a])?;
    results.extend(push(g, ChannelGateGrad { groups: 2 }, &[dy, dpooled, results[2], x, a])?);
    Ok(results)
}

fn channel_gate(g: &mut Graph) -> moue::Result<Vec<TensorId>> {
    channel_gate_of(g, [3, 10, 6, 8])
}

fn channel_gate_of_odd_maps(g: &mut Graph) -> moue::Result<Vec<TensorId>> {
    channel_gate_of(g, [3, 10, 5, 7])
}

fn spatial_gate_of(g: &mut Graph, [h, w]: [usize; 2]) -> moue::Result<Vec<TensorId>> {
    let op = SpatialGate { groups: 2, eps: 1e-5, momentum: 0.01 };
    let (x, dy) = (g.input("x", [3, 10, h, w]), g.input("dy", [3, 10, h, w]));
    let (pooled, filters) = (g.input("pooled", [3, 4, h, w]), g.input("filters", [2, 2, 7, 7]));
    let [weight, bias] = ["weight", "bias"].map(|name| g.parameter(name, 1, [2], Init::Fill(1.0)));
    let running = states(g, ["mean", "variance"], 2);
    let mut results = g.push(op.into(), &[x, pooled, filters, weight, bias], &running)?;
    let inputs = [dy, x, pooled, filters, weight, bias, results[2], results[3]];
    results.extend(push(g, SpatialGateGrad { groups: 2 }, &inputs)?);
    Ok(results)
}

fn spatial_gate(g: &mut Graph) -> moue::Result<Vec<TensorId>> {
    spatial_gate_of(g, [6, 8])
}

fn spatial_gate_of_odd_maps(g: &mut Graph) -> moue::Result<Vec<TensorId>> {
    spatial_gate_of(g, [5, 7])
}

fn spatial_gate_in_evaluation(g: &mut Graph) -> moue::Result<Vec<TensorId>> {
    let x = g.input("x", [3, 10, 5, 7]);
    let (pooled, filters) = (g.input("pooled", [3, 4, 5, 7]), g.input("filters", [2, 2, 7, 7]));
    let [weight, bias] = ["weight", "bias"].map(|name| g.parameter(name, 1, [2], Init::Fill(1.0)));
    let [mean, variance] = states(g, ["mean", "variance"], 2);
    push(g, SpatialGateEval { groups: 2, eps: 1e-5 }, &[x, pooled, filters, weight, bias, mean, variance])
}

fn global_pool(g: &mut Graph) -> moue::Result<Vec<TensorId>> {
    let (x, dy, so_far) = (g.input("x", [3, 10, 5, 7]), g.input("dy", [2, 3, 10]), g.input("dx", [3, 10, 5, 7]));
    let pooling = Pooling::AvgMax;
    let mut results = push(g, GlobalPool { pooling }, &[x])?;
    let op = GlobalPoolGrad { pooling, shape: [3, 10, 5, 7] };
    results.extend(push(g, op, &[dy, results[1], so_far])?);
    Ok(results)
}

fn half_maps_with_a_wrong_result_are_refused_and_said(adapter: usize) -> Outcome {
    let mixed = Options { mixed: true, ..Options::default() };
    let good = open(adapter, &mixed)?;
    if !good.has_half_maps() || !good.device().detail.contains("feature maps as f16") {
        return Err(format!("it says {:?}, {:?}", good.device().detail, good.device().notes).into());
    }
    let spoilt = open(adapter, &Options { spoil_maps: true, ..mixed })?;
    let notes = &spoilt.device().notes;
    let said = notes.len() == 1 && notes[0].contains("kept as f32") && notes[0].contains("are wrong, such as");
    if !spoilt.has_half_maps() && said && spoilt.device().detail.contains("feature maps as f32") {
        return Ok(());
    }
    Err(format!("it says {:?}, {notes:?}", spoilt.device().detail).into())
}

/// Of the small network's maps.
fn half_maps_take_half_the_memory(adapter: usize) -> Outcome {
    let bytes = |executor: &mut GpuExecutor| -> moue::Result<u64> {
        let net: Net = net(64, 32)?;
        let program = start(executor, &net)?;
        executor.run(program)?;
        executor.synchronize()?;
        Ok(executor.stats(program).bytes)
    };
    let [mut half, mut wide] = half_and_wide(adapter)?;
    let (half, wide) = (bytes(&mut half)?, bytes(&mut wide)?);
    println!("{half} of {wide} bytes");
    // Descriptors, attention and what pooling makes stay f32.
    if (half as f64) < 0.75 * wide as f64 { Ok(()) } else { Err(format!("{half} of {wide} bytes").into()) }
}

/// A convolution of a map in f16 to one in f32.
fn maps_that_another_op_reads_are_not_half(adapter: usize) -> Outcome {
    let mut graph = Graph::new();
    let (x, weight) = (graph.input("x", [1, 1, 1, 1]), graph.input("weight", [1, 1, 1, 1]));
    let y = push(&mut graph, Conv2d::default(), &[x, weight])?[0];
    let square = push(&mut graph, Multiply, &[y, y])?[0];
    graph.output(y);
    graph.output(square);
    let mut executor = open(adapter, &Options { mixed: true, ..Options::default() })?;
    let program = executor.compile(&graph)?;
    let (third, near) = (1.0 / 3.0, 1.0 + 1.0 / 4096.0);
    executor.write(program, x, &[third])?;
    executor.write(program, weight, &[near])?;
    executor.run(program)?;
    let [kept, product, found] = [x, y, square].map(|id| executor.read(program, id).map(|values| values[0]));
    let (kept, product, found) = (kept?, product?, found?);
    let close = kept != third && (kept - third).abs() < 1e-3;
    if close && product == kept * near && found == product * product {
        return Ok(());
    }
    Err(format!("{kept:e} · {near:e} is {product:e}, its square {found:e}").into())
}

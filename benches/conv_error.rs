//! How far the processor's float32 convolutions are from float64, for each layer of an ESR-9.
//!
//! `cargo bench --bench conv_error` prints, for the convolution and both its gradients, the rms of the difference over
//! the rms of the float64 result. Beside it, the rms that a sum of that many products has when each addition rounds
//! once, √terms·2⁻²⁵: what a plain loop gives.

use moue::{
    Result,
    exec::{Executor, cpu::CpuExecutor},
    graph::Graph,
    ops::{Conv2d, Conv2dGradInput, Conv2dGradWeight, Emit, Op, TensorId},
    rng::Rng,
};

/// Images of a batch.
const N: usize = 8;

/// Name, groups, channels in and out of a group, side of the map, side of the filter, padding.
type Layer = (&'static str, usize, [usize; 2], usize, usize, usize);

const LAYERS: [Layer; 8] = [
    ("base.conv1", 1, [3, 64], 96, 5, 0),
    ("base.conv2", 1, [64, 128], 92, 3, 0),
    ("base.conv3", 1, [128, 128], 45, 3, 0),
    ("base.conv4", 1, [128, 128], 43, 3, 0),
    ("branches.*.conv1", 1, [128, 9 * 128], 20, 3, 0),
    ("branches.*.conv2", 9, [128, 256], 18, 3, 0),
    ("branches.*.conv3", 9, [256, 256], 8, 3, 0),
    ("branches.*.conv4", 9, [256, 512], 6, 3, 1),
];

/// The op's result with inputs like a network's: maps after ReLU, filters uniform around 0.
fn run(cpu: &mut dyn Executor, op: Op, shapes: &[[usize; 4]], positive: [bool; 2]) -> Result<Vec<f64>> {
    let mut graph = Graph::new();
    let inputs: Vec<TensorId> =
        shapes.iter().enumerate().map(|(i, shape)| graph.input(format!("input {i}"), *shape)).collect();
    let output = graph.emit(op, &inputs)?[0];
    graph.output(output);
    let program = cpu.compile(&graph)?;
    for (i, (&id, shape)) in inputs.iter().zip(shapes).enumerate() {
        let mut rng = Rng::named("conv_error", &[i as u64]);
        let value = |_| rng.range(-1.0, 1.0).max(if positive[i] { 0.0 } else { -1.0 }) as f32;
        let values: Vec<f32> = (0..shape.iter().product()).map(value).collect();
        cpu.write(program, id, &values)?;
    }
    cpu.run(program)?;
    let result = cpu.read_f64(program, output)?;
    cpu.clear();
    Ok(result)
}

fn error(op: Op, shapes: &[[usize; 4]], positive: [bool; 2]) -> Result<f64> {
    let single = run(&mut CpuExecutor::<f32>::new(None)?, op.clone(), shapes, positive)?;
    let double = run(&mut CpuExecutor::<f64>::new(None)?, op, shapes, positive)?;
    let squares: f64 = double.iter().map(|e| e * e).sum();
    Ok((single.iter().zip(&double).map(|(a, e)| (a - e) * (a - e)).sum::<f64>() / squares).sqrt())
}

fn main() -> Result<()> {
    println!("| layer | convolution | one by one | input gradient | one by one | weight gradient | one by one |");
    println!("|---|---|---|---|---|---|---|");
    for (name, groups, [c, o], map, kernel, padding) in LAYERS {
        let conv = Conv2d { stride: 1, padding, groups };
        let out = map + 2 * padding + 1 - kernel;
        let x = [N, c * groups, map, map];
        let (weight, dy) = ([o * groups, c, kernel, kernel], [N, o * groups, out, out]);
        let forward = error(conv.into(), &[x, weight], [true, false])?;
        let to_input = error(Conv2dGradInput { conv, size: [map, map] }.into(), &[dy, weight], [false, false])?;
        let to_weight = Conv2dGradWeight { conv, kernel: [kernel, kernel], bias: false };
        let to_weight = error(to_weight.into(), &[dy, x], [false, true])?;
        let plain = |terms: usize| (terms as f64).sqrt() / f64::from(1 << 25);
        println!(
            "| {name} | {forward:.1e} | {:.1e} | {to_input:.1e} | {:.1e} | {to_weight:.1e} | {:.1e} |",
            plain(c * kernel * kernel),
            plain(o * kernel * kernel),
            plain(N * out * out)
        );
    }
    Ok(())
}

//! A network of one's own on the public graph API, with the diversity loss added to maps of one's choice.
//!
//! Three small branches tell four textures apart. The loss adds two diversity terms: between the branches (their mean
//! feature maps), and between the four regions of the first branch's map. The mechanism needs maps, not faces.
//!
//! `cargo run --release --example own_network`

use moue::{
    Result,
    diversity::{Diversity, diversified, term},
    exec::{Executor, cpu::CpuExecutor},
    graph::{Graph, Init},
    nn::{ConvSpec, Layers, Mode, variables},
    ops::{Conv2d, Function, Pool2d, PoolKind, Pooling, TensorId},
    rng::Rng,
};

const N: usize = 32;
const SIZE: usize = 16;
const CLASSES: usize = 4;
const BRANCHES: usize = 3;
const WIDTH: usize = 8;

struct Network {
    graph: Graph,
    images: TensorId,
    targets: TensorId,
    weights: TensorId,
    gammas: [TensorId; 2],
    similarities: [TensorId; 2],
    loss: TensorId,
    hits: TensorId,
}

fn network() -> Result<Network> {
    let mut graph = Graph::new();
    let images = graph.input("images", [N, 1, SIZE, SIZE]);
    let targets = graph.input("targets", [N, CLASSES]);
    let weights = graph.input("branch_weights", [BRANCHES]);

    // Shared: 16×16 → 8×8. Branches: one grouped convolution stands for all of them.
    let mut layers = Layers { graph: &mut graph, mode: Mode::Train, parts: BRANCHES };
    let conv = |groups| Conv2d { stride: 1, padding: 1, groups };
    let x = layers.conv("stem", images, ConvSpec { out: WIDTH, kernel: 3, conv: conv(1), bias: false })?;
    let x = layers.batch_norm("stem_norm", x, 0.1, Some(Function::Relu))?;
    let x = layers.graph.pool2d(x, Pool2d::MAX2)?;
    let x = layers.conv("branches.*.conv", x, ConvSpec { out: WIDTH, kernel: 3, conv: conv(1), bias: false })?;
    let maps = layers.batch_norm("branches.*.norm", x, 0.1, Some(Function::Relu))?;
    let pooled = layers.graph.global_avg_pool(maps)?;
    let logits = layers.linear("branches.*.fc", pooled, CLASSES)?;
    let [cross_entropy, _, hits] = graph.cross_entropy(logits, targets, weights)?;

    // Learners are branches: each one's mean over its channels, [N, B, 8, 8]. The attention of ones makes a gate
    // that only pools.
    let ones = graph.state("ones", 1, [N, BRANCHES * WIDTH], Init::Fill(1.0));
    let [_, channel_pools] = graph.channel_gate(maps, ones, BRANCHES)?;
    let means = (0..BRANCHES).map(|b| graph.slice(channel_pools, 1, 2 * b + 1, 1)).collect::<Result<Vec<_>>>()?;
    let between_branches = graph.concat(&means, 1)?;
    let branches = term(&mut graph, "branches", between_branches, BRANCHES, &Diversity::PAPER)?;

    // Learners are regions: the channel means of each quadrant of the first branch, [N, 4·WIDTH].
    let first = graph.slice(maps, 1, 0, WIDTH)?;
    let mut quadrants = Vec::new();
    for (row, column) in [(0, 0), (0, 4), (4, 0), (4, 4)] {
        let half = graph.slice(first, 2, row, 4)?;
        let quadrant = graph.slice(half, 3, column, 4)?;
        let pooled = graph.pool2d(quadrant, Pool2d { kind: PoolKind::Avg, size: 4, stride: 4, padding: 0 })?;
        let descriptor = graph.global_pool(pooled, Pooling::Avg)?;
        quadrants.push(descriptor);
    }
    let between_regions = graph.concat(&quadrants, 2)?;
    let between_regions = moue::ops::Emit::reshape(&mut graph, between_regions, [N, 4 * WIDTH].into())?;
    let regions = term(&mut graph, "regions", between_regions, 4, &Diversity::PAPER)?;

    let gammas = [branches.gamma, regions.gamma];
    let similarities = [branches.similarity, regions.similarity];
    let loss = diversified(&mut graph, cross_entropy, &[branches, regions], &Diversity::PAPER)?;
    graph.sgd(loss, 0.9, false)?;
    for id in [loss, hits, similarities[0], similarities[1]] {
        graph.output(id);
    }
    Ok(Network { graph, images, targets, weights, gammas, similarities, loss, hits })
}

/// Gratings at four angles, with noise: class k is turned by k·45°.
fn batch(step: u64) -> (Vec<f32>, Vec<f32>) {
    let mut rng = Rng::named("textures", &[step]);
    let (mut images, mut targets) = (Vec::new(), Vec::new());
    for _ in 0..N {
        let class = rng.below(CLASSES);
        let (angle, phase) = (class as f64 * std::f64::consts::FRAC_PI_4, rng.range(0.0, 6.3));
        for y in 0..SIZE {
            for x in 0..SIZE {
                let wave = (1.2 * (x as f64 * angle.cos() + y as f64 * angle.sin()) + phase).sin();
                images.push((wave + 0.8 * rng.normal()) as f32);
            }
        }
        targets.extend((0..CLASSES).map(|k| if k == class { 1.0 } else { 0.0 }));
    }
    (images, targets)
}

fn main() -> Result<()> {
    let network = network()?;
    let mut executor = CpuExecutor::<f32>::new(None)?;
    let program = executor.compile(&network.graph)?;
    variables::write(&mut executor, &network.graph, &variables::initial(&network.graph, 1))?;
    variables::write_momenta(&mut executor, &network.graph, &variables::Tensors::new())?;
    let parts = network.graph.part_names().len();
    let input = |name: &str| network.graph.find(name).expect("invariant: sgd adds its inputs");
    executor.write(program, input("lr"), &vec![0.05; parts])?;
    executor.write(program, input("decay"), &vec![0.0; parts])?;
    executor.write(program, network.weights, &[1.0; BRANCHES])?;
    for gamma in network.gammas {
        executor.write(program, gamma, &[0.05])?;
    }
    for step in 0..=200 {
        let (images, targets) = batch(step);
        executor.write(program, network.images, &images)?;
        executor.write(program, network.targets, &targets)?;
        executor.run(program)?;
        if step % 50 == 0 {
            let loss = executor.read(program, network.loss)?[0];
            let hits = executor.read(program, network.hits)?[BRANCHES];
            let mut alike = Vec::new();
            for id in network.similarities {
                let s = executor.read(program, id)?;
                let side = s.len().isqrt();
                let off: f32 = (0..s.len()).filter(|i| i / side != i % side).map(|i| s[i]).sum();
                alike.push(off / (side * (side - 1)) as f32);
            }
            println!(
                "step {step:>3}  loss {loss:>7.3}  vote {:.2}  similarity of branches {:.3}, of regions {:.3}",
                hits / N as f32,
                alike[0],
                alike[1]
            );
        }
    }
    Ok(())
}

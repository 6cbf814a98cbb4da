//! The CPU executor keeps filters in its own layout between runs: they must follow every change of the weights.
#![cfg(feature = "cpu")]

use moue::{
    Result,
    exec::{Executor, Program, cpu::CpuExecutor},
    graph::{Graph, Init},
    ops::{Conv2d, Emit, TensorId},
    shape::Shape,
};

/// Channels, wide enough for Winograd's way; the second convolution's map is so small that it is unfolded.
const C: usize = 16;

struct Net {
    graph: Graph,
    x: TensorId,
    y: TensorId,
}

/// Two convolutions of one image; with `lr` and `decay` as inputs also a step of SGD on the sum of what they give.
fn net(trains: bool) -> Result<Net> {
    let mut graph = Graph::new();
    let x = graph.input("x", [1, C, 20, 20]);
    let mut weight = |name| graph.parameter(name, 1, [C, C, 3, 3], Init::Fill(0.0));
    let (first, second) = (weight("first"), weight("second"));
    let map = graph.conv2d(x, first, None, Conv2d::default())?;
    let map = graph.slice(map, 2, 0, 4)?;
    let map = graph.slice(map, 3, 0, 4)?;
    let y = graph.conv2d(map, second, None, Conv2d::default())?;
    graph.output(y);
    if trains {
        let means = graph.global_avg_pool(y)?;
        let means = graph.slice(means, 1, 0, 1)?;
        let loss = graph.weighted_sum(&[(means, 1.0)])?;
        let loss = graph.reshape(loss, Shape::new(&[1]))?;
        graph.sgd(loss, 0.0, false)?;
    }
    Ok(Net { graph, x, y })
}

fn values(count: usize, salt: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 37 + salt * 101) % 64) as f32 / 64.0 - 0.5).collect()
}

fn answer(cpu: &mut CpuExecutor<f32>, program: Program, net: &Net) -> Result<Vec<f32>> {
    cpu.write(program, net.x, &values(C * 400, 1))?;
    cpu.run(program)?;
    cpu.read(program, net.y)
}

/// What an executor answers that never saw other weights.
fn fresh(weights: [&[f32]; 2]) -> Result<Vec<f32>> {
    let mut cpu = CpuExecutor::<f32>::new(Some(1))?;
    let net = net(false)?;
    let program = cpu.compile(&net.graph)?;
    cpu.write_variable("first", weights[0])?;
    cpu.write_variable("second", weights[1])?;
    answer(&mut cpu, program, &net)
}

#[test]
fn written_weights_are_used_at_once() -> Result<()> {
    let mut cpu = CpuExecutor::<f32>::new(Some(1))?;
    let net = net(false)?;
    let program = cpu.compile(&net.graph)?;
    for salt in 2..5 {
        let (first, second) = (values(C * C * 9, salt), values(C * C * 9, salt + 7));
        cpu.write_variable("first", &first)?;
        cpu.write_variable("second", &second)?;
        let expected = fresh([&first, &second])?;
        assert!(expected.iter().any(|y| *y != 0.0));
        assert_eq!(answer(&mut cpu, program, &net)?, expected);
        // And again, from what was kept.
        assert_eq!(answer(&mut cpu, program, &net)?, expected);
    }
    Ok(())
}

#[test]
fn trained_weights_are_used_at_once() -> Result<()> {
    let mut cpu = CpuExecutor::<f32>::new(Some(1))?;
    let (training, evaluation) = (net(true)?, net(false)?);
    let (train, evaluate) = (cpu.compile(&training.graph)?, cpu.compile(&evaluation.graph)?);
    cpu.write_variable("first", &values(C * C * 9, 2))?;
    cpu.write_variable("second", &values(C * C * 9, 3))?;
    for name in ["first.momentum", "second.momentum"] {
        cpu.write_variable(name, &[0.0; C * C * 9])?;
    }
    cpu.write_variable("healthy", &[1.0])?;
    let input = |name: &str| training.graph.find(name).expect("an input of SGD");
    cpu.write(train, input("lr"), &[0.5; 2])?;
    cpu.write(train, input("decay"), &[0.0; 2])?;
    let mut last = answer(&mut cpu, evaluate, &evaluation)?;
    for _ in 0..3 {
        answer(&mut cpu, train, &training)?;
        let next = answer(&mut cpu, evaluate, &evaluation)?;
        assert_ne!(next, last);
        assert_eq!(next, fresh([&cpu.read_variable("first")?, &cpu.read_variable("second")?])?);
        last = next;
    }
    Ok(())
}

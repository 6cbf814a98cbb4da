//! How convolutions are computed on an adapter: the variants and their self-test, the tile search, mixed precision.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use libtest_mimic::Trial;
use moue::{
    Error,
    diversity::{Diversity, diversified_loss},
    exec::{
        Executor,
        gpu::{AdapterReport, GpuExecutor, Options, Selector, TileStore, Variant, adapters},
    },
    graph::{Graph, Init},
    models::esr::{EsrSpec, Padding},
    nn::{Mode, variables},
    ops::{Conv2d, Emit, TensorId},
};

use super::{Claim, Outcome, no_input, on_each, short, values};

/// The trials of this file.
pub(crate) fn trials(found: &[AdapterReport]) -> Vec<Trial> {
    let claims: [(&str, Claim); 4] = [
        ("all_tiles_of_a_search_give_the_same_bits", all_tiles_of_a_search_give_the_same_bits),
        ("a_tile_search_is_remembered_and_changes_no_bit", a_tile_search_is_remembered_and_changes_no_bit),
        ("a_tile_search_without_time_finds_nothing", a_tile_search_without_time_finds_nothing),
        ("mixed_precision_is_given_or_refused_in_a_sentence", mixed_precision_is_given_or_refused_in_a_sentence),
    ];
    let mut trials = on_each(&claims, found);
    for adapter in found {
        let index = adapter.index;
        let mut name = format!("a_training_in_mixed_precision_follows_f32s_loss::{}", short(adapter));
        let has_f16 = adapter.features.iter().any(|feature| feature == "SHADER_F16");
        if !has_f16 {
            name += " (it has no f16 in shaders)";
        }
        let trial = Trial::test(name, move || a_training_in_mixed_precision_follows_f32s_loss(index));
        trials.push(trial.with_ignored_flag(!has_f16));
    }
    trials
}

/// The adapter with one of the tiles of its search, or the usual ones.
fn with_tile(adapter: usize, tile: Option<usize>) -> moue::Result<GpuExecutor> {
    GpuExecutor::with_options(&Selector::Index(adapter), &Options { tile, ..Options::default() })
}

/// The tiled convolutions of a search: several steps of channels, both strides, so many pixels that weight gradients
/// are split, and no size that a tile divides.
fn convolutions() -> moue::Result<(Graph, Vec<TensorId>)> {
    let mut g = Graph::new();
    let x = g.input("x", [4, 2 * 37, 33, 29]);
    let weight = g.parameter("weight", 1, [2 * 70, 37, 3, 3], Init::Uniform { bound: 0.3 });
    let bias = g.parameter("bias", 1, [2 * 70], Init::Uniform { bound: 0.3 });
    let y = g.conv2d(x, weight, Some(bias), Conv2d { stride: 1, padding: 1, groups: 2 })?;
    let next = g.parameter("next", 1, [35, 140, 3, 3], Init::Uniform { bound: 0.1 });
    let y = g.conv2d(y, next, None, Conv2d { stride: 2, padding: 0, groups: 1 })?;
    let last = g.parameter("last", 1, [1, 35, 16, 14], Init::Uniform { bound: 0.1 });
    let y = g.conv2d(y, last, None, Conv2d::default())?;
    let row = g.reshape(y, [1, 4].into())?;
    let ones = g.input("ones", [1, 4]);
    let loss = g.linear(row, ones, None, 1)?;
    let loss = g.reshape(loss, [1].into())?;
    let results = [vec![y], g.gradients(loss, &[weight, bias, next])?].concat();
    for &id in &results {
        g.output(id);
    }
    Ok((g, results))
}

/// The bits of each result of [`convolutions`].
fn convolved(executor: &mut GpuExecutor) -> moue::Result<Vec<Vec<u32>>> {
    let (graph, results) = convolutions()?;
    let program = executor.compile(&graph)?;
    variables::write(executor, &graph, &variables::initial(&graph, 7))?;
    for (name, count) in [("x", 4 * 2 * 37 * 33 * 29), ("ones", 4)] {
        let id = graph.find(name).ok_or_else(|| no_input(name))?;
        executor.write(program, id, &values(count, 5))?;
    }
    executor.run(program)?;
    let mut bits = Vec::new();
    for id in results {
        bits.push(executor.read(program, id)?.iter().map(|value| value.to_bits()).collect());
    }
    Ok(bits)
}

fn all_tiles_of_a_search_give_the_same_bits(adapter: usize) -> Outcome {
    let usual = with_tile(adapter, None).and_then(|mut executor| convolved(&mut executor))?;
    let tiles = with_tile(adapter, None)?.tiles();
    println!("{tiles} tiles");
    for tile in 0..tiles {
        let found = convolved(&mut with_tile(adapter, Some(tile))?)?;
        let differ = |(u, f): (&Vec<u32>, &Vec<u32>)| u.iter().zip(f).filter(|(u, f)| u != f).count();
        let differ: Vec<_> = usual.iter().zip(&found).map(differ).collect();
        if differ.iter().any(|&count| count > 0) {
            return Err(format!("tile {tile}: {differ:?} numbers of each result differ").into());
        }
    }
    Ok(())
}

/// What a store was given, and how often.
#[derive(Default, Clone)]
struct Kept(Arc<Mutex<(BTreeMap<String, String>, usize)>>);

impl TileStore for Kept {
    fn load(&mut self, _: &str) -> BTreeMap<String, String> {
        self.0.lock().expect("no panic").0.clone()
    }

    fn save(&mut self, _: &str, tiles: &BTreeMap<String, String>) {
        let mut kept = self.0.lock().expect("no panic");
        *kept = (tiles.clone(), kept.1 + 1);
    }
}

fn a_tile_search_is_remembered_and_changes_no_bit(adapter: usize) -> Outcome {
    let usual = convolved(&mut with_tile(adapter, None)?)?;
    let kept = Kept::default();
    for start in 1..=2 {
        let mut executor = with_tile(adapter, None)?;
        executor.search_tiles(Box::new(kept.clone()), Duration::from_secs(600));
        if convolved(&mut executor)? != usual {
            return Err(format!("the bits of start {start} differ from those without a search").into());
        }
        let (tiles, saves) = kept.0.lock().expect("no panic").clone();
        println!("{tiles:#?}");
        // Two convolutions, two input gradients, two weight gradients; the first start finds all.
        let expected = if executor.tiles() > 1 { (6, 1) } else { (0, 0) };
        if (tiles.len(), saves) != expected {
            return Err(format!("start {start}: {saves} saves of {tiles:#?}").into());
        }
    }
    Ok(())
}

fn a_tile_search_without_time_finds_nothing(adapter: usize) -> Outcome {
    let kept = Kept::default();
    let mut executor = with_tile(adapter, None)?;
    executor.search_tiles(Box::new(kept.clone()), Duration::ZERO);
    let found = convolved(&mut executor)?;
    let tiles = kept.0.lock().expect("no panic").0.len();
    if tiles == 0 && found == convolved(&mut with_tile(adapter, None)?)? {
        return Ok(());
    }
    Err(format!("{tiles} tiles were found in no time, or bits differ").into())
}

fn mixed_precision_is_given_or_refused_in_a_sentence(adapter: usize) -> Outcome {
    let report = adapters().swap_remove(adapter);
    let has = |feature: &str| report.features.iter().any(|name| name == feature);
    let mixed = Options { mixed: true, ..Options::default() };
    let refused = |options: &Options, word: &str| -> Outcome {
        match GpuExecutor::with_options(&Selector::Index(adapter), options) {
            Err(error @ Error::Device { .. }) if error.exit_code() == 4 && error.to_string().contains(word) => Ok(()),
            Err(error) => Err(format!("the wrong error: {error}").into()),
            Ok(executor) => Err(format!("it computes by {}", executor.variant()).into()),
        }
    };
    if !has("SHADER_F16") {
        return refused(&mixed, "no f16 in shaders");
    }
    let given = GpuExecutor::with_options(&Selector::Index(adapter), &mixed)?.variant();
    if !given.is_mixed() {
        return Err(format!("it computes by {given}").into());
    }
    let spoilt = Options { spoil: Some(given), ..mixed };
    if given == Variant::Half {
        return refused(&spoilt, "failed their self-test").and_then(|()| refused(&spoilt, "are wrong, such as"));
    }
    // The next one takes its place.
    let other = GpuExecutor::with_options(&Selector::Index(adapter), &spoilt)?;
    let notes = &other.device().notes;
    let said = notes.len() == 1 && notes[0].contains(&given.to_string()) && notes[0].contains("are wrong, such as");
    if other.variant() == Variant::Half && said {
        return Ok(());
    }
    Err(format!("it computes by {} and says {notes:?}", other.variant()).into())
}

/// The losses of some steps of a small ESR on random images.
fn losses(adapter: usize, mixed: bool, steps: usize) -> moue::Result<Vec<f32>> {
    let spec = EsrSpec { branches: 2, width: 0.25, size: 54, classes: 8, attention: true, padding: Padding::Published };
    let mut g = Graph::new();
    let images = g.input("images", [16, 3, 54, 54]);
    let targets = g.input("targets", [16, 8]);
    let weights = g.input("branch_weights", [2]);
    let esr = spec.build(&mut g, images, Mode::Train)?;
    let loss = diversified_loss(&mut g, &esr, targets, weights, &Diversity::PAPER)?;
    g.sgd(loss.total, 0.9, true)?;
    g.output(loss.total);
    let options = Options { mixed, ..Options::default() };
    let mut executor = GpuExecutor::with_options(&Selector::Index(adapter), &options)?;
    let program = executor.compile(&g)?;
    variables::write(&mut executor, &g, &variables::initial(&g, 7))?;
    variables::write_momenta(&mut executor, &g, &variables::Tensors::new())?;
    for term in &loss.terms {
        // No gradient comes from the terms: with one, rounding alone parts two trainings within few steps.
        executor.write(program, term.gamma, &[0.0])?;
    }
    executor.write(program, images, &values(16 * 3 * 54 * 54, 1))?;
    let one_hot: Vec<f32> = (0..16 * 8).map(|i| if i % 8 == i / 8 % 8 { 1.0 } else { 0.0 }).collect();
    executor.write(program, targets, &one_hot)?;
    executor.write(program, weights, &[1.0; 2])?;
    let parts = g.part_names().len();
    // At 0.005 two orders of summing in f32 are 1.6 % apart at the ninth step, so that nothing could be said.
    for (name, value) in [("lr", 0.001), ("decay", 1e-4)] {
        let id = g.find(name).ok_or_else(|| no_input(name))?;
        executor.write(program, id, &vec![value; parts])?;
    }
    let mut losses = Vec::new();
    for _ in 0..steps {
        executor.run(program)?;
        losses.extend(executor.read(program, loss.total)?);
    }
    Ok(losses)
}

fn a_training_in_mixed_precision_follows_f32s_loss(adapter: usize) -> Outcome {
    let [expected, found] = [losses(adapter, false, 10)?, losses(adapter, true, 10)?];
    println!("f32   {expected:?}\nmixed {found:?}");
    if expected == found {
        return Err("nothing was rounded".into());
    }
    if found[9] > 0.97 * found[0] {
        return Err(format!("nothing was learnt: {found:?}").into());
    }
    for (step, (e, f)) in expected.iter().zip(&found).enumerate() {
        // NaN fails too.
        let close = (e - f).abs() <= 0.005 * e.abs();
        if !close {
            return Err(format!("step {step}: {f} where f32 has {e}").into());
        }
    }
    Ok(())
}

//! γ from the data: one over the median squared distance between two learners' maps.

use super::session::SessionSpec;
use crate::{
    Result,
    data::Batch,
    diversity::centred,
    exec::Executor,
    graph::Graph,
    models::Maps,
    nn::{Mode, variables},
};

/// γ for each diversity term such that γ times the median squared distance between two learners' maps is 1, from the
/// maps of some batches in training mode; in the order of [`NetworkSpec::kinds`](crate::models::NetworkSpec::kinds), of those that are used.
///
/// # Errors
/// See [`super::session::Session::new`].
pub fn auto_gammas(
    executor: &mut dyn Executor,
    spec: &SessionSpec,
    tensors: &variables::Tensors,
    batches: &[Batch],
) -> Result<Vec<f64>> {
    executor.clear();
    let (n, size) = (spec.batch, spec.network.size());
    let mut graph = Graph::new();
    let images = graph.input("images", [n, 3, size, size]);
    let network = spec.network.build(&mut graph, images, Mode::Train)?;
    let is_compared = |maps: &&Maps| maps.learners > 1 && spec.diversity.wants(maps.kind);
    let maps: Vec<Maps> = network.maps_of(spec.diversity.layer).iter().filter(is_compared).copied().collect();
    if maps.is_empty() {
        return Ok(vec![]);
    }
    let mut compared = Vec::new();
    for maps in &maps {
        let is_centred = spec.diversity.centred;
        compared.push(if is_centred { centred(&mut graph, maps.map, maps.learners)? } else { maps.map });
    }
    // The logits too: a program has only the variables that its outputs need, and all are written.
    for id in compared.iter().copied().chain([network.logits]) {
        graph.output(id);
    }
    let program = executor.compile(&graph)?;
    variables::write(executor, &graph, tensors)?;
    let mut distances = vec![Vec::new(); maps.len()];
    for batch in batches {
        executor.write(program, images, &batch.images)?;
        executor.run(program)?;
        for ((maps, &compared), distances) in maps.iter().zip(&compared).zip(&mut distances) {
            let values = executor.read(program, compared)?;
            let features = values.len() / (n * maps.learners);
            for image in values.chunks(features * maps.learners) {
                let learners: Vec<_> = image.chunks(features).collect();
                for (l, one) in learners.iter().enumerate() {
                    for other in &learners[l + 1..] {
                        distances.push(one.iter().zip(*other).map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>());
                    }
                }
            }
        }
    }
    Ok(distances.into_iter().map(|d| 1.0 / median(d).max(f64::from(f32::MIN_POSITIVE))).collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

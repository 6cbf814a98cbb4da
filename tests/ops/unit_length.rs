//! Maps at unit length.

use moue::{
    diversity::centred,
    exec::Executor,
    graph::Graph,
    ops::{UnitLength, UnitLengthGrad},
};

use crate::support::{
    case::{Cases, text},
    data::Array,
};

fn both(cases: &mut Cases, claim: &str, op: UnitLength, maps: &Array) {
    let dy = Array::random(&format!("{claim} dy"), &maps.dims);
    cases.op(claim, op, vec![maps.clone()]);
    cases.op(&format!("gradient_{claim}"), UnitLengthGrad(op), vec![dy, maps.clone()]);
}

/// Maps that differ by a mask that is the same for every image, and by their strength, are the same maps.
fn of_a_batch_forgets_masks_and_strength(executor: &mut dyn Executor, unit: f64) -> Result<(), String> {
    let (images, features) = (5, 12);
    let maps = Array::uniform("maps", &[images, features], 0.0, 1.0);
    let mask = Array::uniform("mask", &[features], 0.0, 1.0);
    let mut graph = Graph::new();
    let x = graph.input("maps", [images, 2 * features]);
    let y = centred(&mut graph, x, 2).map_err(text)?;
    graph.output(y);
    executor.clear();
    let program = executor.compile(&graph).map_err(text)?;
    let rows = maps.data.chunks(features).flat_map(|map| {
        let masked: Vec<f64> = map.iter().zip(&mask.data).map(|(value, mask)| 3.0 * value + mask).collect();
        [map.to_vec(), masked].concat()
    });
    let rows = Array::new(&[images, 2 * features], rows.collect());
    executor.write(program, x, &rows.to_f32()).map_err(text)?;
    executor.run(program).map_err(text)?;
    let y = executor.read_f64(program, y).map_err(text)?;
    for image in y.chunks(2 * features) {
        let (one, other) = image.split_at(features);
        // ε makes the fainter map shorter, by half of it over its squared length.
        let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-3 + 64.0 * unit;
        let length: f64 = one.iter().map(|value| value * value).sum();
        if !one.iter().zip(other).all(near) || (length - 1.0).abs() > 1e-2 {
            return Err(format!("{one:?} of length² {length}, masked {other:?}"));
        }
    }
    Ok(())
}

pub(super) fn cases(cases: &mut Cases) {
    cases.add("of_a_batch_forgets_masks_and_strength", of_a_batch_forgets_masks_and_strength);
    // Images, learners, values of a learner's map.
    let sizes = [
        ("of_one_value", [1, 1, 1]),
        ("of_one_learner", [3, 1, 5]),
        ("of_nine_learners", [4, 9, 36]),
        ("of_more_maps_than_a_workgroup_has", [67, 3, 5]),
        ("of_more_values_than_a_workgroup", [2, 4, 521]),
    ];
    for (size, [n, learners, features]) in sizes {
        let maps = Array::random(size, &[n, learners * features]);
        both(cases, size, UnitLength { learners, eps: 1e-4 }, &maps);
    }
    let op = UnitLength { learners: 3, eps: 1e-4 };
    both(cases, "of_maps_of_four_dimensions", op, &Array::random("maps", &[2, 6, 4, 5]));
    both(cases, "of_zeros_is_zero", op, &Array::zeros(&[2, 3 * 9]));
    let faint = Array::random("faint", &[2, 3 * 9]).map(|value| value * 1e-3);
    both(cases, "leaves_faint_maps_faint", op, &faint);
    let strong = Array::random("strong", &[2, 3 * 9]).map(|value| value * 1e6);
    both(cases, "of_strong_maps_is_their_direction", op, &strong);
}

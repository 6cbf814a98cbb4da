//! Images out of a pool.

use moue::{
    ops::{
        Augment,
        augment::{ALIGNMENT, RECORD, Record, packed},
    },
    rng::Rng,
};

use crate::support::{case::Cases, data::Array};

const PLAIN: Record = Record {
    range: 0,
    start: 0,
    sides: [7, 5],
    channels: 3,
    block: 1,
    warp: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
    colours: [[1.0, 0.0, 0.0]; 3],
    erased: [0; 4],
    partner: 0,
    share: 1.0,
};

fn op(size: usize) -> Augment {
    Augment { size, mean: [0.0; 3], std: [1.0; 3], bgr: false }
}

/// The records of a batch, each its own partner unless it has another, and tensors of the pool that hold an image of
/// noise for each, in the order of the records.
fn batch(claim: &str, ranges: usize, records: &mut [Record]) -> Vec<Array> {
    let mut pool = vec![Vec::new(); ranges];
    for (i, record) in records.iter_mut().enumerate() {
        let mut rng = Rng::named(claim, &[i as u64]);
        let bytes: Vec<u8> =
            (0..record.sides[0] * record.sides[1] * record.channels).map(|_| rng.below(256) as u8).collect();
        let range = &mut pool[record.range];
        range.resize(range.len().next_multiple_of(ALIGNMENT), 0.0);
        record.start = range.len() / ALIGNMENT;
        range.extend(packed(&bytes).map(f64::from));
        // A tensor has elements.
        range.resize(range.len().max(1), 0.0);
    }
    let rows: Vec<f64> = records.iter().flat_map(Record::numbers).map(f64::from).collect();
    let mut inputs = vec![Array::new(&[records.len(), RECORD], rows)];
    inputs.extend(pool.into_iter().map(|range| Array::new(&[range.len()], range)));
    inputs
}

fn one(cases: &mut Cases, claim: &str, op: Augment, record: Record) {
    cases.op(claim, op, batch(claim, 1, &mut [record]));
}

pub(super) fn cases(cases: &mut Cases) {
    for (claim, channels) in [("of_colour", 3), ("of_grey", 1)] {
        one(
            cases,
            &format!("{claim}_of_the_same_size_is_the_picture"),
            op(9),
            Record { sides: [9, 9], channels, ..PLAIN },
        );
        for size in [1, 13, 17] {
            one(cases, &format!("{claim}_stretched_to_{size}"), op(size), Record { channels, ..PLAIN });
        }
        let record = Record { sides: [23, 17], channels, block: 3, ..PLAIN };
        one(cases, &format!("{claim}_averaged_over_blocks"), op(5), record);
        let record = Record { sides: [1, 1], channels, ..PLAIN };
        one(cases, &format!("{claim}_of_one_pixel"), op(8), record);
    }
    let turned = [0.75, 0.5, -3.25, -0.5, 0.75, 4.5];
    one(cases, "turned_and_moved_is_black_outside", op(19), Record { warp: turned, ..PLAIN });
    one(cases, "flipped", op(12), Record { warp: [-1.0, 0.0, 12.0, 0.0, 1.0, 0.0], ..PLAIN });
    one(cases, "moved_out_of_the_picture_is_black", op(12), Record { warp: [1.0, 0.0, 99.0, 0.0, 1.0, 0.0], ..PLAIN });
    for (claim, channels) in [("of_colour", 3), ("of_grey", 1)] {
        let colours = [[1.25, 0.0, 0.0], [1.5, 0.0, -0.25], [0.75, 0.25, 0.0]];
        one(cases, &format!("{claim}_with_other_colours_clamped"), op(11), Record { channels, colours, ..PLAIN });
    }
    let normalised = Augment { mean: [0.5, 0.25, 0.75], std: [0.25, 0.5, 0.125], ..op(10) };
    let erased = Record { erased: [2, 3, 7, 10], ..PLAIN };
    one(cases, "an_erased_rectangle_is_0_after_normalisation", normalised, erased);
    one(cases, "planes_as_blue_green_red", Augment { bgr: true, ..normalised }, erased);
    one(cases, "no_image_is_0", normalised, Record { sides: [0, 0], ..PLAIN });

    let mut records: Vec<_> = (0..7)
        .map(|i| Record {
            sides: [5 + 3 * i, 21 - 2 * i],
            channels: [1, 3][i % 2],
            block: 1 + i / 4,
            warp: [0.875, 0.125 * i as f32, 1.5 - i as f32, -0.25, 1.125, 0.5],
            colours: [[1.125, 0.0, 0.0], [0.5, 0.5, 0.0], [1.25, 0.0, -0.125]],
            erased: [i, 2, 2 * i, 11],
            partner: 6 - i,
            share: if i == 3 { 1.0 } else { 0.625 },
            ..PLAIN
        })
        .collect();
    cases.op("a_batch_mixed_with_its_reverse", Augment { bgr: true, ..normalised }, batch("mixed", 1, &mut records));
    for (i, record) in records.iter_mut().enumerate() {
        record.range = i % 6;
    }
    cases.op("a_pool_of_six_tensors", op(16), batch("six", 6, &mut records));
}

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
    #[cfg(feature = "cli")]
    loaded::cases(cases);
}

/// The device's batches beside the host's, from the same random numbers.
#[cfg(feature = "cli")]
mod loaded {
    use std::sync::Arc;

    use moue::{
        data::{Augment, Batch, ColourOrder, Image, Loader, LoaderOptions, Normalisation, Pool, Sample, Transform},
        exec::Executor,
        graph::Graph,
        rng::Rng,
        train::resident::augmented,
    };

    use crate::support::case::{Cases, text};

    /// How far a pixel in 0..1 may be from the host's: a 64th of a byte's step. Positions are the same sums, rounded
    /// in another order, and an error of a position moves a value by no more.
    const APART: f64 = 1.0 / 255.0 / 64.0;

    /// Noise, grey and in colour, of odd sizes, one of them 64 pixels or more each way.
    fn samples() -> Vec<Sample> {
        let sample = |i: usize| {
            let mut rng = Rng::named("noise", &[i as u64]);
            let (width, height, channels) = (29 + 11 * (i % 4), 67 - 7 * (i % 5), [1, 3][i % 2]);
            let pixels = (0..width * height * channels).map(|_| rng.below(256) as u8).collect();
            let image = Arc::new(Image { width, height, channels, pixels });
            Sample::new(i.to_string(), image, i % 3)
        };
        (0..13).map(sample).collect()
    }

    fn batches(samples: &[Sample], options: LoaderOptions) -> Result<Vec<Batch>, String> {
        Loader::new(samples, 3, options).map_err(text)?.map(|batch| batch.map_err(text)).collect()
    }

    /// The largest difference of a pixel in 0..1.
    fn apart(executor: &mut dyn Executor, options: LoaderOptions) -> Result<f64, String> {
        let samples = samples();
        // Five tensors.
        let pool = Arc::new(Pool::new(&samples, 6000)?);
        if pool.lengths().len() != 5 {
            return Err(format!("a pool of {:?}", pool.lengths()));
        }
        let LoaderOptions { batch: n, size, normalise, order, .. } = options;
        let mut graph = Graph::new();
        let transform = Transform { size, normalise, order };
        let (images, records, tensors) = augmented(&mut graph, n, &pool, &transform).map_err(text)?;
        graph.output(images);
        executor.clear();
        let program = executor.compile(&graph).map_err(text)?;
        for (range, &id) in tensors.iter().enumerate() {
            executor.write(program, id, &pool.tensor(range)).map_err(text)?;
        }
        let std = normalise.map_or([1.0; 3], |normalise| normalise.std);
        let recorded = batches(&samples, LoaderOptions { pool: Some(pool), ..options.clone() })?;
        let mut most = 0.0_f64;
        for (host, device) in batches(&samples, options)?.iter().zip(&recorded) {
            if !device.images.is_empty() || (&host.targets, &host.labels) != (&device.targets, &device.labels) {
                return Err(format!("batch {} is another", host.number));
            }
            executor.write(program, records, &device.records).map_err(text)?;
            executor.run(program).map_err(text)?;
            let found = executor.read(program, images).map_err(text)?;
            for (i, (found, expected)) in found.iter().zip(&host.images).enumerate() {
                let plane = i / (size * size) % 3;
                let std = std[if order == ColourOrder::Bgr { 2 - plane } else { plane }];
                let difference = f64::from((found - expected).abs() * std);
                // NaN stays.
                most = if difference <= most { most } else { difference };
            }
        }
        Ok(most)
    }

    pub(super) fn cases(cases: &mut Cases) {
        let options = LoaderOptions { batch: 5, size: 48, seed: 7, shuffle: true, ..LoaderOptions::default() };
        let preset = |name: &str| name.parse::<Augment>().expect("a preset");
        let normalise = Some(Normalisation::IMAGENET);
        let all = Augment { saturation: 0.8, erase: 1.0, crop: 0.2, ..Augment::affectnet() };
        let of = |claim: &str, options: LoaderOptions| (format!("batches_{claim}_are_the_loaders"), options);
        let list = [
            of("without_augmentation", options.clone()),
            of("of_the_preset_light", LoaderOptions { augment: preset("light"), ..options.clone() }),
            of("of_the_preset_affectnet", LoaderOptions { augment: preset("affectnet"), ..options.clone() }),
            of("of_the_preset_rafdb", LoaderOptions { augment: preset("rafdb"), normalise, ..options.clone() }),
            of("with_all_at_once", LoaderOptions { augment: all, normalise, size: 37, ..options.clone() }),
            of(
                "as_blue_green_red",
                LoaderOptions { augment: all, order: ColourOrder::Bgr, normalise, ..options.clone() },
            ),
            of("mixed", LoaderOptions { augment: all, mixup: 0.8, normalise, ..options.clone() }),
            of("averaged_over_blocks_first", LoaderOptions { augment: all, size: 13, ..options.clone() }),
            of("twice_as_large", LoaderOptions { augment: preset("affectnet"), size: 96, ..options }),
        ];
        for (claim, options) in list {
            cases.add(&claim, move |executor, unit| {
                let most = apart(executor, options.clone())?;
                // The processor computes in float32 what the loader computes, in its order.
                let exact = executor.device().kind == "cpu" && unit > 1e-10;
                let allowed = if exact { 0.0 } else { APART };
                if most <= allowed { Ok(()) } else { Err(format!("a pixel is {most} apart, {allowed} are allowed")) }
            });
        }
    }
}

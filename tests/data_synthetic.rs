//! The rendered faces: deterministic, balanced, told apart by their expression alone, and not by a linear model.
#![cfg(feature = "cli")]

use moue::data::synthetic::render;
use moue::data::{Dataset, EXPRESSIONS, Image, Spec, Split};
use rayon::prelude::*;

fn load(text: &str) -> Dataset {
    text.parse::<Spec>().expect("a spec").load().expect("a data set")
}

#[test]
fn the_number_of_threads_does_not_matter_but_the_seed_does() {
    let text = "synthetic:train=64,valid=16,test=16,size=32";
    let hash = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| load(text)).hashes
    };
    assert_eq!(hash(1), hash(5));
    assert_ne!(hash(1), load("synthetic:seed=2,train=64,valid=16,test=16,size=32").hashes);
}

#[test]
fn splits_are_balanced_and_share_no_image() {
    let data = load("synthetic:train=160,valid=80,test=40,size=24");
    assert_eq!(data.classes, EXPRESSIONS);
    let report = data.check();
    assert!(report.is_as_expected());
    for (name, each) in [("train", 20), ("valid", 10), ("test", 5)] {
        assert_eq!(report.splits[name].per_class, [each; 8]);
        assert_eq!(report.splits[name].also_in_train, 0);
    }
    assert!(
        data.splits.values().flat_map(|split| &split.samples).all(|sample| sample.image.pixels.len() == 24 * 24 * 3)
    );
}

#[test]
fn a_larger_split_begins_with_the_smaller_one() {
    let (small, large) =
        (load("synthetic:train=16,valid=8,test=8,size=24"), load("synthetic:train=40,valid=8,test=8,size=24"));
    let pixels =
        |data: &Dataset| data.splits["train"].samples[..16].iter().map(|s| s.image.clone()).collect::<Vec<_>>();
    assert_eq!(pixels(&small), pixels(&large));
}

#[test]
fn only_the_face_depends_on_the_expression() {
    let size = 64;
    for identity in 0..40 {
        let faces: Vec<Image> =
            (0..8).map(|expression| render(3, identity, expression, 5, size).expect("a face")).collect();
        for (class, face) in faces.iter().enumerate().skip(1) {
            // The upper corners are background, hair and whatever stands before them: the same for all classes.
            for row in 0..6 {
                let row = &(row * size * 3..(row * size + size) * 3);
                let edges = |image: &Image| {
                    [image.pixels[row.start..row.start + 18].to_vec(), image.pixels[row.end - 18..row.end].to_vec()]
                };
                assert_eq!(edges(face), edges(&faces[0]), "identity {identity}, {}", EXPRESSIONS[class]);
            }
            let changed = face.pixels.iter().zip(&faces[0].pixels).filter(|(a, b)| a.abs_diff(**b) > 12).count();
            assert!(changed > 30, "identity {identity}: {} looks like neutral", EXPRESSIONS[class]);
        }
    }
}

#[test]
fn impossible_faces_are_refused() {
    for (expression, size) in [(8, 64), (0, 0), (0, 15), (0, 513)] {
        assert_eq!(render(1, 1, expression, 1, size).expect_err("no face").exit_code(), 2);
    }
    let nobody = "synthetic:train=0,valid=0,test=0".parse::<Spec>().expect("a spec");
    assert_eq!(nobody.load().expect_err("no faces").exit_code(), 2);
}

/// The pixels of a split, [N, D], by `features`, and the labels.
struct Table {
    values: Vec<f32>,
    labels: Vec<usize>,
    width: usize,
}

impl Table {
    fn of(split: &Split, features: fn(&Image) -> Vec<f32>) -> Self {
        let rows: Vec<Vec<f32>> = split.samples.par_iter().map(|sample| features(&sample.image)).collect();
        let labels = split.samples.iter().map(|sample| sample.label).collect();
        Self { width: rows[0].len(), values: rows.concat(), labels }
    }

    /// Standardises both tables by this one's statistics.
    fn standardise(&mut self, other: &mut Self) {
        let count = self.labels.len() as f32;
        let (mut mean, mut square) = (vec![0f32; self.width], vec![0f32; self.width]);
        for row in self.values.chunks(self.width) {
            for ((mean, square), value) in mean.iter_mut().zip(&mut square).zip(row) {
                *mean += value / count;
                *square += value * value / count;
            }
        }
        for table in [&mut *self, other] {
            table.values.par_chunks_mut(table.width).for_each(|row| {
                for ((mean, square), value) in mean.iter().zip(&square).zip(row) {
                    *value = (*value - mean) / ((square - mean * mean).max(0.0).sqrt() + 1e-3);
                }
            });
        }
    }
}

/// Weights [D + 1, 8], the last row the biases.
struct Logistic(Vec<[f32; 8]>);

impl Logistic {
    fn logits(&self, row: &[f32]) -> [f32; 8] {
        let mut sums = self.0[row.len()];
        for (value, weights) in row.iter().zip(&self.0) {
            sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += value * weight);
        }
        sums
    }

    fn accuracy(&self, table: &Table) -> f64 {
        let right = |(row, label): (&[f32], &usize)| {
            let logits = self.logits(row);
            usize::from((0..8).all(|class| class == *label || logits[class] < logits[*label]))
        };
        let rows = table.values.par_chunks(table.width).zip(&table.labels);
        rows.map(right).sum::<usize>() as f64 / table.labels.len() as f64
    }

    /// Multinomial logistic regression with weight decay, by Adam over mini-batches; returns the best validation
    /// accuracy of all epochs, which flatters it, and the last training accuracy.
    fn fit(train: &Table, valid: &Table, decay: f32, epochs: usize) -> (f64, f64) {
        const BATCH: usize = 200;
        let width = train.width;
        let mut model = Self(vec![[0.0; 8]; width + 1]);
        let (mut first, mut second) = (vec![[0f32; 8]; width + 1], vec![[0f32; 8]; width + 1]);
        let (mut best, mut step) = (0f64, 0);
        for _ in 0..epochs {
            for (rows, labels) in train.values.chunks(BATCH * width).zip(train.labels.chunks(BATCH)) {
                let errors: Vec<[f32; 8]> = rows
                    .par_chunks(width)
                    .zip(labels)
                    .map(|(row, label)| {
                        let logits = model.logits(row);
                        let highest = logits.iter().fold(f32::MIN, |a, b| a.max(*b));
                        let powers = logits.map(|logit| (logit - highest).exp());
                        let total: f32 = powers.iter().sum();
                        let mut error = powers.map(|power| power / total / BATCH as f32);
                        error[*label] -= 1.0 / BATCH as f32;
                        error
                    })
                    .collect();
                step += 1;
                let rate = 0.002 * (1.0 - 0.999f32.powi(step)).sqrt() / (1.0 - 0.9f32.powi(step));
                let tables = model.0.par_chunks_mut(256).zip(first.par_chunks_mut(256)).zip(second.par_chunks_mut(256));
                tables.enumerate().for_each(|(chunk, ((weights, first), second))| {
                    let from = chunk * 256;
                    let mut gradients: Vec<[f32; 8]> = weights.iter().map(|row| row.map(|w| decay * w)).collect();
                    for (row, error) in rows.chunks(width).zip(&errors) {
                        // The biases' column is 1.
                        let values = row[from..].iter().chain(std::iter::once(&1.0));
                        for (gradient, value) in gradients.iter_mut().zip(values) {
                            gradient.iter_mut().zip(error).for_each(|(sum, error)| *sum += value * error);
                        }
                    }
                    for (((weights, first), second), gradient) in
                        weights.iter_mut().zip(first).zip(second).zip(gradients)
                    {
                        for class in 0..8 {
                            first[class] = 0.9 * first[class] + 0.1 * gradient[class];
                            second[class] = 0.999 * second[class] + 0.001 * gradient[class].powi(2);
                            weights[class] -= rate * first[class] / (second[class].sqrt() + 1e-8);
                        }
                    }
                });
            }
            best = best.max(model.accuracy(valid));
        }
        (best, model.accuracy(train))
    }
}

/// Mean grey of 2×2 blocks: 32×32 numbers from 64×64 pixels.
fn grey(image: &Image) -> Vec<f32> {
    let mut values = vec![0.0; 32 * 32];
    for (index, pixel) in image.pixels.chunks(3).enumerate() {
        let (x, y) = (index % 64, index / 64);
        values[y / 2 * 32 + x / 2] += pixel.iter().map(|value| f32::from(*value)).sum::<f32>() / 3060.0;
    }
    values
}

fn every_pixel(image: &Image) -> Vec<f32> {
    image.pixels.iter().map(|value| f32::from(*value) / 255.0).collect()
}

#[test]
fn a_linear_model_of_the_pixels_does_not_tell_the_expressions() {
    let data = "synthetic".parse::<Spec>().expect("a spec").load_splits(&["train", "valid"]).expect("a data set");
    for (name, features, epochs) in [("32×32 grey", grey as fn(&Image) -> _, 30), ("64×64 RGB", every_pixel, 5)] {
        let mut train = Table::of(data.split("train").expect("train"), features);
        let mut valid = Table::of(data.split("valid").expect("valid"), features);
        train.standardise(&mut valid);
        let (best, fitted) = Logistic::fit(&train, &valid, 0.01, epochs);
        println!("logistic regression on {name}: best validation accuracy {best:.3}, training accuracy {fitted:.3}");
        // It did learn: far above chance, and better still on what it has seen.
        assert!(best > 0.25 && fitted > best, "{name}: {best} and {fitted}");
        assert!(best < 0.60, "{name}: {best}");
    }
}

//! The loader and the augmentation: order, determinism, resuming, targets, and ends.
#![cfg(feature = "cli")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use moue::data::{
    Augment, Batch, ColourOrder, Image, Loader, LoaderOptions, Normalisation, Pool, Sample, Targets, Transform,
};
use moue::rng::Rng;

/// `count` RGB images of 20×16 noisy pixels; labels 0, 1, 2, 0, …
fn samples(count: usize) -> Vec<Sample> {
    let sample = |index: usize| {
        let mut rng = Rng::named("pixels", &[index as u64]);
        let pixels = (0..20 * 16 * 3).map(|_| rng.below(256) as u8).collect();
        let image = Arc::new(Image { width: 20, height: 16, channels: 3, pixels });
        Sample::new(index.to_string(), image, index % 3)
    };
    (0..count).map(sample).collect()
}

/// Images of one grey each: image i has the value i.
fn flat(count: usize) -> Vec<Sample> {
    let sample = |index: usize| {
        let image = Arc::new(Image { width: 8, height: 8, channels: 1, pixels: vec![index as u8; 64] });
        Sample::new(index.to_string(), image, index % 3)
    };
    (0..count).map(sample).collect()
}

fn options() -> LoaderOptions {
    LoaderOptions { batch: 4, size: 12, ..LoaderOptions::default() }
}

fn all(samples: &[Sample], options: LoaderOptions) -> Vec<Batch> {
    Loader::new(samples, 3, options).expect("a loader").map(|batch| batch.expect("a batch")).collect()
}

fn indices(batches: &[Batch]) -> Vec<usize> {
    batches.iter().flat_map(|batch| batch.indices.clone()).collect()
}

#[test]
fn evaluation_keeps_the_order_and_pads_the_last_batch_with_zeros() {
    let samples = samples(10);
    let mut loader = Loader::new(&samples, 3, options()).expect("a loader");
    assert_eq!((loader.len(), loader.images()), (3, 10));
    let mut batches = Vec::new();
    while let Some(batch) = loader.next() {
        let batch = batch.expect("a batch");
        batches.push(batch.clone());
        // Recycled buffers are full of other numbers.
        let stale = Batch { images: vec![9.0; batch.images.len()], targets: vec![9.0; batch.targets.len()], ..batch };
        loader.recycle(stale);
    }
    assert_eq!(indices(&batches), (0..10).collect::<Vec<_>>());
    assert_eq!(batches.iter().map(|batch| batch.count).collect::<Vec<_>>(), [4, 4, 2]);
    let transform = Transform { size: 12, normalise: None, order: ColourOrder::Rgb };
    for batch in &batches {
        assert_eq!((batch.images.len(), batch.targets.len()), (4 * 3 * 12 * 12, 4 * 3));
        for (image, &index) in batch.images.chunks(3 * 12 * 12).zip(&batch.indices) {
            let mut expected = vec![f32::NAN; 3 * 12 * 12];
            transform.evaluate(&samples[index].image, &mut expected).expect("a good image");
            assert_eq!(image, expected);
        }
        for (target, &label) in batch.targets.chunks(3).zip(&batch.labels) {
            assert_eq!(target, [0, 1, 2].map(|class| if class == label { 1.0 } else { 0.0 }));
        }
        assert!(batch.images[batch.count * 3 * 12 * 12..].iter().all(|value| *value == 0.0));
        assert!(batch.targets[batch.count * 3..].iter().all(|value| *value == 0.0));
    }
}

#[test]
fn augmented_batches_are_those_of_a_single_thread() {
    let samples = samples(9);
    let augment = Augment { saturation: 0.4, erase: 0.5, ..Augment::affectnet() };
    let normalise = Some(Normalisation::IMAGENET);
    let order = ColourOrder::Bgr;
    let options = LoaderOptions { seed: 5, epoch: 2, shuffle: true, augment, normalise, order, ..options() };
    let transform = Transform { size: 12, normalise, order };
    let batches = all(&samples, options);
    for batch in &batches {
        for (image, &index) in batch.images.chunks(3 * 12 * 12).zip(&batch.indices) {
            let mut rng = Rng::named("augment", &[5, 2, index as u64]);
            let mut expected = vec![f32::NAN; 3 * 12 * 12];
            transform.augmented(&samples[index].image, &augment, &mut rng, &mut expected).expect("a good image");
            assert_eq!(image, expected);
            assert!(image.iter().all(|value| value.is_finite()));
        }
    }
}

#[test]
fn a_loader_resumes_anywhere_with_the_same_bits() {
    let samples = samples(30);
    let options = LoaderOptions { shuffle: true, augment: Augment::rafdb(), mixup: 0.4, drop_last: true, ..options() };
    let whole = all(&samples, options.clone());
    assert_eq!(whole.len(), 7);
    for start in 0..=7 {
        let rest = all(&samples, LoaderOptions { start, ..options.clone() });
        assert!(rest == whole[start..], "start {start}");
    }
}

#[test]
fn epochs_and_seeds_differ_in_order_and_pixels() {
    let samples = samples(30);
    let options = LoaderOptions { shuffle: true, augment: Augment::affectnet(), ..options() };
    let first = all(&samples, options.clone());
    let mut sorted = indices(&first);
    sorted.sort_unstable();
    assert_eq!(sorted, (0..30).collect::<Vec<_>>());
    for other in [LoaderOptions { epoch: 1, ..options.clone() }, LoaderOptions { seed: 1, ..options.clone() }] {
        let other = all(&samples, other);
        assert_ne!(indices(&other), indices(&first));
        let of = |batches: &[Batch]| {
            let (batch, place) = batches
                .iter()
                .find_map(|batch| Some((batch, batch.indices.iter().position(|index| *index == 3)?)))
                .expect("image 3");
            batch.images[place * 432..(place + 1) * 432].to_vec()
        };
        assert_ne!(of(&other), of(&first));
    }
}

#[test]
fn the_draw_is_limited_per_class_and_new_in_every_stage() {
    let samples = samples(31);
    let options = LoaderOptions { limit_per_class: Some(5), ..options() };
    let drawn = |options: &LoaderOptions| {
        let batches = all(&samples, options.clone());
        let mut per_class = [0; 3];
        batches.iter().flat_map(|batch| &batch.labels).for_each(|label| per_class[*label] += 1);
        assert_eq!(per_class, [5, 5, 5]);
        indices(&batches)
    };
    let first = drawn(&options);
    assert_eq!(first, drawn(&LoaderOptions { epoch: 3, ..options.clone() }));
    assert_ne!(first, drawn(&LoaderOptions { stage: 1, ..options.clone() }));
    let all_of_them = all(&samples, LoaderOptions { limit_per_class: Some(11), ..options });
    assert_eq!(indices(&all_of_them).len(), 31);
}

#[test]
fn a_balanced_epoch_has_as_many_images_of_each_class_and_is_as_long() {
    // 12 images of class 0, 4 of class 1, 1 of class 2.
    let labels = [vec![0; 12], vec![1; 4], vec![2]].concat();
    let mut samples = flat(17);
    samples.iter_mut().zip(&labels).for_each(|(sample, &label)| sample.label = label);
    let order = |epoch| indices(&all(&samples, LoaderOptions { balanced: true, shuffle: true, epoch, ..options() }));
    let first = order(0);
    let of = |class: usize| first.iter().filter(|&&index| labels[index] == class).copied().collect::<Vec<_>>();
    assert_eq!([of(0).len(), of(1).len(), of(2).len()], [6, 6, 5]);
    // None of class 0 twice, each of class 1 once or twice, all of class 2 the one image.
    let times = |index: usize| first.iter().filter(|&&other| other == index).count();
    assert!((0..12).all(|index| times(index) <= 1) && (12..16).all(|index| (1..=2).contains(&times(index))));
    assert_eq!(of(2), [16; 5]);
    assert!(order(0) == first && order(1) != first);
}

#[test]
fn votes_become_targets_where_there_are_some() {
    let mut samples = samples(4);
    samples[2].votes = Some(vec![0.1, 0.2, 0.7]);
    let batch = &all(&samples, LoaderOptions { targets: Targets::Soft, ..options() })[0];
    assert_eq!(batch.targets, [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.1, 0.2, 0.7, 1.0, 0.0, 0.0]);
    let batch = &all(&samples, options())[0];
    assert_eq!(batch.targets[6..9], [0.0, 0.0, 1.0]);
}

#[test]
fn mixup_mixes_images_and_targets_alike() {
    // Image i is grey i and its target has i too, in the fourth class.
    let mut samples = flat(5);
    for (index, sample) in samples.iter_mut().enumerate() {
        let part = index as f32 / 255.0;
        sample.votes = Some(vec![1.0 - part, 0.0, part]);
    }
    let mut mixed = 0;
    for epoch in 0..20 {
        let options =
            LoaderOptions { batch: 5, size: 8, targets: Targets::Soft, mixup: 1.0, epoch, ..LoaderOptions::default() };
        let batch = &all(&samples, options)[0];
        for (place, (image, target)) in batch.images.chunks(192).zip(batch.targets.chunks(3)).enumerate() {
            assert!((target.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            assert!(image.iter().all(|value| (value - target[2]).abs() < 1e-6), "{target:?}");
            let share = target[2] * 255.0;
            let (own, partner) = (place as f32, 4.0 - place as f32);
            assert!(own.min(partner) - 1e-4 <= share && share <= own.max(partner) + 1e-4, "{share} at {place}");
            mixed += usize::from((share - own).abs() > 0.1);
            // The label is that of the image with the larger share.
            let larger = if (share - own).abs() <= (share - partner).abs() { place } else { 4 - place };
            assert_eq!(batch.labels[place], larger % 3);
        }
    }
    assert!(mixed > 20, "{mixed}");
}

#[test]
fn a_broken_sample_is_an_error_of_its_batch_and_the_end() {
    let mut samples = samples(12);
    let Image { width, height, channels, pixels } = (*samples[6].image).clone();
    samples[6].image = Arc::new(Image { width, height, channels, pixels: pixels[1..].to_vec() });
    let mut loader = Loader::new(&samples, 3, options()).expect("a loader");
    assert!(loader.next().expect("a batch").is_ok());
    let error = loader.next().expect("a result").expect_err("a broken image");
    assert!(error.to_string().contains("image 6") && error.to_string().contains("959 bytes"), "{error}");
    assert!(loader.next().is_none());
    samples.truncate(4);
    let error = Loader::new(&samples, 2, options()).expect("a loader").next().expect("a result").expect_err("label 2");
    assert!(error.to_string().contains("a label below 2"), "{error}");
}

#[test]
fn options_out_of_range_and_no_images_are_refused() {
    let samples = samples(3);
    let code = |options| Loader::new(&samples, 3, options).err().expect("an error").exit_code();
    assert_eq!(code(LoaderOptions { batch: 0, ..options() }), 2);
    assert_eq!(code(LoaderOptions { size: 0, ..options() }), 2);
    assert_eq!(code(LoaderOptions { mixup: f64::NAN, ..options() }), 2);
    assert_eq!(code(LoaderOptions { limit_per_class: Some(0), ..options() }), 2);
    assert_eq!(code(LoaderOptions { augment: Augment { flip: 1.5, ..Augment::none() }, ..options() }), 2);
    assert_eq!(code(LoaderOptions { drop_last: true, ..options() }), 3);
    let pool = Pool::new(&samples[..2], 1 << 20).expect("a pool");
    assert_eq!(code(LoaderOptions { pool: Some(Arc::new(pool)), ..options() }), 3);
    assert_eq!(Loader::new(&[], 3, options()).err().expect("an error").exit_code(), 3);
}

#[test]
fn dropping_the_loader_ends_its_thread_at_once() {
    // A large source takes long to average over blocks: a batch of these is seconds of work.
    let side = 2000;
    let image = Arc::new(Image { width: side, height: side, channels: 3, pixels: vec![7; side * side * 3] });
    let sample = |index: usize| Sample::new(index.to_string(), Arc::clone(&image), 0);
    let many: Vec<Sample> = (0..4000).map(sample).collect();
    let start = Instant::now();
    let mut loader = Loader::new(&many, 3, LoaderOptions { batch: 2, ..options() }).expect("a loader");
    assert!(loader.next().expect("a batch").is_ok());
    drop(loader);
    let few = start.elapsed();
    let start = Instant::now();
    let loader = Loader::new(&many, 3, LoaderOptions { batch: 4000, ..options() }).expect("a loader");
    std::thread::sleep(Duration::from_millis(20));
    drop(loader);
    // Far less than the 2000 times `few` that the whole batch would take.
    assert!(start.elapsed() < 20 * few + Duration::from_millis(200), "{:?} and {few:?}", start.elapsed());
}

/// One draw for each seed.
fn draws(image: &Image, augment: &Augment, size: usize, count: u64) -> Vec<Vec<f32>> {
    let transform = Transform { size, normalise: None, order: ColourOrder::Rgb };
    let draw = |seed| {
        let mut out = vec![f32::NAN; 3 * size * size];
        transform.augmented(image, augment, &mut Rng::named("draw", &[seed]), &mut out).expect("a good image");
        out
    };
    (0..count).map(draw).collect()
}

#[test]
fn flips_mirror_every_row_with_their_probability() {
    let image = &samples(1)[0].image;
    let plain = draws(image, &Augment::none(), 12, 1).remove(0);
    let mirrored: Vec<f32> = plain.chunks(12).flat_map(|row| row.iter().rev().copied()).collect();
    let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    let found = draws(image, &Augment { flip: 0.3, ..Augment::none() }, 12, 1000);
    let flipped = found.iter().filter(|out| close(out, &mirrored)).count();
    assert_eq!(flipped + found.iter().filter(|out| close(out, &plain)).count(), 1000);
    assert!((250..350).contains(&flipped), "{flipped}");
}

#[test]
fn colour_jitter_stays_in_torchvisions_ranges() {
    let pixels = (0..64).flat_map(|i| [100 + i % 8, 80, 60]).collect();
    let image = Image { width: 8, height: 8, channels: 3, pixels };
    let plain = draws(&image, &Augment::none(), 8, 1).remove(0);
    let mean = |out: &[f32]| out.iter().sum::<f32>() / out.len() as f32;
    let brightness = draws(&image, &Augment { brightness: 0.5, ..Augment::none() }, 8, 500);
    let factors: Vec<f32> = brightness.iter().map(|out| out[0] / plain[0]).collect();
    let (low, high) = factors.iter().fold((9f32, 0f32), |(low, high), f| (low.min(*f), high.max(*f)));
    assert!((0.5..0.52).contains(&low) && (1.48..1.5001).contains(&high), "{low} {high}");
    // Contrast moves every value by the same factor towards or from the mean grey.
    let weights = [0.2989, 0.587, 0.114];
    let grey: f32 = plain.chunks(64).zip(weights).map(|(plane, weight)| weight * mean(plane)).sum();
    for out in draws(&image, &Augment { contrast: 0.5, ..Augment::none() }, 8, 50) {
        let factor = (out[0] - grey) / (plain[0] - grey);
        assert!((0.5..1.5).contains(&factor), "{factor}");
        assert!(out.iter().zip(&plain).all(|(a, b)| (a - (grey + factor * (b - grey))).abs() < 1e-4));
    }
    // Saturation keeps each pixel's grey; a grey picture does not change.
    for out in draws(&image, &Augment { saturation: 0.5, ..Augment::none() }, 8, 50) {
        let of = |out: &[f32]| weights.iter().enumerate().map(|(c, weight)| weight * out[64 * c]).sum::<f32>();
        assert!((of(&out) - of(&plain)).abs() < 1e-3);
    }
}

#[test]
fn erasing_zeroes_one_rectangle_of_the_area_asked_for() {
    let image = Image { width: 8, height: 8, channels: 1, pixels: vec![255; 64] };
    let augment = Augment { erase: 0.5, erase_area: (0.1, 0.2), ..Augment::none() };
    let mut erased = 0;
    for out in draws(&image, &augment, 50, 400) {
        let zeros = out[..2500].iter().filter(|value| **value == 0.0).count();
        if zeros > 0 {
            erased += 1;
            assert!((200..=550).contains(&zeros), "{zeros}");
            assert_eq!(out[..2500], out[2500..5000]);
        }
    }
    assert!((160..240).contains(&erased), "{erased}");
}

#[test]
fn the_crop_moves_the_picture_by_at_most_its_padding() {
    let image = Image { width: 12, height: 12, channels: 1, pixels: vec![255; 144] };
    let mut shifts = std::collections::BTreeSet::new();
    for out in draws(&image, &Augment { crop: 0.25, ..Augment::none() }, 12, 300) {
        let black = out[..144].chunks(12).filter(|row| row.iter().all(|value| *value == 0.0)).count();
        let above = out[..12].iter().all(|value| *value == 0.0);
        shifts.insert(if above { -(black as i32) } else { black as i32 });
    }
    assert_eq!(shifts.into_iter().collect::<Vec<_>>(), [-3, -2, -1, 0, 1, 2, 3]);
}

#[test]
fn a_border_is_repeated_where_black_would_lie() {
    let image = Image { width: 12, height: 12, channels: 1, pixels: vec![200; 144] };
    let moved = Augment { degrees: 30.0, translate: 0.2, scale: (0.6, 0.9), ..Augment::none() };
    let black = |out: &[f32]| out.iter().filter(|value| **value < 0.5).count();
    assert!(draws(&image, &moved, 12, 50).iter().all(|out| black(out) > 0));
    let repeated = draws(&image, &Augment { border: 1.0, ..moved }, 12, 50);
    assert!(repeated.iter().all(|out| out.iter().all(|value| (value - 200.0 / 255.0).abs() < 1e-5)));
    let sometimes = draws(&image, &Augment { border: 0.3, ..moved }, 12, 400);
    let repeated = sometimes.iter().filter(|out| black(out) == 0).count();
    assert!((80..160).contains(&repeated), "{repeated}");
}

#[test]
fn blur_and_jpeg_change_some_pictures_and_leave_the_other_draws_as_they_are() {
    let image = &samples(1)[0].image;
    let plain = Augment { degrees: 20.0, erase: 0.5, ..Augment::none() };
    let worn = Augment { blur: 0.3, jpeg: 0.3, ..plain };
    let [plain, worn] = [plain, worn].map(|augment| draws(image, &augment, 16, 400));
    let same = plain.iter().zip(&worn).filter(|(plain, worn)| plain == worn).count();
    // 0.7² of 400.
    assert!((156..236).contains(&same), "{same}");
    for (plain, worn) in plain.iter().zip(&worn) {
        // A JPEG may have a black pixel more.
        let erased = plain.iter().zip(worn).filter(|(plain, _)| **plain == 0.0);
        assert!(erased.clone().all(|(_, worn)| *worn == 0.0) || erased.count() < 3, "what is erased or outside");
    }
    // They happen to images of the host.
    let pool = Arc::new(Pool::new(&samples(9), 1 << 20).expect("a pool"));
    for text in ["blur=0.5", "jpeg=0.5", "border=0.5"] {
        let augment: Augment = text.parse().expect("an augmentation");
        let options = LoaderOptions { augment, pool: Some(Arc::clone(&pool)), ..options() };
        let refused = Loader::new(&samples(9), 3, options).map(|_| ()).expect_err(text).to_string();
        assert!(refused.contains("without border, blur and jpeg where the images stay on the device"), "{refused}");
    }
}

#[test]
fn augmentations_have_names_and_settings() {
    for text in [
        "none",
        "affectnet",
        "rafdb",
        "flip=0.5,degrees=10",
        "contrast=0.2,scale=1.5,scale_min=0.8",
        "border=0.5,blur=0.1,jpeg=0.2,jpeg_quality=60",
    ] {
        assert_eq!(text.parse::<Augment>().expect(text).to_string(), text);
    }
    let changed: Augment = "affectnet,degrees=10".parse().expect("a preset with a change");
    assert_eq!(changed, Augment { degrees: 10.0, ..Augment::affectnet() });
    assert_eq!(changed.to_string().parse::<Augment>().expect("its own text"), changed);
    for wrong in [
        "imagenet",
        "flip",
        "flip=2",
        "scale=0.5",
        "tilt=3",
        "degrees=much",
        "brightness=nan",
        "jpeg=2",
        "jpeg_quality_min=0",
    ] {
        assert_eq!(wrong.parse::<Augment>().expect_err(wrong).exit_code(), 2, "{wrong}");
    }
}

#[test]
fn each_branch_has_a_sample_of_an_images_votes_that_stays_the_same() {
    let mut samples = flat(200);
    let shares = [0.5, 0.3, 0.2];
    samples.iter_mut().skip(1).for_each(|sample| sample.votes = Some(shares.to_vec()));
    let of = |epoch, seed| {
        let options = LoaderOptions { targets: Targets::Soft, resampled: Some(4), epoch, seed, ..options() };
        all(&samples, options).into_iter().flat_map(|batch| batch.targets).collect::<Vec<f32>>()
    };
    let targets = of(0, 1);
    assert_eq!(targets.len(), 200 * 4 * 3);
    assert_eq!(targets[..12], [1.0, 0.0, 0.0].repeat(4), "without votes the label");
    let mut sums = [0.0; 3];
    let mut equal = 0;
    for image in targets[12..].chunks(12) {
        equal += usize::from(image[..3] == image[3..6]);
        for target in image.chunks(3) {
            assert!((target.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{target:?}");
            assert!(target.iter().all(|share| ((share * 10.0) - (share * 10.0).round()).abs() < 1e-5), "{target:?}");
            sums.iter_mut().zip(target).for_each(|(sum, share)| *sum += f64::from(*share) / (199.0 * 4.0));
        }
    }
    // 7,960 votes: a share's deviation is at most 0.0056.
    assert!(sums.iter().zip(shares).all(|(found, share)| (found - f64::from(share)).abs() < 0.025), "{sums:?}");
    assert!(equal < 60, "{equal} of 199 images have two branches with the same votes");
    assert_eq!(targets, of(5, 1), "the same in every epoch");
    assert_ne!(targets, of(0, 2));
    let whole = LoaderOptions { targets: Targets::Soft, ..options() };
    assert_eq!(all(&samples, whole)[0].targets[3..6], shares);
}

//! How often each class is met in training.

use super::{Sample, Targets};

/// The mean of the targets of a training on these images `[classes]`, which sums to 1: with hard targets the share of each
/// class among the images, with soft ones its share of all annotators' votes, where an image without votes counts as one
/// vote for its class. `weight` is how much each image of a class with so many of them counts: as often as it is drawn.
#[must_use]
pub fn prior(samples: &[Sample], classes: usize, targets: Targets, weight: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut counts = vec![0_usize; classes];
    samples.iter().for_each(|sample| counts[sample.label] += 1);
    let mut sums = vec![0.0; classes];
    for sample in samples {
        let weight = weight(counts[sample.label]);
        match (&sample.votes, targets) {
            (Some(votes), Targets::Soft) => {
                sums.iter_mut().zip(votes).for_each(|(sum, vote)| *sum += weight * f64::from(*vote));
            }
            _ => sums[sample.label] += weight,
        }
    }
    let all: f64 = sums.iter().sum();
    sums.into_iter().map(|sum| if all > 0.0 { sum / all } else { 1.0 / classes as f64 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Image;

    fn sample(label: usize, votes: Option<[f32; 3]>) -> Sample {
        let image = Image { width: 1, height: 1, channels: 1, pixels: vec![0] };
        let votes = votes.map(|votes| votes.to_vec());
        Sample { id: String::new(), image: image.into(), label, votes, valence: None, arousal: None }
    }

    #[test]
    fn the_prior_is_the_mean_of_the_targets() {
        let votes = Some([0.5, 0.25, 0.25]);
        let samples = [sample(0, votes), sample(0, votes), sample(0, votes), sample(1, None)];
        let alike = |_| 1.0;
        assert_eq!(prior(&samples, 3, Targets::Hard, alike), [0.75, 0.25, 0.0]);
        assert_eq!(prior(&samples, 3, Targets::Soft, alike), [0.375, 0.4375, 0.1875]);
        let one_of_each = |count| 1.0 / count as f64;
        assert_eq!(prior(&samples, 3, Targets::Hard, one_of_each), [0.5, 0.5, 0.0]);
        let soft = prior(&samples, 3, Targets::Soft, one_of_each);
        assert!(soft.iter().zip([0.25, 0.625, 0.125]).all(|(found, share)| (found - share).abs() < 1e-12), "{soft:?}");
        assert_eq!(prior(&[], 2, Targets::Hard, alike), [0.5, 0.5], "nothing is known");
    }
}

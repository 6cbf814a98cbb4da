//! How a network's learners differ in what they look at, over many images.

use serde::{Deserialize, Serialize};

/// A gate below this, or above 1 less this, is saturated: its sigmoid hardly learns there.
const SATURATED: f64 = 0.05;

/// Sums over images of the maps that learners are compared by.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MapSums {
    kind: String,
    learners: usize,
    images: usize,
    /// Of each learner's values `[L·F]`.
    values: Vec<f64>,
    /// Over the pairs: of ‖φ_l − φ_k‖², and of ‖φ_l − φ_k‖.
    squares: f64,
    distances: f64,
    saturated: usize,
}

/// What L learners' maps φ, of F values each, are like over the images that were seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MapFigures {
    /// `branch`, `spatial` or `channel`.
    pub kind: String,
    /// The share of the squared distances that is the same for every image: Σ ‖E φ_l − E φ_k‖² over Σ E‖φ_l − φ_k‖², over
    /// all pairs. 1 where each learner has one fixed map, 0 where all have the same one on average; none without
    /// distances.
    pub static_share: Option<f64>,
    /// The mean over pairs and images of ‖φ_l − φ_k‖.
    pub distance: f64,
    /// The share of values below 0.05 or above 0.95.
    pub saturated: f64,
}

impl MapSums {
    /// For the maps of `learners` learners.
    #[must_use]
    pub fn new(kind: &str, learners: usize) -> Self {
        Self { kind: kind.to_owned(), learners, ..Self::default() }
    }

    /// Adds images, whose maps `[N, L·F…]` follow each other.
    pub fn add(&mut self, maps: &[f32], images: usize) {
        let stride = maps.len().checked_div(images).unwrap_or(0);
        self.values.resize(stride, 0.0);
        for map in maps.chunks(stride.max(1)) {
            let learners: Vec<&[f32]> = map.chunks((stride / self.learners.max(1)).max(1)).collect();
            for (index, one) in learners.iter().enumerate() {
                for other in &learners[..index] {
                    let square: f64 = one.iter().zip(*other).map(|(a, b)| f64::from(a - b).powi(2)).sum();
                    self.squares += square;
                    self.distances += square.sqrt();
                }
            }
            self.values.iter_mut().zip(map).for_each(|(sum, &value)| *sum += f64::from(value));
            let at_an_end = |value: &&f32| !(SATURATED..=1.0 - SATURATED).contains(&f64::from(**value));
            self.saturated += map.iter().filter(at_an_end).count();
        }
        self.images += images;
    }

    /// The figures.
    #[must_use]
    pub fn figures(&self) -> MapFigures {
        let images = self.images.max(1) as f64;
        let means: Vec<f64> = self.values.iter().map(|sum| sum / images).collect();
        let learners: Vec<&[f64]> = means.chunks((means.len() / self.learners.max(1)).max(1)).collect();
        let mut fixed = 0.0;
        for (index, one) in learners.iter().enumerate() {
            for other in &learners[..index] {
                fixed += one.iter().zip(*other).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
            }
        }
        let pairs = (self.learners * self.learners.saturating_sub(1) / 2).max(1) as f64;
        let squares = self.squares / images;
        MapFigures {
            kind: self.kind.clone(),
            static_share: (squares > 0.0).then(|| fixed / squares),
            distance: self.distances / images / pairs,
            saturated: self.saturated as f64 / (images * self.values.len().max(1) as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_masks_are_static_and_maps_that_follow_the_image_are_not() {
        let mut fixed = MapSums::new("spatial", 2);
        fixed.add(&[0.2, 0.8, 0.8, 0.2, 0.2, 0.8, 0.8, 0.2], 2);
        let figures = fixed.figures();
        assert!((figures.static_share.expect("distances") - 1.0).abs() < 1e-6, "{figures:?}");
        assert!((figures.distance - 0.72_f64.sqrt()).abs() < 1e-6 && figures.saturated == 0.0, "{figures:?}");

        // The learners change places from image to image.
        let mut follows = MapSums::new("spatial", 2);
        follows.add(&[0.0, 1.0, 1.0, 0.0], 1);
        follows.add(&[1.0, 0.0, 0.0, 1.0], 1);
        let figures = follows.figures();
        assert_eq!((figures.static_share, figures.saturated), (Some(0.0), 1.0));

        // Half of it: the means differ by 0.5 where the maps differ by 1 or 0.
        let mut half = MapSums::new("spatial", 2);
        half.add(&[1.0, 0.0], 1);
        half.add(&[0.5, 0.5], 1);
        assert_eq!((half.figures().static_share, half.figures().distance), (Some(0.5), 0.5));
    }

    #[test]
    fn learners_that_are_alike_have_no_share() {
        let mut alike = MapSums::new("channel", 3);
        alike.add(&[0.5; 6], 1);
        assert_eq!((alike.figures().static_share, alike.figures().distance), (None, 0.0));
    }
}

//! Which images of one split are in another one too, if not byte for byte: saved again as JPEG, resized, turned
//! grey, mirrored. They make a test easier than it should be.
//!
//! Two images are near copies where the pixels of their grey versions of 32×32, upright or one of them mirrored,
//! correlate by at least [`LEAST_CORRELATION`]. That is the definition and not an estimate: the search finds every
//! such pair, because its index bounds the correlation from above. A crop, a rotation or a picture pasted into
//! another one is not found.

mod grey;
mod same;
mod tree;

use std::fmt;

use rayon::prelude::*;

use self::grey::{Descriptor, Grey};
pub use self::same::{Contradiction, Labelled};
pub(super) use self::same::{repeats, without_colour};
use self::tree::Tree;
use super::{Image, Sample};

/// From this correlation of the grey versions on, two images count as near copies.
///
/// On FER+ all pairs above it that were looked at, those with the least agreement of edges first, show one photograph.
/// Between 0.9 and 0.95 the edges of every sixth pair agree no better than those of two people in a similar light.
pub const LEAST_CORRELATION: f64 = 0.95;

/// Added to squared distances for the rounding of 64 numbers near 1 to f32.
const ROUNDING: f32 = 1e-5;

/// An image and the one that it is a near copy of.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct NearCopy {
    /// [`Sample::id`] of the image.
    pub id: String,
    /// [`Sample::id`] of the image most like it in the other split.
    pub of: String,
    /// The correlation of their grey versions, [`LEAST_CORRELATION`] to 1.
    pub correlation: f64,
    /// True where one of them has to be mirrored for it.
    pub mirrored: bool,
}

impl fmt::Display for NearCopy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mirrored = if self.mirrored { "mirrored, " } else { "" };
        write!(f, "{} is like {} ({mirrored}{:.3})", self.id, self.of, self.correlation)
    }
}

/// Images in which near copies of others can be looked up.
///
/// It holds about 1.3 kB for each image. Building it takes n·log n steps for n images; one look-up goes through a
/// small part of them.
pub struct CopyIndex {
    greys: Vec<Grey>,
    tree: Tree,
    /// Where each grey version's image stands: those without contrast have none.
    origin: Vec<usize>,
}

/// What a look-up found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match {
    /// Which image of those that the index was built of.
    pub index: usize,
    /// As [`NearCopy::correlation`].
    pub correlation: f64,
    /// As [`NearCopy::mirrored`].
    pub mirrored: bool,
}

impl CopyIndex {
    /// An index of images, made on all cores. Images without contrast, below a standard deviation of 2 grey levels
    /// of 255, are left out: their correlation with others means nothing.
    #[must_use]
    pub fn new<'a>(images: impl IntoIterator<Item = &'a Image>) -> Self {
        let images: Vec<&Image> = images.into_iter().collect();
        let greys: Vec<Option<Grey>> = images.into_par_iter().map(Grey::of).collect();
        let (origin, greys): (Vec<usize>, Vec<Grey>) =
            greys.into_iter().enumerate().filter_map(|(at, grey)| Some((at, grey?))).unzip();
        let descriptors: Vec<Descriptor> = greys.par_iter().map(Grey::descriptor).collect();
        Self { greys, tree: Tree::new(&descriptors), origin }
    }

    /// The image most like this one, if any correlates by at least [`LEAST_CORRELATION`]; of several alike the
    /// first, upright rather than mirrored.
    #[must_use]
    pub fn closest(&self, image: &Image) -> Option<Match> {
        let upright = Grey::of(image)?;
        let descriptor = upright.descriptor();
        let mirrored = upright.mirrored();
        let mut best: Option<Match> = None;
        for (grey, descriptor, mirrored) in
            [(&upright, descriptor, false), (&mirrored, grey::mirrored(&descriptor), true)]
        {
            let least = |best: Option<Match>| best.map_or(LEAST_CORRELATION, |best| best.correlation);
            let reach = |best| (2.0 - 2.0 * least(best)) as f32 + ROUNDING;
            self.tree.visit(&descriptor, reach(best), |at| {
                let (index, correlation) = (self.origin[at], grey.correlation(&self.greys[at]));
                let is_better = match best {
                    None => correlation >= LEAST_CORRELATION,
                    Some(best) if correlation == best.correlation => mirrored == best.mirrored && index < best.index,
                    Some(best) => correlation > best.correlation,
                };
                if is_better {
                    best = Some(Match { index, correlation, mirrored });
                }
                reach(best)
            });
        }
        best
    }
}

/// The samples that are near copies of some of `others`, each with the one most like it, in their order.
pub(super) fn near_copies(samples: &[Sample], others: &CopyIndex, others_samples: &[Sample]) -> Vec<NearCopy> {
    let found = samples.par_iter().filter_map(|sample| {
        let Match { index, correlation, mirrored } = others.closest(&sample.image)?;
        Some(NearCopy { id: sample.id.clone(), of: others_samples[index].id.clone(), correlation, mirrored })
    });
    found.collect()
}

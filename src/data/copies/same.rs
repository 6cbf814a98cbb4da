//! Images of one split that are the same pixel for pixel.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use super::super::{Image, Sample};

/// One picture that a split has under several labels: whatever a network learns of it is wrong.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Contradiction {
    /// The images, at least two, in their order.
    pub images: Vec<Labelled>,
}

/// An image by its id and class.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Labelled {
    /// [`Sample::id`].
    pub id: String,
    /// The name of its class.
    pub class: String,
}

impl Contradiction {
    /// None if all labels of the same picture agree.
    pub(in crate::data) fn of(same: &[&Sample], classes: &[String]) -> Option<Self> {
        let labelled = |sample: &&Sample| Labelled { id: sample.id.clone(), class: classes[sample.label].clone() };
        let differ = same.iter().any(|sample| sample.label != same[0].label);
        differ.then(|| Self { images: same.iter().map(labelled).collect() })
    }
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.images
            .iter()
            .enumerate()
            .try_for_each(|(at, Labelled { id, class })| write!(f, "{}{id} ({class})", if at > 0 { ", " } else { "" }))
    }
}

/// The samples whose pixels are those of another one, together, in the order of the first of each.
pub(in crate::data) fn repeats(samples: &[Sample]) -> Vec<Vec<&Sample>> {
    let (mut places, mut groups) = (HashMap::new(), Vec::<Vec<&Sample>>::new());
    for sample in samples {
        let place = *places.entry(without_colour(&sample.image)).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(sample),
            None => groups.push(vec![sample]),
        }
    }
    groups.retain(|group| group.len() > 1);
    groups
}

/// The image, with one channel if its three are the same: what a BMP makes of a grey PNG is the same picture.
pub(in crate::data) fn without_colour(image: &Image) -> Cow<'_, Image> {
    let pixels = image.pixels.chunks_exact(3);
    if image.channels == 3 && pixels.clone().all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2]) {
        Cow::Owned(Image { channels: 1, pixels: pixels.map(|pixel| pixel[0]).collect(), ..*image })
    } else {
        Cow::Borrowed(image)
    }
}

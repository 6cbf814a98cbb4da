//! How well each class is recognised.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How well a set of predictions fits its labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The share of images classified correctly, 0 to 1.
    pub accuracy: f64,
    /// The mean of [`ClassScore::recall`] over the classes that occur, 0 to 1.
    pub balanced_accuracy: f64,
    /// One entry per class, in order.
    pub per_class: Vec<ClassScore>,
    /// `confusion[label][prediction]` images.
    pub confusion: Vec<Vec<usize>>,
    /// The number of images.
    pub images: usize,
}

/// How well one class is recognised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassScore {
    /// The class's name.
    pub class: String,
    /// Images of it.
    pub images: usize,
    /// The share of its images that are recognised; none without images.
    pub recall: Option<f64>,
    /// The share of the images called it that are of it; none where nothing was called it.
    pub precision: Option<f64>,
    /// 2 · precision · recall / (precision + recall); none where either is missing, 0 where both are 0.
    pub f1: Option<f64>,
}

impl Evaluation {
    /// Compares `predictions` with `labels`, class indices below `classes.len()`, in the same order.
    ///
    /// # Errors
    /// [`Error::Data`] for lists of different lengths, an empty list, or an index past the classes.
    pub fn from_predictions(labels: &[usize], predictions: &[usize], classes: &[String]) -> Result<Self> {
        let wrong = |expected: String, found: String| {
            Err(Error::Data {
                what: "evaluation".into(),
                expected,
                found,
                hint: "check that the data set's classes are the model's".into(),
            })
        };
        if labels.len() != predictions.len() || labels.is_empty() {
            return wrong(
                "as many predictions as labels, at least one".into(),
                format!("{} predictions for {} labels", predictions.len(), labels.len()),
            );
        }
        let count = classes.len();
        let mut confusion = vec![vec![0; count]; count];
        for (&label, &prediction) in labels.iter().zip(predictions) {
            if label >= count || prediction >= count {
                return wrong(format!("classes 0 to {}", count.saturating_sub(1)), label.max(prediction).to_string());
            }
            confusion[label][prediction] += 1;
        }
        Ok(Self::from_confusion(confusion, classes))
    }

    /// The figures of a square confusion matrix, `confusion[label][prediction]`, with at least one image.
    #[must_use]
    pub fn from_confusion(confusion: Vec<Vec<usize>>, classes: &[String]) -> Self {
        let share = |part: usize, whole: usize| (whole > 0).then(|| part as f64 / whole as f64);
        let per_class: Vec<ClassScore> = classes
            .iter()
            .enumerate()
            .map(|(index, class)| {
                let images = confusion[index].iter().sum();
                let called = confusion.iter().map(|row| row[index]).sum();
                let hits = confusion[index][index];
                let (recall, precision) = (share(hits, images), share(hits, called));
                let f1 = recall.zip(precision).map(|(recall, precision)| match recall + precision {
                    0.0 => 0.0,
                    sum => 2.0 * recall * precision / sum,
                });
                ClassScore { class: class.clone(), images, recall, precision, f1 }
            })
            .collect();
        let images: usize = per_class.iter().map(|class| class.images).sum();
        let hits: usize = (0..confusion.len()).map(|index| confusion[index][index]).sum();
        let recalls: Vec<f64> = per_class.iter().filter_map(|class| class.recall).collect();
        Self {
            accuracy: share(hits, images).unwrap_or(0.0),
            balanced_accuracy: recalls.iter().sum::<f64>() / recalls.len().max(1) as f64,
            per_class,
            confusion,
            images,
        }
    }
}

//! AffectNet as its authors hand it out now: `train_set/images/N.jpg`, already cut to the face, beside
//! `train_set/annotations/N_exp.npy`, `N_val.npy`, `N_aro.npy` and `N_lnd.npy` (landmarks, which are not read).

use std::collections::HashSet;
use std::path::Path;

use rayon::prelude::*;

use super::{Listing, class_of};
use crate::data::decode::Pending;
use crate::data::files::{contents, is_image, names_in};
use crate::data::{Dropped, npy};
use crate::{Error, Result};

/// A split: `<part>/images` and `<part>/annotations`.
pub(super) fn set(dir: &Path, part: &str) -> Result<Listing> {
    let (images, annotations) = (dir.join(part).join("images"), dir.join(part).join("annotations"));
    for folder in [&images, &annotations] {
        if !folder.is_dir() {
            return Err(Error::File {
                path: folder.clone(),
                expected: "images/N.jpg beside annotations/N_exp.npy".into(),
                found: contents(folder),
                hint: "unpack both folders there".into(),
            });
        }
    }
    let left_out = |id: String, reason: &str, unreadable| Dropped { id, reason: reason.into(), unreadable };
    let labelled: HashSet<String> = names_in(&annotations, |_| true)?.into_iter().collect();
    let files = names_in(&images, |path| path.is_file())?;
    let stems: HashSet<&str> = files.iter().filter_map(|file| Some(file.rsplit_once('.')?.0)).collect();
    let read = files.par_iter().map(|file| {
        let id = format!("{part}/images/{file}");
        let Some((stem, _)) = file.rsplit_once('.').filter(|_| is_image(file)) else {
            return Ok(Err(left_out(id, "not an image", false)));
        };
        if !labelled.contains(&format!("{stem}_exp.npy")) {
            return Ok(Err(left_out(id, "without its annotation _exp.npy", true)));
        }
        let path = annotations.join(format!("{stem}_exp.npy"));
        let number = npy::number(&path)?;
        let class = if number.fract() == 0.0 { class_of(number as i64) } else { None };
        let Some(class) = class else {
            return Err(Error::File {
                path,
                expected: "an expression from 0 to 10".into(),
                found: number.to_string(),
                hint: "unpack the annotations again".into(),
            });
        };
        let label = match class {
            Ok(label) => label,
            Err(reason) => return Ok(Err(left_out(id, reason, false))),
        };
        let affect = |kind: &str| -> Result<Option<f32>> {
            let file = format!("{stem}_{kind}.npy");
            if !labelled.contains(&file) {
                return Ok(None);
            }
            // −2 where the annotator gave none.
            Ok(Some(npy::number(&annotations.join(file))? as f32).filter(|number| (-1.0..=1.0).contains(number)))
        };
        let (valence, arousal) = (affect("val")?, affect("aro")?);
        Ok(Ok(Pending { valence, arousal, ..Pending::new(id, images.join(file), label) }))
    });
    let mut listing = Listing::default();
    for found in read.collect::<Result<Vec<_>>>()? {
        match found {
            Ok(pending) => listing.pending.push(pending),
            Err(dropped) => listing.dropped.push(dropped),
        }
    }
    let mut alone: Vec<&String> = labelled.iter().collect();
    alone.sort();
    for file in alone {
        let id = format!("{part}/annotations/{file}");
        match file.strip_suffix(".npy").and_then(|name| name.rsplit_once('_')) {
            Some((stem, "exp" | "val" | "aro" | "lnd")) if stems.contains(stem) => {}
            Some((_, "exp")) => listing.dropped.push(left_out(id, "an annotation without its image", true)),
            Some((_, "val" | "aro" | "lnd")) => {}
            _ => listing.dropped.push(left_out(id, "not an annotation", false)),
        }
    }
    Ok(listing)
}

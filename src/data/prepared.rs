//! Faces cut out and resized once, so that a large data set is read in minutes instead of hours.
//!
//! A split is a row of files `<split>-00000.safetensors`, each with `images`, bytes `[N, size, size, 3]` (red, green,
//! blue), `labels`, bytes `[N]`, and `ids`, the images' names in UTF-8, one a line; where the data have them also
//! `valence` and `arousal`, f32 `[N]`, NaN where an image has none. The metadata's `shard` says which part of which split
//! it is.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::imageops::FilterType;
use rayon::prelude::*;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

use super::decode::{Pending, broken, picture, too_many};
use super::files::names_in;
use super::{Dropped, Image, Sample, Split};
use crate::{Error, Result, checkpoint::write_atomic};

/// Which part of which split a file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shard {
    /// The split's name.
    split: String,
    /// The edge of its images.
    size: usize,
    /// The number of this file, from 0.
    number: usize,
    /// The number of the split's files.
    count: usize,
    /// Images of the data set that the whole split was made from.
    listed: usize,
    /// Images of this part that could not be read, with the reasons.
    unreadable: Vec<(String, String)>,
}

/// What `prepare` did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Prepared {
    /// Files written.
    pub written: usize,
    /// Files that an earlier call had finished.
    pub kept: usize,
    /// Images in all files.
    pub images: usize,
    /// Images that could not be read.
    pub unreadable: Vec<Dropped>,
}

/// Images of a file.
pub const PER_SHARD: usize = 8192;

fn shard_path(dir: &Path, split: &str, number: usize) -> PathBuf {
    dir.join(format!("{split}-{number:05}.safetensors"))
}

/// Are there prepared files?
pub(super) fn is_prepared(dir: &Path) -> bool {
    ["train", "test"].iter().any(|split| shard_path(dir, split, 0).is_file())
}

/// Writes images as [`prepare_affectnet`](super::prepare_affectnet) says; `listings` has each split's.
pub(super) fn prepare(
    listings: &[(&str, Vec<Pending>)],
    out: &Path,
    size: usize,
    per_shard: usize,
    mut progress: impl FnMut(&Path, bool),
) -> Result<Prepared> {
    let range = |setting: &str, value: usize, low: usize, high: usize| {
        if (low..=high).contains(&value) {
            return Ok(());
        }
        Err(Error::Usage {
            setting: setting.into(),
            expected: format!("a number from {low} to {high}"),
            found: value.to_string(),
            hint: "correct the value".into(),
        })
    };
    range("size", size, 16, 512)?;
    range("per-shard", per_shard, 1, 1 << 20)?;
    std::fs::create_dir_all(out)
        .map_err(|error| Error::io(out, "making the folder", error, "name a folder that may be written"))?;
    let mut done = Prepared::default();
    for (split, images) in listings {
        let count = images.len().div_ceil(per_shard);
        for (number, pending) in images.chunks(per_shard).enumerate() {
            let path = shard_path(out, split, number);
            let listed = images.len();
            let mut shard = Shard { split: (*split).into(), size, number, count, listed, unreadable: vec![] };
            let there = path.is_file().then(|| read(&path)).transpose()?;
            let (shard, images, kept) = match there {
                Some((old, samples)) if (Shard { unreadable: vec![], ..old.clone() }) == shard => {
                    (old, samples.len(), true)
                }
                Some((old, _)) => {
                    return Err(Error::File {
                        path,
                        expected: format!("part {} of {count} of {listed} images, {size} pixels", number + 1),
                        found: format!(
                            "part {} of {} of {}, {} pixels",
                            old.number + 1,
                            old.count,
                            old.listed,
                            old.size
                        ),
                        hint: "name another folder, or remove the files of the earlier call".into(),
                    });
                }
                None => {
                    let images = write(&path, &mut shard, pending)?;
                    (shard, images, false)
                }
            };
            done.images += images;
            done.written += usize::from(!kept);
            done.kept += usize::from(kept);
            done.unreadable.extend(dropped(shard.unreadable));
            progress(&path, kept);
        }
    }
    Ok(done)
}

fn dropped(unreadable: Vec<(String, String)>) -> impl Iterator<Item = Dropped> {
    unreadable.into_iter().map(|(id, reason)| Dropped { id, reason, unreadable: true })
}

/// Reads and resizes the images of a part and writes them; returns how many there are.
fn write(path: &Path, shard: &mut Shard, pending: &[Pending]) -> Result<usize> {
    let size = shard.size as u32;
    let faces: Vec<_> = pending
        .par_iter()
        .map(|image| {
            let picture = picture(&image.path, image.face)?;
            Ok::<_, String>(picture.resize_exact(size, size, FilterType::Triangle).into_rgb8().into_raw())
        })
        .collect();
    let (mut images, mut labels, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    let (mut valence, mut arousal) = (Vec::new(), Vec::new());
    for (face, image) in faces.into_iter().zip(pending) {
        let Pending { id, label, .. } = image;
        match face {
            Ok(pixels) => {
                images.extend(pixels);
                labels.push(*label as u8);
                ids.push(id.as_str());
                valence.extend(image.valence.unwrap_or(f32::NAN).to_le_bytes());
                arousal.extend(image.arousal.unwrap_or(f32::NAN).to_le_bytes());
            }
            Err(reason) => shard.unreadable.push((id.clone(), format!("unreadable: {reason}"))),
        }
    }
    let unreadable = shard.unreadable.len();
    if let Some((id, reason)) = shard.unreadable.first().filter(|_| too_many(unreadable, pending.len())) {
        let what = format!("a part of {} of the {} split", pending.len(), shard.split);
        return Err(broken(what, unreadable, pending.len(), id, reason));
    }
    let (count, ids) = (labels.len(), ids.join("\n"));
    let view = |dtype, shape: Vec<usize>, bytes| {
        TensorView::new(dtype, shape, bytes).expect("invariant: shape and bytes agree")
    };
    let mut tensors = vec![
        ("ids", view(Dtype::U8, vec![ids.len()], ids.as_bytes())),
        ("images", view(Dtype::U8, vec![count, shard.size, shard.size, 3], &images)),
        ("labels", view(Dtype::U8, vec![count], &labels)),
    ];
    if pending.iter().any(|image| image.valence.or(image.arousal).is_some()) {
        tensors.push(("arousal", view(Dtype::F32, vec![count], &arousal)));
        tensors.push(("valence", view(Dtype::F32, vec![count], &valence)));
    }
    let metadata = serde_json::to_string(shard).expect("invariant: a shard is plain data");
    let bytes = safetensors::serialize(tensors, Some(HashMap::from([("shard".to_string(), metadata)])))
        .map_err(|error| Error::io(path, "packing the images", std::io::Error::other(error), "report this"))?;
    write_atomic(path, "writing the images", |to| to.write_all(&bytes))?;
    Ok(count)
}

/// Reads a file.
fn read(path: &Path) -> Result<(Shard, Vec<Sample>)> {
    let wrong = |expected: &str, found: String| Error::File {
        path: path.into(),
        expected: expected.into(),
        found,
        hint: "remove the file and run `moue data prepare` again".into(),
    };
    let bytes = std::fs::read(path)
        .map_err(|error| Error::io(path, "reading the images", error, "check the file's permissions"))?;
    let whole = |error: safetensors::SafeTensorError| wrong("a whole safetensors file", error.to_string());
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(whole)?;
    let shard = header.metadata().as_ref().and_then(|metadata| metadata.get("shard"));
    let shard: Shard = match shard.map(|text| serde_json::from_str(text)) {
        Some(Ok(shard)) => shard,
        Some(Err(error)) => return Err(wrong("the metadata of a prepared file", error.to_string())),
        None => return Err(wrong("the metadata of a prepared file", "none".into())),
    };
    let tensors = SafeTensors::deserialize(&bytes).map_err(whole)?;
    let tensor = |name: &str| match tensors.tensor(name) {
        Ok(tensor) if tensor.dtype() == Dtype::U8 => Ok(tensor),
        Ok(tensor) => Err(wrong(&format!("bytes in `{name}`"), format!("{:?}", tensor.dtype()))),
        Err(_) => Err(wrong(&format!("a tensor `{name}`"), "none".into())),
    };
    let (images, labels, ids) = (tensor("images")?, tensor("labels")?, tensor("ids")?);
    let Ok(ids) = std::str::from_utf8(ids.data()) else {
        return Err(wrong("names in UTF-8", "other bytes".into()));
    };
    let ids: Vec<&str> = ids.lines().collect();
    let (count, size) = (labels.data().len(), shard.size);
    if images.shape() != [count, size, size, 3] || ids.len() != count {
        let found = format!("images {:?}, {} names", images.shape(), ids.len());
        return Err(wrong(&format!("images [{count}, {size}, {size}, 3] and as many names"), found));
    }
    let numbers = |name: &str| match tensors.tensor(name) {
        Ok(tensor) if tensor.dtype() == Dtype::F32 && tensor.shape() == [count] => {
            let numbers = tensor.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
            Ok(numbers.map(|number| number.is_finite().then_some(number)).collect())
        }
        Ok(tensor) => Err(wrong(&format!("f32 [{count}] in `{name}`"), format!("{:?}", tensor.shape()))),
        Err(_) => Ok(vec![None; count]),
    };
    let (valence, arousal) = (numbers("valence")?, numbers("arousal")?);
    let faces = ids.into_iter().zip(labels.data()).zip(images.data().chunks(size * size * 3));
    let samples = faces.zip(valence.into_iter().zip(arousal)).map(|(((id, label), pixels), (valence, arousal))| {
        let image = Arc::new(Image { width: size, height: size, channels: 3, pixels: pixels.to_vec() });
        Sample { valence, arousal, ..Sample::new(id, image, usize::from(*label)) }
    });
    Ok((shard, samples.collect()))
}

/// Loads those of the named splits that are there, whole.
pub(super) fn load(dir: &Path, names: &[&str]) -> Result<BTreeMap<String, Split>> {
    let mut splits = BTreeMap::new();
    for name in ["train", "test"].into_iter().filter(|name| names.contains(name)) {
        let prefix = format!("{name}-");
        let files = names_in(dir, |path| path.extension().is_some_and(|ending| ending == "safetensors"))?;
        let files: Vec<PathBuf> =
            files.into_iter().filter(|file| file.starts_with(&prefix)).map(|file| dir.join(file)).collect();
        let parts: Vec<_> = files.par_iter().map(|path| read(path)).collect::<Result<_>>()?;
        let mut split = Split::default();
        let total = parts.first().map_or(1, |part| part.0.count);
        for (number, (shard, samples)) in parts.into_iter().enumerate() {
            if (shard.number, shard.count, shard.split.as_str()) != (number, total, name) {
                return Err(missing(dir, name, number, total));
            }
            split.samples.extend(samples);
            split.dropped.extend(dropped(shard.unreadable));
        }
        if files.len() < total {
            return Err(missing(dir, name, files.len(), total));
        }
        splits.insert(name.to_string(), split);
    }
    Ok(splits)
}

fn missing(dir: &Path, split: &str, number: usize, total: usize) -> Error {
    Error::File {
        path: shard_path(dir, split, number),
        expected: format!("part {} of {total} of the {split} split", number + 1),
        found: "none, or another part".into(),
        hint: "run `moue data prepare` again: it makes what is missing".into(),
    }
}

//! Which data to load, as text and as a type.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::dataset::Loaded;
use super::{Dataset, Faces, FerPlusVotes, SyntheticSpec, affectnet, fer2013, ferplus, folder, rafdb, synthetic};
use crate::{Error, Result};

/// The splits a data set may have, in the order in which they are reported.
pub const SPLITS: [&str; 3] = ["train", "valid", "test"];

/// Where the images come from; its text form is what the command line takes and what reports quote.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Spec {
    /// `ferplus:DIR`, FER+ in any of its three layouts; `ferplus:DIR,uncertain=votes,identical=merged` with more of its
    /// votes to train on.
    FerPlus(PathBuf, FerPlusVotes),
    /// `fer2013:DIR`, FER2013 as its table or as folders.
    Fer2013(PathBuf),
    /// `rafdb:DIR`, RAF-DB's aligned faces, or `rafdb-original:DIR`, its photographs, in either layout.
    RafDb(PathBuf, Faces),
    /// `affectnet:DIR`, AffectNet in any of its layouts, or prepared by `moue data prepare`.
    AffectNet(PathBuf),
    /// `folder:DIR`, one folder per class, or images with a `labels.csv`.
    Folder(PathBuf),
    /// `synthetic` or `synthetic:seed=1,train=4000,valid=800,test=800,size=64`: rendered faces, nothing to download.
    Synthetic(SyntheticSpec),
}

impl Spec {
    /// Loads every split the data has.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Io`] or [`Error::Data`] that names the file or split, what was expected there
    /// and what was found; [`Error::Usage`] for synthetic settings out of range.
    pub fn load(&self) -> Result<Dataset> {
        self.load_splits(&SPLITS)
    }

    /// Loads the named splits only: files of other splits are not opened. FER+ and synthetic data must have
    /// every named split, the others give those of them that they have.
    ///
    /// # Errors
    /// As [`Spec::load`], and [`Error::Usage`] for a name other than `train`, `valid` and `test`.
    pub fn load_splits(&self, names: &[&str]) -> Result<Dataset> {
        if let Some(name) = names.iter().find(|name| !SPLITS.contains(name)) {
            return Err(Error::Usage {
                setting: "the split".into(),
                expected: "train, valid or test".into(),
                found: format!("`{name}`"),
                hint: "name one of the three".into(),
            });
        }
        let Loaded { classes, splits, unused } = match self {
            Self::FerPlus(dir, votes) => ferplus::load(dir, *votes, names)?,
            Self::Fer2013(dir) => fer2013::load(dir, names)?,
            Self::RafDb(dir, faces) => rafdb::load(dir, *faces, names)?,
            Self::AffectNet(dir) => affectnet::load(dir, names)?,
            Self::Folder(dir) => folder::load(dir, names)?,
            Self::Synthetic(spec) => synthetic::load(spec, names)?,
        };
        Ok(Dataset { unused, ..Dataset::new(self.to_string(), classes, splits)? })
    }
}

impl FromStr for Spec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        match (kind, rest) {
            ("synthetic", rest) => Ok(Self::Synthetic(rest.parse()?)),
            ("ferplus" | "fer2013" | "rafdb" | "rafdb-original" | "affectnet" | "folder", "") => Err(Error::Usage {
                setting: "the data set".into(),
                expected: format!("{kind}:DIR"),
                found: format!("`{text}`"),
                hint: "name the folder after the colon".into(),
            }),
            ("ferplus", rest) => FerPlusVotes::split_off(rest).map(|(dir, votes)| Self::FerPlus(dir.into(), votes)),
            ("fer2013", dir) => Ok(Self::Fer2013(dir.into())),
            ("rafdb", dir) => Ok(Self::RafDb(dir.into(), Faces::Aligned)),
            ("rafdb-original", dir) => Ok(Self::RafDb(dir.into(), Faces::Original)),
            ("affectnet", dir) => Ok(Self::AffectNet(dir.into())),
            ("folder", dir) => Ok(Self::Folder(dir.into())),
            _ => Err(Error::Usage {
                setting: "the data set".into(),
                expected:
                    "ferplus:DIR, fer2013:DIR, rafdb:DIR, rafdb-original:DIR, affectnet:DIR, folder:DIR or synthetic"
                        .into(),
                found: format!("`{text}`"),
                hint: if Path::new(text).is_dir() {
                    format!("write `folder:{text}` for a folder with one subfolder per class")
                } else {
                    "`synthetic` needs no files".into()
                },
            }),
        }
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FerPlus(dir, votes) => write!(f, "ferplus:{}{votes}", dir.display()),
            Self::Fer2013(dir) => write!(f, "fer2013:{}", dir.display()),
            Self::RafDb(dir, Faces::Aligned) => write!(f, "rafdb:{}", dir.display()),
            Self::RafDb(dir, Faces::Original) => write!(f, "rafdb-original:{}", dir.display()),
            Self::AffectNet(dir) => write!(f, "affectnet:{}", dir.display()),
            Self::Folder(dir) => write!(f, "folder:{}", dir.display()),
            Self::Synthetic(spec) => write!(f, "synthetic:{spec}"),
        }
    }
}

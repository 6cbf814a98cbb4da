//! The paper's figures (Table 1), in percent.

use super::{NetworkName, Variant};

/// The data sets of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataSet {
    /// AffectNet, eight classes.
    AffectNet,
    /// FER+, majority labels.
    FerPlus,
    /// RAF-DB, basic.
    RafDb,
}

impl DataSet {
    /// The data set of a [`Spec`](crate::data::Spec)'s name; none where the paper has no figures.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "affectnet" => Some(Self::AffectNet),
            "ferplus" => Some(Self::FerPlus),
            "rafdb" | "rafdb-original" => Some(Self::RafDb),
            _ => None,
        }
    }
}

/// A row of ESR: branches, variant, accuracy on AffectNet, FER+ and RAF-DB.
const ESR: [(usize, Variant, [f64; 3]); 8] = [
    (9, Variant::Plain, [58.8, 88.40, 77.96]),
    (9, Variant::Attention, [58.95, 88.56, 82.39]),
    (9, Variant::Spatial, [59.25, 88.59, 82.92]),
    (9, Variant::Both, [59.3, 89.15, 82.95]),
    (15, Variant::Plain, [58.7, 88.59, 77.5]),
    (15, Variant::Attention, [59.25, 88.78, 82.82]),
    (15, Variant::Spatial, [59.47, 89.21, 82.92]),
    (15, Variant::Both, [60.00, 89.34, 83.00]),
];

/// A row of MA-Net: variant, accuracy on the three.
const MANET: [(Variant, [f64; 3]); 2] =
    [(Variant::Attention, [59.85, 87.49, 88.68]), (Variant::Both, [60.02, 88.34, 89.99])];

/// The paper's accuracy of a row, in percent; the networks as published are those that its authors trained again.
/// ESR's on FER+ and RAF-DB follow a training on AffectNet, MA-Net's one on MS-Celeb-1M.
#[must_use]
pub fn published(network: NetworkName, variant: Variant, data: DataSet) -> Option<f64> {
    let figures = match network {
        NetworkName::Esr(branches) => ESR.iter().find(|row| row.0 == branches && row.1 == variant)?.2,
        NetworkName::Manet => MANET.iter().find(|row| row.0 == variant)?.1,
    };
    Some(figures[data as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_figures_are_found_by_row_and_data() {
        assert_eq!(published(NetworkName::Esr(9), Variant::Both, DataSet::FerPlus), Some(89.15));
        assert_eq!(published(NetworkName::Esr(15), Variant::Plain, DataSet::RafDb), Some(77.5));
        assert_eq!(published(NetworkName::Manet, Variant::Both, DataSet::RafDb), Some(89.99));
        assert_eq!(published(NetworkName::Esr(9), Variant::Channel, DataSet::RafDb), None);
        assert_eq!(published(NetworkName::Esr(4), Variant::Both, DataSet::AffectNet), None);
    }
}

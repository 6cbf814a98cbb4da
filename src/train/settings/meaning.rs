//! What settings mean to the layers below.

use super::{
    Settings,
    words::{Colour, DiversityMaps, DiversityWeight, ModelKind, Normalise, ObjectiveKind, SimilarityKind},
};
use crate::{
    Result,
    checkpoint::DiversityMeta,
    data::{ColourOrder, Dataset, Normalisation, Spec, Transform},
    diversity::{Diversity, LOGDET_EPS},
    models::{Architecture, EsrSpec, ManetSpec, NetworkSpec},
    ops::Objective,
    train::session::SessionSpec,
};

impl Settings {
    /// The data set's name without its folder, such as `ferplus`.
    #[must_use]
    pub fn data_name(&self) -> &str {
        self.data.split(':').next().unwrap_or_default()
    }

    /// Loads splits of the data, divided by groups and folds and with the classes that the settings say.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::Error::Usage) for an unknown data set, and those of [`Spec::load_divided`] and
    /// [`Dataset::map_classes`].
    pub fn load_splits(&self, names: &[&str]) -> Result<Dataset> {
        let spec: Spec = self.data.parse()?;
        let mut data = spec.load_divided(names, self.group_by.as_deref(), self.folds, self.fold)?;
        data.map_classes(&self.class_map.parse()?)?;
        Ok(data)
    }

    /// The network.
    #[must_use]
    pub fn network(&self, classes: usize) -> NetworkSpec {
        let Self { branches, width, image_size: size, attention, padding, local_weight, .. } = *self;
        match self.model {
            ModelKind::Esr => NetworkSpec::Esr(EsrSpec { branches, width, size, classes, attention, padding }),
            ModelKind::Manet => NetworkSpec::Manet(ManetSpec { width, size, classes, local_weight }),
        }
    }

    /// The network as it stands in a model file.
    #[must_use]
    pub fn architecture(&self) -> Architecture {
        self.network(0).architecture()
    }

    /// The diversity terms of the loss.
    #[must_use]
    pub fn diversity(&self) -> Diversity {
        Diversity {
            branch: self.branch_diversity,
            spatial: self.spatial_diversity,
            channel: self.channel_diversity,
            released: self.similarity == SimilarityKind::Released,
            objective: match self.objective {
                ObjectiveKind::Det => Objective::Det,
                ObjectiveKind::LogDet if self.logdet_epsilon > 0.0 => {
                    Objective::ShiftedLogDet { eps: self.logdet_epsilon }
                }
                ObjectiveKind::LogDet => Objective::LogDet { eps: LOGDET_EPS },
                ObjectiveKind::Sum => Objective::Sum,
            },
            mixture: self.answer_diversity,
            layer: self.diversity_layer,
            centred: self.diversity_maps == DiversityMaps::Centred,
            weighted: self.diversity_weight != DiversityWeight::Value(1.0)
                || self.diversity_warmup > 0.0
                || self.diversity_epochs > 0,
        }
    }

    /// Whether each branch has targets of its own.
    #[must_use]
    pub fn own_targets(&self) -> bool {
        self.resample_votes || !self.teacher.is_empty()
    }

    /// What a user should know of these settings before a training begins, a sentence each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        [self.small_maps(), self.without_effect()].into_iter().flatten().collect()
    }

    /// Where maps have so few values that diversity cannot mean regions of a face.
    fn small_maps(&self) -> Option<String> {
        let NetworkSpec::Esr(spec) = self.network(0) else { return None };
        let side = spec.side(self.diversity_layer);
        if side >= 3 || !self.diversified_kinds().contains(&"spatial") {
            return None;
        }
        let differ =
            if side == 1 { "brightness alone".to_owned() } else { format!("which of {} cells they dim", side * side) };
        Some(format!(
            "spatial diversity compares maps of {side}×{side}, on which branches differ by {differ}; images of 70 pixels, or \
             of 48 with --padding same, have larger ones"
        ))
    }

    /// Settings that say how something is done that is not.
    fn without_effect(&self) -> Option<String> {
        let plain = Self::default();
        let of_terms = [
            ("diversity-weight", self.diversity_weight != plain.diversity_weight),
            ("diversity-warmup", self.diversity_warmup != plain.diversity_warmup),
            ("diversity-epochs", self.diversity_epochs != plain.diversity_epochs),
            ("diversity-layer", self.diversity_layer != plain.diversity_layer),
            ("diversity-maps", self.diversity_maps != plain.diversity_maps),
        ];
        let of_teachers = [
            ("teacher-share", self.teacher_share != plain.teacher_share),
            ("teacher-temperature", self.teacher_temperature != plain.teacher_temperature),
        ];
        let terms = of_terms.iter().filter(|_| !self.diversified());
        let all = terms.chain(of_teachers.iter().filter(|_| self.teacher.is_empty()));
        let idle: Vec<_> = all.filter(|(_, is_given)| *is_given).map(|(key, _)| format!("--{key}")).collect();
        let why = "no term of diversity and no teacher is there for them";
        (!idle.is_empty()).then(|| format!("without effect: {}; {why}", idle.join(", ")))
    }

    /// The kinds of maps that are diversified, of those that the network has.
    #[must_use]
    pub fn diversified_kinds(&self) -> Vec<&'static str> {
        let diversity = self.diversity();
        self.network(0).kinds().iter().copied().filter(|kind| diversity.wants(kind)).collect()
    }

    /// Whether any diversity term is part of the loss.
    #[must_use]
    pub fn diversified(&self) -> bool {
        !self.diversified_kinds().is_empty()
    }

    /// The diversity terms as a model file names them; `gammas` are those of [`Settings::diversified_kinds`], none in a
    /// stage without terms.
    #[must_use]
    pub fn diversity_meta(&self, gammas: &[f64]) -> Option<DiversityMeta> {
        let kinds = self.diversified_kinds().into_iter().map(str::to_owned);
        (!gammas.is_empty()).then(|| DiversityMeta {
            similarity: self.similarity.to_string(),
            objective: self.objective.to_string(),
            gamma: kinds.zip(gammas.iter().copied()).collect(),
            layer: self.diversity_layer,
            centred: self.diversity_maps == DiversityMaps::Centred,
            logdet_epsilon: (self.logdet_epsilon > 0.0).then_some(self.logdet_epsilon),
            weight: self.diversity().weighted.then(|| self.diversity_weight.to_string()),
        })
    }

    /// What is compiled, of the last stage's branches.
    #[must_use]
    pub fn session(&self, classes: usize) -> SessionSpec {
        SessionSpec {
            network: self.network(classes),
            batch: self.batch_size,
            diversity: self.diversity(),
            momentum: self.momentum,
            nesterov: self.nesterov,
            shares: matches!(self.diversity_weight, DiversityWeight::Share(_)),
            own_targets: self.own_targets(),
        }
    }

    /// How images become inputs; what is still `auto` is as if no weights were there to start from.
    #[must_use]
    pub fn transform(&self) -> Transform {
        Transform { size: self.image_size, normalise: self.normalise.normalisation(), order: self.colour.order() }
    }
}

impl Normalise {
    /// The means and deviations; none where pixels stay as they are.
    #[must_use]
    pub fn normalisation(self) -> Option<Normalisation> {
        (self == Self::Imagenet).then_some(Normalisation::IMAGENET)
    }
}

impl Colour {
    /// The order of the input's channels.
    #[must_use]
    pub fn order(self) -> ColourOrder {
        if self == Self::Bgr { ColourOrder::Bgr } else { ColourOrder::Rgb }
    }
}

//! `MODEL_CARD.md`: what a model is, what it is for and what it must not be used for.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::metrics::Summary;
use super::report::{duration, percent, run_rows};
use super::settings::Settings;
use super::settings::words::{ModelKind, ObjectiveKind, SelectOn};
use crate::checkpoint::ModelMeta;
use crate::data::Targets;
use crate::models::BRANCH_LAYERS;

/// The card of a finished run's best model, as markdown. `facts` is the content of run.json.
#[must_use]
pub fn model_card(config: &Settings, facts: &Map<String, Value>, summary: &Summary, meta: &ModelMeta) -> String {
    let mut card = String::with_capacity(8 << 10);
    let data = config.data_name();
    let manet = config.model == ModelKind::Manet;
    let weights = config.network(meta.classes.len()).head_weights();
    let split = if summary.split.is_empty() { "validation" } else { &summary.split };
    let _ = write!(
        card,
        "# {} trained on {data}\n\n{}\n\n## Model\n\n| | |\n|---|---|\n",
        if manet { "MA-Net" } else { "ESR" },
        match config.branches {
            _ if manet => format!(
                "A convolutional network that names the apparent expression of one face in an image, by {} times \
                 the logits of its local branch, which sees the four quadrants apart, plus {} times those of its global \
                 branch.",
                weights[0], weights[1]
            ),
            1 => "A convolutional network that names the apparent expression of one face in an image.".into(),
            branches => format!(
                "An ensemble of convolutional networks that names the apparent expression of one face in an image, by \
                 the mean of its {branches} branches' probabilities."
            ),
        },
    );
    let attention = if manet {
        "CBAM (channel and spatial) in every block of the local branch"
    } else if config.attention {
        "CBAM (channel and spatial) in every branch"
    } else {
        "none"
    };
    let gammas = meta.diversity.iter().flat_map(|diversity| &diversity.gamma);
    let gammas = gammas.map(|(kind, gamma)| format!("{kind} γ = {gamma}")).collect::<Vec<_>>().join(", ");
    let diversity = diversity_words(config, &gammas);
    let [mean, std] = [meta.normalisation.mean, meta.normalisation.std].map(|v| v.map(|v| v.to_string()).join(", "));
    let rows = [
        ("File", format!("`checkpoints/best.safetensors`, SHA-256 `{}`", summary.model_hash)),
        ("Architecture", format!("`{}`", meta.architecture)),
        ("Trained values", summary.parameters.to_string()),
        ("Attention", attention.into()),
        ("Diversity", diversity),
        (
            "Input",
            format!(
                "a cropped face, {0} × {0} pixels, {1}, pixels in [0, 1], mean {mean}, std {std}",
                meta.size, meta.colour
            ),
        ),
        ("Output", meta.classes.join(", ")),
        ("Answer", answer(meta)),
        ("Made by", meta.created_by.clone()),
    ];
    for (key, value) in rows {
        let _ = writeln!(card, "| {key} | {} |", cell(&value));
    }
    let _ = write!(
        card,
        "\nSources: N. Heidari, A. Iosifidis, *Learning diversified feature representations for facial expression \
         recognition in the wild* (2022); H. Siqueira, S. Magg, S. Wermter, *Efficient facial feature learning with wide \
         ensemble-based convolutional neural networks* (AAAI 2020); S. Woo et al., *CBAM* (ECCV 2018).\n\n\
         ## Data\n\n"
    );
    match &meta.data {
        Some(data) => {
            let counts: Vec<_> = data.counts.iter().map(|(split, count)| format!("{split} {count}")).collect();
            let _ = write!(
                card,
                "`{}`, images: {}. Hash of images and labels: `{}`.",
                data.source,
                counts.join(", "),
                data.hash
            );
        }
        None => {
            let _ = write!(card, "`{data}`.");
        }
    }
    card.push_str(data_note(data));
    let _ = write!(
        card,
        "\n\n## Training\n\n\
         {} epochs ({} schedule) with SGD, batch {}, learning rate {} ({}), augmentation `{}`, seed {}; {} on {}. {}\
         Every setting is in `config.toml`.\n\n\
         ## Result\n\n\
         Accuracy on the {split} split: **{}**.",
        summary.epochs,
        config.branch_schedule,
        config.batch_size,
        config.lr,
        config.lr_schedule,
        config.augment,
        config.seed,
        duration(summary.seconds),
        summary.device,
        targets_words(config),
        percent(summary.evaluation.as_ref().map_or(summary.best_val_accuracy, |evaluation| evaluation.accuracy)),
    );
    if let Some(vote) = summary.vote_accuracy {
        let _ = write!(
            card,
            " By majority vote of the branches (ties go to the first class in the list): {}.",
            percent(vote)
        );
    }
    card.push_str(match config.select_on {
        SelectOn::Valid => {
            " The best epoch was chosen on this split, so expect a little less on new images of the same kind."
        }
        SelectOn::Test => {
            " The split that is reported also chose the best epoch (`--select-on test`): the figure is optimistic."
        }
    });
    if let Some(evaluation) = &summary.evaluation {
        let _ = write!(
            card,
            " Balanced accuracy: {}; {} images.\n\n| class | images | recall | precision |\n|---|---:|---:|---:|\n",
            percent(evaluation.balanced_accuracy),
            evaluation.images
        );
        let share = |share: Option<f64>| share.map_or_else(|| "–".into(), percent);
        for score in &evaluation.per_class {
            let (recall, precision) = (share(score.recall), share(score.precision));
            let _ = writeln!(card, "| {} | {} | {recall} | {precision} |", cell(&score.class), score.images);
        }
    } else {
        card.push('\n');
    }
    card.push_str(USE);
    card.push_str(match &meta.answer {
        Some(_) => {
            "- Its probabilities are calibrated on the images of the result above: on images of another kind 0.9 need not \
             mean right in nine cases of ten.\n"
        }
        None => "- Its probabilities are not calibrated: 0.9 does not mean right in nine cases of ten.\n",
    });
    card.push_str(UNSUITABLE);
    card.push_str("\n## Run\n\n| | |\n|---|---|\n");
    for (key, value) in run_rows(facts, summary, meta) {
        let _ = writeln!(card, "| {key} | {} |", cell(&value));
    }
    card
}

/// How the answer comes from the mean probabilities, in words.
fn answer(meta: &ModelMeta) -> String {
    let Some(answer) = &meta.answer else { return "the class of the largest mean probability".into() };
    let prior: Vec<_> = answer.prior.iter().map(|share| format!("{share:.4}")).collect();
    format!(
        "the largest of mean probability^(1/T) · prior^(−τ), T = {:.3}, τ = {}, prior {}",
        answer.temperature,
        answer.tau,
        prior.join(", ")
    )
}

/// Text that stays within its cell of a markdown table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

/// What is known of a data set's labels and people.
fn data_note(data: &str) -> &'static str {
    match data {
        "synthetic" => {
            " The faces are drawn by a program from action units. The model has never seen a photograph: its figures say \
             nothing about real faces, and it is of no use on them."
        }
        "ferplus" => {
            " FER+ labels 48 × 48 grey web images by ten annotators' votes; an image counts where one expression has the \
             majority. The rarest classes (contempt, disgust) have few images. Who is shown is not recorded."
        }
        "rafdb" | "rafdb-original" => {
            " RAF-DB labels web images by about 40 annotators each. Its classes are unevenly filled."
        }
        "affectnet" => {
            " AffectNet labels images found with web searches for emotion words, one annotator each; its labels are noisy \
             and its classes unevenly filled."
        }
        _ => " Whoever made these data knows who is shown, how the labels came about and what they may be used for.",
    }
}

const USE: &str = "\n## Intended use

Research on facial expression recognition and on ensembles: comparing methods, studying what branches attend to, teaching. \
Use on images whose subjects agreed to it.

## Limits

- The model names an **apparent expression, not a felt emotion**. How people look and how they feel are loosely linked, \
and the link differs between people, situations and cultures.
- Its classes are a handful of labels that annotators had to choose from; much of what faces show fits none of them.
- It expects one face, cropped much as in its training data. Pose, light, occlusion, image quality, age, skin tone and \
disability change its errors. No evaluation by group is part of this card: make one before any use that touches people.
- Images unlike its training data get an answer all the same.
";

const UNSUITABLE: &str = "
## Prohibited and unsuitable uses

- Inferring emotions of people at work or in education: the EU forbids it but for medical or safety reasons \
(Regulation (EU) 2024/1689, the AI Act, Article 5(1)(f)). Other emotion recognition is high-risk there (Annex III, 1(c)), \
and the people concerned must be told (Article 50(3)).
- Deciding about a person: hiring, grading, policing, borders, insurance, credit, health, lie detection.
- Watching people without their knowledge and consent.
";

/// What the targets were, where they were not the labels; empty, or a sentence and a space.
fn targets_words(config: &Settings) -> String {
    let own = match (config.targets, config.resample_votes) {
        (Targets::Hard, _) => "the labels",
        (Targets::Soft, false) => "the annotators' votes",
        (Targets::Soft, true) => "samples of the annotators' votes, one for each branch",
    };
    if config.teacher.is_empty() {
        return if config.targets == Targets::Hard { String::new() } else { format!("Targets: {own}. ") };
    }
    let names: Vec<_> = config.teacher.iter().map(|path| format!("`{}`", path.display())).collect();
    format!(
        "Targets: {own}, and by {} the answers of teachers, in turn for the branches, at temperature {}: {}. ",
        config.teacher_share,
        config.teacher_temperature,
        names.join(", ")
    )
}

/// How diversity entered the loss; `gammas` is empty where they are not known.
fn diversity_words(config: &Settings, gammas: &str) -> String {
    let answers = match config.answer_diversity {
        0.0 => String::new(),
        share => format!("; of answers, {share} of the cross-entropy is the mean answer's"),
    };
    if !config.diversified() {
        return format!("none{answers}");
    }
    let objective = match config.logdet_epsilon {
        0.0 => config.objective.to_string(),
        eps => format!("logdet, with ε = {eps} on the diagonal and divided by the learners,"),
    };
    let aim = if config.objective == ObjectiveKind::Sum { "minimised" } else { "maximised" };
    let maps = if config.model == ModelKind::Manet {
        "the patches' and branches' pooled features".to_owned()
    } else if config.diversity_layer < BRANCH_LAYERS {
        format!("the branches' attention maps in their layer {}", config.diversity_layer)
    } else {
        "the branches' attention maps".to_owned()
    };
    let mut words = format!("{objective} of the similarity matrix of {maps}, ");
    if config.diversity().centred {
        words += "centred over the batch and at unit length, ";
    }
    let gammas = if gammas.is_empty() { format!("γ = {}", config.gamma) } else { gammas.to_owned() };
    let _ = write!(words, "{aim} (similarity `{}`; {gammas}", config.similarity);
    if config.diversity().weighted {
        let _ = write!(words, "; weight λ = {}", config.diversity_weight);
        if config.diversity_warmup > 0.0 {
            let _ = write!(words, ", rising from 0 over {} epochs", config.diversity_warmup);
        }
        if config.diversity_epochs > 0 {
            let _ = write!(words, ", 0 after {} epochs", config.diversity_epochs);
        }
    }
    format!("{words}){answers}")
}

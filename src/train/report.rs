//! `report.html`: all of a run on one page that loads nothing and runs no script.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::metrics::{EpochRecord, Summary};
use super::settings::Settings;
use super::settings::words::{ModelKind, SelectOn};
use super::svg::escape;
use super::{confidence_svg, confusion_svg, curves_svg, similarity_svg};
use crate::{
    checkpoint::ModelMeta,
    evaluation::Figures,
    models::{Decision, NetworkSpec},
};

const STYLE: &str = include_str!("report.css");

/// A share as `91.3 %`.
pub(super) fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.1} %", share * 100.0) } else { "–".into() }
}

/// Seconds as `1 h 02 min`, `2 min 05 s` or `7.3 s`.
pub(super) fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole / 60 % 60),
    }
}

/// A figure with three digits.
fn figure(value: f64) -> String {
    match value.abs() {
        _ if !value.is_finite() => "–".into(),
        0.0 => "0".into(),
        size if !(1e-4..1e5).contains(&size) => format!("{value:.2e}"),
        size => {
            let digits = (2.0 - size.log10().floor()).max(0.0) as usize;
            format!("{value:.digits$}")
        }
    }
}

/// The page of a finished run. `facts` is the content of run.json.
#[must_use]
pub fn report_html(
    config: &Settings,
    facts: &Map<String, Value>,
    records: &[EpochRecord],
    summary: &Summary,
    meta: &ModelMeta,
) -> String {
    let network = match (config.model, config.branches) {
        (ModelKind::Manet, _) => "MA-Net".to_owned(),
        (ModelKind::Esr, 1) => "ESR with 1 branch".to_owned(),
        (ModelKind::Esr, branches) => format!("ESR with {branches} branches"),
    };
    let title = format!("{network} on {}", config.data_name());
    let title = escape(&title);
    let mut page = Page(String::with_capacity(1 << 17));
    page.add(&format!(
        "<!doctype html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n\
         <meta name='viewport' content='width=device-width,initial-scale=1'>\n\
         <meta name='color-scheme' content='light dark'>\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <main>\n<header><h1>{title}</h1>\n<p class='soft'>{}</p></header>\n",
        escape(&origin(facts))
    ));
    tiles(&mut page, summary);
    if config.select_on == SelectOn::Test {
        page.add(
            "<p class='note'><strong>Optimistic figures.</strong> As in the released code (<code>--select-on test\
             </code>), the split that is reported also chose the best epoch.</p>\n",
        );
    }
    if config.data_name() == "synthetic" {
        page.add(
            "<p class='note'>The faces are drawn by a program. The figures show that the network learns; they say \
             nothing about photographs.</p>\n",
        );
    }
    section(&mut page, "Curves", |page| {
        page.add(
            "<p class='soft'>Cross-entropy is the mean of the branches that learn, by their weights in the loss; in \
             training of augmented images, over all steps of an epoch. The loss that training minimises is their weighted \
             sum with the diversity terms: it has no counterpart in validation.</p>\n",
        );
        page.figure(&curves_svg(records));
    });
    if let Some(evaluation) = &summary.evaluation {
        section(&mut page, &format!("Classes ({})", escape(&summary.split)), |page| {
            page.add("<div class='pair'>\n");
            page.figure(&confusion_svg(evaluation));
            page.add(
                "<div class='wide'><table class='numbers'><thead><tr><th>class</th><th>images</th><th>recall</th><th>precision</th>\
                 <th>F1</th></tr></thead>\n<tbody>\n",
            );
            let share = |share: Option<f64>| share.map_or_else(|| "–".into(), percent);
            for score in &evaluation.per_class {
                let recall = bar(score.recall.unwrap_or(0.0), &share(score.recall));
                page.add(&format!(
                    "<tr><th>{}</th><td>{}</td>{recall}<td>{}</td><td>{}</td></tr>\n",
                    escape(&score.class),
                    score.images,
                    share(score.precision),
                    share(score.f1)
                ));
            }
            page.add("</tbody></table></div>\n</div>\n");
        });
    }
    if !summary.branch_accuracy.is_empty() {
        section(&mut page, "Branches", |page| branches(page, &config.network(meta.classes.len()), summary));
    }
    if let Some(figures) = &summary.figures {
        section(&mut page, "Confidence", |page| confidence(page, summary, figures));
    }
    section(&mut page, "Similarity", |page| {
        let learners = match config.model {
            ModelKind::Esr => "two branches’ attention maps",
            ModelKind::Manet => "two patches’ (or the two branches’) pooled features",
        };
        if records.iter().any(|record| record.similarity_spatial.is_some() || record.similarity_channel.is_some()) {
            page.add(&format!(
            "<p class='soft'>S of Eq. 1, the mean over all steps of an epoch of exp(−γ‖φ<sub>l</sub> − φ<sub>k</sub>‖²) between \
             {learners}; γ = {}, similarity <code>{}</code>, objective <code>{}</code>.</p>\n",
            gamma(config, meta),
            config.similarity,
            config.objective
        ));
        }
        page.figure(&similarity_svg(records));
        differences(page, summary);
    });
    section(&mut page, "Epochs", |page| epochs(page, records));
    section(&mut page, "Run", |page| {
        page.add("<div class='pair'>\n");
        page.rows("Facts", run_rows(facts, summary, meta).into_iter());
        let settings = config.to_toml().unwrap_or_default();
        let rows = settings.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" = "));
        page.rows("Settings", rows.map(|(key, value)| (key.to_owned(), value.trim_matches('"').to_owned())));
        page.add("</div>\n");
    });
    page.add(
        "<footer><p>The model names the <em>apparent expression</em> of a face, not what a person feels. MODEL_CARD.md says \
         what it must not be used for.</p></footer>\n</main>\n</body>\n</html>\n",
    );
    page.0
}

/// The page's text so far.
struct Page(String);

impl Page {
    fn add(&mut self, html: &str) {
        self.0.push_str(html);
    }

    fn figure(&mut self, svg: &str) {
        let _ = write!(self.0, "<figure>\n{svg}</figure>\n");
    }

    fn rows(&mut self, caption: &str, rows: impl Iterator<Item = (String, String)>) {
        let _ = writeln!(self.0, "<table class='rows'><caption>{caption}</caption><tbody>");
        for (key, value) in rows {
            let _ = writeln!(self.0, "<tr><th>{}</th><td>{}</td></tr>", escape(&key), escape(&value));
        }
        self.add("</tbody></table>\n");
    }
}

fn section(page: &mut Page, title: &str, content: impl FnOnce(&mut Page)) {
    page.add(&format!("<section>\n<h2>{title}</h2>\n"));
    content(page);
    page.add("</section>\n");
}

/// A cell with a share as a bar before its text.
fn bar(share: f64, text: &str) -> String {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    format!("<td class='bar'><span style='width:calc((100% - 78px)*{share:.3})'></span><b>{text}</b></td>")
}

fn text<'a>(facts: &'a Map<String, Value>, key: &str) -> &'a str {
    facts.get(key).and_then(Value::as_str).unwrap_or("–")
}

fn origin(facts: &Map<String, Value>) -> String {
    let [moue, started, device] = ["moue", "started", "device"].map(|key| text(facts, key));
    format!("moue {moue} · {} · {device}", started.replace('T', " ").replace('Z', " UTC"))
}

fn gamma(config: &Settings, meta: &ModelMeta) -> String {
    match &meta.diversity {
        Some(diversity) if !diversity.gamma.is_empty() => diversity
            .gamma
            .iter()
            .map(|(kind, value)| format!("{value} ({})", escape(kind)))
            .collect::<Vec<_>>()
            .join(", "),
        _ => config.gamma.to_string(),
    }
}

fn tiles(page: &mut Page, summary: &Summary) {
    let split = if summary.split.is_empty() { "validation" } else { &summary.split };
    let accuracy = summary.evaluation.as_ref().map_or(summary.best_val_accuracy, |evaluation| evaluation.accuracy);
    let mut tiles = vec![(percent(accuracy), format!("best accuracy, {split}"))];
    if let Some(evaluation) = &summary.evaluation {
        tiles.push((percent(evaluation.balanced_accuracy), "balanced accuracy".into()));
    }
    tiles.push((summary.epochs.to_string(), format!("epochs, best: {}", summary.best_epoch)));
    tiles.push((duration(summary.seconds), "training time".into()));
    tiles.push((figure(summary.images_per_s), "images/s in training".into()));
    tiles.push((millions(summary.parameters), "trained values".into()));
    page.add("<ul class='tiles'>\n");
    for (value, label) in tiles {
        page.add(&format!("<li><b>{}</b><span>{}</span></li>\n", escape(&value), escape(&label)));
    }
    page.add("</ul>\n");
}

fn millions(count: usize) -> String {
    match count {
        1_000_000.. => format!("{:.2} M", count as f64 / 1e6),
        10_000.. => format!("{:.0} k", count as f64 / 1e3),
        _ => count.to_string(),
    }
}

fn branches(page: &mut Page, network: &NetworkSpec, summary: &Summary) {
    let votes = network.decision() == Decision::Vote;
    page.add("<table class='numbers narrow'><thead><tr><th>member</th><th>accuracy</th></tr></thead>\n<tbody>\n");
    for (branch, accuracy) in summary.branch_accuracy.iter().enumerate() {
        let name = if votes { format!("branch {}", branch + 1) } else { network.head_name(branch) };
        page.add(&format!("<tr><th>{name}</th>{}</tr>\n", bar(*accuracy, &percent(*accuracy))));
    }
    if !votes {
        return page.add("</tbody></table>\n");
    }
    let count = summary.branch_accuracy.len() as f64;
    let mean = summary.branch_accuracy.iter().sum::<f64>() / count;
    page.add(&format!("<tr><th>mean of the branches</th>{}</tr>\n", bar(mean, &percent(mean))));
    let answer = summary.evaluation.as_ref().map(|evaluation| evaluation.accuracy);
    for (name, accuracy) in [("majority vote", summary.vote_accuracy), ("answer", answer)] {
        if let Some(accuracy) = accuracy {
            page.add(&format!("<tr class='sum'><th>{name}</th>{}</tr>\n", bar(accuracy, &percent(accuracy))));
        }
    }
    page.add("</tbody></table>\n");
}

/// What the model's confidence is worth.
fn confidence(page: &mut Page, summary: &Summary, figures: &Figures) {
    page.figure(&confidence_svg(&summary.reliability, &summary.risks));
    let mut rows = vec![
        ("negative log-likelihood", figure(figures.nll)),
        ("Brier score", figure(figures.brier)),
        ("calibration error", figure(figures.calibration_error)),
        ("macro F1", figure(figures.macro_f1)),
        ("label among the two largest", percent(figures.top2)),
        ("errors found by confidence, AUROC", figures.error_auroc.map_or_else(|| "–".into(), figure)),
    ];
    if let Some(votes) = &figures.votes {
        rows.push(("cross-entropy against the votes", figure(votes.soft_cross_entropy)));
        rows.push(("divergence from the votes (KL)", figure(votes.kl)));
        rows.push(("answers that got votes", percent(votes.chosen)));
    }
    page.rows("Of the mean probabilities", rows.into_iter().map(|(key, value)| (key.to_owned(), value)));
}

/// How members and maps differ over the images, which S and D alone do not tell.
fn differences(page: &mut Page, summary: &Summary) {
    let or_none = |value: Option<f64>| value.map_or_else(|| "–".into(), figure);
    let mut rows = Vec::new();
    if let Some(members) = summary.members.as_ref().filter(|members| members.accuracy.len() > 1) {
        rows.push(("correlation of the branches’ errors".to_owned(), or_none(members.error_correlation)));
        rows.push(("Q statistic of the branches".to_owned(), or_none(members.q_statistic)));
        rows.push(("some branch is right".to_owned(), percent(members.oracle)));
    }
    for maps in &summary.maps {
        let of = |what: &str| format!("{} maps: {what}", maps.kind);
        rows.push((of("share of the squared distance that is the same for every image"), or_none(maps.static_share)));
        rows.push((of("mean distance"), figure(maps.distance)));
        rows.push((of("values below 0.05 or above 0.95"), percent(maps.saturated)));
    }
    if !rows.is_empty() {
        page.rows("On the validation images", rows.into_iter());
    }
}

fn epochs(page: &mut Page, records: &[EpochRecord]) {
    page.add(
        "<details><summary>Every epoch</summary>\n<div class='wide'><table class='numbers'><thead><tr><th>epoch</th>\
         <th>stage</th><th>lr</th><th>train loss</th><th>train CE</th><th>train acc.</th><th>val. CE</th><th>val. acc.</th>\
         <th>D spatial</th><th>D channel</th><th>seconds</th><th>images/s</th></tr></thead>\n<tbody>\n",
    );
    let optional = |value: Option<f64>| value.map_or_else(|| "–".into(), figure);
    for record in records {
        let cells = [
            record.stage.to_string(),
            figure(record.lr),
            figure(record.train_loss),
            figure(record.train_cross_entropy),
            percent(record.train_accuracy),
            figure(record.val_cross_entropy),
            percent(record.val_accuracy),
            optional(record.diversity_spatial),
            optional(record.diversity_channel),
            figure(record.seconds),
            figure(record.images_per_s),
        ];
        let cells: String = cells.iter().map(|cell| format!("<td>{cell}</td>")).collect();
        page.add(&format!("<tr><th>{}</th>{cells}</tr>\n", record.epoch));
    }
    page.add("</tbody></table></div>\n</details>\n");
}

/// What run.json and the model file say, in words.
pub(super) fn run_rows(facts: &Map<String, Value>, summary: &Summary, meta: &ModelMeta) -> Vec<(String, String)> {
    let plain = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "–".into(),
        other => other.to_string(),
    };
    let inner =
        |outer: &str, key: &str| facts.get(outer).and_then(|value| value.get(key)).map_or_else(|| "–".into(), plain);
    let words = |key: &str| match facts.get(key) {
        Some(Value::Array(items)) => items.iter().map(plain).collect::<Vec<_>>().join(" "),
        Some(other) => plain(other),
        None => "–".into(),
    };
    let mut rows = vec![
        ("started", words("started")),
        ("finished", words("finished")),
        ("command", words("command")),
        ("moue", words("moue")),
        ("git revision", words("git")),
        ("device", summary.device.clone()),
        (
            "host",
            format!("{} cores, {} on {}", inner("host", "cores"), inner("host", "system"), inner("host", "processor")),
        ),
        ("seed", words("seed")),
    ];
    if let Some(resumed) = facts.get("resumed").and_then(Value::as_array) {
        let times: Vec<_> = resumed.iter().filter_map(|entry| entry.get("at")?.as_str()).collect();
        rows.push(("resumed", times.join(", ")));
    }
    if let Some(data) = &meta.data {
        let counts: Vec<_> = data.counts.iter().map(|(split, count)| format!("{split} {count}")).collect();
        rows.push(("data", format!("{}: {}", data.source, counts.join(", "))));
        rows.push(("data hash", data.hash.clone()));
    }
    rows.push(("classes", meta.classes.join(", ")));
    rows.push(("input", format!("{0} × {0} pixels, {1}", meta.size, meta.colour)));
    let [mean, std] = [meta.normalisation.mean, meta.normalisation.std].map(|v| v.map(|v| v.to_string()).join(", "));
    rows.push(("normalisation", format!("mean {mean}; std {std}")));
    if let Some(answer) = &meta.answer {
        rows.push((
            "answer",
            format!("mean probability^(1/T) · prior^(−τ), T = {:.3}, τ = {}", answer.temperature, answer.tau),
        ));
        let prior = answer.prior.iter().zip(&meta.classes).map(|(share, class)| format!("{class} {share:.4}"));
        rows.push(("prior", prior.collect::<Vec<_>>().join(", ")));
    }
    rows.push(("model file", "checkpoints/best.safetensors".into()));
    rows.push(("its SHA-256", summary.model_hash.clone()));
    rows.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!(duration(7.31), "7.3 s");
        assert_eq!(duration(125.4), "2 min 05 s");
        assert_eq!(duration(3725.0), "1 h 02 min");
        assert_eq!(figure(0.0), "0");
        assert_eq!(figure(4e-9), "4.00e-9");
        assert_eq!(figure(12.34), "12.3");
        assert_eq!(figure(0.05624), "0.0562");
        assert_eq!(figure(0.00012), "0.000120");
        assert_eq!(percent(f64::NAN), "–");
        assert_eq!(millions(20_832_332), "20.83 M");
    }
}

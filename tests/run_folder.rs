//! The folder of a run: names, records, resumption, charts and reports.
#![cfg(feature = "cli")]

mod support_run;

use std::fs;
use std::path::Path;

use moue::Error;
use moue::checkpoint::{file_hash, load_model};
use moue::evaluation::{Answered, Evaluation, MapSums, Members};
use moue::predict::majority_vote;
use moue::train::run::claim::Claim;
use moue::train::run::{Place, RunFolder, State, Status};
use moue::train::{EpochRecord, Given, Settings, Summary, curves_svg, read_records, similarity_svg};
use serde_json::{Map, Value, json};
use support_run::events::{events_path, parse_events, values};
use support_run::{classes, config_in, meta, record, start, tensors};

#[test]
fn a_run_that_exists_gets_a_number_and_is_never_overwritten() {
    let out = tempfile::tempdir().unwrap();
    let config = config_in(out.path());
    let names: Vec<_> =
        (0..3).map(|_| RunFolder::create(&config).unwrap().folder().file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["esr-synthetic", "esr-synthetic-2", "esr-synthetic-3"]);
    let named = Settings { name: Some("mine".into()), ..config };
    assert!(RunFolder::create(&named).unwrap().folder().ends_with("mine"));
}

#[test]
fn a_finished_run_has_every_file_and_says_what_it_was() {
    let out = tempfile::tempdir().unwrap();
    let config = config_in(out.path());
    let mut run = begun(&config);
    for epoch in 1..=3 {
        run.step(epoch as u64 * 10, &[("loss", 2.0 / epoch as f64)]).unwrap();
        run.epoch(&record(epoch, 4)).unwrap();
        run.save_best(&meta(), &tensors(1.0)).unwrap();
        run.save_last(&meta(), &tensors(1.0), &Default::default(), &mut State::default()).unwrap();
    }
    let summary = run.finish(&summary(), &meta()).unwrap();
    for file in [
        "config.toml",
        "run.json",
        "metrics.jsonl",
        "checkpoints/last.safetensors",
        "checkpoints/best.safetensors",
        "curves.svg",
        "confusion.svg",
        "similarity.svg",
        "report.html",
        "MODEL_CARD.md",
    ] {
        assert!(fs::metadata(run.path().join(file)).unwrap().len() > 100, "{file}");
    }
    assert_eq!(summary.model_hash, file_hash(&run.best()).unwrap());
    let facts: Value = serde_json::from_str(&fs::read_to_string(run.path().join("run.json")).unwrap()).unwrap();
    assert_eq!(facts["status"], "finished");
    assert_eq!(facts["data"]["hash"], "abc123");
    assert_eq!(facts["result"]["model_hash"], summary.model_hash.as_str());
    assert!(facts["host"]["cores"].as_u64().unwrap() > 0);
    // The settings read back are the settings.
    let saved = Given::load(&run.path().join("config.toml")).unwrap();
    assert_eq!(Settings::resolve(&saved, &Given::default()).unwrap(), config);
    // The records read back are the records.
    let records: Vec<_> = (1..=3).map(|epoch| record(epoch, 4)).collect();
    assert_eq!(read_records(&run.path().join("metrics.jsonl")).unwrap(), records);
    assert_eq!(load_model(&run.last()).unwrap().tensors, tensors(1.0));
    let card = fs::read_to_string(run.path().join("MODEL_CARD.md")).unwrap();
    for needed in ["apparent expression, not a felt emotion", "Article 5(1)(f)", &summary.model_hash, "87.5 %"] {
        assert!(card.contains(needed), "{needed} in\n{card}");
    }
    let line: Value = serde_json::from_str(&summary.json_line(run.path())).unwrap();
    let keys: Vec<_> = line.as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["run", "best_val_accuracy", "epochs", "seconds", "images_per_s", "device"]);
}

#[test]
fn the_report_loads_nothing_runs_nothing_and_escapes_names() {
    let out = tempfile::tempdir().unwrap();
    let mut run = begun(&config_in(out.path()));
    run.epoch(&record(1, 4)).unwrap();
    let mut meta = meta();
    meta.classes[0] = "<script>alert(1)</script>".into();
    let mut summary = summary();
    summary.evaluation.as_mut().unwrap().per_class[0].class = meta.classes[0].clone();
    run.finish(&summary, &meta).unwrap();
    let page = fs::read_to_string(run.path().join("report.html")).unwrap();
    for said in [
        "Accuracy by confidence",
        "<th>calibration error</th>",
        "<th>correlation of the branches’ errors</th><td>1.00</td>",
        "<th>spatial maps: values below 0.05 or above 0.95</th><td>25.0 %</td>",
    ] {
        assert!(page.contains(said), "{said} is not in {page}");
    }
    for forbidden in ["<script", "<link", "<img", "src=", "@import", "url(", "https://"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    // The only address in it is the name of SVG's namespace.
    assert_eq!(page.matches("http://").count(), page.matches("xmlns='http://www.w3.org/2000/svg'").count());
    assert!(page.contains("&lt;script&gt;alert(1)"));
    assert!(page.contains("prefers-color-scheme:dark"));
    assert_eq!(page.matches("<svg").count(), 4);
    well_formed(&fs::read_to_string(run.path().join("confusion.svg")).unwrap());
}

#[test]
fn a_resumed_run_doubles_no_epoch_and_gets_its_state_back() {
    let out = tempfile::tempdir().unwrap();
    let named = |name: &str| Settings { name: Some(name.into()), ..config_in(out.path()) };
    let whole = {
        let mut run = begun(&named("whole"));
        (1..=4).for_each(|epoch| epoch_of(&mut run, epoch));
        run.path().to_owned()
    };
    let mut state = State::default();
    state.training.best = Some((0.1 + 0.2, 2));
    let cut = {
        let mut run = begun(&named("cut"));
        (1..=2).for_each(|epoch| epoch_of(&mut run, epoch));
        run.save_last(&meta(), &tensors(1.0), &Default::default(), &mut state).unwrap();
        // The third epoch is lost, and the machine stopped in the middle of a line.
        epoch_of(&mut run, 3);
        let path = run.path().to_owned();
        let mut text = fs::read_to_string(path.join("metrics.jsonl")).unwrap();
        text.push_str("{\"kind\":\"epo");
        fs::write(path.join("metrics.jsonl"), text).unwrap();
        path
    };
    for given in [cut.clone(), cut.join("checkpoints/last.safetensors")] {
        assert_eq!(RunFolder::locate(&given).unwrap(), cut);
    }
    fs::write(cut.join("checkpoints/.moue-x.partial"), "half").unwrap();
    let (mut run, saved) = resumed(&cut).unwrap();
    assert_eq!(saved, state);
    assert_eq!(saved.training.best.unwrap().0.to_bits(), (0.1_f64 + 0.2).to_bits());
    assert!(!cut.join("checkpoints/.moue-x.partial").exists());
    assert_eq!(run.records(), [record(1, 4), record(2, 4)]);
    (3..=4).for_each(|epoch| epoch_of(&mut run, epoch));
    let metrics = |folder: &Path| fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    assert_eq!(metrics(&cut), metrics(&whole));
    assert_eq!(values(&cut), values(&whole));
    assert_eq!(run.facts()["resumed"].as_array().unwrap().len(), 1);
    run.stop(Status::Interrupted).unwrap();
    assert!(fs::read_to_string(cut.join("run.json")).unwrap().contains("\"status\": \"interrupted\""));
}

#[test]
fn a_run_is_not_resumed_on_other_data_with_lost_records_or_other_settings() {
    let out = tempfile::tempdir().unwrap();
    let config = config_in(out.path());
    let mut run = begun(&config);
    let folder = run.path().to_owned();
    assert!(RunFolder::locate(out.path()).unwrap_err().to_string().contains("no config.toml"));
    assert!(RunFolder::checkpoint(&folder, &config, 8).unwrap().is_none());
    // Nobody else takes it while it is held.
    let error = Place::of_run(&folder, &Given::default()).unwrap_err();
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    epoch_of(&mut run, 1);
    run.save_last(&meta(), &tensors(1.0), &Default::default(), &mut State::default()).unwrap();
    drop(run);
    let mut other = start();
    other.data.hash = "other".into();
    let claim = |folder| Claim::take(folder, config.claim_timeout()).unwrap();
    let saved = RunFolder::checkpoint(&folder, &config, 8).unwrap().unwrap();
    let error = RunFolder::resume(claim(&folder), &config, &saved.state, &other).unwrap_err();
    assert!(error.to_string().contains("hash abc123"), "{error}");
    let wider = Settings { branches: 9, ..config.clone() };
    let error = RunFolder::checkpoint(&folder, &wider, 8).unwrap_err();
    assert!(error.to_string().contains("branches 9, found branches 4"), "{error}");
    let toml = folder.join("config.toml");
    let flags = |key: &str, value: f64| {
        let mut given = Given::default();
        given.set(key, value);
        given
    };
    let error = Settings::resumed(&toml, &flags("lr", 0.5)).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().starts_with("--lr: expected 0.08, as the run began, found 0.5"), "{error}");
    let mut same = flags("lr", 0.08);
    same.set("threads", 1);
    assert_eq!(Settings::resumed(&toml, &same).unwrap().threads, 1);
    fs::write(folder.join("metrics.jsonl"), "").unwrap();
    let error = resumed(&folder).unwrap_err();
    assert!(matches!(error, Error::File { .. }) && error.to_string().contains("found 0 bytes"), "{error}");
}

#[test]
fn tensorboard_events_are_whole_records_with_their_checksums() {
    let out = tempfile::tempdir().unwrap();
    let mut run = begun(&config_in(out.path()));
    run.scalar("loss/train", 7, 0.25).unwrap();
    run.scalar("ünï", 1 << 40, -3.5).unwrap();
    assert_eq!(values(run.path()), [("loss/train".into(), 7, 0.25), ("ünï".into(), 1 << 40, -3.5)]);
    // The reader sees a flipped bit.
    let mut bytes = fs::read(events_path(run.path())).unwrap();
    let last = bytes.len() - 6;
    bytes[last] ^= 1;
    assert!(parse_events(&bytes).is_err());
}

#[test]
fn metrics_take_any_record_and_keep_its_order() {
    let out = tempfile::tempdir().unwrap();
    let mut run = begun(&config_in(out.path()));
    let entries = [("kind", json!("eval")), ("accuracy", json!(0.5)), ("a", json!([1]))];
    run.metric(&Map::from_iter(entries.map(|(key, value)| (key.to_owned(), value)))).unwrap();
    let text = fs::read_to_string(run.path().join("metrics.jsonl")).unwrap();
    assert_eq!(text, "{\"kind\":\"eval\",\"accuracy\":0.5,\"a\":[1]}\n");
}

#[test]
fn a_figure_that_is_not_finite_is_null_in_the_records_and_a_gap_in_the_curve() {
    let out = tempfile::tempdir().unwrap();
    let mut run = begun(&config_in(out.path()));
    let mut broken = record(2, 4);
    broken.train_loss = f64::NAN;
    [record(1, 4), broken, record(3, 4)].iter().for_each(|record| run.epoch(record).unwrap());
    let read = read_records(&run.path().join("metrics.jsonl")).unwrap();
    assert!(read[1].train_loss.is_nan() && read[2] == record(3, 4));
    well_formed(&fs::read_to_string(run.path().join("curves.svg")).unwrap());
}

#[test]
fn records_of_versions_that_counted_stages_from_0_and_had_a_validation_loss_are_read() {
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("metrics.jsonl");
    let old = r#"{"kind":"stage","stage":0,"branches":2,"epochs":3}
{"kind":"epoch","epoch":1,"stage":0,"step":3,"lr":0.02,"train_loss":4.1,"train_accuracy":0.125,"val_loss":4.2,"val_accuracy":0.25,"branch_accuracy":[0.25,0.125],"similarity_spatial":[[1.0,0.5],[0.5,1.0]],"diversity_spatial":0.75,"seconds":1.5,"images_per_s":32.0}
"#;
    fs::write(
        &path,
        format!("{old}{}\n", json!({ "kind": "epoch", "epoch": 2, "stage": 1, "train_cross_entropy": 0.5 })),
    )
    .unwrap();
    let read = read_records(&path).unwrap();
    assert_eq!((read[0].stage, read[1].stage), (1, 1));
    assert_eq!((read[0].train_loss, read[0].train_accuracy, read[1].train_cross_entropy), (4.1, 0.125, 0.5));
    assert!(read[0].train_cross_entropy.is_nan() && read[0].val_cross_entropy.is_nan());
    assert!(read[0].training_seconds.is_nan() && read[0].val_branch_cross_entropy.is_empty());
    well_formed(&curves_svg(&read));
}

#[test]
fn cross_entropy_is_drawn_of_training_and_validation_alike_and_diversity_apart() {
    // Two branches: the loss is 2·0.5 − 0.9, far from what validation can show.
    let records: Vec<_> = (1..=2)
        .map(|epoch| EpochRecord {
            train_loss: 0.1,
            train_cross_entropy: 0.5,
            val_cross_entropy: 0.5,
            diversity_spatial: Some(0.9),
            ..record(epoch, 2)
        })
        .collect();
    let svg = curves_svg(&records);
    // What a pointer that rests on the last epoch's points reads, panel by panel.
    let tips: Vec<_> = svg.split("<title>").filter(|text| text.contains(", epoch 2: ")).collect();
    let tips: Vec<_> = tips.iter().map(|text| &text[..text.find('<').expect("an end")]).collect();
    assert_eq!(tips[..2], ["training, epoch 2: 0.500", "validation, epoch 2: 0.500"]);
    assert_eq!(tips[4], "spatial maps, epoch 2: 0.900");
    assert_eq!(tips[6], "training, epoch 2: 0.100");
    // Without diversity there is no such panel.
    let plain = EpochRecord { diversity_spatial: None, diversity_channel: None, ..records[0].clone() };
    let svg = curves_svg(&[plain]);
    assert!(!svg.contains("Diversity") && svg.contains("Cross-entropy"), "{svg}");
}

#[test]
fn charts_are_well_formed_for_no_epoch_one_and_many() {
    for epochs in [0, 1, 2, 300] {
        for branches in [1, 4, 16] {
            let records: Vec<_> = (1..=epochs).map(|epoch| record(epoch, branches)).collect();
            well_formed(&curves_svg(&records));
            well_formed(&similarity_svg(&records));
        }
    }
}

#[test]
fn an_evaluation_counts_by_class() {
    let classes = classes()[..3].to_vec();
    let evaluation = Evaluation::from_predictions(&[0, 0, 0, 1], &[0, 0, 1, 1], &classes).unwrap();
    assert_eq!(evaluation.confusion, [[2, 1, 0], [0, 1, 0], [0, 0, 0]]);
    assert_eq!((evaluation.accuracy, evaluation.images), (0.75, 4));
    // A class without images has no recall and does not count in the mean: (2/3 + 1) / 2.
    assert!((evaluation.balanced_accuracy - 5.0 / 6.0).abs() < 1e-15);
    let [neutral, happiness, sadness] = &evaluation.per_class[..] else { panic!("three classes") };
    assert_eq!((neutral.recall, neutral.precision), (Some(2.0 / 3.0), Some(1.0)));
    assert_eq!((happiness.precision, happiness.images), (Some(0.5), 1));
    assert_eq!((sadness.recall, sadness.precision, sadness.f1), (None, None, None));
    for (labels, predictions) in [(&[0, 1][..], &[0][..]), (&[], &[]), (&[3], &[0]), (&[0], &[3])] {
        let error = Evaluation::from_predictions(labels, predictions, &classes).unwrap_err();
        assert_eq!(error.exit_code(), 3, "{error}");
    }
}

#[test]
fn a_tied_vote_goes_to_the_lowest_class() {
    assert_eq!(majority_vote([2, 1, 1, 2], 3), 1);
    assert_eq!(majority_vote([2, 1, 2], 3), 2);
    assert_eq!(majority_vote([5, 5, 1], 3), 1);
}

fn begun(config: &Settings) -> RunFolder {
    RunFolder::begin(RunFolder::create(config).unwrap(), config, &start()).unwrap()
}

fn resumed(folder: &Path) -> moue::Result<(RunFolder, State)> {
    let config = Settings::resumed(&folder.join("config.toml"), &Given::default())?;
    let saved = RunFolder::checkpoint(folder, &config, classes().len())?.expect("a checkpoint");
    let claim = Claim::take(folder, config.claim_timeout())?;
    Ok((RunFolder::resume(claim, &config, &saved.state, &start())?, saved.state))
}

fn summary() -> Summary {
    let labels: Vec<usize> = (0..64).map(|i| i % 8).collect();
    let predictions: Vec<usize> = labels.iter().enumerate().map(|(i, label)| if i < 9 { 3 } else { *label }).collect();
    let probabilities: Vec<f32> =
        predictions.iter().flat_map(|&class| (0..8).map(move |k| if k == class { 0.65 } else { 0.05 })).collect();
    let answered = Answered { classes: 8, probabilities: &probabilities, labels: &labels, votes: None };
    let mut spatial = MapSums::new("spatial", 2);
    spatial.add(&[0.01, 0.5, 0.5, 0.5], 1);
    Summary {
        figures: Some(answered.figures()),
        reliability: answered.reliability(),
        risks: answered.risks(),
        members: Some(Members::of(&[0, 0, 0, 0, 1, 1, 1, 1], &[0, 0, 0, 0])),
        maps: vec![spatial.figures()],
        best_val_accuracy: 0.875,
        best_epoch: 3,
        epochs: 3,
        seconds: 83.0,
        training_seconds: 80.0,
        images_per_s: 512.0,
        device: "CPU".into(),
        parameters: 123_456,
        split: "validation".into(),
        evaluation: Some(Evaluation::from_predictions(&labels, &predictions, &classes()).unwrap()),
        vote_accuracy: Some(0.859_375),
        branch_accuracy: vec![0.81, 0.83, 0.8, 0.85],
        model_hash: String::new(),
    }
}

fn epoch_of(run: &mut RunFolder, epoch: usize) {
    run.step(epoch as u64 * 10, &[("loss", 1.0 / epoch as f64)]).unwrap();
    run.epoch(&record(epoch, 4)).unwrap();
}

/// Every element is closed in order, quotes pair up and every number is one: what a reader of SVG asks for.
fn well_formed(svg: &str) {
    let mut open = Vec::new();
    let mut rest = svg;
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        assert_eq!(tag.matches('\'').count() % 2, 0, "{tag}");
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{svg}"),
            None if tag.ends_with('/') => {}
            None => open.push(tag.split_whitespace().next().expect("a name")),
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "{open:?}");
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
}

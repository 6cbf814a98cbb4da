//! Groups that no division separates, and folds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use moue::data::Dataset;
use moue::train::{Settings, run::TrainingSet, settings::words::SelectOn};

use super::{assert_fails, folder, load, png, write};

const CLASSES: [&str; 3] = ["anger", "fear", "happiness"];

/// `labels.csv` of people with some images of each class: person p has p mod 3 + 1 of each.
fn people(dir: &Path, count: usize) {
    let mut csv = String::from("subject,path,label\n");
    for person in 0..count {
        for (class, take) in (0..3).flat_map(|class| (0..person % 3 + 1).map(move |take| (class, take))) {
            let file = format!("p{person:02}_{class}{take}.png");
            png(&dir.join(&file), 8, (person * 9 + class * 3 + take) as u8);
            csv += &format!("s{person:02},{file},{}\n", CLASSES[class]);
        }
    }
    write(&dir.join("labels.csv"), &csv);
}

/// The ids of a split.
fn ids(data: &Dataset, split: &str) -> BTreeSet<String> {
    data.splits[split].samples.iter().map(|sample| sample.id.clone()).collect()
}

/// The people in a split.
fn subjects(data: &Dataset, split: &str) -> BTreeSet<String> {
    ids(data, split).iter().map(|id| id[1..3].to_owned()).collect()
}

fn per_class(data: &Dataset, split: &str) -> Vec<usize> {
    let mut counts = vec![0; data.classes.len()];
    data.splits[split].samples.iter().for_each(|sample| counts[sample.label] += 1);
    counts
}

#[test]
fn folds_hold_each_image_once_and_no_group_twice() {
    let dir = folder();
    people(dir.path(), 12);
    let mut data = load("folder", dir.path()).expect("a data set");
    let all = ids(&data, "train");
    data.group_by("subject").expect("groups");
    for folds in [2, 3, 5, 12] {
        let mut held = BTreeMap::<String, usize>::new();
        for fold in 1..=folds {
            let mut part = data.clone();
            part.hold_out_fold(fold, folds).expect("a fold");
            let (train, test) = (ids(&part, "train"), ids(&part, "test"));
            assert!(subjects(&part, "train").is_disjoint(&subjects(&part, "test")), "fold {fold} of {folds}");
            assert_eq!(train.union(&test).cloned().collect::<BTreeSet<_>>(), all);
            assert_eq!(train.len() + test.len(), all.len());
            test.into_iter().for_each(|id| *held.entry(id).or_default() += 1);
            // 24 images of each class; people have 1 to 3 of each, so parts can be as even as that.
            let counts = per_class(&part, "test");
            assert!(folds == 12 || counts.iter().all(|n| n.abs_diff(24 / folds) <= 1), "{counts:?} of {folds}");
            assert_eq!(folds == 12, subjects(&part, "test").len() == 1, "fold {fold} of {folds}");
        }
        assert!(held.len() == all.len() && held.values().all(|times| *times == 1), "{folds} folds: {held:?}");
    }
}

#[test]
fn without_groups_folds_are_even_in_every_class() {
    let dir = folder();
    people(dir.path(), 12);
    let data = load("folder", dir.path()).expect("a data set");
    let mut tests = BTreeSet::new();
    for fold in 1..=5 {
        let mut part = data.clone();
        part.hold_out_fold(fold, 5).expect("a fold");
        assert!(per_class(&part, "test").iter().all(|count| (4..=5).contains(count)), "{:?}", per_class(&part, "test"));
        tests.extend(ids(&part, "test"));
    }
    assert_eq!(tests, ids(&data, "train"));
}

#[test]
fn a_validation_split_keeps_groups_whole_and_its_fraction() {
    let dir = folder();
    people(dir.path(), 30);
    let mut data = load("folder", dir.path()).expect("a data set");
    data.group_by("subject").expect("groups");
    data.hold_out_fold(2, 5).expect("a fold");
    let draw = |seed| {
        let mut part = data.clone();
        part.split_validation(0.2, seed).expect("a validation split");
        part
    };
    let mut drawn = BTreeSet::new();
    for seed in 0..10 {
        let part = draw(seed);
        let [train, valid, test] = ["train", "valid", "test"].map(|split| subjects(&part, split));
        assert!(train.is_disjoint(&valid) && train.is_disjoint(&test) && valid.is_disjoint(&test));
        let (left, taken) = (per_class(&part, "train"), per_class(&part, "valid"));
        for (left, taken) in left.iter().zip(&taken) {
            // Within one person's 3 images of a class.
            assert!(taken.abs_diff((left + taken) / 5) <= 2, "{taken} beside {left}");
        }
        assert_eq!(ids(&part, "valid"), ids(&draw(seed), "valid"));
        drawn.insert(valid);
    }
    assert!(drawn.len() > 5, "{drawn:?}");
    // Two people: one of them, though that is more than was asked for.
    let dir = folder();
    people(dir.path(), 2);
    let mut data = load("folder", dir.path()).expect("a data set");
    data.group_by("subject").expect("groups");
    data.split_validation(0.1, 1).expect("a validation split");
    assert_eq!((subjects(&data, "valid").len(), subjects(&data, "train").len()), (1, 1));
}

#[test]
fn the_hash_covers_the_groups() {
    let dir = folder();
    people(dir.path(), 4);
    let hash = |column: Option<&str>| {
        let mut data = load("folder", dir.path()).expect("a data set");
        if let Some(column) = column {
            data.group_by(column).expect("groups");
        }
        data.hash()
    };
    let (plain, grouped) = (hash(None), hash(Some("subject")));
    assert_ne!(plain, grouped);
    assert_eq!(grouped, hash(Some("subject")));
    let csv = dir.path().join("labels.csv");
    let text = std::fs::read_to_string(&csv).expect("labels");
    write(&csv, &text.replace("s01", "s02"));
    assert_eq!(plain, hash(None));
    assert_ne!(grouped, hash(Some("subject")));
}

#[test]
fn groups_and_folds_that_cannot_be_are_refused_by_name() {
    let dir = folder();
    people(dir.path(), 4);
    let fresh = || load("folder", dir.path()).expect("a data set");
    let grouped = || {
        let mut data = fresh();
        data.group_by("subject").expect("groups");
        data
    };
    assert_fails(
        fresh().group_by("person").map(|()| fresh()),
        &["labels.csv", "`person`", "`subject,path,label`", "line 1"],
    );
    for (fold, folds, parts) in [
        (1, 1, ["the number of folds", "2 to 4, the number of groups"]),
        (1, 5, ["the number of folds", "2 to 4, the number of groups"]),
        (0, 4, ["the fold", "1 to 4"]),
        (5, 4, ["the fold", "1 to 4"]),
    ] {
        let error = grouped().hold_out_fold(fold, folds).expect_err("no such fold");
        assert_eq!(error.exit_code(), 2, "{error}");
        parts.iter().for_each(|part| assert!(error.to_string().contains(part), "{error}"));
    }
    let mut tested = grouped();
    tested.hold_out_fold(1, 2).expect("a fold");
    assert_fails(tested.hold_out_fold(1, 2).map(|()| tested), &["`test` split"]);

    let csv = dir.path().join("labels.csv");
    let text = std::fs::read_to_string(&csv).expect("labels");
    write(&csv, &text.replace("s02,p02_00.png", ",p02_00.png"));
    let message = fresh().group_by("subject").expect_err("an empty value").to_string();
    let line = text.lines().position(|line| line.contains("p02_00.png")).expect("a line") + 1;
    assert!(message.contains("`subject`") && message.contains(&format!("line {line}")), "{message}");

    // Fear is shown by one person only: the fold that holds them leaves a training without it.
    let rare: String = text
        .lines()
        .filter(|line| !line.contains("fear") || line.starts_with("s03"))
        .fold(String::new(), |all, line| all + line + "\n");
    write(&csv, &rare);
    let refused = (1..=4).filter(|&fold| {
        let mut data = grouped();
        data.hold_out_fold(fold, 4).is_err_and(|error| error.to_string().contains("all 1 images of `fear`"))
    });
    assert_eq!(refused.count(), 1);

    let halves = |line: &str| format!("{line},{}\n", if line.contains("_00") { "test" } else { "train" });
    write(
        &csv,
        &text
            .lines()
            .enumerate()
            .map(|(at, line)| if at == 0 { format!("{line},split\n") } else { halves(line) })
            .collect::<String>(),
    );
    assert_fails(
        fresh().group_by("subject").map(|()| fresh()),
        &["each group by `subject` in one split", "`s00` in", "p00_00.png"],
    );
    let synthetic = "synthetic:train=16,valid=0,test=0,size=16".parse::<moue::data::Spec>().expect("a spec");
    let error = synthetic.load().expect("faces").group_by("subject").expect_err("no table");
    assert_eq!(error.exit_code(), 2, "{error}");
    assert!(error.to_string().contains("labels.csv") && error.to_string().contains("synthetic"), "{error}");
}

#[test]
fn a_training_on_a_fold_never_sees_its_groups() {
    let dir = folder();
    people(dir.path(), 12);
    let data = format!("folder:{}", dir.path().display());
    let settings = |fold| Settings {
        data: data.clone(),
        group_by: Some("subject".into()),
        folds: 4,
        fold,
        val_fraction: 0.2,
        ..Settings::default()
    };
    let mut held = BTreeSet::new();
    for fold in 1..=4 {
        let set = TrainingSet::load(&settings(fold)).expect("a training's images");
        let [train, valid, test] = ["train", "valid", "test"].map(|split| subjects(set.data(), split));
        assert!(!valid.is_empty() && !train.is_empty(), "fold {fold}");
        assert!(train.is_disjoint(&valid) && train.is_disjoint(&test) && valid.is_disjoint(&test), "fold {fold}");
        assert!(held.is_disjoint(&test), "fold {fold}");
        held.extend(test);
    }
    assert_eq!(held.len(), 12);
    // Where the test split chooses, nothing is set aside for validation.
    let chosen = Settings { select_on: SelectOn::Test, ..settings(1) };
    let set = TrainingSet::load(&chosen).expect("a training's images");
    assert_eq!(set.data().splits.keys().collect::<Vec<_>>(), ["test", "train"]);
    let synthetic =
        Settings { data: "synthetic:train=16,valid=8,test=8,size=16".into(), group_by: None, ..settings(1) };
    assert_fails(TrainingSet::load(&synthetic).map(|set| set.data().clone()), &["`test` split", "folds"]);
}

/// Runs moue in a folder; gives exit code, stdout and stderr.
fn moue(dir: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_moue"))
        .args(arguments)
        .current_dir(dir)
        .output()
        .expect("moue runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_run_keeps_its_fold_and_eval_measures_it() {
    let dir = folder();
    people(&dir.path().join("faces"), 8);
    let small = [
        "--width",
        "0.0625",
        "--branches",
        "1",
        "--batch-size",
        "8",
        "--device",
        "cpu",
        "--threads",
        "1",
        "--epochs",
        "1",
    ];
    let fold = ["--data", "folder:faces", "--group-by", "subject", "--folds", "4", "--fold", "2"];
    let name = ["train", "--name", "fold", "--val-fraction", "0.2"];
    let (code, _, errors) = moue(dir.path(), &[&name[..], &small, &fold].concat());
    assert_eq!(code, Some(0), "{errors}");
    let run = std::fs::read_to_string(dir.path().join("runs/fold/run.json")).expect("run.json");
    let run: serde_json::Value = serde_json::from_str(&run).expect("JSON");
    let counts = &run["data"]["counts"];
    let count = |split: &str| counts[split].as_u64().expect("a count");
    assert_eq!(count("train") + count("valid") + count("test"), 45, "{counts}");
    // Resumed, the run reads its settings from its folder; another fold would be another run.
    let (code, _, errors) = moue(dir.path(), &["train", "--resume", "runs/fold", "--fold", "3"]);
    assert!(code == Some(2) && errors.contains("--fold: expected 2, as the run began"), "{errors}");

    let model = ["eval", "--model", "runs/fold/checkpoints/best.safetensors", "--device", "cpu", "--json"];
    let (code, answer, errors) = moue(dir.path(), &[&model[..], &fold].concat());
    assert_eq!(code, Some(0), "{errors}");
    let answer: serde_json::Value = serde_json::from_str(answer.lines().last().expect("a line")).expect("JSON");
    assert_eq!(answer["images"].as_u64(), Some(count("test")));

    let (code, table, _) = moue(dir.path(), &["data", "check", "folder:faces", "--group-by", "subject"]);
    assert_eq!(code, Some(0));
    let groups = table.lines().find(|line| line.starts_with("groups")).expect("a row of groups");
    assert!(groups.split_whitespace().eq(["groups", "8"]), "{table}");
    let hash = run["data"]["hash"].as_str().and_then(|hash| hash.strip_prefix("train:")).expect("the hash of train");
    assert!(table.contains(hash), "{hash} is not in {table}");
    // Without folds there is no fold to choose.
    let (code, _, errors) = moue(dir.path(), &["train", "--fold", "2"]);
    assert!(code == Some(2) && errors.contains("no folds"), "{errors}");
}

//! The settings of a training: defaults, file, flags, and what is refused.
#![cfg(feature = "cli")]

use std::collections::BTreeSet;
use std::path::Path;

use clap::{Args, FromArgMatches};
use moue::diversity::{Diversity, LOGDET_EPS};
use moue::exec::DeviceChoice;
use moue::ops::Objective;
use moue::train::schedule::LrSchedule;
use moue::train::settings::words::{BranchSchedule, DiversityWeight, Gamma, ModelKind};
use moue::train::{Given, Settings};
use moue::{Error, Result};

fn flags(arguments: &[&str]) -> std::result::Result<Given, clap::Error> {
    let command = Given::augment_args(clap::Command::new("train").no_binary_name(true));
    Given::from_arg_matches(&command.try_get_matches_from(arguments)?)
}

fn file(text: &str) -> Result<Given> {
    Given::parse(Path::new("a.toml"), text)
}

fn usage<T: std::fmt::Debug>(result: Result<T>, needed: &[&str]) {
    let error = result.expect_err("refused");
    assert!(matches!(error, Error::Usage { .. }) && error.exit_code() == 2, "{error}");
    let text = error.to_string();
    assert!(!text.contains('\n'), "{text}");
    for part in needed {
        assert!(text.contains(part), "`{part}` in: {text}");
    }
}

#[test]
fn flags_and_keys_have_the_same_names() {
    // Every setting given, as a file with every key.
    let complete = Settings {
        name: Some("n".into()),
        init: Some("i".into()),
        group_by: Some("g".into()),
        teacher: vec!["t".into(), "u".into()],
        ..Settings::default()
    };
    let keys: BTreeSet<String> = complete.to_toml().unwrap().parse::<toml::Table>().unwrap().keys().cloned().collect();
    assert_eq!(keys, Settings::keys().into_iter().collect());
    // And it can be read back.
    let options = file(&complete.to_toml().unwrap()).unwrap();
    assert_eq!(Settings::resolve(&options, &Given::default()).unwrap(), complete);
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let file =
        file("lr = 0.5\nbranches = 9\nbranch-schedule = \"progressive\"\ngamma = \"auto\"\nattention = false").unwrap();
    let flags = flags(&["--lr", "0.25", "--device", "gpu:1", "--attention", "--nesterov", "false"]).unwrap();
    let config = Settings::resolve(&file, &flags).unwrap();
    assert_eq!((config.lr, config.branches, config.branch_schedule), (0.25, 9, BranchSchedule::Progressive));
    assert_eq!((config.gamma, config.device), (Gamma::Auto, DeviceChoice::GpuIndex(1)));
    assert_eq!((config.attention, config.nesterov), (true, false));
    assert_eq!(config.lr_schedule, LrSchedule::OneCycle);
    assert_eq!(config.momentum, Settings::default().momentum);
}

#[test]
fn numbers_may_be_whole_where_fractions_are_meant() {
    let config = Settings::resolve(&file("lr = 1\ngamma = 10\nwidth = 2").unwrap(), &Given::default()).unwrap();
    assert_eq!((config.lr, config.gamma, config.width), (1.0, Gamma::Value(10.0), 2.0));
}

#[test]
fn the_defaults_are_valid_and_train_a_small_ensemble_on_synthetic_faces() {
    let config = Settings::resolve(&Given::default(), &Given::default()).unwrap();
    assert_eq!(config, Settings::default());
    assert_eq!(config.data, "synthetic");
    assert!(config.diversified() && config.branches > 1);
    assert!(!Settings { branches: 1, ..config.clone() }.diversified());
    assert!(!Settings { attention: false, ..config }.diversified());
}

#[test]
fn a_manet_starts_from_the_papers_recipe_for_its_data() {
    let resolve = |arguments: &[&str]| Settings::resolve(&Given::default(), &flags(arguments).unwrap());
    let affectnet = resolve(&["--model", "manet", "--data", "affectnet:DIR"]).unwrap();
    assert_eq!((affectnet.image_size, affectnet.width, affectnet.lr, affectnet.weight_decay), (224, 1.0, 0.01, 1e-4));
    assert_eq!((affectnet.lr_schedule, affectnet.step_size, affectnet.step_gamma), (LrSchedule::Step, 5, 0.1));
    assert_eq!((affectnet.epochs, affectnet.batch_size, affectnet.augment.as_str()), (20, 128, "affectnet"));
    let rafdb = resolve(&["--model", "manet", "--data", "rafdb:DIR"]).unwrap();
    assert_eq!((rafdb.epochs, rafdb.step_size, rafdb.batch_size, rafdb.augment.as_str()), (100, 15, 128, "rafdb"));
    let ferplus = resolve(&["--model", "manet", "--data", "ferplus:DIR", "--lr", "0.5"]).unwrap();
    assert_eq!((ferplus.epochs, ferplus.batch_size, ferplus.augment.as_str()), (100, 32, "affectnet"));
    assert_eq!(ferplus.lr, 0.5, "a flag wins over the recipe");
    assert!(ferplus.diversified() && !ferplus.nesterov);
    assert_eq!(ferplus.diversified_kinds(), ["branch", "spatial", "channel"]);
    usage(
        resolve(&["--model", "manet", "--branch-schedule", "progressive"]),
        &["branch-schedule", "`joint`", "progressive"],
    );
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_known_one() {
    usage(file("stage_epochs = 3"), &["a.toml", "`stage_epochs`", "the nearest one is `stage-epochs`"]);
    usage(file("lr = 0.1\nbatchsize = 3"), &["`batchsize`", "`batch-size`"]);
    usage(file("[training]\nlr = 0.1"), &["`training`"]);
    usage(file("zzz = 1"), &["`zzz`", "--help"]);
    assert!(flags(&["--stage_epochs", "3"]).unwrap_err().to_string().contains("--stage-epochs"));
}

#[test]
fn a_wrong_value_is_named_with_its_line() {
    usage(file("lr = 0.1\nepochs = \"many\""), &["a.toml, line 2", "many"]);
    usage(file("epochs = -1"), &["line 1", "-1"]);
    usage(file("schedule = \"sideways\""), &["line 1", "sideways", "progressive"]);
    usage(file("device = \"tpu\""), &["line 1", "`auto`, `cpu`, `gpu`, `gpu:NUMBER` or `gpu:NAME`, found `tpu`"]);
    usage(file("gamma = \"big\""), &["a number or `auto`", "big"]);
    usage(file("lr = "), &["line 1", "TOML"]);
    usage(file("lr = 1\nlr = 2"), &["line 2", "TOML"]);
    usage(file("diversity-weight = \"much\""), &["a number, or `share:` and a number", "much"]);
    for wrong in
        [&["--device", "gpu:"][..], &["--gamma", "big"], &["--objective", "none"], &["--lr"], &["--attention", "2"]]
    {
        assert!(flags(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn the_local_weight_is_a_setting_of_a_manet_and_the_papers_in_files_that_lack_it() {
    let of = |file: Given, more: &[&str]| Settings::resolve(&file, &flags(more).unwrap()).unwrap();
    let manet = |local_weight| Settings { local_weight, model: ModelKind::Manet, ..Settings::default() };
    assert_eq!(of(Given::default(), &["--model", "manet", "--local-weight", "0.3"]).local_weight, 0.3);
    let saved = manet(0.3).to_toml().unwrap();
    assert_eq!(of(file(&saved).unwrap(), &[]).network(8).head_weights(), [0.3, 0.7, 0.0]);
    let old: String =
        saved.lines().filter(|line| !line.starts_with("local-weight")).map(|line| format!("{line}\n")).collect();
    assert_eq!(of(file(&old).unwrap(), &[]), manet(0.6));
    assert!(
        manet(0.6).difference(&manet(0.3)).is_some_and(|words| words.contains("`local-weight` 0.6 instead of 0.3"))
    );
}

#[test]
fn the_weight_of_diversity_is_a_number_or_a_share_and_the_papers_where_nobody_says_it() {
    let of = |more: &[&str]| Settings::resolve(&Given::default(), &flags(more).unwrap()).unwrap();
    assert_eq!(of(&[]).diversity(), Diversity::PAPER);
    assert_eq!(of(&["--diversity-weight", "1"]).diversity(), Diversity::PAPER);
    let answers = Diversity { mixture: 0.25, ..Diversity::PAPER };
    assert_eq!(of(&["--answer-diversity", "0.25"]).diversity(), answers);
    assert_eq!(of(&["--diversity-layer", "2"]).diversity(), Diversity { layer: 2, ..Diversity::PAPER });
    let centred = of(&["--diversity-maps", "centred"]);
    assert_eq!(centred.diversity(), Diversity { centred: true, ..Diversity::PAPER });
    assert_eq!((of(&[]).gamma, centred.gamma), (Gamma::Value(10.0), Gamma::Value(1.0)), "as the squared distances are");
    assert_eq!(of(&["--diversity-maps", "centred", "--gamma", "auto"]).gamma, Gamma::Auto);
    for given in [
        &["--diversity-weight", "0"][..],
        &["--diversity-weight", "share:0.25"],
        &["--diversity-warmup", "0.5"],
        &["--diversity-epochs", "3"],
    ] {
        let settings = of(given);
        assert_eq!(settings.diversity(), Diversity { weighted: true, ..Diversity::PAPER }, "{given:?}");
        // As the run's file keeps them.
        let again = Settings::resolve(&file(&settings.to_toml().unwrap()).unwrap(), &Given::default()).unwrap();
        assert_eq!(again, settings);
    }
    assert_eq!(of(&["--diversity-weight", "share:0.25"]).diversity_weight, DiversityWeight::Share(0.25));
    assert_eq!(of(&["--diversity-weight", "0.25"]).diversity_weight, DiversityWeight::Value(0.25));
}

#[test]
fn a_value_out_of_range_is_refused_by_name() {
    let cases = [
        ("branches", "17", "1 to 16"),
        ("branches", "0", "1 to 16"),
        ("batch-size", "1", "at least 2"),
        ("epochs", "0", "at least 1"),
        ("stage-epochs", "0", "at least 1"),
        ("step-size", "0", "at least 1"),
        ("image-size", "0", "at least 1"),
        ("checkpoint-every", "0", "at least 1"),
        ("log-every", "0", "at least 1"),
        ("lr", "0", "above 0"),
        ("lr", "NaN", "above 0"),
        ("trained-lr", "-1", "above 0"),
        ("lr", "inf", "above 0"),
        ("width", "5", "at most 4"),
        ("step-gamma", "0", "above 0"),
        ("mixup", "-0.1", "0 or a number above"),
        ("weight-decay", "-0.1", "0 or a number above"),
        ("momentum", "1", "below 1"),
        ("label-smoothing", "1", "below 1"),
        ("warmup-fraction", "1", "below 1"),
        ("val-fraction", "0", "above 0 and below 1"),
        ("val-fraction", "1", "above 0 and below 1"),
        ("local-weight", "-0.1", "from 0 to 1"),
        ("local-weight", "1.1", "from 0 to 1"),
        ("local-weight", "NaN", "from 0 to 1"),
        ("answer-diversity", "-0.1", "from 0 to 1"),
        ("diversity-layer", "0", "1 to 4"),
        ("diversity-layer", "5", "1 to 4"),
        ("answer-diversity", "1.1", "from 0 to 1"),
        ("folds", "1", "0 for none, or at least 2"),
        ("fold", "2", "1, since there are no folds"),
        ("fold", "0", "no folds"),
        ("gamma", "0", "above 0, or `auto`"),
        ("diversity-weight", "-0.5", "0 or a number above it"),
        ("diversity-weight", "inf", "0 or a number above it"),
        ("diversity-weight", "share:0", "a number above 0 after `share:`"),
        ("diversity-weight", "share:NaN", "a number above 0 after `share:`"),
        ("diversity-warmup", "-1", "0 or a number above"),
        ("name", "../x", "letters, digits"),
        ("name", ".x", "letters, digits"),
        ("data", " ", "ferplus:DIR"),
    ];
    for (setting, value, needed) in cases {
        let options = flags(&[&format!("--{setting}={value}")]).unwrap();
        usage(Settings::resolve(&Given::default(), &options), &[needed, &format!("change --{setting}")]);
    }
    let epsilon = |value: &str, more: &[&str]| {
        let options = flags(&[&["--objective", "logdet", "--logdet-epsilon", value], more].concat()).unwrap();
        Settings::resolve(&Given::default(), &options)
    };
    assert_eq!(epsilon("0", &[]).unwrap().diversity().objective, Objective::LogDet { eps: LOGDET_EPS });
    assert_eq!(epsilon("0.01", &[]).unwrap().diversity().objective, Objective::ShiftedLogDet { eps: 0.01 });
    for wrong in ["0.0001", "-1", "2", "NaN"] {
        let options = flags(&["--objective=logdet", &format!("--logdet-epsilon={wrong}")]).unwrap();
        usage(Settings::resolve(&Given::default(), &options), &["0, or a number from 0.001 to 1"]);
    }
    usage(epsilon("0.01", &["--similarity", "released"]), &["logdet-epsilon", "a diagonal of 1", "released"]);
    let options = flags(&["--logdet-epsilon", "0.01"]).unwrap();
    usage(Settings::resolve(&Given::default(), &options), &["the objective logdet", "found det"]);
    let options = flags(&["--diversity-weight", "share:0.5", "--model", "manet"]).unwrap();
    usage(Settings::resolve(&Given::default(), &options), &["a number for a MA-Net", "share:0.5"]);
    let options = flags(&["--diversity-layer", "2", "--model", "manet"]).unwrap();
    usage(Settings::resolve(&Given::default(), &options), &["4, the last, for a MA-Net", "found 2"]);
    let options = flags(&["--diversity-warmup", "3", "--diversity-epochs", "2"]).unwrap();
    usage(Settings::resolve(&Given::default(), &options), &["at most the 2 of diversity-epochs", "found 3"]);
    let options = flags(&["--momentum", "0"]).unwrap();
    usage(Settings::resolve(&Given::default(), &options), &["nesterov", "momentum 0"]);
    let error = flags(&["--seed", "18446744073709551615"]).unwrap_err().to_string();
    assert!(error.contains("is not in 0..9223372036854775808"), "{error}");
    usage(Settings { seed: u64::MAX, ..Settings::default() }.to_toml(), &["9223372036854775807"]);
}

#[test]
fn names_that_settings_had_before_are_still_read() {
    let old = "protocol = \"released\"\nschedule = \"fine-tune\"\nlr-old = 0.02\nsize = 70\nbatch = 48\nvalidation = 0.2\n\
               targets = \"votes\"\nearly-stop = 3\nread-every = 20\nwarmup = 0.5\n";
    let new = "select-on = \"test\"\nbranch-schedule = \"fine-tune\"\ntrained-lr = 0.02\nimage-size = 70\nbatch-size = 48\n\
               val-fraction = 0.2\ntargets = \"soft\"\npatience = 3\nlog-every = 20\nwarmup-fraction = 0.5\n";
    let of = |file: &Given, flags: &Given| Settings::resolve(file, flags).unwrap();
    let expected = of(&file(new).unwrap(), &Given::default());
    assert_eq!(of(&file(old).unwrap(), &Given::default()), expected);
    assert_eq!((expected.batch_size, expected.patience, expected.image_size), (48, 3, 70));
    let arguments: Vec<String> =
        old.lines().map(|line| format!("--{}", line.replace(" = ", "=").replace('"', ""))).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    assert_eq!(of(&Given::default(), &flags(&arguments).unwrap()), expected);
    let coloured = flags(&["--color", "bgr", "--normalize", "imagenet"]).unwrap();
    assert_eq!(
        of(&Given::default(), &coloured),
        of(&file("color = \"bgr\"\nnormalise = \"imagenet\"").unwrap(), &Given::default())
    );
    usage(file("batch = 1\nbatch-size = 2"), &["`batch-size` once", "twice"]);
    let help = Given::augment_args(clap::Command::new("train")).render_long_help().to_string();
    assert!(
        help.contains("--select-on") && help.contains("[default: one-cycle]") && !help.contains("--protocol"),
        "{help}"
    );
}

#[test]
fn a_missing_file_is_an_error_of_the_file() {
    let error = Given::load(Path::new("no-such.toml")).unwrap_err();
    assert!(matches!(error, Error::Io { .. }) && error.to_string().contains("no-such.toml"), "{error}");
}

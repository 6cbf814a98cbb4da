//! `--init`: the network is that of the weights to start from, where no setting says otherwise.
#![cfg(feature = "cli")]
#![allow(missing_docs)]

use std::path::Path;

use clap::{Args, FromArgMatches};
use moue::{
    Error, Result,
    checkpoint::{ModelMeta, save_model},
    data::EXPRESSIONS,
    models::{EsrSpec, ManetSpec, NetworkSpec, Padding},
    nn::variables::Tensors,
    train::{Given, Settings, trainer::fresh},
};
use safetensors::{Dtype, serialize_to_file, tensor::TensorView};

fn settings(file: &str, flags: &[&str]) -> Result<Settings> {
    let command = Given::augment_args(clap::Command::new("train").no_binary_name(true));
    let flags = command.try_get_matches_from(flags).and_then(|matches| Given::from_arg_matches(&matches));
    Settings::resolve(&Given::parse(Path::new("a.toml"), file)?, &flags.expect("good flags"))
}

fn esr() -> NetworkSpec {
    NetworkSpec::Esr(EsrSpec {
        branches: 3,
        width: 0.125,
        size: 60,
        classes: 8,
        attention: false,
        padding: Padding::Same,
    })
}

fn manet() -> NetworkSpec {
    NetworkSpec::Manet(ManetSpec { width: 0.0625, size: 32, classes: 8, local_weight: 0.3 })
}

/// A model file of moue's.
fn own(folder: &Path, network: &NetworkSpec) -> String {
    let path = folder.join("own.safetensors");
    let meta = ModelMeta::new(network.architecture(), EXPRESSIONS.map(str::to_owned).to_vec(), network.size());
    save_model(&path, &meta, &fresh(network, 3).expect("a network")).expect("a file");
    path.to_str().expect("a path").to_owned()
}

/// The same tensors as another program saves them.
fn foreign(folder: &Path, tensors: &Tensors) -> String {
    let path = folder.join("foreign.safetensors");
    let bytes = tensors.values().map(|(_, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>());
    let bytes: Vec<_> = bytes.collect();
    let views = tensors.iter().zip(&bytes).map(|((name, (shape, _)), bytes)| {
        (format!("_orig_mod.{name}"), TensorView::new(Dtype::F32, shape.clone(), bytes).expect("a tensor"))
    });
    serialize_to_file(views, None, &path).expect("a file");
    path.to_str().expect("a path").to_owned()
}

#[test]
fn a_model_file_of_moues_says_the_whole_network() {
    let folder = tempfile::tempdir().expect("a folder");
    for network in [esr(), manet()] {
        let path = own(folder.path(), &network);
        assert_eq!(settings("", &["--init", &path]).expect("settings").network(8), network);
        assert_eq!(settings(&format!("init = '{path}'"), &[]).expect("settings").network(8), network);
    }
    // The recipe is that of the network in the file.
    let path = own(folder.path(), &manet());
    let found = settings("", &["--init", &path, "--data", "affectnet:DIR"]).expect("settings");
    let named = settings("", &["--model", "manet", "--data", "affectnet:DIR"]).expect("settings");
    assert_eq!((found.lr, found.batch_size, &found.augment), (named.lr, named.batch_size, &named.augment));
    assert_eq!((found.image_size, named.image_size), (32, 224));
}

#[test]
fn names_and_shapes_of_other_programs_weights_say_all_but_size_and_local_weight_which_are_the_papers() {
    let folder = tempfile::tempdir().expect("a folder");
    let NetworkSpec::Esr(spec) = esr() else { unreachable!() };
    let path = foreign(folder.path(), &fresh(&esr(), 3).expect("a network"));
    let found = settings("", &["--init", &path]).expect("settings");
    assert_eq!(found.network(8), NetworkSpec::Esr(EsrSpec { size: 96, padding: Padding::Published, ..spec }));
    let NetworkSpec::Manet(spec) = manet() else { unreachable!() };
    let path = foreign(folder.path(), &fresh(&manet(), 3).expect("a network"));
    let found = settings("", &["--init", &path]).expect("settings");
    assert_eq!(found.network(8), NetworkSpec::Manet(ManetSpec { size: 224, local_weight: 0.6, ..spec }));
}

#[test]
fn a_flag_and_a_key_win_over_the_weights() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = own(folder.path(), &esr());
    let found = settings("width = 0.5\nsize = 70", &["--init", &path, "--branches", "5", "--attention"]);
    let expected = NetworkSpec::Esr(EsrSpec {
        branches: 5,
        width: 0.5,
        size: 70,
        classes: 8,
        attention: true,
        padding: Padding::Same,
    });
    assert_eq!(found.expect("settings").network(8), expected);
    let path = own(folder.path(), &manet());
    assert_eq!(settings("", &["--init", &path, "--local-weight", "0.9"]).expect("settings").local_weight, 0.9);
}

#[test]
fn a_base_has_no_number_of_branches_to_give() {
    let folder = tempfile::tempdir().expect("a folder");
    let usual = Settings::default().branches;
    assert_ne!(usual, 3);
    let path = own(folder.path(), &esr());
    let found = settings("", &["--init", &path, "--init-part", "base"]).expect("settings");
    assert_eq!((found.branches, found.width, found.attention, found.image_size), (usual, 0.125, false, 60));
    let mut base = fresh(&esr(), 3).expect("a network");
    base.retain(|name, _| name.starts_with("base."));
    let found = settings("", &["--init", &foreign(folder.path(), &base)]).expect("settings");
    assert_eq!((found.branches, found.width, found.attention, found.image_size), (usual, 0.125, false, 96));
}

#[test]
fn weights_that_show_no_known_network_change_no_setting() {
    let folder = tempfile::tempdir().expect("a folder");
    let stem: Tensors = [("conv1.weight".to_owned(), (vec![4, 3, 7, 7], vec![0.5; 588]))].into();
    let path = foreign(folder.path(), &stem);
    let found = settings("", &["--init", &path]).expect("settings");
    assert_eq!(Settings { init: None, ..found }, Settings::default());
}

#[test]
fn weights_that_are_not_there_are_named_and_a_run_that_goes_on_does_not_need_them() {
    let error = settings("", &["--init", "gone.pt"]).expect_err("no file");
    assert!(matches!(error, Error::Io { .. }) && error.to_string().contains("gone.pt"), "{error}");
    let begun = Settings { init: Some("gone.pt".into()), ..Settings::default() };
    let saved = begun.to_toml().expect("settings");
    let old: String =
        saved.lines().filter(|line| !line.starts_with("local-weight")).map(|l| format!("{l}\n")).collect();
    for text in [saved, old] {
        assert_eq!(settings(&text, &[]).expect("settings"), begun);
    }
}

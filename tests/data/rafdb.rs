//! RAF-DB in its layouts, and what is wrong with copies of it.

use std::fs;
use std::path::Path;

use moue::data::EXPRESSIONS;

use super::{assert_fails, folder, jpeg, load, write};

/// The list's names of its labels 1 to 7.
const LIST: [&str; 7] = ["surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"];

/// As distributed: two train images and one test image of each label.
fn distributed(dir: &Path) -> String {
    let mut list = String::new();
    for (split, each) in [("train", 2), ("test", 1)] {
        for index in 0..7 * each {
            let (name, label) = (format!("{split}_{:05}", index + 1), index % 7 + 1);
            jpeg(&dir.join(format!("Image/aligned/{name}_aligned.jpg")), 100, label as u8 * 30);
            jpeg(&dir.join(format!("Image/original/{name}.jpg")), 120, label as u8 * 30);
            list += &format!("{name}.jpg {label}\n");
        }
    }
    write(&dir.join("EmoLabel/list_patition_label.txt"), &list);
    list
}

/// A folder for each class, numbered from `first`.
fn sorted(dir: &Path, first: usize) {
    for split in ["train", "test"] {
        for class in 0..7 {
            let path = dir.join(format!("{split}/{}/{split}_{class:05}_aligned.jpg", class + first));
            jpeg(&path, 100, class as u8 * 30);
        }
    }
}

#[test]
fn rafdb_maps_the_lists_labels_to_the_order_of_moue() {
    let dir = folder();
    distributed(dir.path());
    let data = load("rafdb", dir.path()).expect("a data set");
    assert_eq!(data.classes, EXPRESSIONS[..7]);
    let train = data.split("train").expect("train");
    assert_eq!((train.samples.len(), data.split("test").expect("test").samples.len()), (14, 7));
    for (index, sample) in train.samples.iter().enumerate() {
        assert_eq!(data.classes[sample.label], LIST[index % 7], "{}", sample.id);
        assert_eq!(sample.image.width, 100);
    }
    let report = data.check();
    let test = &report.splits["test"];
    assert_eq!((test.usable, test.expected), (7, Some(3068)));
    assert_eq!(report.splits["train"].expected, Some(12_271));
    assert!(!report.is_as_expected());
    assert!(report.to_string().contains("test: 1 images of `fear`, 74 expected"), "{report}");
    assert_eq!(data.splits.keys().collect::<Vec<_>>(), ["test", "train"]);
}

#[test]
fn the_original_photographs_of_rafdb_are_a_choice_of_their_own() {
    let dir = folder();
    distributed(dir.path());
    let data = load("rafdb-original", dir.path()).expect("a data set");
    assert_eq!(data.split("train").expect("train").samples[0].image.width, 120);
    assert!(data.source.starts_with("rafdb-original:"));
    fs::remove_dir_all(dir.path().join("Image/original")).expect("the folder goes");
    assert_fails(load("rafdb-original", dir.path()), &["original", "only", "aligned", "rafdb:DIR"]);
    fs::remove_dir_all(dir.path().join("Image")).expect("the folder goes");
    assert_fails(load("rafdb", dir.path()), &["aligned", "no such folder"]);
}

#[test]
fn folders_from_0_and_from_1_have_different_orders() {
    for (first, names) in [(0, [0, 1, 2, 3, 4, 5, 6].map(|class: usize| EXPRESSIONS[class])), (1, LIST)] {
        let dir = folder();
        sorted(dir.path(), first);
        let data = load("rafdb", dir.path()).expect("a data set");
        let train = data.split("train").expect("train");
        let found: Vec<_> = train.samples.iter().map(|sample| data.classes[sample.label].as_str()).collect();
        assert_eq!(found, names);
        assert_fails(load("rafdb-original", dir.path()), &["original photograph", "aligned", "rafdb:DIR"]);
        // Seven folders are needed to know which order it is.
        fs::remove_dir_all(dir.path().join("test").join(if first == 0 { "0" } else { "7" })).expect("a folder goes");
        assert_fails(load("rafdb", dir.path()), &["test", "0 (neutral)", "1 (surprise)", "the two orders differ"]);
    }
}

#[test]
fn mixed_layouts_of_rafdb_are_refused() {
    let dir = folder();
    distributed(dir.path());
    sorted(dir.path(), 0);
    assert_fails(load("rafdb", dir.path()), &["one layout", "list_patition_label.txt", "train", "different orders"]);
    assert_fails(load("rafdb", folder().path()), &["an empty folder", "EmoLabel/list_patition_label.txt"]);
}

#[test]
fn a_wrong_line_of_rafdbs_list_is_named() {
    let dir = folder();
    let list = distributed(dir.path());
    let path = dir.path().join("EmoLabel/list_patition_label.txt");
    for (line, expected) in [
        ("train_00099.jpg 0", "a label from 1 (surprise) to 7 (neutral)"),
        ("train_00099.jpg 8", "a label from 1 (surprise) to 7 (neutral)"),
        ("train_00099.jpg", "a file name and a label"),
        ("valid_00001.jpg 1", "train_NNNNN.jpg or test_NNNNN.jpg"),
        ("train_../../x.jpg 1", "train_NNNNN.jpg or test_NNNNN.jpg"),
        ("train_00001.jpg 1", "each image once"),
    ] {
        write(&path, &format!("{list}{line}\n"));
        assert_fails(load("rafdb", dir.path()), &["list_patition_label.txt", expected, line, "on line 22"]);
    }
}

#[test]
fn counts_that_belong_to_another_order_are_explained() {
    // The published numbers of test images, with neutral's and surprise's exchanged, as a wrong order would have them.
    let dir = folder();
    let counts = [329, 1185, 478, 680, 74, 160, 162];
    let mut list = String::new();
    jpeg(&dir.path().join("one.jpg"), 20, 90);
    fs::create_dir_all(dir.path().join("Image/aligned")).expect("a folder");
    let mut number = 0;
    for (class, count) in counts.into_iter().enumerate() {
        let label = LIST.iter().position(|name| *name == EXPRESSIONS[class]).expect("a class") + 1;
        for _ in 0..count {
            number += 1;
            list += &format!("test_{number:05}.jpg {label}\n");
            let image = dir.path().join(format!("Image/aligned/test_{number:05}_aligned.jpg"));
            fs::hard_link(dir.path().join("one.jpg"), image).expect("a link");
        }
    }
    write(&dir.path().join("EmoLabel/list_patition_label.txt"), &list);
    let report = load("rafdb", dir.path()).expect("a data set").check();
    let test = &report.splits["test"];
    assert_eq!((test.usable, test.expected), (3068, Some(3068)));
    let conflict = test.conflict.as_ref().expect("a conflict");
    assert!(conflict.contains("`neutral` has 329 images, the published number of `surprise`"), "{conflict}");
    assert!(!conflict.contains("`fear`") && !report.is_as_expected());
    assert!(report.to_string().contains("the labels are in another order"), "{report}");
}

#[test]
fn rafdb_is_read_with_a_validation_folder_beside_or_instead_of_the_test_folder() {
    let dir = folder();
    sorted(dir.path(), 1);
    fs::rename(dir.path().join("test"), dir.path().join("valid")).expect("the folder moves");
    let data = load("rafdb", dir.path()).expect("a data set");
    assert_eq!(data.splits.keys().collect::<Vec<_>>(), ["train", "valid"]);
    let found = data.splits["valid"].samples.iter().map(|sample| data.classes[sample.label].as_str());
    assert_eq!(found.collect::<Vec<_>>(), LIST);
    sorted(dir.path(), 1);
    let data = load("rafdb", dir.path()).expect("a data set");
    assert_eq!(data.splits.keys().collect::<Vec<_>>(), ["test", "train", "valid"]);
    fs::create_dir_all(dir.path().join("val")).expect("a folder");
    assert_fails(load("rafdb", dir.path()), &["one folder for the valid split", "`val` and `valid`"]);
}

#[test]
fn a_third_column_of_rafdbs_list_is_the_split_or_a_second_label() {
    let dir = folder();
    let list = distributed(dir.path());
    let path = dir.path().join("EmoLabel/list_patition_label.txt");
    let before = load("rafdb", dir.path()).expect("a data set").hashes;
    let with = |third: fn(usize) -> &'static str| {
        let rows = list.lines().enumerate().map(|(row, line)| format!("{line} {}\n", third(row)));
        write(&path, &format!("\u{feff}{}", rows.collect::<String>()));
        load("rafdb", dir.path())
    };
    assert_eq!(with(|_| "3").expect("a data set").hashes, before);
    let data = with(|row| {
        if row < 7 {
            "train"
        } else if row < 14 {
            "val"
        } else {
            "test"
        }
    })
    .expect("a data set");
    assert_eq!(data.splits.values().map(|split| split.samples.len()).collect::<Vec<_>>(), [7, 7, 7]);
    assert!(data.splits.contains_key("valid"));
    assert_fails(with(|_| "sometimes"), &["list_patition_label.txt", "third column", "on line 1"]);
}

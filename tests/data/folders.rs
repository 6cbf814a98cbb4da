//! Folders and tables of one's own: what is in them is used, named or refused.

use std::fs;
use std::path::Path;

use moue::data::{Dataset, Spec, Unused};

use super::{assert_fails, folder, load, png, write};

/// `count` images in a folder.
fn images(dir: &Path, count: u8) {
    let seed = dir.to_string_lossy().bytes().fold(0, |sum: u8, byte| sum.wrapping_mul(31).wrapping_add(byte));
    (0..count).for_each(|index| png(&dir.join(format!("{index}.png")), 8, seed.wrapping_add(index)));
}

fn unused(data: &Dataset) -> Vec<(&str, usize)> {
    data.unused.iter().map(|Unused { path, images, .. }| (path.as_str(), *images)).collect()
}

fn counts(data: &Dataset) -> Vec<(&str, usize)> {
    data.splits.iter().map(|(name, split)| (name.as_str(), split.samples.len())).collect()
}

#[test]
fn the_splits_folders_have_the_names_of_the_field() {
    for [train, valid, test] in
        [["train", "validation", "test"], ["training", "val", "testing"], ["Train", "Valid", "Test"]]
    {
        let dir = folder();
        for (split, count) in [(train, 5), (valid, 3), (test, 2)] {
            images(&dir.path().join(split).join("happiness"), count);
            images(&dir.path().join(split).join("sadness"), count);
        }
        let data = load("folder", dir.path()).expect("a data set");
        assert_eq!(counts(&data), [("test", 4), ("train", 10), ("valid", 6)]);
        assert_eq!((unused(&data), data.check().is_as_expected()), (vec![], true));
    }
}

#[test]
fn two_folders_for_one_split_are_refused() {
    let dir = folder();
    for split in ["train", "val", "valid"] {
        images(&dir.path().join(split).join("happiness"), 2);
        images(&dir.path().join(split).join("sadness"), 2);
    }
    assert_fails(load("folder", dir.path()), &["one folder for the valid split", "`val` and `valid`"]);
}

#[test]
fn every_file_and_folder_that_is_not_used_is_named() {
    let dir = folder();
    for class in ["happiness", "sadness"] {
        images(&dir.path().join("train").join(class), 5);
    }
    images(&dir.path().join("anger"), 10);
    images(&dir.path().join("train/sadness/person 1/take 2"), 10);
    images(&dir.path().join("train"), 1);
    write(&dir.path().join("README.txt"), "by the authors");
    write(&dir.path().join(".DS_Store"), "hidden");
    let data = load("folder", dir.path()).expect("a data set");
    assert_eq!(counts(&data), [("train", 10)]);
    let expected = [("README.txt", 0), ("anger/", 10), ("train/0.png", 1), ("train/sadness/person 1/", 10)];
    assert_eq!(unused(&data), expected);
    let report = data.check();
    assert!(!report.is_as_expected());
    for line in ["not used: README.txt\n", "not used: anger/ (10 images)\n", "not used: train/0.png\n"] {
        assert!(report.to_string().contains(line), "{report}");
    }
    let notes = data.notes().join("\n");
    assert!(notes.contains("not used: train/sadness/person 1/ (10 images)") && !notes.contains("README"), "{notes}");
    // The other splits' images are not asked for, which is no reason to name them.
    images(&dir.path().join("test/sadness"), 2);
    let spec: Spec = format!("folder:{}", dir.path().display()).parse().expect("a spec");
    assert_eq!(unused(&spec.load_splits(&["train"]).expect("a data set")), expected);
}

#[test]
fn a_class_whose_images_lie_deeper_is_refused_with_their_place() {
    let dir = folder();
    images(&dir.path().join("happiness"), 5);
    images(&dir.path().join("sadness/person"), 5);
    assert_fails(load("folder", dir.path()), &["none of `sadness`", "5 images in sadness/person/ are not used"]);
}

#[test]
fn images_that_a_table_does_not_list_are_named() {
    let dir = folder();
    images(dir.path(), 4);
    let csv = dir.path().join("labels.csv");
    write(&csv, "path,label,split\n0.png,yes,train\n1.png,no,train\n2.png,no,test\n");
    let spec: Spec = format!("folder:{}", dir.path().display()).parse().expect("a spec");
    for names in [&["train"][..], &["train", "valid", "test"]] {
        assert_eq!(unused(&spec.load_splits(names).expect("a data set")), [("3.png", 1)]);
    }
}

#[test]
fn one_bad_file_among_sixty_is_dropped_and_named() {
    let dir = folder();
    images(&dir.path().join("happiness"), 30);
    images(&dir.path().join("sadness"), 30);
    write(&dir.path().join("sadness/empty.png"), "");
    let data = load("folder", dir.path()).expect("a data set");
    assert_eq!(counts(&data), [("train", 60)]);
    let dropped = &data.splits["train"].dropped;
    assert_eq!((dropped.len(), dropped[0].id.as_str(), dropped[0].unreadable), (1, "sadness/empty.png", true));
    assert!(data.notes()[0].starts_with("sadness/empty.png is left out, unreadable"), "{:?}", data.notes());
    assert!(!data.check().is_as_expected());
    // All of a class: no split to train on.
    let dir = folder();
    images(&dir.path().join("happiness"), 30);
    write(&dir.path().join("sadness/empty.png"), "");
    assert_fails(load("folder", dir.path()), &["none of `sadness`"]);
}

#[test]
fn a_table_from_windows_is_read_everywhere() {
    let dir = folder();
    images(&dir.path().join("happy"), 2);
    images(&dir.path().join("sad"), 2);
    let rows = "happy\\0.png,happiness\r\nhappy\\1.png,happiness\r\nsad\\0.png,sadness\r\nsad\\1.png,sadness\r\n";
    let csv = dir.path().join("labels.csv");
    write(&csv, &format!("\u{feff}path,label\r\n{rows}"));
    write(&dir.path().join("classes.txt"), "\u{feff}sadness\r\nhappiness\r\n");
    let data = load("folder", dir.path()).expect("a data set");
    assert_eq!((counts(&data), unused(&data)), (vec![("train", 4)], vec![]));
    assert_eq!(data.classes, ["sadness", "happiness"]);
    assert_eq!(data.splits["train"].samples[0].id, "happy/0.png");
    for path in ["..\\0.png", "happy\\..\\..\\0.png"] {
        write(&csv, &format!("path,label\nhappy/0.png,happiness\n{path},sadness\n"));
        assert_fails(load("folder", dir.path()), &["inside the folder", path]);
    }
    write(&csv, "path,label\nhappy/0.png,happiness\nhappy\\0.png,sadness\n");
    assert_fails(load("folder", dir.path()), &["each image once", "a second time on line 3"]);
}

/// `gêné` as one character for each letter, and with the accents apart.
const APART: [&str; 2] = ["g\u{ea}n\u{e9}", "ge\u{302}ne\u{301}"];

#[test]
fn a_name_is_one_class_however_its_accents_are_spelled() {
    let dir = folder();
    for split in 0..2 {
        let part = dir.path().join(["train", "test"][split]);
        images(&part.join(APART[split]), 2);
        images(&part.join("neutral"), 2);
    }
    write(&dir.path().join("classes.txt"), &format!("neutral\n{}\n", APART[1]));
    let data = load("folder", dir.path()).expect("a data set");
    assert_eq!(data.classes, ["neutral", APART[0]]);
    assert_eq!(counts(&data), [("test", 4), ("train", 4)]);

    // A table that spells a file, and a class, otherwise than the disk does.
    let dir = folder();
    images(&dir.path().join(APART[1]), 2);
    let rows = format!("{0}/0.png,{0}\n{0}/1.png,neutral\n", APART[0]);
    write(&dir.path().join("labels.csv"), &format!("path,label\n{rows}"));
    write(&dir.path().join("classes.txt"), &format!("neutral\n{}\n", APART[1]));
    let data = load("folder", dir.path()).expect("a data set");
    assert_eq!((counts(&data), unused(&data)), (vec![("train", 2)], vec![]));
}

#[test]
fn a_class_with_far_fewer_images_is_warned_of_with_what_helps() {
    let dir = folder();
    for (class, count) in [("a", 80), ("b", 80), ("c", 3)] {
        images(&dir.path().join(class), count);
    }
    let data = load("folder", dir.path()).expect("a data set");
    let warning = data.imbalance().expect("a warning");
    for part in ["only 3 of `c`", "80 of `", "--limit-per-class 30"] {
        assert!(warning.contains(part), "`{part}` is not in: {warning}");
    }
    assert!(data.check().to_string().contains(&warning) && data.notes().contains(&warning));
    (3..5).for_each(|index| {
        fs::copy(dir.path().join("a/0.png"), dir.path().join(format!("c/{index}.png"))).map(drop).expect("a copy")
    });
    assert_eq!(load("folder", dir.path()).expect("a data set").imbalance(), None);
}

#[test]
fn a_class_map_renames_joins_and_leaves_out_classes_and_their_votes() {
    let dir = folder();
    super::ferplus(dir.path(), dir.path(), 12);
    let data = load("ferplus", dir.path()).expect("a data set");
    let mut mapped = data.clone();
    mapped.map_classes(&"contempt=,disgust=anger".parse().expect("a map")).expect("six classes");
    assert_eq!(mapped.classes, ["neutral", "happiness", "sadness", "surprise", "fear", "anger"]);
    let (before, after) = (&data.splits["train"], &mapped.splits["train"]);
    assert_eq!((before.samples.len(), after.samples.len()), (11, 10));
    assert_eq!(after.dropped.last().expect("an image").reason, "the class map leaves its class out");
    for sample in &after.samples {
        let old = before.samples.iter().find(|old| old.id == sample.id).expect("the image");
        let name = data.classes[old.label].replace("disgust", "anger");
        assert_eq!(mapped.classes[sample.label], name, "{}", sample.id);
        let votes = sample.votes.as_ref().expect("votes");
        // Eight of ten votes, or all where the other two were for contempt or for disgust beside anger.
        let expected = match data.classes[old.label].as_str() {
            "anger" | "fear" => 1.0,
            _ => 0.8,
        };
        assert_eq!((votes.len(), votes[sample.label]), (6, expected), "{name}");
        assert!((votes.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }
    assert_eq!(mapped.hashes, data.hashes);
    for map in ["calm=neutral", "neutral=a,happiness=a,sadness=a,surprise=a,fear=a,disgust=a,anger=a,contempt=a"] {
        assert_eq!(data.clone().map_classes(&map.parse().expect("a map")).expect_err(map).exit_code(), 2);
    }
    let mut same = data.clone();
    same.map_classes(&"".parse().expect("no map")).expect("the same");
    assert_eq!(
        (same.classes, same.splits["test"].samples[3].votes.clone()),
        (data.classes, data.splits["test"].samples[3].votes.clone())
    );
}

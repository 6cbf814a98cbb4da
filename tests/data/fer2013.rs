//! FER2013 as its table and as folders.

use std::path::Path;

use moue::data::EXPRESSIONS;

use super::{assert_fails, folder, load, png, write};

/// The table's names of its emotions 0 to 6, as the folders have them.
const EMOTIONS: [&str; 7] = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"];

/// The classes of the emotions 0 to 6.
const CLASSES: [&str; 7] = ["anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"];

/// A table with one image of each emotion in each split, all pixels as bright as its row.
fn table(path: &Path, header: &str) {
    let mut text = format!("{header}\n");
    for (split, usage) in ["Training", "PublicTest", "PrivateTest"].into_iter().enumerate() {
        for emotion in 0..7 {
            let pixels = vec![(7 * split + emotion).to_string(); 48 * 48].join(" ");
            text += &match header {
                "emotion,pixels,Usage" => format!("{emotion},{pixels},{usage}\n"),
                _ => format!("{emotion}, {usage}, {pixels}\n"),
            };
        }
    }
    write(path, &text);
}

#[test]
fn fer2013s_table_is_read_under_the_names_of_moue() {
    for (file, header) in [("fer2013.csv", "emotion,pixels,Usage"), ("icml_face_data.csv", "emotion, Usage, pixels")] {
        let dir = folder();
        table(&dir.path().join(file), header);
        let data = load("fer2013", dir.path()).expect("a data set");
        assert_eq!(data.classes, EXPRESSIONS[..7]);
        for (split, first) in [("train", 0), ("valid", 7), ("test", 14)] {
            let samples = &data.splits[split].samples;
            let classes: Vec<_> = samples.iter().map(|sample| data.classes[sample.label].as_str()).collect();
            assert_eq!(classes, CLASSES, "{split}");
            assert_eq!((samples[6].image.pixels[0], samples[6].image.width), (first + 6, 48));
        }
        assert_eq!((data.check().splits["train"].expected, data.unused.len()), (Some(28_709), 0));
    }
}

#[test]
fn a_wrong_line_of_fer2013s_table_is_named() {
    let dir = folder();
    let path = dir.path().join("fer2013.csv");
    for (text, expected) in [
        ("emotion,pixels\n0,1 2\n", "the header emotion,pixels,Usage"),
        ("emotion,pixels,Usage\n7,1 2,Training\n", "an emotion from 0 (angry) to 6 (neutral)"),
        ("emotion,pixels,Usage\n0,1 2,Practice\n", "Training, PublicTest or PrivateTest"),
        ("emotion,pixels,Usage\n0,1 2,Training\n", "2304 grey values"),
        ("emotion,pixels,Usage\n", "rows for train, valid, test"),
    ] {
        write(&path, text);
        assert_fails(load("fer2013", dir.path()), &["fer2013.csv", expected]);
    }
}

#[test]
fn fer2013s_folders_are_read_under_the_names_of_moue() {
    let dir = folder();
    for (class, emotion) in EMOTIONS.into_iter().enumerate() {
        for split in ["train", "test"] {
            png(&dir.path().join(format!("{split}/{emotion}/{split}.png")), 48, 30 * class as u8);
        }
    }
    let data = load("fer2013", dir.path()).expect("a data set");
    assert_eq!(data.classes, EXPRESSIONS[..7]);
    for sample in &data.splits["train"].samples {
        let class = EMOTIONS.iter().position(|emotion| sample.id.contains(emotion)).expect("an emotion");
        assert_eq!(data.classes[sample.label], CLASSES[class], "{}", sample.id);
    }
    assert_eq!(data.check().splits["test"].expected, Some(7_178));
    png(&dir.path().join("train/bored/a.png"), 48, 1);
    assert_fails(load("fer2013", dir.path()), &["train and test with angry", "bored", "folder:DIR"]);
}

//! Reading data sets from files: every layout, and every way in which the files can be wrong.
#![cfg(feature = "cli")]

#[path = "data/affectnet.rs"]
mod affectnet;
#[path = "data/copies.rs"]
mod copies;
#[path = "data/fer2013.rs"]
mod fer2013;
#[path = "data/folders.rs"]
mod folders;
#[path = "data/groups.rs"]
mod groups;
#[path = "data/rafdb.rs"]
mod rafdb;

use std::fs;
use std::path::Path;

use moue::data::{Dataset, EXPRESSIONS, Image, Spec, Split};
use tempfile::TempDir;

fn folder() -> TempDir {
    TempDir::new().expect("a folder")
}

/// A grey PNG whose pixels depend on `tone`.
fn png(path: &Path, side: u32, tone: u8) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    image::GrayImage::from_fn(side, side, |x, y| image::Luma([tone ^ (x * 7 + y * 3) as u8]))
        .save(path)
        .expect("a PNG");
}

/// A JPEG of one grey.
fn jpeg(path: &Path, side: u32, tone: u8) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    image::GrayImage::from_pixel(side, side, image::Luma([tone])).save(path).expect("a JPEG");
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    fs::write(path, text).expect("a file");
}

fn load(kind: &str, dir: &Path) -> moue::Result<Dataset> {
    format!("{kind}:{}", dir.display()).parse::<Spec>()?.load()
}

/// A failed load's message must be one line that contains all of `parts`, and its exit code 3.
#[track_caller]
fn assert_fails(result: moue::Result<Dataset>, parts: &[&str]) {
    let error = result.expect_err("bad data");
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
    assert_eq!(error.exit_code(), 3, "{message}");
    assert!(!message.contains('\n'), "{message}");
}

/// Eight votes for a class in FER+'s column order, two for the next one.
fn votes(class: usize) -> String {
    let mut votes = [0; 10];
    votes[class] = 8;
    votes[(class + 1) % 8] = 2;
    votes.map(|vote| vote.to_string()).join(",")
}

/// FER+ with `count` images in each split; every eleventh line has no majority.
fn ferplus(images: &Path, labels: &Path, count: usize) {
    for (part, name) in ["FER2013Train", "FER2013Valid", "FER2013Test"].into_iter().enumerate() {
        let mut csv = String::new();
        for index in 0..count {
            let file = format!("fer{part}{index:06}.png");
            let line = if index % 11 == 10 { "5,5,0,0,0,0,0,0,0,0".into() } else { votes(index % 8) };
            csv += &format!("{file},\"(0, 0, 48, 48)\",{line}\n");
            png(&images.join(name).join(file), 48, (part * 80 + index) as u8);
        }
        write(&labels.join(name).join("label.csv"), &csv);
    }
}

#[test]
fn ferplus_maps_its_columns_to_the_order_of_moue() {
    let dir = folder();
    ferplus(dir.path(), dir.path(), 12);
    let data = load("ferplus", dir.path()).expect("a data set");
    assert_eq!(data.classes, EXPRESSIONS);
    let train = data.split("train").expect("train");
    let columns = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"];
    for (index, sample) in train.samples.iter().enumerate().take(8) {
        assert_eq!(EXPRESSIONS[sample.label], columns[index]);
        let votes = sample.votes.as_ref().expect("votes");
        assert_eq!(votes[sample.label], 0.8);
        let second = EXPRESSIONS.iter().position(|name| *name == columns[(index + 1) % 8]).expect("a class");
        assert_eq!(votes[second], 0.2);
        let Image { width, height, channels, pixels } = &*sample.image;
        assert_eq!((*width, *height, *channels, pixels.len()), (48, 48, 1, 48 * 48));
        assert_eq!(pixels[0], index as u8);
    }
    assert_eq!(train.samples.len(), 11);
    assert_eq!(train.dropped.len(), 1);
    assert_eq!(train.dropped[0].reason, "no majority");
    let report = data.check();
    assert_eq!((report.splits["train"].usable, report.splits["train"].expected), (11, Some(25_045)));
    assert!(!report.is_as_expected());
    assert!(report.to_string().contains("25045"), "{report}");
}

#[test]
fn ferplus_is_the_same_in_its_three_layouts() {
    let (plain, apart, kaggle) = (folder(), folder(), folder());
    ferplus(plain.path(), plain.path(), 12);
    ferplus(&apart.path().join("Images"), &apart.path().join("Labels"), 12);
    let mut faces = String::from("emotion,pixels,Usage\n");
    let mut labels =
        String::from("Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n");
    let parts = [("FER2013Train", "Training"), ("FER2013Valid", "PublicTest"), ("FER2013Test", "PrivateTest")];
    for (part, usage) in parts {
        let csv = fs::read_to_string(plain.path().join(part).join("label.csv")).expect("labels");
        for line in csv.lines() {
            let (file, rest) = line.split_once(',').expect("columns");
            let picture = image::open(plain.path().join(part).join(file)).expect("a PNG").into_luma8();
            let pixels: Vec<_> = picture.as_raw().iter().map(u8::to_string).collect();
            faces += &format!("0,{},{usage}\n", pixels.join(" "));
            labels += &format!("{usage},{file},{}\n", rest.split_once(")\",").expect("a rectangle").1);
        }
        // FER+ excludes some images: they have no name.
        faces += &format!("0,0,{usage}\n");
        labels += &format!("{usage},,0,0,0,0,0,0,0,0,0,10\n");
    }
    write(&kaggle.path().join("fer2013.csv"), &faces);
    write(&kaggle.path().join("fer2013new.csv"), &labels);
    let hashes = [&plain, &apart, &kaggle].map(|dir| load("ferplus", dir.path()).expect("a data set").hashes);
    assert_eq!(hashes[0], hashes[1]);
    assert_eq!(hashes[0], hashes[2]);
    assert_eq!(hashes[0]["train"].len(), 64);

    write(&kaggle.path().join("fer2013.csv"), &faces.replacen(" 4", " 400", 1));
    assert_fails(load("ferplus", kaggle.path()), &["fer2013.csv", "2304 grey values", "line 2"]);
    write(&kaggle.path().join("fer2013.csv"), "emotion,pixels,Usage\n");
    assert_fails(load("ferplus", kaggle.path()), &["fer2013new.csv", "a line too many", "line 2"]);
    write(&kaggle.path().join("fer2013.csv"), &(faces + "0,0,PrivateTest\n"));
    assert_fails(load("ferplus", kaggle.path()), &["fer2013.csv", "a line too many", "line 41"]);
}

#[test]
fn only_the_named_splits_are_opened() {
    let dir = folder();
    ferplus(dir.path(), dir.path(), 12);
    fs::remove_dir_all(dir.path().join("FER2013Test")).expect("the test split goes");
    let spec: Spec = format!("ferplus:{}", dir.path().display()).parse().expect("a spec");
    let data = spec.load_splits(&["train", "valid"]).expect("a data set");
    assert_eq!(data.splits.keys().collect::<Vec<_>>(), ["train", "valid"]);
    assert_fails(spec.load(), &["FER2013Test"]);
    assert!(data.split("test").is_err());
    assert_eq!(spec.load_splits(&["tset"]).expect_err("an unknown split").exit_code(), 2);
}

#[test]
fn unreadable_images_are_dropped_with_their_reasons_unless_they_are_more_than_10_and_1_percent() {
    let dir = folder();
    ferplus(dir.path(), dir.path(), 220);
    let train = dir.path().join("FER2013Train");
    let cut = |index: usize| {
        let path = train.join(format!("fer0{index:06}.png"));
        let bytes = fs::read(&path).expect("a PNG");
        fs::write(path, &bytes[..bytes.len() / 2]).expect("half a PNG");
    };
    cut(3);
    fs::remove_file(train.join("fer0000004.png")).expect("one goes missing");
    let data = load("ferplus", dir.path()).expect("a data set");
    let split = data.split("train").expect("train");
    assert_eq!(split.samples.len(), 198);
    let broken: Vec<_> = split.dropped.iter().filter(|drop| drop.unreadable).map(|drop| drop.id.as_str()).collect();
    assert_eq!(broken, ["train/fer0000003.png", "train/fer0000004.png"]);
    assert!(data.check().to_string().contains("train/fer0000003.png dropped, unreadable"), "{}", data.check());
    // Ten of 200 are far more than 1 %.
    (5..13).filter(|index| index % 11 != 10).for_each(cut);
    cut(14);
    let split = load("ferplus", dir.path()).expect("a data set").splits.remove("train").expect("train");
    assert_eq!((split.samples.len(), split.dropped.iter().filter(|drop| drop.unreadable).count()), (190, 10));
    cut(15);
    assert_fails(load("ferplus", dir.path()), &["at most 10 or 1 %", "11 unreadable", "train/fer0000003.png"]);
}

#[test]
fn a_csv_with_wrong_columns_names_its_line() {
    let dir = folder();
    ferplus(dir.path(), dir.path(), 12);
    let path = dir.path().join("FER2013Valid").join("label.csv");
    let good = fs::read_to_string(&path).expect("labels");
    write(&path, &(good.clone() + "fer1000099.png,\"(0, 0, 48, 48)\",1,2,3\n"));
    assert_fails(load("ferplus", dir.path()), &["label.csv", "10 votes", "5 columns", "line 13"]);
    write(&path, &good.replacen(",8,2,", ",8,two,", 1));
    assert_fails(load("ferplus", dir.path()), &["label.csv", "whole numbers", "`two`", "line 1"]);
    write(&path, &good.replacen("fer1000000.png", "../fer1000000.png", 1));
    assert_fails(load("ferplus", dir.path()), &["label.csv", "../fer1000000.png", "line 1"]);
}

#[test]
fn missing_and_empty_folders_are_named() {
    let dir = folder();
    let missing = dir.path().join("nowhere");
    for kind in ["ferplus", "fer2013", "rafdb", "rafdb-original", "affectnet", "folder"] {
        assert_fails(load(kind, &missing), &["nowhere"]);
        assert_fails(load(kind, dir.path()), &[&dir.path().display().to_string(), "empty folder"]);
    }
    fs::create_dir_all(dir.path().join("happiness")).expect("a folder");
    assert_fails(load("folder", dir.path()), &["at least two classes", "`happiness`"]);
    png(&dir.path().join("sadness/a.png"), 8, 1);
    assert_fails(load("folder", dir.path()), &["none of `happiness`"]);
}

#[test]
fn folders_take_the_order_of_the_expressions_and_any_format() {
    let dir = folder();
    png(&dir.path().join("sadness/a.png"), 8, 1);
    let picture = image::RgbImage::from_fn(9, 5, |x, y| image::Rgb([(x * 20) as u8, (y * 30) as u8, 90]));
    for (class, file) in [("anger", "b.JPG"), ("neutral", "c.bmp"), ("happiness", "d.webp"), ("happiness", "e.png")] {
        fs::create_dir_all(dir.path().join(class)).expect("a folder");
        picture.save(dir.path().join(class).join(file)).expect("an image");
    }
    write(&dir.path().join("anger/notes.txt"), "not an image");
    write(&dir.path().join("anger/.hidden"), "not to be seen");
    let data = load("folder", dir.path()).expect("a data set");
    assert_eq!(data.classes, ["neutral", "happiness", "sadness", "anger"]);
    let train = data.split("train").expect("train");
    let mut found: Vec<_> = train.samples.iter().map(|sample| (sample.id.as_str(), sample.label)).collect();
    found.sort_unstable();
    let expected = [
        ("anger/b.JPG", 3),
        ("happiness/d.webp", 1),
        ("happiness/e.png", 1),
        ("neutral/c.bmp", 0),
        ("sadness/a.png", 2),
    ];
    assert_eq!(found, expected);
    let image = |id: &str| &*train.samples.iter().find(|sample| sample.id == id).expect("a sample").image;
    assert_eq!((image("anger/b.JPG").width, image("anger/b.JPG").height), (9, 5));
    assert_eq!(image("happiness/e.png").pixels, *picture.as_raw());
    assert_eq!((image("sadness/a.png").channels, image("anger/b.JPG").channels), (1, 3));
    assert_eq!(train.dropped.iter().map(|drop| drop.id.as_str()).collect::<Vec<_>>(), ["anger/notes.txt"]);
}

#[test]
fn large_photographs_are_reduced() {
    let dir = folder();
    let path = dir.path().join("large.png");
    png(&path, 700, 1);
    let image = Image::open(&path).expect("an image");
    assert_eq!((image.width, image.height, image.pixels.len()), (512, 512, 512 * 512));
    write(&path, "not an image");
    let message = Image::open(&path).expect_err("no image").to_string();
    assert!(message.contains("large.png") && message.contains("PNG, JPEG"), "{message}");
}

#[test]
fn labels_do_not_depend_on_the_splits_asked_for() {
    let dir = folder();
    let files = [
        ("train/yes/a.png", 1),
        ("train/no/b.png", 2),
        ("val/yes/c.png", 3),
        ("test/maybe/d.png", 1),
        ("train/maybe/e.png", 9),
    ];
    for (path, tone) in files {
        png(&dir.path().join(path), 8, tone);
    }
    let spec: Spec = format!("folder:{}", dir.path().display()).parse().expect("a spec");
    let data = spec.load().expect("a data set");
    assert_eq!(data.classes, ["maybe", "no", "yes"]);
    assert_eq!(data.splits.keys().collect::<Vec<_>>(), ["test", "train", "valid"]);
    assert_eq!(data.split("valid").expect("valid").samples[0].label, 2);
    // a.png and d.png have the same pixels.
    assert_eq!(data.check().splits["test"].also_in_train, 1);
    assert_eq!(data.check().splits["valid"].also_in_train, 0);
    assert_eq!(spec.load_splits(&["valid"]).expect("a data set").classes, data.classes);
}

#[test]
fn a_class_list_gives_the_order_and_must_match() {
    let dir = folder();
    for class in ["anger", "neutral"] {
        png(&dir.path().join(class).join("a.png"), 8, 1);
    }
    let list = dir.path().join("classes.txt");
    write(&list, "anger\nneutral\n");
    assert_eq!(load("folder", dir.path()).expect("a data set").classes, ["anger", "neutral"]);
    write(&list, "anger\nnormal\n");
    assert_fails(load("folder", dir.path()), &["classes.txt", "`neutral`", "anger, normal"]);
    write(&list, "anger\nneutral\nanger\n");
    assert_fails(load("folder", dir.path()), &["classes.txt", "`anger` twice"]);
    write(&list, "anger\nneutral\njoy\n");
    assert_fails(load("folder", dir.path()), &["none of `joy`"]);
}

#[test]
fn a_labels_csv_is_read_and_must_stay_inside_its_folder() {
    let dir = folder();
    for (file, tone) in [("a.png", 1), ("sub/b.png", 2), ("c.png", 3)] {
        png(&dir.path().join(file), 8, tone);
    }
    let csv = dir.path().join("labels.csv");
    write(&csv, "path,label,split\na.png,yes,train\nsub/../sub/b.png,no,train\nc.png,yes,val\n");
    let data = load("folder", dir.path()).expect("a data set");
    assert_eq!(data.classes, ["no", "yes"]);
    assert_eq!(data.split("train").expect("train").samples.len(), 2);
    assert_eq!(data.split("valid").expect("valid").samples[0].id, "c.png");
    for path in ["../a.png", "sub/../../a.png", "/a.png"] {
        write(&csv, &format!("path,label\nc.png,no\n{path},yes\n"));
        assert_fails(load("folder", dir.path()), &["labels.csv", "inside the folder", path, "line 3"]);
    }
    write(&csv, "file,class\na.png,yes\n");
    assert_fails(load("folder", dir.path()), &["labels.csv", "path,label", "`file,class`", "line 1"]);
    write(&csv, "path,label\na.png,yes\nc.png\n");
    assert_fails(load("folder", dir.path()), &["labels.csv", "line: 3"]);
    write(&csv, "path,label,split\na.png,yes,practice\n");
    assert_fails(load("folder", dir.path()), &["labels.csv", "`practice`", "line 2"]);
    write(&csv, "path,label\na.png,\n");
    assert_fails(load("folder", dir.path()), &["labels.csv", "line 2"]);
    write(&csv, "path,label\na.png,yes\nc.png,no\na.png,no\n");
    assert_fails(load("folder", dir.path()), &["labels.csv", "`a.png` a second time", "line 4"]);
}

#[test]
fn the_hash_of_a_split_sees_its_labels_and_pixels_and_what_is_moved_into_it_but_not_the_order_of_its_rows() {
    let dir = folder();
    let mut rows = Vec::new();
    for index in 0..20 {
        let split = if index < 16 { "train" } else { "valid" };
        png(&dir.path().join(format!("{index}.png")), 8, 10 * index);
        rows.push(format!("{index}.png,{},{split}\n", ["yes", "no"][usize::from(index) % 2]));
    }
    let csv = dir.path().join("labels.csv");
    let hashes = |rows: &[String]| {
        write(&csv, &format!("path,label,split\n{}", rows.concat()));
        load("folder", dir.path()).expect("a data set").hashes
    };
    let before = hashes(&rows);
    assert_eq!(before.keys().collect::<Vec<_>>(), ["train", "valid"]);
    let mut turned = rows.clone();
    turned.reverse();
    assert_eq!(hashes(&turned), before);
    let mut moved = rows.clone();
    moved[3] = moved[3].replace("train", "valid");
    moved[17] = moved[17].replace("valid", "train");
    assert!(hashes(&moved).iter().all(|(split, hash)| before[split] != *hash));
    let mut other = rows.clone();
    other[18] = other[18].replace("yes", "no");
    let hashed = hashes(&other);
    assert_eq!((hashed["train"] == before["train"], hashed["valid"] == before["valid"]), (true, false));
    png(&dir.path().join("0.png"), 8, 77);
    let hashed = hashes(&rows);
    assert_eq!((hashed["train"] == before["train"], hashed["valid"] == before["valid"]), (false, true));
}

#[test]
fn split_validation_takes_its_part_of_every_class_and_only_once() {
    let dir = folder();
    for index in 0..20 {
        png(&dir.path().join(format!("yes/{index:02}.png")), 8, index);
    }
    for index in 0..5 {
        png(&dir.path().join(format!("no/{index}.png")), 8, 100 + index);
    }
    let fresh = load("folder", dir.path()).expect("a data set");
    let split = |seed| {
        let mut data = fresh.clone();
        data.split_validation(0.2, seed).expect("a validation split");
        data
    };
    let data = split(1);
    let (train, valid) = (data.split("train").expect("train"), data.split("valid").expect("valid"));
    let count = |split: &Split, label| split.samples.iter().filter(|sample| sample.label == label).count();
    assert_eq!((count(train, 0), count(train, 1), count(valid, 0), count(valid, 1)), (4, 16, 1, 4));
    let ids = |data: &Dataset| data.splits["valid"].samples.iter().map(|sample| sample.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&data), ids(&split(1)));
    assert_ne!(ids(&data), ids(&split(2)));
    let mut again = data.clone();
    again.split_validation(0.5, 3).expect("nothing to do");
    assert_eq!(ids(&again), ids(&data));
    for wrong in [0.0, 1.0, f64::NAN] {
        assert_eq!(fresh.clone().split_validation(wrong, 1).expect_err("out of range").exit_code(), 2);
    }
}

#[test]
fn a_spec_is_its_own_text() {
    for text in [
        "ferplus:some/where",
        "fer2013:some/where",
        "folder:C:/faces",
        "synthetic:seed=7,train=80,valid=16,test=8,size=48",
    ] {
        assert_eq!(text.parse::<Spec>().expect("a spec").to_string(), text);
    }
    let default = "synthetic".parse::<Spec>().expect("a spec").to_string();
    assert_eq!(default, "synthetic:seed=1,train=4000,valid=800,test=800,size=64");
    for wrong in ["", "mnist", "ferplus", "folder:", "synthetic:size=3", "synthetic:train", "synthetic:trian=8"] {
        let error = wrong.parse::<Spec>().expect_err(wrong);
        assert_eq!(error.exit_code(), 2, "{wrong}: {error}");
    }
}

#[test]
#[ignore = "needs the FER+ data: set MOUE_FERPLUS"]
fn ferplus_has_its_published_counts() {
    let dir = std::env::var_os("MOUE_FERPLUS").expect("MOUE_FERPLUS names the folder of FER+");
    let report = load("ferplus", Path::new(&dir)).expect("a data set").check();
    let counts = ["train", "valid", "test"].map(|name| report.splits[name].usable);
    assert_eq!(counts, [25_045, 3_191, 3_137]);
    assert_eq!(report.splits["test"].per_class, [1083, 892, 382, 394, 86, 16, 269, 15]);
    assert!(report.is_as_expected());
}

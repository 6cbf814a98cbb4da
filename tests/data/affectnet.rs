//! AffectNet in its layouts, prepared, and what is wrong with copies of it.

use std::fs;
use std::path::Path;

use moue::data::{EXPRESSIONS, prepare_affectnet};

use super::{assert_fails, folder, jpeg, load, png, write};

const HEADER: &str =
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal\n";

/// The authors' annotations of photographs whose faces are brighter the higher the expression's number.
fn annotated(dir: &Path) -> String {
    let mut rows = String::new();
    for expression in 0..11u8 {
        let path = format!("{}/{expression:02}.png", expression % 3);
        let picture = image::RgbImage::from_fn(60, 50, |x, y| {
            let face = (10..40).contains(&x) && (20..45).contains(&y);
            image::Rgb(if face { [20 * expression + 5, 7, 9] } else { [255; 3] })
        });
        let file = dir.join("Manually_Annotated_Images").join(&path);
        fs::create_dir_all(file.parent().expect("a parent")).expect("a folder");
        picture.save(file).expect("an image");
        rows += &format!("{path},10,20,30,25,1;2;3,{expression},0.1,-0.2\n");
    }
    for table in ["training.csv", "validation.csv"] {
        write(&dir.join(table), &format!("{HEADER}{rows}"));
    }
    rows
}

#[test]
fn affectnets_annotations_cut_out_the_face_and_drop_what_is_no_expression() {
    let dir = folder();
    annotated(dir.path());
    let data = load("affectnet", dir.path()).expect("a data set");
    assert_eq!(data.classes, EXPRESSIONS);
    let train = data.split("train").expect("train");
    assert_eq!(train.samples.len(), 8);
    // In the order of the ids, whose folders are the expression's remainder by three.
    assert_eq!(train.samples.iter().map(|sample| sample.label).collect::<Vec<_>>(), [0, 3, 6, 1, 4, 7, 2, 5]);
    for sample in &train.samples {
        assert_eq!((sample.image.width, sample.image.height), (30, 25));
        let tone = 20 * sample.label as u8 + 5;
        assert!(sample.image.pixels.chunks(3).all(|pixel| pixel == [tone, 7, 9]), "the face alone");
        assert_eq!((sample.valence, sample.arousal), (Some(0.1), Some(-0.2)));
    }
    let reasons: Vec<_> = train.dropped.iter().map(|drop| drop.reason.as_str()).collect();
    let expected = ["annotated as none of the expressions", "annotated as uncertain", "annotated as no face"];
    assert_eq!(reasons, expected);
    let report = data.check();
    assert_eq!(report.splits["train"].expected, Some(287_568));
    assert_eq!(report.splits["test"].expected, Some(4_000));
}

#[test]
fn affectnets_tables_are_read_without_a_header_and_with_another_order() {
    let dir = folder();
    let rows = annotated(dir.path());
    let before = load("affectnet", dir.path()).expect("a data set").hashes;
    write(&dir.path().join("validation.csv"), &rows);
    let mut turned = String::from(
        "expression,valence,facial_landmarks,face_height,face_width,face_y,face_x,subDirectory_filePath\n",
    );
    for row in rows.lines() {
        let c: Vec<_> = row.split(',').collect();
        turned += &format!("{},{},{},{},{},{},{},{}\n", c[6], c[7], c[5], c[4], c[3], c[2], c[1], c[0]);
    }
    let lists = dir.path().join("Manually_Annotated_file_lists");
    fs::create_dir_all(&lists).expect("a folder");
    write(&lists.join("training.csv"), &turned);
    fs::rename(dir.path().join("validation.csv"), lists.join("validation.csv")).expect("the table moves");
    fs::remove_file(dir.path().join("training.csv")).expect("the table goes");
    assert_eq!(load("affectnet", dir.path()).expect("a data set").hashes, before);
}

#[test]
fn a_wrong_row_of_affectnets_tables_is_named() {
    let dir = folder();
    let rows = annotated(dir.path());
    for (row, expected) in [
        ("../x.png,1,1,5,5,,3,0,0", "paths that stay inside the folder"),
        ("/x.png,1,1,5,5,,3,0,0", "paths that stay inside the folder"),
        ("0/00.png,1,1,5,5,,11,0,0", "an expression from 0 to 10"),
        ("0/00.png,1,1,5,5,,-1,0,0", "an expression from 0 to 10"),
        ("0/00.png,1,1,5,5", "an expression from 0 to 10"),
        ("0/00.png,1,1,0,5,,3,0,0", "a face's x, y, width and height"),
        ("0/00.png,1,1,a,5,,3,0,0", "a face's x, y, width and height"),
        (",1,1,5,5,,3,0,0", "the columns subDirectory_filePath to expression"),
    ] {
        write(&dir.path().join("training.csv"), &format!("{HEADER}{rows}{row}\n"));
        assert_fails(load("affectnet", dir.path()), &["training.csv", expected, "on line 13"]);
    }
    write(&dir.path().join("training.csv"), &format!("{}{rows}", HEADER.replace("face_x", "x")));
    assert_fails(load("affectnet", dir.path()), &["training.csv", "a column face_x", "on line 1"]);
    // A face outside of its photograph is an image that cannot be read.
    write(&dir.path().join("training.csv"), &format!("{HEADER}{rows}0/00.png,60,1,5,5,,3,0,0\n"));
    let data = load("affectnet", dir.path()).expect("a data set");
    let reason = &data.splits["train"].dropped.last().expect("the wrong row").reason;
    assert!(reason.contains("a face at (60, 1) outside 60×50 pixels"), "{reason}");
    let row = "0/00.png,60,1,5,5,,3,0,0\n";
    write(&dir.path().join("training.csv"), &format!("{HEADER}{rows}{}", row.repeat(11)));
    assert_fails(load("affectnet", dir.path()), &["at most 10 or 1 %", "11 unreadable", "60×50 pixels"]);
}

#[test]
fn affectnets_folders_carry_the_label_in_the_names() {
    let dir = folder();
    for (index, between) in [(0u8, 's'), (1, '_')] {
        for expression in 0..9u8 {
            let name = format!("{index}{expression}{between}{expression}{between}-350{between}210.jpg");
            jpeg(&dir.path().join(format!("Training_Labeled/{index}/{name}")), 32, 20 * expression + index);
            jpeg(&dir.path().join(format!("Validation/0/{name}")), 32, 20 * expression + index + 9);
        }
    }
    write(&dir.path().join("Training_Labeled/0/list.txt"), "no image");
    let data = load("affectnet", dir.path()).expect("a data set");
    let train = data.split("train").expect("train");
    assert_eq!(
        train.samples.iter().map(|sample| sample.label).collect::<Vec<_>>(),
        [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7]
    );
    let dropped: Vec<_> = train.dropped.iter().map(|drop| drop.reason.as_str()).collect();
    assert_eq!(
        dropped,
        ["annotated as none of the expressions", "not an image", "annotated as none of the expressions"]
    );
    png(&dir.path().join("Training_Labeled/1/face.png"), 32, 1);
    assert_fails(load("affectnet", dir.path()), &["face.png", "IDsEXPRESSIONsVALENCEsAROUSAL"]);
    fs::remove_file(dir.path().join("Training_Labeled/1/face.png")).expect("it goes");
    write(&dir.path().join("training.csv"), HEADER);
    assert_fails(
        load("affectnet", dir.path()),
        &["one layout", "training.csv", "Training_Labeled"]
            .map(|part| if part == "training.csv" { "annotations in" } else { part }),
    );
    assert_fails(load("affectnet", folder().path()), &["an empty folder", "training.csv"]);
}

#[test]
fn prepared_faces_are_the_faces_and_an_interrupted_preparation_goes_on() {
    let (dir, out) = (folder(), folder());
    annotated(dir.path());
    let mut finished = Vec::new();
    let done = prepare_affectnet(dir.path(), out.path(), 24, 3, |path, kept| {
        finished.push((path.file_name().expect("a file").to_string_lossy().into_owned(), kept));
    })
    .expect("prepared files");
    assert_eq!((done.written, done.kept, done.images), (6, 0, 16));
    assert_eq!(finished[0], ("test-00000.safetensors".into(), false));
    let data = load("affectnet", out.path()).expect("a data set");
    let original = load("affectnet", dir.path()).expect("a data set");
    for split in ["train", "test"] {
        let (ours, theirs) = (data.split(split).expect("a split"), original.split(split).expect("a split"));
        for (a, b) in ours.samples.iter().zip(&theirs.samples) {
            assert_eq!((&a.id, a.label, a.image.width, a.image.height), (&b.id, b.label, 24, 24));
            // A face of one colour stays one, whatever its size.
            assert_eq!(a.image.pixels[..3], b.image.pixels[..3]);
        }
        assert_eq!(ours.samples.len(), 8);
    }

    fs::remove_file(out.path().join("train-00001.safetensors")).expect("a file goes");
    assert_fails(load("affectnet", out.path()), &["train-00001.safetensors", "part 2 of 3", "moue data prepare"]);
    let again = prepare_affectnet(dir.path(), out.path(), 24, 3, |_, _| {}).expect("prepared files");
    assert_eq!((again.written, again.kept, again.images), (1, 5, 16));
    assert_eq!(load("affectnet", out.path()).expect("a data set").hashes, data.hashes);
    fs::remove_file(out.path().join("train-00002.safetensors")).expect("the last file goes");
    assert_fails(load("affectnet", out.path()), &["train-00002.safetensors", "part 3 of 3"]);

    let other = prepare_affectnet(dir.path(), out.path(), 32, 3, |_, _| {}).expect_err("another size");
    assert!(other.to_string().contains("24 pixels"), "{other}");
    let file = out.path().join("train-00000.safetensors");
    let bytes = fs::read(&file).expect("a file");
    fs::write(&file, &bytes[..bytes.len() / 2]).expect("half a file");
    assert_fails(load("affectnet", out.path()), &["train-00000.safetensors", "a whole safetensors file"]);
    let twice = prepare_affectnet(out.path(), dir.path(), 24, 3, |_, _| {}).expect_err("prepared already");
    assert!(twice.to_string().contains("ready to be used"), "{twice}");
    let range = prepare_affectnet(dir.path(), out.path(), 5, 3, |_, _| {}).expect_err("too small");
    assert_eq!(range.exit_code(), 2);
    annotated(out.path());
    assert_fails(load("affectnet", out.path()), &["one layout", "annotations in", "prepared shards"]);
}

/// A `.npy` file of version 1 with one element.
fn npy(path: &Path, descr: &str, shape: &str, element: &[u8]) {
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    header += &" ".repeat(64 - (11 + header.len()) % 64);
    header.push('\n');
    let bytes = [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), element].concat();
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    fs::write(path, bytes).expect("a file");
}

/// A text of NumPy's type `<U…`.
fn letters(text: &str) -> (String, Vec<u8>) {
    (format!("<U{}", text.chars().count()), text.chars().flat_map(|letter| u32::from(letter).to_le_bytes()).collect())
}

/// AffectNet as it is handed out: one image of each expression 0 to 10 in each set.
fn handed_out(dir: &Path) {
    for set in ["train_set", "val_set"] {
        for expression in 0..11_u8 {
            let annotation = |kind: &str| dir.join(format!("{set}/annotations/{expression}_{kind}.npy"));
            jpeg(&dir.join(format!("{set}/images/{expression}.jpg")), 24, 20 * expression);
            let (descr, element) = letters(&expression.to_string());
            match expression % 4 {
                0 => npy(&annotation("exp"), &descr, "()", &element),
                1 => npy(&annotation("exp"), "<i8", "(1,)", &i64::from(expression).to_le_bytes()),
                2 => npy(&annotation("exp"), "|u1", "()", &[expression]),
                _ => npy(&annotation("exp"), &descr, "(1,)", &element),
            }
            let (descr, element) = letters("-0.25");
            npy(&annotation("val"), &descr, "()", &element);
            let arousal = if expression == 3 { -2.0 } else { 0.125 * f64::from(expression) };
            npy(&annotation("aro"), "<f8", "()", &arousal.to_le_bytes());
            npy(&annotation("lnd"), "<f8", "(136,)", &[0; 136 * 8]);
        }
    }
}

#[test]
fn affectnet_is_read_as_it_is_handed_out_with_valence_and_arousal() {
    let dir = folder();
    handed_out(dir.path());
    let data = load("affectnet", dir.path()).expect("a data set");
    assert_eq!(data.splits.keys().collect::<Vec<_>>(), ["test", "train"]);
    let train = data.split("train").expect("train");
    assert_eq!(train.samples.iter().map(|sample| sample.label).collect::<Vec<_>>(), (0..8).collect::<Vec<_>>());
    for (label, sample) in train.samples.iter().enumerate() {
        assert_eq!((sample.image.pixels[0], sample.valence), (20 * label as u8, Some(-0.25)), "{}", sample.id);
        assert_eq!(sample.arousal, if label == 3 { None } else { Some(0.125 * label as f32) });
    }
    assert_eq!(train.dropped.iter().filter(|drop| drop.reason.starts_with("annotated as")).count(), 3);
    assert_eq!(data.unused, []);

    let out = folder();
    prepare_affectnet(dir.path(), out.path(), 24, 3, |_, _| {}).expect("prepared files");
    let prepared = load("affectnet", out.path()).expect("a data set");
    for (a, b) in prepared.splits["test"].samples.iter().zip(&data.splits["test"].samples) {
        assert_eq!((&a.id, a.label, a.valence, a.arousal), (&b.id, b.label, b.valence, b.arousal));
    }

    jpeg(&dir.path().join("train_set/images/99.jpg"), 24, 1);
    fs::remove_file(dir.path().join("train_set/images/5.jpg")).expect("an image goes");
    let report = load("affectnet", dir.path()).expect("a data set").check().to_string();
    assert!(report.contains("train: train_set/images/99.jpg dropped, without its annotation"), "{report}");
    assert!(
        report.contains("train: train_set/annotations/5_exp.npy dropped, an annotation without its image"),
        "{report}"
    );
}

#[test]
fn a_wrong_annotation_of_affectnet_is_named() {
    let dir = folder();
    handed_out(dir.path());
    let path = dir.path().join("val_set/annotations/2_exp.npy");
    for (descr, shape, element, found) in [
        ("|O", "()", &b"\x80\x03X"[..], "Python objects (a pickle), which are not read"),
        ("|u1", "(2,)", &[2, 2], "an array of shape (2,)"),
        ("<i8", "()", &[2, 0], "2 bytes of data for the type `<i8`"),
        ("|S5", "()", b"happy", "`happy`"),
        ("|u1", "()", &[11], "an expression from 0 to 10"),
    ] {
        npy(&path, descr, shape, element);
        assert_fails(load("affectnet", dir.path()), &["2_exp.npy", found]);
    }
    write(&path, "2");
    assert_fails(load("affectnet", dir.path()), &["2_exp.npy", "no NumPy file"]);
    fs::remove_dir_all(dir.path().join("val_set/annotations")).expect("the annotations go");
    assert_fails(load("affectnet", dir.path()), &["annotations", "N_exp.npy", "no such folder"]);
}

#[test]
fn affectnets_numbered_folders_are_read() {
    let dir = folder();
    for (part, seed) in [("train", 0), ("val", 1), ("test", 2)] {
        for class in 0..8_u8 {
            jpeg(&dir.path().join(format!("{part}/{class}/{seed}{class}.jpg")), 24, 30 * class + seed);
        }
    }
    let labels = |data: &moue::data::Dataset, split: &str| {
        data.splits[split].samples.iter().map(|sample| sample.label).collect::<Vec<_>>()
    };
    let data = load("affectnet", dir.path()).expect("a data set");
    assert_eq!((data.classes.as_slice(), data.unused.as_slice()), (&EXPRESSIONS.map(String::from)[..], &[][..]));
    for split in ["train", "valid", "test"] {
        assert_eq!(labels(&data, split), (0..8).collect::<Vec<_>>());
    }
    // Without a test split AffectNet's validation is what papers report; without 7 it is the seven expressions.
    fs::remove_dir_all(dir.path().join("test")).expect("the folder goes");
    ["train/7", "val/7"].iter().for_each(|path| fs::remove_dir_all(dir.path().join(path)).expect("a folder goes"));
    let data = load("affectnet", dir.path()).expect("a data set");
    assert_eq!(data.splits.keys().collect::<Vec<_>>(), ["test", "train"]);
    assert_eq!((data.classes.len(), labels(&data, "test")), (7, (0..7).collect()));
    jpeg(&dir.path().join("train/neutral/a.jpg"), 24, 3);
    let unused = load("affectnet", dir.path()).expect("a data set").unused;
    assert_eq!((unused[0].path.as_str(), unused[0].images), ("train/neutral/", 1));
    handed_out(dir.path());
    assert_fails(load("affectnet", dir.path()), &["one layout", "the set train_set", "numbered folders"]);
}

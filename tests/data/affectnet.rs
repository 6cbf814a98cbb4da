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
    for (label, sample) in train.samples.iter().enumerate() {
        assert_eq!((sample.label, sample.image.width, sample.image.height), (label, 30, 25));
        assert!(sample.image.pixels.chunks(3).all(|pixel| pixel == [20 * label as u8 + 5, 7, 9]), "the face alone");
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
    let before = load("affectnet", dir.path()).expect("a data set").hash;
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
    assert_eq!(load("affectnet", dir.path()).expect("a data set").hash, before);
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
    // A face outside its photograph is one unreadable image of nine: too many.
    write(&dir.path().join("training.csv"), &format!("{HEADER}{rows}0/00.png,60,1,5,5,,3,0,0\n"));
    assert_fails(load("affectnet", dir.path()), &["at most 1 %", "a face at (60, 1) outside 60×50 pixels"]);
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
    assert_eq!(load("affectnet", out.path()).expect("a data set").hash, data.hash);
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

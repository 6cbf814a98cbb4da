//! Pictures that are too large.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    time::Instant,
};

use super::{ends, folder, model, moue};

/// CRC-32 of a PNG chunk, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [&kind[..], data].concat();
    [&(data.len() as u32).to_be_bytes()[..], &body, &crc(&body).to_be_bytes()].concat()
}

/// A grey PNG of one colour whose header asks for so many pixels; its data are `rows` rows, deflated without compression.
pub(super) fn png(path: &Path, [width, height]: [u32; 2], rows: u32) {
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 0, 0, 0, 0]].concat();
    let row = vec![0_u8; 1 + width as usize];
    let mut data = vec![0x78, 0x01];
    for (number, row) in (1..=rows).map(|number| (number, &row)) {
        for (i, block) in row.chunks(0xFFFF).enumerate() {
            let last = number == rows && (i + 1) * 0xFFFF >= row.len();
            let len = block.len() as u16;
            data.extend([u8::from(last)].into_iter().chain(len.to_le_bytes()).chain((!len).to_le_bytes()));
            data.extend(block);
        }
    }
    // Adler-32 of zeros: the sum stays 1, and the sum of the sums counts the bytes.
    let zeros = u64::from(rows) * row.len() as u64;
    data.extend((((zeros % 65521) as u32) << 16 | 1).to_be_bytes());
    let mut file = File::create(path).expect("a file");
    for part in [&b"\x89PNG\r\n\x1a\n"[..], &chunk(b"IHDR", &header), &chunk(b"IDAT", &data), &chunk(b"IEND", &[])] {
        file.write_all(part).expect("a png");
    }
}

/// The command with too little memory for such a picture.
fn within(command: &std::process::Command) -> std::process::Command {
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "ulimit -v 400000; exec \"$0\" \"$@\""]).arg(command.get_program()).args(command.get_args());
    shell.current_dir(command.get_current_dir().expect("a folder"));
    shell
}

#[test]
#[cfg(target_os = "linux")]
fn a_picture_of_more_pixels_than_allowed_is_refused_before_it_is_decoded() {
    let folder = folder();
    model(folder.path());
    png(&folder.path().join("huge.png"), [40_000, 40_000], 40);
    for command in [&["predict", "huge.png"][..], &["predict", "face.png", "huge.png"], &["explain", "huge.png"]] {
        let begin = Instant::now();
        let rest = ["--model", "model.safetensors", "--device", "cpu"];
        let output = within(&moue(folder.path(), &[command, &rest].concat())).output().expect("moue starts");
        ends(&output, 3, &["huge.png", "at most 128000000 pixels", "40000×40000", "--max-pixels"]);
        assert!(begin.elapsed().as_secs_f64() < 5.0, "{:?}", begin.elapsed());
    }
    let classes = folder.path().join("faces/train");
    for (class, picture) in [("happiness", "face.png"), ("sadness", "huge.png")] {
        fs::create_dir_all(classes.join(class)).expect("a folder");
        fs::copy(folder.path().join(picture), classes.join(class).join(picture)).expect("a copy");
    }
    let output = within(&moue(folder.path(), &["data", "check", "folder:faces"])).output().expect("moue starts");
    let said = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("huge.png") && said.contains("40000×40000 pixels, more than the 128000000"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn the_most_pixels_are_a_setting() {
    let folder = folder();
    model(folder.path());
    let run = |picture: &str, most: &str| {
        let rest = ["--model", "model.safetensors", "--device", "cpu", "--max-pixels", most];
        moue(folder.path(), &[&["predict", picture][..], &rest].concat()).output().expect("moue starts")
    };
    ends(&run("face.png", "3000"), 0, &[]);
    ends(&run("face.png", "2999"), 3, &["face.png", "at most 2999 pixels", "60×50"]);
    // One row more than by default; none less, so that the file is not whole.
    png(&folder.path().join("long.png"), [8, 16_000_001], 1);
    png(&folder.path().join("cut.png"), [8, 16_000_000], 1);
    ends(&run("long.png", "128000000"), 3, &["at most 128000000 pixels", "8×16000001"]);
    ends(&run("cut.png", "128000000"), 3, &["a whole PNG"]);
    assert_eq!(run("face.png", "0").status.code(), Some(2));
}

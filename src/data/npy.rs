//! Single values in NumPy's `.npy` files.
//!
//! The format (NumPy's NEP 1): the magic `\x93NUMPY`, two bytes of version, the header's length in 2 bytes (version 1)
//! or 4, the header, which is a Python dict of `descr`, `fortran_order` and `shape`, then the elements. Only arrays of
//! one element are read here, of no dimension or of several of length 1.

use std::path::Path;

use crate::{Error, Result};

const MAGIC: &[u8] = b"\x93NUMPY";

/// Far more than a header of one element takes.
const LONGEST_HEADER: usize = 1 << 16;

/// The only element of a file: a number, or text that is one, such as `<U1`'s `"3"`.
///
/// # Errors
/// [`Error::Io`] where the file cannot be read, [`Error::File`] where it holds something else than one number.
pub(super) fn number(path: &Path) -> Result<f64> {
    let bytes = std::fs::read(path)
        .map_err(|error| Error::io(path, "reading the annotation", error, "unpack the annotations again"))?;
    parse(&bytes).map_err(|found| Error::File {
        path: path.to_path_buf(),
        expected: "a .npy file with one number, or one text that is a number".into(),
        found,
        hint: "unpack the annotations again".into(),
    })
}

/// The number in the bytes of a file, or what is there instead.
fn parse(bytes: &[u8]) -> std::result::Result<f64, String> {
    let cut = || format!("only {} bytes", bytes.len());
    let rest = bytes.strip_prefix(MAGIC).ok_or("no NumPy file")?;
    let (version, rest) = rest.split_at_checked(2).ok_or_else(cut)?;
    let (length, rest) = match version[0] {
        1 => rest.split_at_checked(2).ok_or_else(cut)?,
        2 | 3 => rest.split_at_checked(4).ok_or_else(cut)?,
        other => return Err(format!("version {other} of the format")),
    };
    let length = length.iter().rev().fold(0, |length, byte| (length << 8) | usize::from(*byte));
    if length > LONGEST_HEADER {
        return Err(format!("a header of {length} bytes"));
    }
    let (header, data) = rest.split_at_checked(length).ok_or_else(cut)?;
    let header = std::str::from_utf8(header).map_err(|_| "a header that is no text")?;
    let shape = between(value_of(header, "shape")?, '(', ')').ok_or("a shape that is no tuple")?;
    if shape.split(',').map(str::trim).any(|size| !size.is_empty() && size != "1") {
        return Err(format!("an array of shape ({shape})"));
    }
    let descr = value_of(header, "descr")?;
    let kind = ['\'', '"'].into_iter().find_map(|quote| between(descr, quote, quote)).ok_or("fields")?;
    element(kind, data)
}

/// What follows a key of the header.
fn value_of<'a>(header: &'a str, key: &str) -> std::result::Result<&'a str, String> {
    let at = [format!("'{key}'"), format!("\"{key}\"")].iter().find_map(|key| Some(header.find(key)? + key.len()));
    let rest = at.and_then(|at| header[at..].trim_start().strip_prefix(':'));
    rest.map(str::trim_start).ok_or_else(|| format!("a header without `{key}`"))
}

/// The text between two characters, the first of which comes first.
fn between(text: &str, open: char, close: char) -> Option<&str> {
    text.strip_prefix(open)?.split_once(close).map(|(inside, _)| inside)
}

/// The element of a kind such as `<f4`, `|i1`, `<U18` or `|S2`.
fn element(kind: &str, data: &[u8]) -> std::result::Result<f64, String> {
    let unknown = || match kind {
        "|O" | "O" => "Python objects (a pickle), which are not read".to_string(),
        _ => format!("elements of the type `{kind}`"),
    };
    let (order, rest) = match kind.split_at_checked(1) {
        Some((order @ ("<" | ">" | "|" | "="), rest)) => (order, rest),
        _ => return Err(unknown()),
    };
    let (letter, size) = rest.split_at_checked(1).ok_or_else(unknown)?;
    let size: usize = size.parse().ok().filter(|size| *size <= LONGEST_HEADER).ok_or_else(unknown)?;
    let bytes = data.get(..if letter == "U" { 4 * size } else { size });
    let bytes = bytes.ok_or_else(|| format!("{} bytes of data for the type `{kind}`", data.len()))?;
    // The lowest byte first; `=` was written on a machine of that order.
    let numbers = |width: usize| {
        bytes.chunks(width).map(|chunk| {
            let join = |number, byte: &u8| (number << 8) | u64::from(*byte);
            if order == ">" { chunk.iter().fold(0, join) } else { chunk.iter().rev().fold(0, join) }
        })
    };
    let whole = numbers(size.max(1)).next().unwrap_or(0);
    let number = match (letter, size) {
        ("i", 1 | 2 | 4 | 8) => ((whole << (64 - 8 * size)) as i64 >> (64 - 8 * size)) as f64,
        ("u", 1 | 2 | 4 | 8) => whole as f64,
        ("f", 2) => f64::from(half::f16::from_bits(whole as u16)),
        ("f", 4) => f64::from(f32::from_bits(whole as u32)),
        ("f", 8) => f64::from_bits(whole),
        ("U" | "S", _) => {
            let letters = numbers(if letter == "U" { 4 } else { 1 });
            let text: String = letters.filter_map(|letter| char::from_u32(letter as u32)).collect();
            let text = text.trim_end_matches('\0').trim();
            text.parse().map_err(|_| format!("`{}`", text.escape_debug()))?
        }
        _ => return Err(unknown()),
    };
    if f64::is_finite(number) { Ok(number) } else { Err(format!("{number}")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    /// A file of version 1 as NumPy writes it: the header padded to a multiple of 64 bytes.
    fn file(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
        while !(10 + header.len() + 1).is_multiple_of(64) {
            header.push(' ');
        }
        header.push('\n');
        let length = (header.len() as u16).to_le_bytes();
        [MAGIC, &[1, 0], &length, header.as_bytes(), data].concat()
    }

    #[test]
    fn one_element_of_any_number_or_text_is_its_number() {
        let text = |text: &str| text.chars().flat_map(|letter| (letter as u32).to_le_bytes()).collect::<Vec<u8>>();
        for (bytes, expected) in [
            (file("<U1", "()", &text("3")), 3.0),
            (file("<U18", "()", &text("-0.0634920634920635")), -0.063_492_063_492_063),
            (file("<U4", "(1,)", &text("7\0\0\0")), 7.0),
            (file(">U1", "()", &[0, 0, 0, b'5']), 5.0),
            (file("|S2", "()", b"6\0"), 6.0),
            (file("<i8", "(1,)", &4_i64.to_le_bytes()), 4.0),
            (file("<i4", "()", &(-2_i32).to_le_bytes()), -2.0),
            (file("|i1", "()", &[0xfe]), -2.0),
            (file("|u1", "(1, 1)", &[200]), 200.0),
            (file(">i2", "()", &[1, 2]), 258.0),
            (file("<f4", "()", &(-0.25_f32).to_le_bytes()), -0.25),
            (file("<f8", "()", &0.125_f64.to_le_bytes()), 0.125),
            (file("<f2", "()", &0x3800_u16.to_le_bytes()), 0.5),
        ] {
            let found = parse(&bytes).expect("a number");
            assert!((found - expected).abs() < 1e-12, "{found} for {expected}");
        }
    }

    #[test]
    fn anything_else_is_named() {
        let whole = file("<i8", "()", &[0; 8]);
        for (bytes, found) in [
            (b"PK".to_vec(), "no NumPy file"),
            (whole[..9].to_vec(), "only 9 bytes"),
            (whole[..40].to_vec(), "only 40 bytes"),
            (whole[..whole.len() - 1].to_vec(), "7 bytes of data for the type `<i8`"),
            (file("<i8", "(2,)", &[0; 16]), "an array of shape (2,)"),
            (file("<i8", "(0,)", &[]), "an array of shape (0,)"),
            (file("|O", "()", b"\x80\x03."), "Python objects (a pickle)"),
            (file("<c8", "()", &[0; 8]), "elements of the type `<c8`"),
            (file("|S5", "()", b"happy"), "`happy`"),
            (file("<f4", "()", &f32::NAN.to_le_bytes()), "NaN"),
            ([MAGIC, &[9, 0, 0, 0]].concat(), "version 9"),
            ([MAGIC, &[2, 0], &[255; 4]].concat(), "a header of 4294967295 bytes"),
        ] {
            let message = parse(&bytes).expect_err("no number");
            assert!(message.contains(found), "`{found}` is not in: {message}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let corpus = [file("<U3", "()", &[0; 12]), file("<f8", "(1,)", &[0; 8]), file("|i1", "()", &[1])];
        let mut rng = Rng::named("npy", &[1]);
        for _ in 0..20_000 {
            let mut bytes = corpus[rng.below(3)].clone();
            for _ in 0..1 + rng.below(4) {
                let at = rng.below(bytes.len());
                bytes[at] = rng.below(256) as u8;
            }
            bytes.truncate(rng.below(bytes.len() + 40));
            drop(parse(&bytes));
        }
    }
}

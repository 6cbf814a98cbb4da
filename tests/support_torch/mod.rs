//! Checkpoints as `torch.save` writes them, made by hand so that they can be wrong.
#![allow(dead_code, reason = "each test file uses a part")]

use std::io::{Cursor, Write};

use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// An archive of this pickle and these storages.
pub(crate) fn archive(pickle: &[u8], storages: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut part = |name: &str, bytes: &[u8]| {
        zip.start_file(format!("archive/{name}"), stored).expect("a part");
        zip.write_all(bytes).expect("its bytes");
    };
    part("data.pkl", pickle);
    part("byteorder", b"little");
    for (key, bytes) in storages {
        part(&format!("data/{key}"), bytes);
    }
    zip.finish().expect("an archive").into_inner()
}

/// The same in the legacy format; storages of f32.
pub(crate) fn legacy(pickle: &[u8], storages: &[(&str, &[u8])]) -> Vec<u8> {
    let mut file = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.".to_vec();
    file.extend(pickle);
    file.extend(b"\x80\x02](");
    for (key, _) in storages {
        file.extend(text(key));
    }
    file.extend(b"e.");
    for (_, bytes) in storages {
        file.extend((bytes.len() as u64 / 4).to_le_bytes());
        file.extend(*bytes);
    }
    file
}

/// A pickle of a dictionary with these entries.
pub(crate) fn state_dict(entries: &[Vec<u8>]) -> Vec<u8> {
    [b"\x80\x02}(", &entries.concat()[..], b"u."].concat()
}

/// A name and its tensor of f32: a view of `elements` elements.
pub(crate) fn tensor(name: &str, key: &str, elements: u64, shape: &[u64], stride: &[u64]) -> Vec<u8> {
    let numbers =
        |numbers: &[u64]| [b"(", &numbers.iter().flat_map(|n| number(*n)).collect::<Vec<_>>()[..], b"t"].concat();
    [
        &text(name)[..],
        b"ctorch._utils\n_rebuild_tensor_v2\n((",
        &text("storage"),
        b"ctorch\nFloatStorage\n",
        &text(key),
        &text("cpu"),
        &number(elements),
        b"tQK\x00",
        &numbers(shape),
        &numbers(stride),
        b"\x89ccollections\nOrderedDict\n)RtR",
    ]
    .concat()
}

/// A text.
pub(crate) fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

/// A number below 2⁶³.
fn number(number: u64) -> Vec<u8> {
    [b"\x8a\x08", &number.to_le_bytes()[..]].concat()
}

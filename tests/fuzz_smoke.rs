//! The readers of outside files on their fuzz corpus and on thousands of mutations of it, the same ones every time.
#![cfg(feature = "cli")]
#![allow(missing_docs)]

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "a crate of its own to the fuzz targets")]
mod targets;

use std::{panic, path::Path};

use moue::rng::Rng;

/// The corpus of a target, in order of the names.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).expect("a corpus").map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "an empty corpus");
    paths.iter().map(|path| std::fs::read(path).expect("a file")).collect()
}

/// Bytes that parsers take for lengths, signs and ends.
const EDGES: [&[u8]; 8] = [
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\n",
    b"\xff\xff\xff\x7f",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\0\0\0\0\0\0\0\x80",
];

/// One to four changes: a bit, an edge, a part cut out, doubled, or taken from another file.
fn mutate(rng: &mut Rng, input: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..1 + rng.below(4) {
        let at = rng.below(bytes.len() + 1);
        let end = at + rng.below((bytes.len() - at).min(64) + 1);
        match rng.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
            1 => {
                let edge = EDGES[rng.below(EDGES.len())];
                let end = (at + edge.len()).min(bytes.len());
                drop(bytes.splice(at..end, edge.iter().copied()));
            }
            2 => drop(bytes.drain(at..end)),
            3 => {
                let part = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, part));
            }
            4 if !other.is_empty() => {
                let from = rng.below(other.len());
                let to = from + rng.below((other.len() - from).min(64) + 1);
                drop(bytes.splice(at..end, other[from..to].iter().copied()));
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}

fn survives(name: &str, mutations: usize) {
    let (_, target) = targets::TARGETS.into_iter().find(|target| target.0 == name).expect("a target");
    let corpus = corpus(name);
    corpus.iter().for_each(|input| target(input));
    let mut rng = Rng::named(name, &[1]);
    for round in 0..mutations {
        let (input, other) = (&corpus[rng.below(corpus.len())], &corpus[rng.below(corpus.len())]);
        let bytes = mutate(&mut rng, input, other);
        if panic::catch_unwind(|| target(&bytes)).is_err() {
            panic!("mutation {round} of {name} is not survived: b\"{}\"", bytes.escape_ascii());
        }
    }
}

#[test]
fn checkpoints_of_pytorch_end_in_tensors_or_one_sentence() {
    survives("pytorch", 30_000);
}

#[test]
fn safetensors_end_in_a_model_or_one_sentence() {
    survives("safetensors", 20_000);
}

#[test]
fn label_files_end_in_labels_or_one_sentence() {
    survives("labels", 600);
}

#[test]
fn configurations_end_in_settings_or_one_sentence() {
    survives("config", 10_000);
}

#[test]
fn a_mutation_changes_its_input_and_each_target_has_a_corpus() {
    let mut rng = Rng::named("mutations", &[0]);
    let input = b"0123456789".repeat(10);
    let changed = (0..100).filter(|_| mutate(&mut rng, &input, b"abc") != input).count();
    assert!(changed > 90, "{changed}");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let mut known = targets::TARGETS.map(|target| target.0);
    known.sort_unstable();
    assert_eq!(names, known);
}

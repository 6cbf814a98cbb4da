//! Weights of other programs: what is read, under which names, and what is refused.
#![cfg(feature = "cli")]
#![allow(missing_docs)]

mod support_torch;

use std::path::Path;

use moue::{
    Error, Result,
    checkpoint::{Family, Fit, MSCELEB_CLASSES, ModelMeta, StateDict, Want, Weights, fit, gather},
    models::{EsrSpec, ManetSpec, NetworkSpec, Padding},
    nn::variables::Tensors,
    train::trainer::fresh,
};
use support_torch::{archive, legacy, state_dict, tensor, text};

fn fixture(name: &str) -> Weights {
    Weights::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).expect("a good file")
}

fn of(bytes: &[u8]) -> Result<Weights> {
    Weights::from_bytes(Path::new("weights.pt"), bytes)
}

/// One sentence with these words, for a bad file or bad data.
fn refused<T: std::fmt::Debug>(result: Result<T>, words: &[&str]) {
    let error = result.expect_err("refused");
    let sentence = error.to_string();
    assert_eq!(error.exit_code(), 3, "{sentence}");
    assert!(!sentence.contains('\n'), "{sentence}");
    for word in words {
        assert!(sentence.contains(word), "`{word}` is not in: {sentence}");
    }
}

#[test]
fn both_formats_of_pytorch_give_the_same_tensors_whatever_their_strides_and_types() {
    let expected: Tensors = [
        ("plain", vec![2, 3], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
        ("transposed", vec![3, 2], vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0]),
        ("tail", vec![2], vec![4.0, 5.0]),
        ("half", vec![2], vec![0.5, -2.0]),
        ("brain", vec![2], vec![1.5, -3.0]),
        ("double", vec![1, 1], vec![0.1]),
        ("scalar", vec![], vec![7.25]),
        ("parameter", vec![1], vec![3.0]),
    ]
    .into_iter()
    .map(|(name, shape, values)| (format!("module.{name}"), (shape, values)))
    .collect();
    for name in ["zip.pt", "legacy.pt"] {
        let weights = fixture(name);
        assert_eq!(weights.tensors, expected, "{name}");
        let others: Vec<_> = weights.others.iter().map(|(name, dtype)| (name.as_str(), dtype.as_str())).collect();
        assert_eq!(others, [("module.bn.num_batches_tracked", "I64"), ("module.mask", "BOOL")], "{name}");
        assert_eq!(weights.meta, None);
    }
}

#[test]
fn the_prefix_of_data_parallelism_goes_and_counters_are_counted() {
    let network = gather(vec![fixture("zip.pt")]).unwrap();
    assert!(network.tensors.contains_key("plain") && !network.tensors.contains_key("module.plain"));
    assert_eq!(network.counters, 1);
    assert_eq!(network.others.keys().collect::<Vec<_>>(), ["mask"]);
}

#[test]
fn what_wraps_a_network_is_taken_off_the_front_of_all_names_and_said() {
    let manet = NetworkSpec::Manet(ManetSpec { width: 0.0625, size: 16, classes: 8, local_weight: 0.6 });
    let base = |tensors: Tensors| tensors.into_iter().filter(|(name, _)| name.starts_with("base.")).collect();
    let whole = fresh(&spec(2, true, 8), 7).unwrap();
    for network in [base(whole.clone()), whole, fresh(&manet, 7).unwrap()] {
        for prefix in
            ["_orig_mod.", "model.", "net.", "ema.", "module.", "_orig_mod.module.", "module.module.", "a.b.c."]
        {
            let wrapped = network.iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor.clone())).collect();
            let mut file = weights("wrapped.pt", wrapped);
            file.others = [(format!("{prefix}bn1.num_batches_tracked"), "I64".into())].into();
            // Averaged weights keep their count beside the network.
            file.others.insert("n_averaged".into(), "I64".into());
            let read = gather(vec![file]).unwrap();
            assert_eq!((&read.tensors, read.counters), (&network, 2), "{prefix}");
            let said: Vec<String> = read.unwrapped().collect();
            assert_eq!(said, [format!("taken off: `{prefix}` in front of all names")]);
        }
        let bare = gather(vec![weights("bare.pt", network.clone())]).unwrap();
        assert_eq!((&bare.tensors, bare.unwrapped().count()), (&network, 0));
    }
}

#[test]
fn the_authors_files_are_unwrapped_each_by_itself() {
    let whole = fresh(&spec(2, true, 8), 7).unwrap();
    let file = |name: &str, place: &str, prefix: &str| {
        weights(
            name,
            part(&whole, place).into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)).collect(),
        )
    };
    let files = vec![
        file("Net-Base-Shared_Representations.pt", "base.", "module."),
        file("Net-Branch_1.pt", "branches.0.", ""),
        file("Net-Branch_2.pt", "branches.1.", "_orig_mod."),
    ];
    let read = gather(files).unwrap();
    assert_eq!(read.tensors, whole);
    assert_eq!(read.prefixes.into_iter().collect::<Vec<_>>(), ["_orig_mod.", "module."]);
}

#[test]
fn a_prefix_that_not_all_names_share_stays() {
    let whole = fresh(&spec(1, false, 8), 7).unwrap();
    let name = |(at, name): (usize, &String)| format!("{}.{name}", if at == 3 { "teacher" } else { "student" });
    let names: Vec<String> = whole.keys().enumerate().map(name).collect();
    let mixed: Tensors = names.iter().cloned().zip(whole.values().cloned()).collect();
    let read = gather(vec![weights("two.pt", mixed.clone())]).unwrap();
    assert_eq!((read.tensors, read.prefixes.len()), (mixed, 0));
}

#[test]
fn a_pickle_that_asks_for_code_is_refused_by_name_and_nothing_runs() {
    let mark = std::env::temp_dir().join(format!("moue-pickle-{}", std::process::id()));
    let command = format!("touch {}", mark.display());
    for (global, name) in [
        ("cos\nsystem\n", "`os.system`"),
        ("cposix\nsystem\n", "`posix.system`"),
        ("cbuiltins\neval\n", "`builtins.eval`"),
        ("c__builtin__\nexec\n", "`__builtin__.exec`"),
        ("ctorch.hub\nload\n", "`torch.hub.load`"),
        ("ctorch\nload\n", "`torch.load`"),
        ("ctorch._utils\n_rebuild_\u{1b}[31m\n", "_rebuild_\\u{1b}"),
    ] {
        let call = [b"\x80\x02", global.as_bytes(), &text(&command), b"\x85R."].concat();
        let named = [b"\x80\x04}(", &text("a")[..], &call[2..call.len() - 1], b"u."].concat();
        for pickle in [call, named] {
            refused(of(&archive(&pickle, &[])), &["a pickle that asks for", name, "nothing of it was run"]);
            refused(of(&legacy(&pickle, &[])), &["a pickle that asks for", name]);
        }
    }
    // The same through the opcode of later protocols, and through the one that makes objects.
    let stacked = [b"\x80\x04", &short("os")[..], &short("system"), b"\x93)\x81."].concat();
    refused(of(&archive(&stacked, &[])), &["`os.system`"]);
    for opcode in [b'i', b'o', 0x82, 0x92, 0x97] {
        let pickle = [b"\x80\x02((", &text("os")[..], &text("system"), &[opcode], b"."].concat();
        refused(of(&archive(&pickle, &[])), &[&format!("opcode {opcode:#04x}")]);
    }
    assert!(!mark.exists(), "the command ran");
}

fn short(text: &str) -> Vec<u8> {
    [&[0x8c, text.len() as u8], text.as_bytes()].concat()
}

#[test]
fn a_checkpoint_cut_anywhere_is_refused() {
    for name in ["zip.pt", "legacy.pt"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        let whole = std::fs::read(path).unwrap();
        for length in 0..whole.len() {
            refused(of(&whole[..length]), &["weights.pt"]);
        }
        assert!(of(&whole).is_ok());
    }
}

#[test]
fn a_damaged_storage_of_an_archive_is_noticed_by_its_checksum() {
    let good = archive(&state_dict(&[tensor("a", "0", 2, &[2], &[1])]), &[("0", &[0; 8])]);
    assert_eq!(of(&good).unwrap().tensors["a"].1, [0.0, 0.0]);
    let at = good.windows(8).position(|bytes| bytes == [0; 8]).unwrap();
    let mut bad = good;
    bad[at] = 1;
    refused(of(&bad), &["data/0", "checksum"]);
}

#[test]
fn lengths_and_shapes_that_the_file_cannot_hold_are_refused_before_memory_is_taken() {
    let storage = [("0", &[0_u8; 8][..])];
    let with = |tensor: Vec<u8>| archive(&state_dict(&[tensor]), &storage);
    let huge = 1_u64 << 62;
    for (bytes, word) in [
        // More elements than the storage, whatever the strides.
        (with(tensor("a", "0", 2, &[huge], &[1])), "`a` within its storage"),
        (with(tensor("a", "0", 2, &[huge, huge], &[0, 0])), "`a` within its storage"),
        (with(tensor("a", "0", 2, &[3], &[0])), "`a` within its storage"),
        // Elements beyond the end.
        (with(tensor("a", "0", 2, &[2], &[2])), "`a` within its storage"),
        (with(tensor("a", "0", 2, &[2], &[huge])), "`a` within its storage"),
        // A storage that claims to be longer than the file.
        (with(tensor("a", "0", huge, &[2], &[1])), "tensors that fit the file"),
        (with(tensor("a", "0", 3, &[2], &[1])), "12 bytes in the storage `0`, found 8"),
        // One that is not there.
        (with(tensor("a", "1", 2, &[2], &[1])), "data/1"),
        (with(tensor("a", "../0", 2, &[2], &[1])), "data/../0"),
        // Nine dimensions, and fewer strides than dimensions.
        (with(tensor("a", "0", 2, &[1; 9], &[1; 9])), "a call that makes a tensor"),
        (with(tensor("a", "0", 2, &[1, 1], &[1])), "a stride each"),
    ] {
        refused(of(&bytes), &[word]);
    }
    // Many tensors that all show the same storage.
    let many: Vec<_> = (0..2000).map(|i| tensor(&format!("t{i}"), "0", 200_000, &[200_000], &[1])).collect();
    let elements = vec![0; 800_000];
    refused(
        of(&archive(&state_dict(&many), &[("0", &elements)])),
        &["tensors that fit the file", "400000000 elements"],
    );
    // Lengths of texts, numbers and storages.
    for pickle in [
        &b"\x80\x02X\xff\xff\xff\x7fabc."[..],
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xffabc.",
        b"\x80\x02\x8b\xff\xff\xff\xff.",
    ] {
        refused(of(&archive(pickle, &[])), &["more bytes of the pickle", "cut short"]);
    }
    let mut long = legacy(&state_dict(&[tensor("a", "0", 2, &[2], &[1])]), &[("0", &[0; 8])]);
    let at = long.len() - 16;
    long[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
    refused(of(&long), &["the storage `0`", "cut short"]);
}

#[test]
fn cyclic_and_deeply_nested_values_need_no_stack() {
    // A list that holds itself, a dictionary that is its own state_dict.
    let cyclic = [b"\x80\x02}q\x00(", &text("self")[..], b"]q\x01h\x01a", &text("state_dict"), b"h\x00u."].concat();
    refused(of(&archive(&cyclic, &[])), &["in at most 4 dictionaries"]);
    for opcode in [&b"]"[..], b"}", b")", b"("] {
        let deep = [b"\x80\x02", &opcode.repeat(1_000_000)[..], &b"\x85".repeat(500_000), b"."].concat();
        refused(of(&archive(&deep, &[])), &["weights.pt"]);
    }
    let endless = [b"\x80\x02", &b"N".repeat(1 << 23)[..], b"."].concat();
    refused(of(&archive(&endless, &[])), &["values", "more at byte"]);
    // A list of pairs that many calls would copy.
    let pairs = [&b"]q\x01("[..], &b"NN\x86".repeat(10_000), b"e"].concat();
    let calls = b"ccollections\nOrderedDict\nh\x01\x85R0".repeat(10_000);
    refused(of(&archive(&[b"\x80\x02", &pairs[..], &calls, b"."].concat(), &[])), &["again and again"]);
}

#[test]
fn files_of_other_kinds_are_named_as_such() {
    for bytes in [&b""[..], b"not weights", &[0; 64], &[0x80; 64], b"\x80\x02}."] {
        refused(of(bytes), &["safetensors, or a checkpoint of torch.save", "found neither"]);
    }
    refused(of(b"PK\x03\x04 and then nothing"), &["a whole zip archive"]);
    refused(of(&archive(b"\x80\x02K\x01.", &[])), &["a state_dict", "the number 1"]);
    refused(of(&archive(b"\x80\x02}.", &[])), &["a state_dict with tensors", "no names"]);
    let values = f32::NAN.to_le_bytes();
    refused(of(&archive(&state_dict(&[tensor("a", "0", 1, &[1], &[1])]), &[("0", &values)])), &["finite", "of `a`"]);
}

/// A tiny ESR: every width 1/64 of the paper's.
fn spec(branches: usize, attention: bool, classes: usize) -> NetworkSpec {
    NetworkSpec::Esr(EsrSpec { branches, width: 1.0 / 64.0, size: 54, classes, attention, padding: Padding::Published })
}

fn weights(name: &str, tensors: Tensors) -> Weights {
    Weights { path: name.into(), meta: None, tensors, others: Default::default() }
}

/// The part of a network below `prefix`, without the prefix, as the authors save it.
fn part(tensors: &Tensors, prefix: &str) -> Tensors {
    let below = |(name, tensor): (&String, &_)| Some((name.strip_prefix(prefix)?.to_owned(), Clone::clone(tensor)));
    tensors.iter().filter_map(below).collect()
}

#[test]
fn the_authors_files_of_base_and_branches_become_one_network_in_any_order() {
    let whole = fresh(&spec(3, true, 8), 7).unwrap();
    let base = || weights("Net-Base-Shared_Representations.pt", part(&whole, "base."));
    let branch = |n: usize, name: &str| weights(name, part(&whole, &format!("branches.{n}.")));
    let files = vec![branch(2, "Net-Branch_3.pt"), base(), branch(0, "Net-Branch_1.pt"), branch(1, "Net-Branch_2.pt")];
    assert_eq!(gather(files).unwrap().tensors, whole);
    // Numbers that start at 0, and no numbers at all.
    let files = vec![base(), branch(1, "branch-1.pt"), branch(0, "branch-0.pt"), branch(2, "branch-2.pt")];
    assert_eq!(gather(files).unwrap().tensors, whole);
    let files = vec![base(), branch(0, "a.pt"), branch(1, "b.pt"), branch(2, "c.pt")];
    assert_eq!(gather(files).unwrap().tensors, whole);

    let files = vec![base(), branch(0, "Net-Branch_1.pt"), branch(2, "Net-Branch_4.pt")];
    refused(gather(files), &["each branch from 1 to 4", "none for 2, 3"]);
    refused(gather(vec![base(), base()]), &["each tensor once", "again in Net-Base-Shared"]);
}

fn network(tensors: Tensors) -> StateDict {
    gather(vec![weights("weights.pt", tensors)]).unwrap()
}

#[test]
fn the_architecture_is_seen_by_names_and_shapes() {
    let esr = |branches, attention, classes| network(fresh(&spec(branches, attention, classes), 0).unwrap());
    let family = |branches, attention, classes| Family::Esr { branches, width: 1.0 / 64.0, attention, classes };
    assert_eq!(Family::of(&esr(3, true, 7)).unwrap(), family(3, true, Some(7)));
    let mut base = fresh(&spec(1, false, 8), 0).unwrap();
    base.retain(|name, _| name.starts_with("base."));
    assert_eq!(Family::of(&network(part(&base, "base."))).unwrap(), family(0, false, None));
    let rows = [("conv1.weight", 128), ("layer3_1_p1.0.conv1.weight", 512), ("fc_1.weight", MSCELEB_CLASSES)];
    let tensors_of = |rows: &[(&str, usize)]| -> Tensors {
        rows.iter().map(|(name, rows)| (format!("module.{name}"), (vec![*rows, 1], vec![0.5; *rows]))).collect()
    };
    let manet = Family::Manet { width: 2.0, classes: Some(MSCELEB_CLASSES), local_weight: 0.6 };
    assert_eq!(Family::of(&network(tensors_of(&rows))).unwrap(), manet);
    let meta = |local_weight| {
        let spec = NetworkSpec::Manet(ManetSpec { width: 2.0, size: 16, classes: 8, local_weight });
        ModelMeta::new(spec.architecture(), vec![], 16)
    };
    let own = StateDict { meta: Some(meta(0.3)), ..network(tensors_of(&rows)) };
    let Family::Manet { local_weight, .. } = Family::of(&own).unwrap() else { panic!("a MA-Net") };
    assert_eq!(local_weight, 0.3);
    refused(Family::of(&network(Tensors::from([("x".into(), (vec![1], vec![0.0]))]))), &["an ESR", "a MA-Net", "`x`"]);
}

fn whole(network: &StateDict, spec: &NetworkSpec) -> Result<(Tensors, Fit)> {
    fit(network, fresh(spec, 1).unwrap(), Want::Whole, true)
}

#[test]
fn missing_extra_misshapen_and_mistyped_tensors_are_listed_all_at_once() {
    let spec = spec(2, true, 8);
    let mut tensors = fresh(&spec, 7).unwrap();
    for gone in ["base.bn2.bias", "branches.1.fc.bias"] {
        tensors.remove(gone);
    }
    tensors.insert("branches.0.conv1.bias".into(), (vec![3], vec![0.0; 3]));
    tensors.insert("branches.5.more".into(), (vec![1], vec![0.0]));
    let mut network = network(tensors);
    network.tensors.remove("base.conv2.weight");
    network.others.insert("base.conv2.weight".into(), "I64".into());
    let sentences = [
        "base.bn2.bias is missing",
        "branches.1.fc.bias is missing",
        "branches.0.conv1.bias is [3] instead of [2]",
        "branches.5.more is no part of the network",
        "base.conv2.weight is of type I64",
    ];
    refused(whole(&network, &spec), &sentences);
    // To start from, what is missing or too many is said, not refused.
    let start = fit(&network, fresh(&spec, 1).unwrap(), Want::Start, true);
    refused(start, &sentences[2..3]);
}

#[test]
fn heads_for_other_classes_start_afresh_and_are_named() {
    let (eight, seven) = (spec(2, false, 8), spec(2, false, 7));
    let old = network(fresh(&eight, 7).unwrap());
    let (tensors, fit_) = whole(&old, &seven).unwrap();
    let heads = ["branches.0.fc.bias", "branches.0.fc.weight", "branches.1.fc.bias", "branches.1.fc.weight"];
    assert_eq!(fit_.replaced, heads);
    assert_eq!(tensors["branches.1.fc.weight"], fresh(&seven, 1).unwrap()["branches.1.fc.weight"]);
    assert_eq!(tensors["branches.1.conv4.weight"], old.tensors["branches.1.conv4.weight"]);
    // As many classes, but others or in another order.
    let (_, fit_) = fit(&old, fresh(&eight, 1).unwrap(), Want::Start, false).unwrap();
    assert_eq!(fit_.replaced, heads);
    assert!(fit_.lines().iter().any(|line| line.contains("other classes: 4 tensors (branches.*.fc 4)")), "{fit_:?}");
}

#[test]
fn manets_pretraining_on_people_gets_heads_for_expressions() {
    let spec = |classes| NetworkSpec::Manet(ManetSpec { width: 0.0625, size: 16, classes, local_weight: 0.6 });
    // The published file has `module.` in front of everything.
    let people = fresh(&spec(MSCELEB_CLASSES), 7).unwrap();
    let named = people.iter().map(|(name, tensor)| (format!("module.{name}"), tensor.clone())).collect();
    let old = network(named);
    assert_eq!(Family::of(&old).unwrap().network(16, 8), spec(8));
    let (tensors, fit_) = whole(&old, &spec(8)).unwrap();
    assert_eq!(fit_.replaced, ["fc_1.bias", "fc_1.weight", "fc_2.bias", "fc_2.weight"]);
    assert_eq!(tensors["fc_1.weight"].0, [8, 32]);
    assert_eq!(fit_.taken.len() + 4, people.len());
    assert!(fit_.taken.iter().all(|name| tensors[name] == people[name]));
}

#[test]
fn a_plain_base_starts_an_attentive_network_and_what_it_lacks_is_said() {
    let mut base = fresh(&spec(1, false, 8), 7).unwrap();
    base.retain(|name, _| name.starts_with("base."));
    let (tensors, fit_) = fit(&network(base.clone()), fresh(&spec(2, true, 8), 1).unwrap(), Want::Start, true).unwrap();
    assert_eq!(fit_.taken.len(), 24);
    assert!(base.iter().all(|(name, tensor)| tensors[name] == *tensor));
    let lines = fit_.lines().join("\n");
    for words in ["taken: 24 tensors", "start afresh", "base.cbam1", "branches.*.cbam4", "branches.*.conv1 4"] {
        assert!(lines.contains(words), "{words} in {lines}");
    }
    // More branches than the network has are left.
    let (_, fit_) =
        fit(&network(fresh(&spec(3, false, 8), 7).unwrap()), fresh(&spec(1, false, 8), 1).unwrap(), Want::Start, true)
            .unwrap();
    assert_eq!((fit_.left.len(), fit_.fresh.len()), (52, 0));
    let alien = network(Tensors::from([("x".into(), (vec![1], vec![0.0]))]));
    refused(fit(&alien, fresh(&spec(1, false, 8), 1).unwrap(), Want::Start, true), &["weights.pt", "1 others"]);
}

#[test]
fn a_weight_that_differs_in_dimensions_of_one_is_reshaped() {
    let spec = spec(1, false, 8);
    let mut tensors = fresh(&spec, 7).unwrap();
    let (shape, values) = tensors["branches.0.fc.weight"].clone();
    tensors.insert("branches.0.fc.weight".into(), ([&shape[..], &[1, 1]].concat(), values.clone()));
    let (fitted, fit_) = whole(&network(tensors), &spec).unwrap();
    assert_eq!(fit_.reshaped, ["branches.0.fc.weight"]);
    assert_eq!(fitted["branches.0.fc.weight"], (shape, values));
}

#[test]
fn an_error_of_a_file_is_one_of_files() {
    assert!(matches!(of(b"x").unwrap_err(), Error::File { .. }));
    assert!(matches!(Weights::read(Path::new("no-such-file.pt")).unwrap_err(), Error::Io { .. }));
}

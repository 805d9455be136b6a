//! Replays what is committed in `fuzz/corpus`, and keeps targets, programs and corpora in step.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use wirewright_fuzz_bodies::TARGETS;

fn fuzz() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| stem(&entry.unwrap().path())).collect()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_str().unwrap().to_owned()
}

fn inputs(target: &str) -> Vec<PathBuf> {
    let folder = fuzz().join("corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn every_committed_input_keeps_the_promises() {
    for (name, body) in TARGETS {
        for path in inputs(name) {
            let bytes = fs::read(&path).unwrap();
            // The name of the input goes in front of the panic's own words.
            if std::panic::catch_unwind(|| body(&bytes)).is_err() {
                panic!("{name} does not keep its promises on {}", path.display());
            }
        }
    }
}

#[test]
fn every_target_has_inputs_and_a_program() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&fuzz().join("corpus")), targets, "fuzz/corpus");
    assert_eq!(names(&fuzz().join("fuzz_targets")), targets, "fuzz/fuzz_targets");
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    let programs: BTreeSet<String> = manifest
        .lines()
        .filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")?.strip_suffix(".rs\""))
        .map(str::to_owned)
        .collect();
    assert_eq!(programs, targets, "[[bin]] in fuzz/Cargo.toml");
    for target in &targets {
        assert!(!inputs(target).is_empty(), "fuzz/corpus/{target} is empty");
    }
}

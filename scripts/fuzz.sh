#!/bin/sh
# fuzz.sh SECONDS [TARGET...]: runs each fuzz target for SECONDS, all of them unless some are named.
# What a run learns stays in .cache/fuzz; MERGE=1 adds the inputs that reach new code to the committed corpora.
set -eu
cd "$(dirname "$0")/.."

seconds=$1
shift
if ! command -v c++ >/dev/null; then
    echo "libFuzzer needs a C++ compiler; install one (Debian, Ubuntu: apt-get install g++)." >&2
    exit 1
fi

# Sanitizers are flags of nightly compilers; this lets a stable one take them.
export RUSTC_BOOTSTRAP=1

[ $# -gt 0 ] || set -- $(ls fuzz/fuzz_targets | sed 's/\.rs$//')
for target in "$@"; do
    learnt=.cache/fuzz/$target
    mkdir -p "$learnt"
    echo "== $target, $seconds s"
    cargo fuzz run "$target" "$learnt" "fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65600 -len_control=50 -print_final_stats=1 -verbosity=0
    if [ "${MERGE:-}" = 1 ]; then
        cargo fuzz run "$target" "fuzz/corpus/$target" "$learnt" -- -merge=1 -verbosity=0
    fi
done

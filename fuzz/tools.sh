# cargo-fuzz on stable Rust: sourced by `run` and `keep`, from the directory that holds them.

CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/../target}
export CARGO_TARGET_DIR
# Instrumented builds are kept apart from usual ones.
tools=$CARGO_TARGET_DIR/fuzz-tools

cargo_fuzz() {
    if ! command -v cargo-fuzz >/dev/null && [ ! -x "$tools/bin/cargo-fuzz" ]; then
        cargo install cargo-fuzz --version 0.13.2 --debug --locked --root "$tools" --target-dir "$tools/build"
    fi
    # Coverage and sanitizers are options of the nightly compiler; this opens them on stable.
    command=$1
    shift
    PATH="$PATH:$tools/bin" RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$CARGO_TARGET_DIR/fuzz" \
        cargo-fuzz "$command" --fuzz-dir targets "$@"
}

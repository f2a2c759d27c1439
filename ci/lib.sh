# Shared by the steps of .ci/run; each step is also a command of its own.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
export CARGO_TARGET_DIR
# Nothing here is built twice with small changes, and debug information is not looked at.
export CARGO_INCREMENTAL=${CARGO_INCREMENTAL:-0}
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}

say() { printf '%s: %s\n' "$(basename "$0")" "$*"; }

die() {
    printf '%s: FAILED: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# need COMMAND WHAT...: fails with the way out when a command is not there.
need() {
    command -v "$1" >/dev/null || die "no '$1' on the PATH: ${*:2}"
}

# limited SECONDS COMMAND...: killed when it takes longer. Not every system has `timeout`.
limited() {
    if command -v timeout >/dev/null; then timeout "$@"; else perl -e 'alarm shift; exec @ARGV or die' "$@"; fi
}

# python ARGUMENTS...: without the carriage returns that Python ends its lines with on Windows.
python() { python3 "$@" | tr -d '\r'; }

# cargo_tool NAME VERSION OPTIONS...: this version of a tool of others, first on the PATH. It is installed into the build
# folder when it is not there; OPTIONS are for that.
cargo_tool() {
    local name=$1 version=$2 root=$CARGO_TARGET_DIR/tools/$1-$2
    PATH=$root/bin:$PATH
    # In a folder of its own: the lock of the build folder would hold up everything that is built beside.
    [[ -x $root/bin/$name ]] || cargo install --quiet --debug --locked --root "$root" \
        --target-dir "$CARGO_TARGET_DIR/tools-build" --version "$version" "${@:3}" "$name" ||
        die "$name could not be installed: cargo install $name --version $version --locked"
}

# needs_crate FOLDER: a step whose crate is missing has nothing to show, and fails.
needs_crate() {
    [[ -f $1/Cargo.toml ]] || die "there is no $1/Cargo.toml"
}

host=$(rustc -vV | sed -n 's/^host: //p')

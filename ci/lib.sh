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

# room FOLDER: a step whose room is missing has nothing to show, and fails.
room() {
    [[ -f $1/Cargo.toml ]] || die "there is no $1/Cargo.toml"
}

host=$(rustc -vV | sed -n 's/^host: //p')

# Read by the scripts beside it, which have set program and work: a process that shares, and the clock.

sharing=
export XDG_DATA_HOME=$work/data

now() { date +%s%N; }

# seconds BEGIN END: what passed between two readings of the clock.
seconds() { awk "BEGIN { printf \"%.2f\", ($2 - $1) / 1e9 }"; }

# share PATH: begins to share it, and sets sharing (its process), cid and address once it is shared.
share() {
    : > "$work/shared"
    "$program" share --json --no-mdns --listen /ip4/127.0.0.1/tcp/0 "$1" > "$work/shared" 2>&1 &
    sharing=$!
    until grep -q '"event":"shared"' "$work/shared"; do
        kill -0 "$sharing" || { cat "$work/shared" >&2; exit 1; }
        sleep 0.02
    done
    cid=$(sed -n 's/.*"cid":"\([^"]*\)".*/\1/p' "$work/shared" | tail -1)
    address=$(sed -n 's/.*"addresses":\["\([^"]*\)".*/\1/p' "$work/shared" | tail -1)
}

end_sharing() {
    kill -INT "$sharing"
    wait "$sharing" || true
    sharing=
}

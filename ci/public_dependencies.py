"""Prints the crates of others that the public items of one crate name, from rustdoc's JSON: `OURS THEIRS` a line.

Those are the crates of every path in a signature, field, bound, trait or re-export. Left out are the standard library,
and what the compiler adds to every type: automatic traits, and implementations for all types.
"""

import json
import sys

STANDARD = {"alloc", "core", "proc_macro", "std", "test"}

doc = json.load(open(sys.argv[1], encoding="utf-8"))
index, paths, crates = doc["index"], doc["paths"], doc["external_crates"]
found = set()


def crate_of(item):
    summary = paths.get(str(item))
    if summary and summary["crate_id"] != 0:
        return crates[str(summary["crate_id"])]["name"]
    return None


def is_added(inner):
    implementation = inner.get("impl") if isinstance(inner, dict) else None
    return bool(implementation) and (implementation["is_synthetic"] or implementation["blanket_impl"] is not None)


def walk(value):
    """Everything that looks like a path into another crate: an object with an `id`."""
    if isinstance(value, dict):
        name = "id" in value and isinstance(value["id"], int) and crate_of(value["id"])
        if name:
            found.add(name)
        for below in value.values():
            walk(below)
    elif isinstance(value, list):
        for below in value:
            walk(below)


for item in index.values():
    if item["crate_id"] != 0 or is_added(item["inner"]):
        continue
    # The doc comment's links are no part of the surface.
    walk(item["inner"])
    reexport = item["inner"].get("use")
    # A module of ours may be called as a crate of others is.
    if reexport and str(reexport["id"]) not in index:
        first = reexport["source"].split("::")[0]
        if first in {crate["name"] for crate in crates.values()}:
            found.add(first)

for name in sorted(found - STANDARD):
    # Our own crates share one version.
    if not name.startswith("bitswap_"):
        print(sys.argv[2], name)

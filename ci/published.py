"""Reads `cargo metadata --no-deps`; prints the crates that are published, each after those it depends on.

A line is a name and `lib` or `bin`.
"""

import json
import sys

packages = {package["name"]: package for package in json.load(sys.stdin)["packages"]}
published = {name for name, package in packages.items() if package["publish"] is None}
done = []


def add(name, above=()):
    if name in above:
        sys.exit(f"these wait for each other: {' '.join(above)} {name}")
    if name in done:
        return
    for dependency in packages[name]["dependencies"]:
        # A dependency by path alone is left out of the packed manifest.
        if dependency["name"] in packages and dependency["req"] != "*":
            if dependency["name"] not in published:
                sys.exit(f"{name} is published and depends on {dependency['name']}, which is not")
            add(dependency["name"], (*above, name))
    done.append(name)


for name in sorted(published):
    add(name)
for name in done:
    libraries = [target for target in packages[name]["targets"] if "lib" in target["kind"]]
    print(name, "lib" if libraries else "bin")

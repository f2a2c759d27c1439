# The steps of `.ci/run` by name: `just` lists them. Each is a script of ci/, which also runs without just.

# The list of recipes.
default:
    @just --list

# All steps, or those that are named.
all *steps:
    bash .ci/run {{steps}}

# Formatting and lints.
lint:
    ci/lint

# Every test that needs no other software.
test:
    ci/test

# Every command of the README, as a reader would run it.
readme:
    ci/readme

# The core without std, and what it depends on.
core:
    ci/core

# The core, the checker and the simulator for targets without an operating system, and for WebAssembly.
bare-targets:
    ci/bare-targets

# Each feature alone, and all together.
features:
    ci/features

# Documentation without a warning.
docs:
    ci/docs

# The book, into target/book.
book:
    ci/book

# Every example, built and run.
examples:
    ci/examples

# What is published, from its tarballs alone.
package:
    ci/package

# Which crates of others the public items name.
surface:
    ci/surface

# The oldest Rust that is promised.
msrv:
    ci/msrv

# Licences, bans and sources of dependencies.
deny *what:
    ci/deny {{what}}

# Spelling.
typos:
    ci/typos

# The simulator's goals, random worlds, attackers.
sim:
    ci/sim

# Failures that nobody has seen yet, for so many seconds.
explore seconds:
    ci/explore {{seconds}}

# Every fuzz target for a few seconds.
fuzz:
    ci/fuzz

# Real Kubo and Helia peers.
interop:
    ci/interop

# How much of a crate its tests guard.
mutants *arguments:
    ci/mutants {{arguments}}

# Everything that `.ci/run` runs has a recipe or this one.
step name *arguments:
    ci/{{name}} {{arguments}}

# Instructions and allocations of the core, beside the committed figures.
instructions:
    ci/instructions

# Every interleaving of what tasks share.
loom:
    ci/loom

# The steps of `.ci/run` by name, also those that it runs only when they are named: `just` lists them. Each is a script of
# ci/, which also runs without just.

# The list of recipes.
default:
    @just --list

# All steps, or those that are named.
all *steps:
    bash .ci/run {{steps}}

# What the other steps need; installs what is missing where it can.
tools:
    ci/tools

# Formatting and lints.
lint:
    ci/lint

# Every test that needs no other software.
test:
    ci/test

# Every command of the README, as a reader would run it.
readme:
    ci/readme

# The README's demonstration: two nodes, one file.
demo:
    ci/demo

# The core without std, and what it depends on.
core:
    ci/core

# The core, the checker and the simulator for targets without an operating system, and for WebAssembly.
bare-targets:
    ci/bare-targets

# Each published crate without features, and with each feature alone.
features:
    ci/features

# Documentation without a warning; `just docs private`: of private items too.
docs *what:
    ci/docs {{what}}

# The runtimes that are not tokio, without it.
no-tokio:
    ci/no-tokio

# Debug and release builds of the simulator say the same.
determinism:
    ci/determinism

# The book, into target/book.
book:
    ci/book

# Every example, built and run.
examples:
    ci/examples

# What is published, from its tarballs alone.
package *what:
    ci/package {{what}}

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

# Failures that nobody has seen yet, for so many seconds, or `smoke`.
explore seconds *seed:
    ci/explore {{seconds}} {{seed}}

# Every fuzz target for a few seconds.
fuzz:
    ci/fuzz

# Real Kubo and Helia peers.
interop:
    ci/interop

# How much of a crate its tests guard.
mutants *arguments:
    ci/mutants {{arguments}}

# Every benchmark, once and unmeasured.
bench:
    ci/bench

# Instructions and allocations of the core, beside the committed figures.
instructions *what:
    ci/instructions {{what}}

# The build for Windows, and its tests under Wine.
windows *half:
    ci/windows {{half}}

# Every interleaving of what tasks share.
loom:
    ci/loom

//! The book has every page, and links lead somewhere.

use std::collections::BTreeSet;
use std::path::Path;

use crate::tree::{self, File};

/// The lines of a page that are text: none of its code.
fn text(page: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    page.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// Where the links of a page lead, those to other sites left out.
fn links(page: &str) -> Vec<&str> {
    text(page)
        .flat_map(|line| {
            // What stands between backticks is code.
            let prose = line.split('`').enumerate().filter(|(nth, _)| nth % 2 == 0);
            let pieces: Vec<&str> = prose.map(|(_, piece)| piece).collect();
            let inline = pieces.into_iter().flat_map(|piece| {
                piece.split("](").skip(1).filter_map(|rest| rest.split(')').next())
            });
            let reference = line.strip_prefix('[').and_then(|rest| Some(rest.split_once("]: ")?.1));
            inline.chain(reference)
        })
        .filter(|link| !link.contains("://"))
        .collect()
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().chars();
    let kept = kept.filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

fn has_anchor(page: &str, wanted: &str) -> bool {
    text(page).any(|line| line.starts_with('#') && anchor(line) == wanted)
}

/// What is wrong with the links of a page, which may lead to files below `within` only.
fn dead(page: &File, within: &Path) -> Vec<String> {
    let folder = tree::root().join(&page.path);
    let folder = folder.parent().unwrap();
    let mut dead = Vec::new();
    for link in links(&page.text) {
        let (path, heading) = link.split_once('#').unwrap_or((link, ""));
        let target = match path {
            "" => Ok(tree::root().join(&page.path)),
            path => folder.join(path).canonicalize(),
        };
        let is_alive = target.is_ok_and(|target| {
            let is_within = path.is_empty() || target.starts_with(within.canonicalize().unwrap());
            let is_there = heading.is_empty()
                || std::fs::read_to_string(&target).is_ok_and(|text| has_anchor(&text, heading));
            is_within && is_there
        });
        if !is_alive {
            dead.push(format!("{}: {link}", page.path));
        }
    }
    dead
}

#[test]
fn every_page_is_in_the_book_once() {
    let summary = tree::read("docs/SUMMARY.md");
    let listed = links(&summary);
    let mut once = BTreeSet::new();
    for page in &listed {
        assert!(once.insert(*page), "docs/SUMMARY.md has {page} twice");
    }
    let pages = tree::files(".md").into_iter();
    let pages: Vec<String> = pages
        .filter_map(|file| Some(file.path.strip_prefix("docs/")?.to_owned()))
        .filter(|page| page != "SUMMARY.md")
        .collect();
    let there: BTreeSet<&str> = pages.iter().map(String::as_str).collect();
    assert_eq!(once, there, "docs/SUMMARY.md and the pages of docs differ");
}

#[test]
fn links_lead_somewhere() {
    let published: Vec<String> = tree::files("LICENSE-MIT")
        .into_iter()
        .filter_map(|file| Some(file.path.strip_suffix("/LICENSE-MIT")?.to_owned()))
        .collect();
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for file in tree::files(".md") {
        // A page of the book is read without what lies beside the book, and a README of a packed crate likewise.
        let folder = file.path.split('/').next().unwrap();
        let is_alone = folder == "docs" || published.iter().any(|alone| alone == folder);
        let within = if is_alone { tree::root().join(folder) } else { tree::root().to_owned() };
        seen += links(&file.text).len();
        wrong.extend(dead(&file, &within));
    }
    assert!(seen > 30, "{seen} links: the scanner sees too few");
    assert!(wrong.is_empty(), "these lead nowhere:\n{}", wrong.join("\n"));
}

#[test]
fn what_a_page_includes_is_there() {
    let mut seen = 0;
    for file in tree::files(".md").into_iter().filter(|file| file.path.starts_with("docs/")) {
        for rest in file.text.split("{{#include ").skip(1) {
            let path = rest.split("}}").next().unwrap();
            assert!(tree::root().join("docs").join(path).is_file(), "{}: {path}", file.path);
            seen += 1;
        }
    }
    assert!(seen >= 8, "{seen} includes: the scanner sees too few");
}

#[test]
fn dead_links_are_found() {
    let page = |text: &str| File { path: "docs/page.md".to_owned(), text: text.to_owned() };
    let docs = tree::root().join("docs");
    for good in ["[a](glossary.md)", "[a](glossary.md#glossary)", "# A b\n[a](https://b.example)"] {
        assert!(dead(&page(good), &docs).is_empty(), "{good}");
    }
    for code in ["```\n[a](nowhere.md)\n```", "`[a](nowhere.md)`"] {
        assert!(dead(&page(code), &docs).is_empty(), "{code}");
    }
    for bad in
        ["[a](nowhere.md)", "[a](../README.md)", "[a](glossary.md#nothing)", "[a]: nowhere.md"]
    {
        assert_eq!(dead(&page(bad), &docs).len(), 1, "{bad}");
    }
    assert!(has_anchor("# What `it` is, and why\n", "what-it-is-and-why"));
}

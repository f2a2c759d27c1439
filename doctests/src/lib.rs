//! Holds the programs in the project's README, and in those of crates that cannot do it themselves, to what
//! compiles and runs.
//!
//! They are doctests of this crate, which is never packed, so that no packed crate reaches files beside it.

/// One item for each page, since a test is named after its item.
macro_rules! pages {
    ($($name:ident: $page:literal,)*) => {
        $(
            #[cfg(doctest)]
            #[doc = include_str!(concat!("../../", $page))]
            mod $name {}
        )*
    };
}

pages! {
    readme: "README.md",
    core: "bitswap-core/README.md",
    testing: "bitswap-testing/README.md",
}

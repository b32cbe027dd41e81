//! The rules of the house, checked on the text of the tree and on the dependency graph.
//! Goal: a law that is broken fails here with the file and the line. Method: words, sizes, `cargo tree`.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the rules read every file of the tree and ask cargo"
)]

mod direction;
mod doors;
mod pages;
mod shape;

//! speed

fn main() {}

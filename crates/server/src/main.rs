//! The command line of Keyherald (being put together).
fn main() {}

//! Rebuilds when the built-in documentation gains or loses a file; what is in
//! the files is tracked by the embedding itself.

fn main() {
    println!("cargo::rerun-if-changed=../../deploy/knowledge");
}

//! Builds again when a file of the page comes or goes: what is compiled in is
//! only known to change where a file was there before.

fn main() {
    println!("cargo::rerun-if-changed=page");
}

//! Compiles the contract with protox, so that no protoc is needed, and keeps
//! its descriptors for gRPC reflection and for canonical JSON.

use std::path::PathBuf;

use prost::Message as _;

const FILES: [&str; 6] = [
    "weir/v1/event.proto",
    "weir/v1/knowledge_agent.proto",
    "weir/v1/job.proto",
    "weir/v1/entry.proto",
    "weir/v1/record.proto",
    "weir/v1/error.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=weir");
    let descriptors = protox::compile(FILES, ["."])?;
    let encoded = descriptors.encode_to_vec();
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    std::fs::write(out.join("descriptors.bin"), &encoded)?;

    tonic_prost_build::configure()
        .bytes(".")
        .compile_well_known_types(true)
        .extern_path(".google.protobuf.Timestamp", "crate::Timestamp")
        .compile_fds(descriptors)?;
    pbjson_build::Builder::new().register_descriptors(&encoded)?.build(&[".weir.v1"])?;
    Ok(())
}

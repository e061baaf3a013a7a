//! The generated types. Nothing here is written by hand.
#![expect(
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    clippy::allow_attributes,
    clippy::map_err_ignore,
    clippy::too_many_lines,
    clippy::cognitive_complexity,
    clippy::clone_on_ref_ptr,
    unused_qualifications,
    reason = "generated"
)]

include!(concat!(env!("OUT_DIR"), "/weir.v1.rs"));
include!(concat!(env!("OUT_DIR"), "/weir.v1.serde.rs"));

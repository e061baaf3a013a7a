//! What a person reads when a process starts or fails: one thing a line, its
//! name first.
#![expect(clippy::print_stdout, reason = "this is the program's face")]

use broker::Profile;

use crate::{output, plain};

/// Says one thing about the process.
pub(crate) fn say(name: &str, what: impl std::fmt::Display) {
    println!("{name:<10}{what}");
}

/// Says which broker is used and what its acknowledgements mean.
pub(crate) fn broker(profile: &Profile) {
    say("broker", format_args!("{} at {}", profile.kind, profile.place));
    say("durable", &profile.durability);
}

/// Says that everything announced before is in service.
pub(crate) fn ready() {
    println!("ready");
}

/// One clear line about why the process ends.
pub(crate) fn error(error: &anyhow::Error) {
    output::note(&format!("weir: {}", plain::line(&format!("{error:#}"))));
}

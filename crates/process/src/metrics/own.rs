//! What every process tells about itself, under the names that Prometheus'
//! own clients use where they have one.

use tokio::runtime::Handle;

use super::{Gauge, Metric};
use crate::clock;

static BUILD: Gauge<2> = Gauge::new(
    "weir_build_info",
    ["version", "role"],
    "always 1; which program this is, and as what it runs",
);
static STARTED: Gauge =
    Gauge::new("process_start_time_seconds", [], "when the process started, since the Unix epoch");
static FILES: Gauge = Gauge::new("process_open_fds", [], "open files and sockets");
static MOST_FILES: Gauge =
    Gauge::new("process_max_fds", [], "as many files and sockets may be open");
static MEMORY: Gauge = Gauge::new("process_resident_memory_bytes", [], "memory in use");
static TASKS: Gauge = Gauge::new("weir_tasks", [], "tasks of the runtime that have not ended");

/// What every process has.
pub const METRICS: &[Metric] = &[
    BUILD.metric(),
    STARTED.metric(),
    FILES.metric(),
    MOST_FILES.metric(),
    MEMORY.metric(),
    TASKS.metric(),
];

/// Says what does not change.
pub(super) fn begin(role: &str) {
    BUILD.set(1, [env!("CARGO_PKG_VERSION"), role]);
    STARTED.set(clock::now().as_secs(), []);
}

/// Looks at what changes. What a system does not tell stays 0.
pub(super) fn look() {
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        // One of them is the folder that is being read.
        FILES.set((files.count().saturating_sub(1)) as u64, []);
    }
    if let Ok((soft, _hard)) = rlimit::Resource::NOFILE.get() {
        MOST_FILES.set(soft, []);
    }
    if let Some(bytes) = resident() {
        MEMORY.set(bytes, []);
    }
    if let Ok(runtime) = Handle::try_current() {
        TASKS.set(runtime.metrics().num_alive_tasks() as u64, []);
    }
}

fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

//! What processes cost: processor time and memory, from `/proc`.

use std::fs;

use anyhow::{Context as _, Result};

/// µs in a tick of `/proc/PID/stat`; Linux shows 100 ticks a second everywhere.
const TICK: u64 = 10_000;
/// KiB in a page of `/proc/PID/statm`.
const PAGE: u64 = 4;

/// A process that is measured.
#[derive(Debug, Clone)]
pub struct Process {
    /// What it is called in figures.
    pub name: &'static str,
    /// Its id.
    pub pid: u32,
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// Processor time of all its threads, in µs.
    pub cpu: u64,
    /// Resident memory, in KiB.
    pub memory: u64,
}

impl Process {
    /// What it has used so far. An error when it is gone.
    pub fn cost(&self) -> Result<Cost> {
        of(self.pid).with_context(|| format!("{} has ended", self.name))
    }
}

/// What the process with this id has used so far. An error when it is gone.
pub fn of(pid: u32) -> Result<Cost> {
    let read = |file| fs::read_to_string(format!("/proc/{pid}/{file}"));
    let (stat, statm) = (read("stat")?, read("statm")?);
    let cpu = ticks(&stat).context("/proc/PID/stat has 52 fields")? * TICK;
    let pages = statm.split_whitespace().nth(1).and_then(|it| it.parse::<u64>().ok());
    let memory = pages.context("/proc/PID/statm has 7 fields")? * PAGE;
    Ok(Cost { cpu, memory })
}

/// Processor time that the whole machine has used so far, in µs.
pub fn machine() -> Result<u64> {
    let stat = fs::read_to_string("/proc/stat")?;
    Ok(busy(&stat).context("/proc/stat begins with all processors")? * TICK)
}

/// Everything but the time spent idle or waiting for a disk.
fn busy(stat: &str) -> Option<u64> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let ticks: Option<Vec<u64>> = fields.take(8).map(|it| it.parse().ok()).collect();
    let ticks = ticks.filter(|it| it.len() == 8)?;
    Some(ticks.iter().sum::<u64>() - ticks[3] - ticks[4])
}

/// User and system time. The name, in parentheses, may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11).map(str::parse::<u64>);
    Some(fields.next()?.ok()? + fields.next()?.ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_behind_any_name() {
        let stat = "42 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 300 40 0 0 20";
        assert_eq!(ticks(stat), Some(340));
        assert_eq!(ticks("42 (a) S 1"), None);
    }

    #[test]
    fn the_machine_is_busy_when_it_neither_idles_nor_waits() {
        assert_eq!(busy("cpu  1 2 4 800 900 8 16 32 0 0\ncpu0 1"), Some(63));
        assert_eq!(busy("cpu  1 2"), None);
    }

    #[test]
    fn this_process_costs_something() {
        let cost = Process { name: "self", pid: std::process::id() }.cost().unwrap();
        assert!(cost.memory > 100);
    }
}

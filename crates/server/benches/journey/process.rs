//! What the kernel says about a process: its memory, and the processor time of its threads.

use std::collections::BTreeMap;
use std::fs;

use crate::Result;

/// The most memory that the process has had resident so far, in MiB.
pub fn memory_mib(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB")).ok_or("no VmHWM in /proc/PID/status")?;
    let kib: u32 = number.parse()?;
    Ok(f64::from(kib) / 1024.0)
}

/// Processor time of this process so far, in seconds, with threads that have ended.
pub fn process_cpu() -> Result<f64> {
    /// `USER_HZ`: the same on every Linux that we run on.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat")?;
    // Behind the name, which may hold anything: user and system time are the 12th and 13th field.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| -> Result<f64> { Ok(fields.get(index).ok_or("/proc/self/stat is short")?.parse()?) };
    Ok((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

/// Processor time of each kind of thread so far, in seconds. Threads are of one kind if their names differ only in a
/// number at the end.
#[derive(Clone, Default)]
pub struct Cpu(BTreeMap<String, f64>);

impl Cpu {
    /// Of all threads.
    pub fn all(&self) -> f64 {
        self.0.values().sum()
    }

    /// Of one kind.
    pub fn of(&self, kind: &str) -> f64 {
        self.0.get(kind).copied().unwrap_or_default()
    }

    /// What was used between `before` and `after` comes on top.
    pub fn add(&mut self, before: &Self, after: &Self) {
        for (kind, seconds) in &after.0 {
            *self.0.entry(kind.clone()).or_default() += seconds - before.of(kind);
        }
    }

    /// Each kind that used more than nothing, in milliseconds per `count`.
    pub fn per(&self, count: f64) -> String {
        let shares = self.0.iter().map(|(kind, seconds)| (kind, 1e3 * seconds / count)).filter(|(_, ms)| *ms >= 0.001);
        shares.map(|(kind, ms)| format!("{kind} {ms:.3}")).collect::<Vec<_>>().join(", ")
    }
}

/// Processor time of the threads that live now.
pub fn cpu(pid: u32) -> Result<Cpu> {
    let mut kinds = Cpu::default();
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        let folder = entry?.path();
        // A thread that has just ended is not there any more.
        let read = |file: &str| fs::read_to_string(folder.join(file));
        let (Ok(name), Ok(schedule)) = (read("comm"), read("schedstat")) else { continue };
        let nanoseconds: f64 = schedule.split(' ').next().unwrap_or_default().parse()?;
        let kind = name.trim().trim_end_matches(|end: char| end.is_ascii_digit() || end == '-');
        *kinds.0.entry(kind.to_owned()).or_default() += nanoseconds / 1e9;
    }
    Ok(kinds)
}

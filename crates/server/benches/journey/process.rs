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

/// Processor time of each thread so far, in seconds, by thread number and name.
pub struct Cpu(BTreeMap<(u32, String), f64>);

impl Cpu {
    /// Of all threads.
    pub fn all(&self) -> f64 {
        self.0.values().sum()
    }

    /// Of the threads whose name begins like this.
    pub fn of(&self, name: &str) -> f64 {
        self.0.iter().filter(|((_, thread), _)| thread.starts_with(name)).map(|(_, seconds)| seconds).sum()
    }
}

/// Processor time of the threads that live now.
pub fn cpu(pid: u32) -> Result<Cpu> {
    let mut threads = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        let folder = entry?.path();
        // A thread that has just ended is not there any more.
        let read = |file: &str| fs::read_to_string(folder.join(file));
        let (Ok(name), Ok(schedule)) = (read("comm"), read("schedstat")) else { continue };
        let nanoseconds: f64 = schedule.split(' ').next().unwrap_or_default().parse()?;
        let number = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default().parse()?;
        threads.insert((number, name.trim().to_owned()), nanoseconds / 1e9);
    }
    Ok(Cpu(threads))
}

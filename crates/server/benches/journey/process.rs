//! What the kernel says about a process: its memory, and the processor time of its threads.

use std::collections::BTreeMap;
use std::time::Instant;
use std::{fmt, fs};

use crate::Result;

/// Which memory.
#[derive(Clone, Copy)]
pub enum Memory {
    /// What is resident.
    Now,
    /// The most that was resident so far.
    Peak,
}

/// Resident memory of a process, in MiB.
pub fn memory(pid: u32, which: Memory) -> Result<f64> {
    let name = match which {
        Memory::Now => "VmRSS:",
        Memory::Peak => "VmHWM:",
    };
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no memory in /proc/PID/status")?;
    let kib: u32 = line.trim().trim_end_matches(" kB").parse()?;
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
#[derive(Default)]
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

    /// Of the threads of a process that live now.
    fn read(pid: u32) -> Result<Self> {
        let mut kinds = Self::default();
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

    /// What was used between `before` and `after` comes on top.
    fn add(&mut self, before: &Self, after: &Self) {
        for (kind, seconds) in &after.0 {
            *self.0.entry(kind.clone()).or_default() += seconds - before.of(kind);
        }
    }
}

/// The state of things at one moment.
pub struct Meter {
    pid: u32,
    at: Instant,
    server: Cpu,
    own: Cpu,
}

impl Meter {
    pub fn read(pid: u32) -> Result<Self> {
        Ok(Self { pid, at: Instant::now(), server: Cpu::read(pid)?, own: Cpu::read(std::process::id())? })
    }
}

/// What was used, over one or several stretches of time.
#[derive(Default)]
pub struct Usage {
    /// By the server, and by this process.
    pub server: Cpu,
    pub own: Cpu,
    pub seconds: f64,
    /// Requests that were answered.
    pub requests: f64,
}

impl Usage {
    /// Adds the time since `meter` was read, and returns it in seconds.
    pub fn add(&mut self, meter: &Meter, requests: f64) -> Result<f64> {
        let now = Meter::read(meter.pid)?;
        let seconds = (now.at - meter.at).as_secs_f64();
        self.server.add(&meter.server, &now.server);
        self.own.add(&meter.own, &now.own);
        self.seconds += seconds;
        self.requests += requests;
        Ok(seconds)
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "processor time per answer in ms: clients and receiver {:.3}", 1e3 * self.own.all() / self.requests)?;
        self.server.0.iter().try_for_each(|(kind, seconds)| write!(f, ", {kind} {:.3}", 1e3 * seconds / self.requests))
    }
}

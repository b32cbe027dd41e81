//! Facts of the machine and of a process beside us, from `/proc` (proc(5)).

use serde::Serialize;

/// The machine that a result was measured on.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Machine {
    /// Cores that may be used.
    pub cores: usize,
    /// Processor, as it names itself.
    pub processor: String,
    /// Kernel release.
    pub kernel: String,
    /// Memory, MiB.
    pub memory_mib: u64,
}

impl Machine {
    /// This machine.
    #[must_use]
    pub fn here() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            text.lines()
                .find(|l| l.starts_with(name))
                .and_then(|l| l.split(':').nth(1))
                .map(|v| v.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: field(&read("/proc/cpuinfo"), "model name").unwrap_or_default(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            memory_mib: memory.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)
                / 1024,
        }
    }
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ProcessUse {
    /// CPU, user and system, ms.
    pub cpu_ms: u64,
    /// Resident memory, KiB.
    pub resident_kib: u64,
    /// Threads.
    pub threads: u64,
    /// Open files and sockets.
    pub files: u64,
    /// CPU of the whole machine that was not idle, ms.
    pub machine_busy_ms: u64,
}

/// Reads it; `None`: there is no such process.
#[must_use]
pub fn process_use(pid: u32) -> Option<ProcessUse> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold spaces: count the fields behind it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    Some(ProcessUse {
        cpu_ms: (number(11) + number(12)) * 10,
        resident_kib: number(21) * 4,
        threads: number(17),
        files: std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |d| d.count() as u64),
        machine_busy_ms: machine_busy_ms(),
    })
}

fn machine_busy_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let numbers: Vec<u64> =
        stat.lines().next().unwrap_or("").split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal: all but idle, iowait and steal.
    let busy = [0usize, 1, 2, 5, 6].iter().filter_map(|&i| numbers.get(i)).sum::<u64>();
    busy * 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_has_threads() {
        let used = process_use(std::process::id()).expect("we run");
        assert!(used.resident_kib > 100 && used.threads >= 1 && used.files >= 3, "{used:?}");
        assert_eq!(process_use(u32::MAX), None);
        assert!(Machine::here().cores >= 1);
    }
}

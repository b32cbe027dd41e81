//! Facts of the machine and of a process beside us, from `/proc` (proc(5)).

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// Load averages of 1, 5 and 15 minutes when the result was made: others may have been at work.
    pub load: String,
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
            load: read("/proc/loadavg").split_whitespace().take(3).collect::<Vec<_>>().join(" "),
        }
    }
}

/// What a process has used so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProcessUse {
    /// CPU, user and system, ms.
    pub cpu_ms: u64,
    /// Resident memory, KiB.
    pub resident_kib: u64,
    /// Threads.
    pub threads: u64,
    /// Open files and sockets.
    pub files: u64,
    /// Sockets among them.
    pub sockets: u64,
    /// CPU of the whole machine that was not idle, ms.
    pub machine_busy_ms: u64,
    /// CPU time of each core that was not idle, ms.
    pub core_busy_ms: Vec<u64>,
    /// CPU of living threads by their names, numbers at the end left out, us.
    pub by_thread_us: BTreeMap<String, u64>,
}

/// Files whose kind is looked at, at most: a process with more costs too much to look at each second.
const FILES_MAX: usize = 20_000;

/// Reads it; `None`: there is no such process.
#[must_use]
pub fn process_use(pid: u32) -> Option<ProcessUse> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold spaces: count the fields behind it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    let (files, sockets) = files(pid);
    let (machine_busy_ms, core_busy_ms) = busy_ms();
    Some(ProcessUse {
        cpu_ms: (number(11) + number(12)) * 10,
        resident_kib: number(21) * 4,
        threads: number(17),
        files,
        sockets,
        machine_busy_ms,
        core_busy_ms,
        by_thread_us: by_thread_us(pid),
    })
}

fn files(pid: u32) -> (u64, u64) {
    let Ok(dir) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return (0, 0) };
    let (mut files, mut sockets) = (0, 0);
    for entry in dir.flatten() {
        files += 1;
        if files <= FILES_MAX as u64
            && std::fs::read_link(entry.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))
        {
            sockets += 1;
        }
    }
    (files, sockets)
}

fn by_thread_us(pid: u32) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let read = |name: &str| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let name = read("comm").trim().trim_end_matches(|c: char| c.is_ascii_digit() || c == '-').to_owned();
        let ns = read("schedstat").split_whitespace().next().and_then(|n| n.parse::<u64>().ok());
        *all.entry(name).or_default() += ns.unwrap_or(0) / 1000;
    }
    all
}

/// CPU time that was not idle, ms: of the machine, and of each core.
fn busy_ms() -> (u64, Vec<u64>) {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let busy = |line: &str| {
        let numbers: Vec<u64> = line.split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal: all but idle, iowait and steal.
        [0usize, 1, 2, 5, 6].iter().filter_map(|&i| numbers.get(i)).sum::<u64>() * 10
    };
    let mut lines = stat.lines().take_while(|l| l.starts_with("cpu"));
    let machine = lines.next().map_or(0, busy);
    (machine, lines.map(busy).collect())
}

/// Whom to measure beside the load.
#[derive(Clone, Debug)]
pub enum Watch {
    /// A process on this machine.
    Pid(u32),
    /// `carillon-bench agent` on the server's machine.
    Agent(String),
}

impl Watch {
    /// Measures now.
    pub async fn look(&self) -> Option<ProcessUse> {
        match self {
            Self::Pid(pid) => process_use(*pid),
            Self::Agent(url) => {
                let answer = reqwest::get(url).await.ok()?;
                serde_json::from_str(&answer.text().await.ok()?).ok()
            }
        }
    }
}

/// `carillon-bench agent`: tells over HTTP what one process of this machine uses, for a load tool on another machine.
#[derive(Clone, Debug, clap::Args)]
pub struct AgentOptions {
    /// Where to listen; whoever reaches it learns the process's CPU, memory, threads and sockets, and nothing else.
    #[arg(long, default_value = "127.0.0.1:7007")]
    listen: std::net::SocketAddr,
    /// The server's process.
    #[arg(long)]
    pid: u32,
}

/// Runs until ctrl-C.
///
/// # Errors
/// There is no such process, or the system refuses the address.
pub async fn agent(options: AgentOptions) -> Result<bool, Box<dyn std::error::Error>> {
    let pid = options.pid;
    process_use(pid).ok_or_else(|| format!("--pid {pid}: there is no such process"))?;
    let listener = tokio::net::TcpListener::bind(options.listen)
        .await
        .map_err(|e| format!("--listen {}: {e}", options.listen))?;
    crate::say!("process {pid} is told at http://{}/", listener.local_addr()?);
    let answer = move || async move {
        match process_use(pid) {
            Some(used) => (axum::http::StatusCode::OK, serde_json::to_string(&used).unwrap_or_default()),
            None => (axum::http::StatusCode::GONE, "the process has ended".to_owned()),
        }
    };
    let router = axum::Router::new().route("/", axum::routing::get(answer));
    axum::serve(listener, router)
        .with_graceful_shutdown(async {
            let _ = tokio::signal::ctrl_c().await;
        })
        .await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_has_threads() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let used = process_use(std::process::id()).expect("we run");
        assert!(used.resident_kib > 100 && used.threads >= 1 && used.files >= 4, "{used:?}");
        assert!(used.sockets >= 1 && !used.by_thread_us.is_empty(), "{used:?}");
        drop(socket);
        assert_eq!(process_use(u32::MAX), None);
        let machine = Machine::here();
        assert!(machine.cores >= 1 && machine.load.split(' ').count() == 3, "{machine:?}");
        assert!(used.core_busy_ms.len() >= machine.cores && used.machine_busy_ms > 0);
    }
}

//! Bearers on one worker core: prompts playing, RTP both ways, in-band DTMF detection on; the generator is another
//! process on another core (and, with `--netns`, in another network namespace).
//!
//! `bearers --backend sockets --bearers 8000 --seconds 10 [--ip 127.0.0.1 --peer 127.0.0.2 --netns NAME
//! --interface IF --core 1 --far-core 0 --capture]` prints one JSON line. With `--echo` the worker is replaced by a bare
//! loop that receives, rewrites nothing and sends back over the same sockets: the bound that this machine sets just now,
//! to which a bearer's cost is a ratio.

#![allow(
    clippy::disallowed_methods,
    reason = "a program of its own: it reads /proc/stat and starts a process"
)]

use dataplane::command::{Command, Cut, Detectors};
use dataplane::io::clock;
use dataplane::io::host::{Config, Host, WorkerInfo};
use dataplane::io::net::sockets::{Shared, prepare};
use dataplane::io::net::{Choice, PortRange};
use dataplane::io::recorder::Recorder;
use dataplane::io::thread;
use dataplane::limits::Limits;
use dataplane::net::{Channel, Net};
use dataplane::pool::Prompt;
use dataplane::report::Report;
use dataplane::rtp::{Header, parse, write_header};
use dataplane::spec::Spec;
use std::io::{BufRead, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Stdio};
use std::sync::Arc;
use units::{Codec, Mono, Samples, Seed};

const NEAR: PortRange = PortRange { first: 2000, last: 65_001 };
const FAR: PortRange = PortRange { first: 2000, last: 65_001 };

struct Args {
    backend: Choice,
    bearers: u32,
    seconds: u64,
    ip: IpAddr,
    peer: IpAddr,
    netns: Option<String>,
    interface: Option<String>,
    core: usize,
    far_core: usize,
    capture: bool,
    drive: bool,
    echo: bool,
    /// Words before ours on the command line of this program.
    before: &'static [&'static str],
}

fn args(before: &'static [&'static str], words: Vec<String>) -> Args {
    let mut a = Args {
        backend: Choice::Auto,
        bearers: 1000,
        seconds: 10,
        ip: IpAddr::from([127, 0, 0, 1]),
        peer: IpAddr::from([127, 0, 0, 2]),
        netns: None,
        interface: None,
        core: 1,
        far_core: 0,
        capture: false,
        drive: false,
        echo: false,
        before,
    };
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().expect("a value follows");
        match word.as_str() {
            "--backend" => a.backend = value().parse().expect("auto, plain, sockets, uring or xdp"),
            "--bearers" => a.bearers = value().parse().expect("a number"),
            "--seconds" => a.seconds = value().parse().expect("a number"),
            "--ip" => a.ip = value().parse().expect("an address"),
            "--peer" => a.peer = value().parse().expect("an address"),
            "--netns" => a.netns = Some(value()),
            "--interface" => a.interface = Some(value()),
            "--core" => a.core = value().parse().expect("a number"),
            "--far-core" => a.far_core = value().parse().expect("a number"),
            "--capture" => a.capture = true,
            "--drive" => a.drive = true,
            "--echo" => a.echo = true,
            other => panic!("unknown word {other}"),
        }
    }
    a
}

#[allow(dead_code, reason = "the load tool includes this file and calls `run`")]
fn main() {
    run(&[], std::env::args().skip(1).collect());
}

/// Runs with these words; the generator is this program again, with `before` and its own words.
pub(crate) fn run(before: &'static [&'static str], words: Vec<String>) {
    let a = args(before, words);
    match (a.drive, a.echo) {
        (true, _) => drive(&a),
        (_, true) => echo(&a),
        _ => serve(&a),
    }
}

/// Packets in, packets out, nothing between: what the kernel alone costs.
fn echo(a: &Args) {
    let (_steering, mut pairs) = prepare(a.ip, &NEAR, 1).expect("the bound needs the sockets backend");
    let mut net = Shared::new(pairs.remove(0), &NEAR, a.bearers);
    let near = |i: u32| SocketAddr::new(a.ip, NEAR.first + u16::try_from(2 * i).expect("a port"));
    let ports: Vec<u16> = (0..a.bearers).map(|i| near(i).port()).collect();
    for i in 0..a.bearers {
        let spec = Spec::rtp(near(i), near(i), Codec::Pcmu, Seed(0));
        net.attach(i, spec.as_rtp().expect("it is")).expect("in range");
    }
    let mut far = spawn_far(a, &ports);
    let standing = (thread::pin(a.core), thread::raise(50));
    eprintln!("echo: pinned {:?}, SCHED_FIFO {:?}", standing.0, standing.1);
    let mut waiting: Vec<(u32, SocketAddr, [u8; 172])> = Vec::with_capacity(4 * ports.len());
    let start = clock::mono().0;
    let (mut begun, mut cpu, mut pairs, mut busy) = (0, 0, 0_u64, 0);
    for ms in 0..(3 + a.seconds) * 1_000 {
        clock::sleep_until(Mono(start + ms * 1_000_000));
        let now = clock::mono().0;
        if ms == 3_000 {
            (begun, cpu, pairs, busy) = (now, thread_cpu_ns(), 0, 0);
        }
        net.receive(0..0, &mut |arrival| {
            if let (Channel::Rtp, Ok(bytes)) = (arrival.channel, <[u8; 172]>::try_from(&*arrival.bytes)) {
                waiting.push((arrival.place, arrival.from, bytes));
            }
        });
        pairs += u64::try_from(waiting.len()).expect("few");
        for (place, to, bytes) in waiting.drain(..) {
            net.send(place, Channel::Rtp, to, |buffer| {
                buffer[..172].copy_from_slice(&bytes);
                172
            });
        }
        net.flush();
        busy += clock::mono().0 - now;
    }
    let wall = clock::mono().0 - begun;
    let cpu = thread_cpu_ns() - cpu;
    drop(far.stdin.take());
    let _ = far.wait();
    #[expect(clippy::cast_precision_loss, reason = "for printing")]
    let (seconds, pairs) = (wall as f64 / 1e9, pairs as f64);
    #[expect(clippy::cast_precision_loss, reason = "for printing")]
    let (busy, cpu) = (busy as f64, cpu as f64);
    println!(
        "{{\"echo\":true,\"bearers\":{},\"pairs_per_second\":{:.0},\"ns_per_pair\":{:.0},\"us_per_bearer_second\":{:.1},\
         \"cpu_us_per_bearer_second\":{:.1}}}",
        a.bearers,
        pairs / seconds,
        busy / pairs,
        busy / pairs * 50.0 / 1000.0,
        cpu / pairs * 50.0 / 1000.0,
    );
}

/// Processor time of this thread, ns.
fn thread_cpu_ns() -> u64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    told.split_whitespace().next().and_then(|w| w.parse().ok()).unwrap_or(0)
}

/// Octets that sound like loud speech to a level meter: noise of about -20 dBm0.
fn noise(seed: u64, octets: usize) -> Vec<u8> {
    let mut rng = Seed(seed).rng();
    let sample = |rng: &mut units::Rng| i16::try_from(rng.below(6000)).expect("small") - 3000;
    (0..octets).map(|_| dataplane::codec::encode_sample(Codec::Pcmu, sample(&mut rng))).collect()
}

fn far_port(i: u32) -> u16 {
    FAR.first + u16::try_from(2 * i).expect("a port")
}

fn serve(a: &Args) {
    let limits = Limits {
        bearers: a.bearers,
        specs: a.bearers + 64,
        captures: a.bearers,
        command_ring_slots: 65_536,
        report_ring_slots: 131_072,
        ..Limits::default()
    };
    let config = Config {
        backend: a.backend,
        ip: a.ip,
        ports: NEAR.first..=NEAR.last,
        cores: vec![a.core],
        limits,
        interface: a.interface.clone(),
        seed: Seed(1),
        ..Config::default()
    };
    let (host, mut ends) = Host::start(config).expect("a dataplane");
    let worker = &host.workers()[0];
    eprintln!("{worker}");
    let mut end = ends.remove(0);
    let recorder = Recorder::start().expect("a thread");
    let octets = noise(5, 8000 * 30);
    let prompt = Arc::new(Prompt::new(Codec::Pcmu, Arc::new(octets)));
    let prompt = end.lend_prompt(prompt).expect("a handle");
    let mut ports = Vec::new();
    let mut places = Vec::new();
    for i in 0..a.bearers {
        let place = end.reserve(None).expect("a place");
        let far = SocketAddr::new(a.peer, far_port(i));
        let mut spec = Spec::rtp(place.local, far, Codec::Pcmu, Seed(u64::from(i))).with_events(101);
        spec.detectors = Detectors { dtmf: true, ..Detectors::default() };
        end.open(place.bearer, spec).expect("room");
        let (bearer, cut) = (place.bearer, Cut::Digit);
        for item in 0..4 {
            let (offset, length) = (Samples(i % 200_000), Samples(u32::MAX));
            end.send(Command::Play { bearer, item, prompt, offset, length, cut }).expect("room");
        }
        if a.capture {
            let (sink, _) =
                recorder.begin(std::path::Path::new("/dev/shm/bearers.wav"), Codec::Pcmu).expect("a file");
            let into = end.lend_capture(bearer, sink).expect("a handle");
            let (length_max, final_silence) = (Samples(u32::MAX), Samples(u32::MAX));
            let both = true;
            let command =
                Command::Capture { bearer, into, both, length_max, final_silence, digit_ends: false };
            end.send(command).expect("room");
        }
        places.push(bearer);
        ports.push(place.local.port());
        if i % 200 == 199 {
            drain(&mut end);
        }
    }
    drain(&mut end);
    let mut far = spawn_far(a, &ports);
    wait(3);
    let before = Snapshot::take(worker, a.core);
    wait(a.seconds);
    let after = Snapshot::take(worker, a.core);
    drop(far.stdin.take());
    let mut told = String::new();
    far.stdout.take().expect("piped").read_to_string(&mut told).expect("text");
    let _ = far.wait();
    for bearer in places {
        end.send(Command::Close { bearer }).expect("room");
    }
    drain(&mut end);
    print(a, worker, &before, &after, told.trim());
}

fn wait(seconds: u64) {
    clock::sleep_until(Mono(clock::mono().0 + seconds * 1_000_000_000));
}

fn drain(end: &mut dataplane::io::host::ControlEnd) {
    for _ in 0..40 {
        end.arm();
        while let Some(report) = end.poll() {
            assert!(!matches!(report, Report::OpenFailed { .. }), "{report:?}");
        }
        end.doorbell().wait(5);
    }
}

fn spawn_far(a: &Args, ports: &[u16]) -> Child {
    let me = std::env::current_exe().expect("this program");
    let mut command = match &a.netns {
        Some(name) => {
            let mut c = std::process::Command::new("ip");
            c.args(["netns", "exec", name]).arg(me);
            c
        }
        None => std::process::Command::new(me),
    };
    command.args(a.before).args([
        "--drive",
        "--core",
        &a.far_core.to_string(),
        "--seconds",
        &a.seconds.to_string(),
    ]);
    command.args(["--ip", &a.peer.to_string(), "--peer", &a.ip.to_string()]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the far end");
    let mut line = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(" ");
    line.push('\n');
    child.stdin.as_mut().expect("piped").write_all(line.as_bytes()).expect("alive");
    child
}

struct Snapshot {
    wall: u64,
    busy: u64,
    core_idle: u64,
    cpu: u64,
    lateness: hdrhistogram::Histogram<u64>,
    cost: hdrhistogram::Histogram<u64>,
    frames: u64,
}

impl Snapshot {
    fn take(worker: &WorkerInfo, core: usize) -> Self {
        let g = &worker.gauges;
        Self {
            wall: clock::mono().0,
            busy: g.busy_ns(),
            core_idle: idle_ms(core),
            cpu: worker_cpu_ns(),
            lateness: g.lateness.read(),
            cost: g.cost.read(),
            frames: g.counts().0.frames,
        }
    }
}

/// Processor time of the worker's thread, ns: without what others took from it while it was in a tick.
fn worker_cpu_ns() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let read =
        |path: std::path::PathBuf, name: &str| std::fs::read_to_string(path.join(name)).unwrap_or_default();
    let workers = tasks.filter(|t| read(t.path(), "comm").starts_with("media-"));
    workers.filter_map(|t| read(t.path(), "schedstat").split_whitespace().next()?.parse::<u64>().ok()).sum()
}

/// Idle time of a core, ms: what is left of it after ticks, softirqs and everybody else.
fn idle_ms(core: usize) -> u64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().find(|l| l.starts_with(&format!("cpu{core} "))).unwrap_or("");
    let mut words = line.split_whitespace().skip(4).filter_map(|w| w.parse::<u64>().ok());
    (words.next().unwrap_or(0) + words.next().unwrap_or(0)) * 10
}

#[expect(clippy::cast_precision_loss, reason = "for printing")]
fn print(a: &Args, worker: &WorkerInfo, before: &Snapshot, after: &Snapshot, far: &str) {
    let (mut lateness, mut cost) = (after.lateness.clone(), after.cost.clone());
    lateness.subtract(&before.lateness).expect("a later reading");
    cost.subtract(&before.cost).expect("a later reading");
    let wall = (after.wall - before.wall) as f64;
    let busy = (after.busy - before.busy) as f64;
    let bearer_seconds = f64::from(a.bearers) * wall / 1e9;
    let idle = (after.core_idle - before.core_idle) as f64 * 1e6 / wall;
    let (counts, net) = worker.gauges.counts();
    println!(
        "{{\"backend\":\"{}\",\"bearers\":{},\"us_per_bearer_second\":{:.1},\"cpu_us_per_bearer_second\":{:.1},\"occupancy\":{:.3},\"core_not_idle\":{:.3},\
         \"tick_late_p50_us\":{:.0},\"tick_late_p99_us\":{:.0},\"tick_late_max_us\":{:.0},\"tick_cost_p99_us\":{:.0},\
         \"frames\":{},\"skipped_ms\":{},\"hot_octets\":{},\"cold_octets\":{},\"received\":{},\"sent\":{},\
         \"send_failed\":{},\"refused\":{},\"capture\":{},\"far\":{far}}}",
        worker.backend,
        a.bearers,
        busy / 1000.0 / bearer_seconds,
        (after.cpu - before.cpu) as f64 / 1000.0 / bearer_seconds,
        busy / wall,
        1.0 - idle,
        lateness.value_at_quantile(0.5) as f64 / 1000.0,
        lateness.value_at_quantile(0.99) as f64 / 1000.0,
        lateness.max() as f64 / 1000.0,
        cost.value_at_quantile(0.99) as f64 / 1000.0,
        after.frames - before.frames,
        counts.skipped_ms,
        worker.bearer_octets.0,
        worker.bearer_octets.1,
        net.received,
        net.sent,
        net.send_failed,
        counts.refused.iter().sum::<u64>(),
        a.capture,
    );
}

/// One far end of many: when its packets have come.
#[derive(Clone, Copy, Default)]
struct Flow {
    first_ns: u64,
    first_sequence: u16,
    last_sequence: u16,
    packets: u32,
    late: u32,
    sequence: u16,
}

/// The generator: a packet each 20 ms to every bearer, and a judge of what comes back. Ends when its input closes.
fn drive(a: &Args) {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).expect("ports");
    let ports: Vec<u16> = line.split_whitespace().map(|w| w.parse().expect("a port")).collect();
    let n = u32::try_from(ports.len()).expect("few");
    let (_steering, mut pairs) = prepare(a.ip, &FAR, 1).expect("the generator needs the sockets backend");
    let mut net = Shared::new(pairs.remove(0), &FAR, n);
    for i in 0..n {
        let local = SocketAddr::new(a.ip, far_port(i));
        let spec = Spec::rtp(local, local, Codec::Pcmu, Seed(0));
        net.attach(i, spec.as_rtp().expect("it is")).expect("in range");
    }
    let standing = (thread::pin(a.core), thread::raise(40));
    eprintln!("generator: pinned {:?}, SCHED_FIFO {:?}", standing.0, standing.1);
    let octets = noise(77, 160 * 64);
    let mut flows = vec![Flow::default(); ports.len()];
    let stop = std::thread::spawn(|| std::io::stdin().lock().read(&mut [0]).unwrap_or(0));
    let start = clock::mono().0 + 1_000_000;
    let measure_from = start + 2_500_000_000;
    let mut ms = 0_u64;
    while !stop.is_finished() {
        clock::sleep_until(Mono(start + ms * 1_000_000));
        let now = clock::mono().0;
        net.receive(0..0, &mut |arrival| {
            if arrival.channel == Channel::Rtcp {
                return;
            }
            let Ok(p) = parse(arrival.bytes) else { return };
            let Some(flow) = flows.get_mut(usize::try_from(arrival.place).expect("small")) else { return };
            if now >= measure_from {
                flow.take(now, p.sequence);
            }
        });
        while start + ms * 1_000_000 <= now {
            let phase = usize::try_from(ms % 20).expect("small");
            for i in (phase..ports.len()).step_by(20) {
                let flow = &mut flows[i];
                flow.sequence = flow.sequence.wrapping_add(1);
                let header = Header {
                    marker: false,
                    payload_type: 0,
                    sequence: flow.sequence,
                    timestamp: u32::try_from(ms & 0xffff_ffff).expect("masked").wrapping_mul(8),
                    ssrc: u32::try_from(i).expect("small"),
                };
                let sound = &octets[(usize::from(flow.sequence) + i) % 64 * 160..][..160];
                let to = SocketAddr::new(a.peer, ports[i]);
                net.send(u32::try_from(i).expect("small"), Channel::Rtp, to, |buffer| {
                    write_header(buffer, &header);
                    buffer[12..172].copy_from_slice(sound);
                    172
                });
            }
            ms += 1;
        }
        net.flush();
    }
    verdict(&flows, net.counts().send_failed);
}

/// Prints what came, late or not at all.
fn verdict(flows: &[Flow], send_failed: u64) {
    let (mut packets, mut late, mut missing) = (0_u64, 0_u64, 0_u64);
    let mut deaf = 0;
    for flow in flows {
        let expected = u64::from(flow.last_sequence.wrapping_sub(flow.first_sequence)) + 1;
        packets += u64::from(flow.packets);
        late += u64::from(flow.late);
        missing += expected.saturating_sub(u64::from(flow.packets));
        deaf += u32::from(flow.packets == 0);
    }
    #[expect(clippy::cast_precision_loss, reason = "for printing")]
    let share = (late + missing) as f64 / packets.max(1) as f64;
    println!(
        "{{\"packets\":{packets},\"late\":{late},\"missing\":{missing},\"deaf\":{deaf},\"late_or_missing\":{share:.6},\
         \"generator_send_failed\":{}}}",
        send_failed
    );
}

impl Flow {
    fn take(&mut self, now: u64, sequence: u16) {
        if self.packets == 0 {
            (self.first_ns, self.first_sequence) = (now, sequence);
        }
        self.packets += 1;
        self.last_sequence = sequence;
        let place = self.first_ns + u64::from(sequence.wrapping_sub(self.first_sequence)) * 20_000_000;
        // Late: more than 5 ms from its place. An early one moves the place: the first packet was late itself.
        if now > place + 5_000_000 {
            self.late += 1;
        } else if now < place {
            self.first_ns -= place - now;
        }
    }
}

//! The writer of recordings: one thread drains the rings of all captures into WAV files, by io_uring where the kernel
//! has it, else by `pwrite`. After every batch the header is brought up to date, data first, so that a file that a
//! crash leaves behind plays to its end. A full disk ends the one recording with its errno; nobody else waits.

use crate::pool::CaptureSink;
use rtrb::{Consumer, RingBuffer};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;
use units::{Codec, Samples};

/// Octets of a capture's ring: two seconds of slack for the disk.
const RING: usize = 16_000;
/// How often rings are drained.
const EVERY: Duration = Duration::from_millis(50);
/// Octets of a WAV header with a `fact` chunk.
pub const WAV_HEADER: usize = 58;
/// Submission slots of the io_uring: a larger batch is written in several rounds.
const SLOTS: u32 = 256;

/// How a recording stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its sink is still in use.
    Running,
    /// All is in the file.
    Done,
    /// The disk refused; errno. What was written before plays.
    Failed(i32),
}

#[derive(Debug, Default)]
struct Shared {
    /// 0: running, 1: done, negative: errno.
    state: AtomicI32,
    octets: AtomicU32,
}

/// One recording, for who waits for it.
#[derive(Clone, Debug)]
pub struct Recording(Arc<Shared>);

impl Recording {
    /// How it stands.
    #[must_use]
    pub fn state(&self) -> State {
        match self.0.state.load(Ordering::Acquire) {
            0 => State::Running,
            1 => State::Done,
            errno => State::Failed(-errno),
        }
    }

    /// What is in the file.
    #[must_use]
    pub fn length(&self) -> Samples {
        Samples(self.0.octets.load(Ordering::Acquire))
    }
}

struct Job {
    file: File,
    ring: Consumer<u8>,
    codec: Codec,
    written: u32,
    shared: Arc<Shared>,
    failed: Arc<AtomicBool>,
    pending: Vec<u8>,
    header: [u8; WAV_HEADER],
}

/// The writer. Dropping it finishes what has come and ends the thread.
#[derive(Debug)]
pub struct Recorder {
    jobs: Option<Sender<Job>>,
    thread: Option<std::thread::JoinHandle<()>>,
    uring: bool,
}

impl Recorder {
    /// Starts the writer.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start() -> std::io::Result<Self> {
        let (jobs, incoming) = channel();
        let uring = io_uring::IoUring::new(SLOTS).ok();
        let has_uring = uring.is_some();
        let thread = std::thread::Builder::new()
            .name("recorder".into())
            .spawn(move || Writer { incoming, jobs: Vec::new(), uring }.run())?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), uring: has_uring })
    }

    /// True: io_uring; false: `pwrite`, because the kernel refuses io_uring.
    #[must_use]
    pub fn uring(&self) -> bool {
        self.uring
    }

    /// Begins a WAV file of `codec` (`Pcmu` or `Pcma`; anything else is recorded as mu-law) and gives the sink to lend.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn begin(&self, path: &Path, codec: Codec) -> std::io::Result<(CaptureSink, Recording)> {
        let codec = if codec == Codec::Pcma { codec } else { Codec::Pcmu };
        let file = File::create(path)?;
        file.write_all_at(&wav_header(codec, 0), 0)?;
        let (sink, ring) = RingBuffer::new(RING);
        let shared = Arc::new(Shared::default());
        let failed = Arc::new(AtomicBool::new(false));
        let job = Job {
            file,
            ring,
            codec,
            written: 0,
            shared: Arc::clone(&shared),
            failed: Arc::clone(&failed),
            pending: Vec::with_capacity(RING),
            header: [0; WAV_HEADER],
        };
        let gone = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        self.jobs.as_ref().ok_or_else(gone)?.send(job).map_err(|_| gone())?;
        Ok((CaptureSink { ring: sink, codec, failed }, Recording(shared)))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the writer was told on standard error.
            let _ = thread.join();
        }
    }
}

/// A WAV header (RIFF, formats 7 and 6 of RFC 2361: G.711) for so many octets of sound.
#[must_use]
pub fn wav_header(codec: Codec, octets: u32) -> [u8; WAV_HEADER] {
    let mut h = [0; WAV_HEADER];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        h[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(b"RIFF");
    put(&octets.saturating_add(50 + octets % 2).to_le_bytes());
    put(b"WAVEfmt ");
    put(&18_u32.to_le_bytes());
    put(&if codec == Codec::Pcma { 6_u16 } else { 7 }.to_le_bytes());
    put(&1_u16.to_le_bytes());
    put(&8000_u32.to_le_bytes());
    put(&8000_u32.to_le_bytes());
    put(&1_u16.to_le_bytes());
    put(&8_u16.to_le_bytes());
    put(&0_u16.to_le_bytes());
    put(b"fact");
    put(&4_u32.to_le_bytes());
    put(&octets.to_le_bytes());
    put(b"data");
    put(&octets.to_le_bytes());
    h
}

struct Writer {
    incoming: Receiver<Job>,
    jobs: Vec<Job>,
    uring: Option<io_uring::IoUring>,
}

impl Writer {
    fn run(mut self) {
        let mut open = true;
        while open || !self.jobs.is_empty() {
            match self.incoming.recv_timeout(EVERY) {
                Ok(job) => self.jobs.push(job),
                Err(RecvTimeoutError::Timeout) => self.pass(),
                Err(RecvTimeoutError::Disconnected) => {
                    open = false;
                    self.pass();
                    // Sinks that are still out will get no more.
                    self.jobs.iter().for_each(|j| j.failed.store(true, Ordering::Relaxed));
                    self.pass();
                    self.jobs.retain(|j| !j.ring.is_abandoned());
                    self.jobs.drain(..).for_each(|j| j.finish(1));
                }
            }
        }
    }

    /// Writes what every ring holds, data then headers; finishes what is over.
    fn pass(&mut self) {
        let over: Vec<bool> = self.jobs.iter_mut().map(Job::gather).collect();
        let mut results = vec![0; self.jobs.len()];
        write_batch(self.uring.as_mut(), &self.jobs, &mut results, false);
        for (job, result) in self.jobs.iter_mut().zip(&results) {
            job.wrote(*result);
        }
        write_batch(self.uring.as_mut(), &self.jobs, &mut results, true);
        let mut over = over.into_iter();
        let done: Vec<Job> =
            self.jobs.extract_if(.., |j| over.next() == Some(true) || j.has_failed()).collect();
        done.into_iter().for_each(|j| j.finish(1));
    }
}

impl Job {
    /// Takes what the ring holds; true if nothing will follow.
    fn gather(&mut self) -> bool {
        let over = self.ring.is_abandoned();
        self.pending.clear();
        let n = self.ring.slots();
        if let Ok(chunk) = self.ring.read_chunk(n) {
            let (a, b) = chunk.as_slices();
            self.pending.extend_from_slice(a);
            self.pending.extend_from_slice(b);
            chunk.commit_all();
        }
        over
    }

    fn has_failed(&self) -> bool {
        self.shared.state.load(Ordering::Relaxed) < 0
    }

    fn wrote(&mut self, result: i32) {
        let asked = i32::try_from(self.pending.len()).unwrap_or(i32::MAX);
        if result > 0 {
            self.written = self.written.saturating_add(result.unsigned_abs());
        }
        if result < asked {
            // A short write is a disk that has just become full.
            let errno = if result < 0 { result } else { -libc::ENOSPC };
            self.shared.state.store(errno, Ordering::Release);
            self.failed.store(true, Ordering::Relaxed);
        }
        self.header = wav_header(self.codec, self.written);
        self.shared.octets.store(self.written, Ordering::Release);
    }

    fn finish(self, state: i32) {
        // RIFF wants chunks padded to even lengths; the padding is not counted.
        if self.written % 2 == 1 {
            let _ = self.file.write_all_at(&[0], u64::from(self.written) + 58);
        }
        // Zero means running: whoever failed keeps his errno.
        let _ = self.shared.state.compare_exchange(0, state, Ordering::Release, Ordering::Relaxed);
    }

    /// What is to be written: data behind what is there, or the header.
    fn part(&self, header: bool) -> (&[u8], u64) {
        if header { (&self.header, 0) } else { (&self.pending, u64::from(self.written) + 58) }
    }
}

/// Writes one part of each job; results as the kernel gives them: octets or a negative errno.
fn write_batch(uring: Option<&mut io_uring::IoUring>, jobs: &[Job], results: &mut [i32], header: bool) {
    let wanted: Vec<usize> = (0..jobs.len()).filter(|&i| !jobs[i].pending.is_empty()).collect();
    results.fill(0);
    let Some(uring) = uring else {
        for i in wanted {
            let (bytes, at) = jobs[i].part(header);
            results[i] = match jobs[i].file.write_at(bytes, at) {
                Ok(n) => i32::try_from(n).unwrap_or(i32::MAX),
                Err(e) => -e.raw_os_error().unwrap_or(libc::EIO),
            };
        }
        return;
    };
    for some in wanted.chunks(usize::try_from(SLOTS).expect("few")) {
        for &i in some {
            let (bytes, at) = jobs[i].part(header);
            let len = u32::try_from(bytes.len()).expect("at most a ring");
            let write = io_uring::opcode::Write::new(
                io_uring::types::Fd(jobs[i].file.as_raw_fd()),
                bytes.as_ptr(),
                len,
            )
            .offset(at)
            .build()
            .user_data(u64::try_from(i).expect("an index"));
            // SAFETY: the octets and the file belong to `jobs`, which outlives the wait for all completions below.
            let pushed = unsafe { uring.submission().push(&write) };
            pushed.expect("a chunk is no longer than the ring");
        }
        let mut left = some.len();
        while left > 0 {
            // An interrupted wait is taken up again; nothing may be forgotten while the kernel holds pointers.
            let _ = uring.submit_and_wait(1);
            for done in uring.completion() {
                if let Some(r) = usize::try_from(done.user_data()).ok().and_then(|i| results.get_mut(i)) {
                    *r = done.result();
                }
                left -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(recording: &Recording) -> State {
        for _ in 0..500 {
            if recording.state() != State::Running {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        recording.state()
    }

    fn path(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("carillon-{}-{name}.wav", std::process::id()))
    }

    #[test]
    fn what_is_pushed_is_in_the_file_with_a_right_header() {
        let recorder = Recorder::start().expect("a thread");
        let path = path("right");
        let (mut sink, recording) = recorder.begin(&path, Codec::Pcma).expect("a file");
        for i in 0..50_u8 {
            sink.ring.push_entire_slice(&[i; 160]).expect("room");
        }
        // Before its end, as after a crash: the header tells what is there.
        for _ in 0..500 {
            if recording.length() == Samples(8000) {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        std::thread::park_timeout(Duration::from_millis(100));
        let crashed = std::fs::read(&path).expect("a file");
        assert_eq!(crashed[..WAV_HEADER], wav_header(Codec::Pcma, 8000));
        sink.ring.push_entire_slice(&[77; 3]).expect("room");
        drop(sink);
        assert_eq!(wait(&recording), State::Done);
        let whole = std::fs::read(&path).expect("a file");
        assert_eq!((whole.len(), recording.length()), (WAV_HEADER + 8004, Samples(8003)));
        assert_eq!(whole[..WAV_HEADER], wav_header(Codec::Pcma, 8003));
        assert_eq!(u32::from_le_bytes([whole[4], whole[5], whole[6], whole[7]]), 8062 - 8);
        assert_eq!(whole[WAV_HEADER + 160..][..160], [1; 160]);
        let _ = std::fs::remove_file(path);
    }

    #[test]
    fn a_full_disk_is_an_error_of_that_recording_only() {
        let recorder = Recorder::start().expect("a thread");
        // /dev/full takes no octet; its header cannot be written either.
        assert_eq!(
            recorder.begin(Path::new("/dev/full"), Codec::Pcmu).err().and_then(|e| e.raw_os_error()),
            Some(libc::ENOSPC)
        );
        let shared = Arc::new(Shared::default());
        let failed = Arc::new(AtomicBool::new(false));
        let (mut sink, ring) = RingBuffer::new(RING);
        let job = Job {
            file: File::options().write(true).open("/dev/full").expect("every Linux has it"),
            ring,
            codec: Codec::Pcmu,
            written: 0,
            shared: Arc::clone(&shared),
            failed: Arc::clone(&failed),
            pending: Vec::new(),
            header: [0; WAV_HEADER],
        };
        recorder.jobs.as_ref().expect("open").send(job).expect("alive");
        sink.push_entire_slice(&[1; 160]).expect("room");
        assert_eq!(wait(&Recording(shared)), State::Failed(libc::ENOSPC));
        assert!(failed.load(Ordering::Relaxed));
    }
}

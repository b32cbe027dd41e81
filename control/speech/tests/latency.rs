//! How long a caller waits for a text that was never spoken before, and what speaking costs: a prompt of ten words. The
//! whole sound is there before the first of it is played, so that is the latency to first audio as well.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a test of doors, and it measures")]

use speech::child::Error;
use speech::espeak::Espeak;
use speech::flite::Flite;
use speech::frame::Speak;
use std::time::{Duration, Instant};

const TEN_WORDS: &str = "Your parcel will be delivered tomorrow between nine and ten.";

/// User and system time of the children that have ended.
fn children() -> Duration {
    // SAFETY: an all-zero `rusage` is one, and the call writes it.
    #[allow(unsafe_code, reason = "one reading of a counter")]
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    let time = |t: libc::timeval| {
        Duration::from_micros(u64::try_from(t.tv_sec * 1_000_000 + t.tv_usec).unwrap_or(0))
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

fn measure(name: &str, speak: impl Fn(&Speak) -> Result<(u32, Vec<u8>), Error>) {
    let wish = Speak { text: TEN_WORDS.into(), rate: 1.0, pitch: 1.0, volume: 1.0, ..Speak::default() };
    let wish = Speak { lang: "en".into(), ..wish };
    let (mut best, mut cpu, mut seconds) = (Duration::MAX, Duration::MAX, 0.0);
    for _ in 0..10 {
        let (begun, before) = (Instant::now(), children());
        match speak(&wish) {
            Ok((hz, sound)) => {
                seconds = f64::from(u32::try_from(sound.len() / 2).unwrap_or(0)) / f64::from(hz)
            }
            Err(error) => {
                println!("SKIPPED: {name}: {error}");
                return;
            }
        }
        best = best.min(begun.elapsed());
        cpu = cpu.min(children().saturating_sub(before));
    }
    println!(
        "{name}: {:.0} ms to first audio (best of ten), {:.0} ms of CPU for {seconds:.1} s: {:.0} x real time per core",
        best.as_secs_f64() * 1e3,
        cpu.as_secs_f64() * 1e3,
        seconds / cpu.as_secs_f64().max(1e-4),
    );
    // CPU time does not grow with what else the machine does: on a core of its own this is the latency.
    assert!(cpu <= Duration::from_millis(150), "{name}: {cpu:?} for ten words");
}

#[test]
fn ten_words_are_spoken_before_anyone_wonders() {
    let folder = std::env::temp_dir().join(format!("carillon-latency-{}", std::process::id()));
    assert!(std::fs::create_dir_all(&folder).is_ok(), "a temporary folder");
    let (flite, espeak) = (Flite::new(&folder), Espeak::new(&folder));
    measure("flite", |wish| flite.speak(wish));
    measure("espeak-ng", |wish| espeak.speak(wish));
    drop(std::fs::remove_dir_all(&folder));
}

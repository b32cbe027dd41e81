//! A text spoken by an engine: the sound is taken as it comes, so a text that nobody has spoken yet costs its own length
//! once; afterwards it is in the cache like any other.

use super::{Pool, Resource};
use hw::audio::Sound;
use speech::frame::Speak;
use speech::mrcp::ask::{speak_fields, ssml};
use speech::mrcp::channel::{Ask, Told};
use std::time::Duration;
use units::Codec;

/// Samples of the longest text: ten minutes.
const SAMPLES_MAX: usize = 600 * 8_000;
/// Packets that were on their way when the engine said that it was done.
const AFTER: Duration = Duration::from_millis(100);
/// Samples per second of both laws.
const HZ: u32 = 8_000;

/// Speaks; `None`: no engine did.
pub(crate) async fn speak(pool: &Pool, wish: &Speak, longest: Duration) -> Option<Sound> {
    let mut session = pool.open(Resource::Synthesiser, &wish.lang).await?;
    let ask = Ask::Speak { ssml: ssml(wish), fields: speak_fields(&session.vendor) };
    session.ask(ask).await?;
    let (mut heard, sound) = (Heard::default(), session.sound.clone());
    let end = tokio::time::Instant::now() + longest;
    let fine = loop {
        tokio::select! {
            packet = sound.hear() => if let Some((timestamp, samples)) = packet {
                heard.take(timestamp, &samples);
            },
            told = session.next() => match told {
                // RFC 6787 §8.4.7: 000 normal.
                Told::SpeakComplete { cause } => break cause == 0,
                Told::Failed { .. } | Told::Broken => break false,
                _ => {}
            },
            () = tokio::time::sleep_until(end) => break false,
        }
    };
    if !fine {
        tracing::warn!("a speech engine did not speak to the end");
        return None;
    }
    let until = tokio::time::Instant::now() + AFTER;
    while let Ok(packet) = tokio::time::timeout_at(until, sound.hear()).await {
        if let Some((timestamp, samples)) = packet {
            heard.take(timestamp, &samples);
        }
    }
    (!heard.samples.is_empty()).then_some(Sound { rate: HZ, samples: heard.samples })
}

/// Packets in the places that their timestamps give them: what is lost is silence, what is late is in its place.
#[derive(Debug, Default)]
struct Heard {
    first: Option<u32>,
    samples: Vec<i16>,
}

impl Heard {
    fn take(&mut self, timestamp: u32, samples: &[i16]) {
        let first = *self.first.get_or_insert(timestamp);
        let at = usize::try_from(timestamp.wrapping_sub(first)).unwrap_or(usize::MAX);
        // What is before the first packet, or far behind it, is none of this text.
        let Some(end) = at.checked_add(samples.len()).filter(|&end| end <= SAMPLES_MAX) else { return };
        if self.samples.len() < end {
            self.samples.resize(end, 0);
        }
        self.samples[at..end].copy_from_slice(samples);
    }
}

const _: () = assert!(Codec::Pcmu.payload_type() == 0 && Codec::Pcma.payload_type() == 8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_stand_where_their_timestamps_say() {
        let mut heard = Heard::default();
        heard.take(u32::MAX - 1, &[1, 2]);
        heard.take(4, &[7, 8]);
        heard.take(0, &[3, 4]);
        heard.take(0u32.wrapping_sub(4), &[9, 9]);
        heard.take(1 << 30, &[9]);
        assert_eq!(heard.samples, [1, 2, 3, 4, 0, 0, 7, 8]);
    }
}

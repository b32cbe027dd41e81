//! RIFF WAVE files: PCM of 8, 16, 24 and 32 bits, 32-bit float, mu-law and A-law, with chunks in any sane order.
//!
//! A recording that was cut by a crash still plays: sizes of 0 or 2^32 - 1 in the header, or larger than the file,
//! mean "up to the end of the file".

use super::{Encoding, Error, Limits, Listen, Sound};
use crate::dsp::g711::Law;

/// A WAV file's format and its data, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wav<'a> {
    /// How samples are stored.
    pub encoding: Encoding,
    /// Channels, interleaved.
    pub channels: u16,
    /// Samples a second.
    pub rate: u32,
    /// The data chunk.
    pub data: &'a [u8],
}

impl<'a> Wav<'a> {
    /// Finds format and data.
    ///
    /// # Errors
    /// [`Error`]; never panics.
    pub fn parse(file: &'a [u8], limits: &Limits) -> Result<Self, Error> {
        let (riff, rest) = file.split_at_checked(12).ok_or(Error::Truncated)?;
        if &riff[..4] != b"RIFF" || &riff[8..] != b"WAVE" {
            return Err(Error::UnknownFormat);
        }
        let (mut rest, mut format) = (rest, None);
        for _ in 0..limits.chunks_max {
            let Some((head, body)) = rest.split_at_checked(8) else { return Err(Error::MissingChunk) };
            let said = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
            let size = usize::try_from(said).unwrap_or(usize::MAX);
            match &head[..4] {
                b"fmt " => format = Some(Format::parse(&body[..size.min(body.len())], limits)?),
                b"data" => {
                    let format = format.ok_or(Error::MissingChunk)?;
                    let size = if size == 0 { body.len() } else { size.min(body.len()) };
                    return Ok(format.with(&body[..size]));
                }
                _ => {}
            }
            // Chunks are padded to an even size.
            let padded = size.checked_add(size & 1).ok_or(Error::Truncated)?;
            rest = body.get(padded..).ok_or(Error::MissingChunk)?;
        }
        Err(Error::TooManyChunks)
    }

    /// Decodes to one channel.
    ///
    /// # Errors
    /// [`Error::TooLong`], [`Error::NoChannel`].
    pub fn decode(&self, listen: Listen, limits: &Limits) -> Result<Sound, Error> {
        let channels = usize::from(self.channels);
        if let Listen::Channel(asked) = listen
            && asked >= self.channels
        {
            return Err(Error::NoChannel { asked, channels: self.channels });
        }
        let count = self.data.len() / self.encoding.octets() / channels;
        if count > limits.samples_max {
            return Err(Error::TooLong { samples: count });
        }
        let mut samples = Vec::with_capacity(count * channels);
        self.encoding.decode_into(self.data, &mut samples);
        if channels > 1 {
            samples = samples.chunks_exact(channels).map(|frame| fold(frame, listen)).collect();
        }
        Ok(Sound { rate: self.rate, samples })
    }
}

fn fold(frame: &[i16], listen: Listen) -> i16 {
    match listen {
        Listen::Left => frame[0],
        Listen::Channel(n) => frame.get(usize::from(n)).copied().unwrap_or(0),
        Listen::Mix => {
            let sum: i32 = frame.iter().map(|&s| i32::from(s)).sum();
            let n = i32::try_from(frame.len()).expect("few channels");
            i16::try_from(sum / n).expect("a mean lies between its terms")
        }
    }
}

#[derive(Clone, Copy)]
struct Format {
    encoding: Encoding,
    channels: u16,
    rate: u32,
}

impl Format {
    fn parse(body: &[u8], limits: &Limits) -> Result<Self, Error> {
        if body.len() < 16 {
            return Err(Error::Truncated);
        }
        let u16_at = |at: usize| u16::from_le_bytes([body[at], body[at + 1]]);
        let rate = u32::from_le_bytes([body[4], body[5], body[6], body[7]]);
        let (mut tag, channels, bits) = (u16_at(0), u16_at(2), u16_at(14));
        // WAVE_FORMAT_EXTENSIBLE: the real tag begins the sub-format's GUID.
        if tag == 0xFFFE && body.len() >= 26 {
            tag = u16_at(24);
        }
        let encoding = match (tag, bits) {
            (1, 16) => Encoding::Pcm16,
            (1, 8) => Encoding::Pcm8,
            (1, 24) => Encoding::Pcm24,
            (1, 32) => Encoding::Pcm32,
            (3, 32) => Encoding::Float32,
            (6, 8) => Encoding::G711(Law::A),
            (7, 8) => Encoding::G711(Law::Mu),
            _ => return Err(Error::UnknownEncoding { tag, bits }),
        };
        if channels == 0 || channels > limits.channels_max {
            return Err(Error::Channels(channels));
        }
        if !(limits.rate_min..=limits.rate_max).contains(&rate) {
            return Err(Error::Rate(rate));
        }
        Ok(Self { encoding, channels, rate })
    }

    fn with(self, data: &[u8]) -> Wav<'_> {
        Wav { encoding: self.encoding, channels: self.channels, rate: self.rate, data }
    }
}

/// Octets of the header that [`header`] writes.
pub const HEADER_OCTETS: usize = 58;

/// The header of a mono file with `data` octets of data (saturated at what RIFF can say). Every encoding gets the long
/// `fmt ` chunk and a `fact` chunk, as the non-PCM ones need, so that the data always begin at the same place.
#[must_use]
pub fn header(encoding: Encoding, rate: u32, data: u64) -> [u8; HEADER_OCTETS] {
    let (tag, width): (u16, u16) = match encoding {
        Encoding::Pcm16 => (1, 2),
        Encoding::Pcm8 => (1, 1),
        Encoding::Pcm24 => (1, 3),
        Encoding::Pcm32 => (1, 4),
        Encoding::Float32 => (3, 4),
        Encoding::G711(Law::A) => (6, 1),
        Encoding::G711(Law::Mu) => (7, 1),
    };
    let data = u32::try_from(data).unwrap_or(u32::MAX - 64);
    let mut h = [0; HEADER_OCTETS];
    let mut put = |at: usize, octets: &[u8]| h[at..at + octets.len()].copy_from_slice(octets);
    put(0, b"RIFF");
    put(4, &data.saturating_add(50 + (data & 1)).to_le_bytes());
    put(8, b"WAVEfmt ");
    put(16, &18u32.to_le_bytes());
    put(20, &tag.to_le_bytes());
    put(22, &1u16.to_le_bytes());
    put(24, &rate.to_le_bytes());
    put(28, &rate.saturating_mul(u32::from(width)).to_le_bytes());
    put(32, &width.to_le_bytes());
    put(34, &(width * 8).to_le_bytes());
    put(38, b"fact");
    put(42, &4u32.to_le_bytes());
    put(46, &(data / u32::from(width)).to_le_bytes());
    put(50, b"data");
    put(54, &data.to_le_bytes());
    h
}

/// A whole mono file.
#[must_use]
pub fn write(encoding: Encoding, rate: u32, samples: &[i16]) -> Vec<u8> {
    let octets = samples.len() * encoding.octets();
    let mut file = Vec::with_capacity(HEADER_OCTETS + octets + 1);
    file.extend(header(encoding, rate, u64::try_from(octets).unwrap_or(u64::MAX)));
    match encoding {
        Encoding::Pcm16 => file.extend(samples.iter().flat_map(|s| s.to_le_bytes())),
        Encoding::Pcm8 => {
            file.extend(samples.iter().map(|&s| u8::try_from((s >> 8) + 128).expect("an octet")));
        }
        Encoding::G711(law) => file.extend(samples.iter().map(|&s| law.to_octet(s))),
        Encoding::Pcm24 => {
            file.extend(samples.iter().flat_map(|s| (i32::from(*s) << 16).to_le_bytes()[1..].to_vec()))
        }
        Encoding::Pcm32 => file.extend(samples.iter().flat_map(|s| (i32::from(*s) << 16).to_le_bytes())),
        Encoding::Float32 => {
            file.extend(samples.iter().flat_map(|s| (f32::from(*s) / 32_768.0).to_le_bytes()));
        }
    }
    if octets % 2 == 1 {
        file.push(0);
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::Seed;

    const LIMITS: Limits =
        Limits { chunks_max: 8, channels_max: 8, rate_min: 4000, rate_max: 192_000, samples_max: 1000 };

    #[test]
    fn every_encoding_round_trips() {
        let samples = [0, 1000, -1000, 32_000, -32_000];
        for encoding in [
            Encoding::Pcm16,
            Encoding::Pcm8,
            Encoding::Pcm24,
            Encoding::Pcm32,
            Encoding::Float32,
            Encoding::G711(Law::Mu),
            Encoding::G711(Law::A),
        ] {
            let file = write(encoding, 8000, &samples);
            let sound = Wav::parse(&file, &LIMITS)
                .and_then(|w| w.decode(Listen::Mix, &LIMITS))
                .expect("our own file");
            assert_eq!((sound.rate, sound.samples.len()), (8000, 5));
            for (a, b) in samples.iter().zip(&sound.samples) {
                assert!((a - b).abs() <= 600, "{encoding:?} {a} {b}");
            }
        }
    }

    /// A file from chunks; sizes as given.
    type Chunk<'a> = (&'a [u8; 4], u32, &'a [u8]);

    fn file(chunks: &[Chunk<'_>]) -> Vec<u8> {
        let mut f = b"RIFF\0\0\0\0WAVE".to_vec();
        for (name, size, body) in chunks {
            f.extend(*name);
            f.extend(size.to_le_bytes());
            f.extend(*body);
        }
        f
    }

    const STEREO: &[u8] = &[1, 0, 2, 0, 0x40, 0x1F, 0, 0, 0, 0x7D, 0, 0, 4, 0, 16, 0];

    #[test]
    fn chunks_come_in_any_order_and_odd_ones_are_padded() {
        let f = file(&[
            (b"LIST", 3, b"abc\0"),
            (b"fmt ", 16, STEREO),
            (b"junk", 0, b""),
            (b"data", 4, &[2, 0, 4, 0]),
        ]);
        let w = Wav::parse(&f, &LIMITS).expect("sane");
        assert_eq!(w.decode(Listen::Mix, &LIMITS).map(|s| s.samples), Ok(vec![3]));
        assert_eq!(w.decode(Listen::Left, &LIMITS).map(|s| s.samples), Ok(vec![2]));
        assert_eq!(w.decode(Listen::Channel(1), &LIMITS).map(|s| s.samples), Ok(vec![4]));
        let third = w.decode(Listen::Channel(2), &LIMITS);
        assert_eq!(third, Err(Error::NoChannel { asked: 2, channels: 2 }));
    }

    #[test]
    fn cut_recordings_play_to_their_end() {
        for said in [0, 5000, u32::MAX] {
            let f = file(&[(b"fmt ", 16, STEREO), (b"data", said, &[2, 0, 4, 0, 9])]);
            assert_eq!(Wav::parse(&f, &LIMITS).map(|w| w.data.len()), Ok(5), "{said}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_its_reason() {
        let check = |chunks: &[(&[u8; 4], u32, &[u8])], want| {
            assert_eq!(Wav::parse(&file(chunks), &LIMITS), Err(want))
        };
        check(&[], Error::MissingChunk);
        check(&[(b"data", 4, &[0; 4])], Error::MissingChunk);
        check(&[(b"fmt ", 3, &[0; 4])], Error::Truncated);
        check(&[(b"fmt ", u32::MAX, &STEREO[..15])], Error::Truncated);
        check(&[(b"junk", u32::MAX, b"")], Error::MissingChunk);
        check(&[(b"junk", 0, &b""[..]); 9], Error::TooManyChunks);
        let with = |at: usize, octets: [u8; 2]| {
            let mut f = STEREO.to_vec();
            f[at..at + 2].copy_from_slice(&octets);
            f
        };
        check(&[(b"fmt ", 16, &with(0, [85, 0]))], Error::UnknownEncoding { tag: 85, bits: 16 });
        check(&[(b"fmt ", 16, &with(2, [0, 0]))], Error::Channels(0));
        check(&[(b"fmt ", 16, &with(2, [99, 0]))], Error::Channels(99));
        check(&[(b"fmt ", 16, &with(4, [1, 0]))], Error::Rate(1));
        assert_eq!(Wav::parse(b"RIFF", &LIMITS), Err(Error::Truncated));
        assert_eq!(Wav::parse(b"RIFF1234AVI ", &LIMITS), Err(Error::UnknownFormat));
    }

    #[test]
    fn no_octets_make_it_panic() {
        // Goal: no panic. Method: a good file with random octets changed and cut at random places.
        let good = file(&[(b"LIST", 4, b"abcd"), (b"fmt ", 16, STEREO), (b"data", 8, &[1; 8])]);
        let mut rng = Seed(11).rng();
        let mut read = 0;
        for _ in 0..20_000 {
            let mut f = good.clone();
            for _ in 0..1 + rng.below(4) {
                let at = usize::try_from(rng.below(f.len() as u64)).expect("small");
                f[at] = u8::try_from(rng.below(256)).expect("an octet");
            }
            f.truncate(usize::try_from(rng.below(f.len() as u64 + 1)).expect("small"));
            read += usize::from(Wav::parse(&f, &LIMITS).and_then(|w| w.decode(Listen::Mix, &LIMITS)).is_ok());
        }
        assert!(read > 100, "some must still be readable: {read}");
    }
}

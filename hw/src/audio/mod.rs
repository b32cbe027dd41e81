//! Sound files as octets: WAV (RIFF) and raw G.711, read and written without touching a file; and what is heard in them
//! ([`analyse`]).
//!
//! Everything a file says about itself is distrusted: sizes are clamped to what is there, counts are bounded by
//! [`Limits`].

pub mod analyse;
pub mod resample;
pub mod wav;

use crate::dsp::g711::Law;
use std::fmt;

/// Bounds of what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most chunks walked in a RIFF file before its data.
    pub chunks_max: usize,
    /// Most channels.
    pub channels_max: u16,
    /// Sample rates taken, Hz.
    pub rate_min: u32,
    /// See `rate_min`.
    pub rate_max: u32,
    /// Most samples (of one channel) decoded; the rest is refused, not cut.
    pub samples_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // Four hours at 8 kHz.
        Self {
            chunks_max: 64,
            channels_max: 8,
            rate_min: 4000,
            rate_max: 192_000,
            samples_max: 8000 * 3600 * 4,
        }
    }
}

/// How samples are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Linear, 16 bits, little-endian.
    Pcm16,
    /// Linear, 8 bits, offset by 128.
    Pcm8,
    /// Linear, 24 bits, little-endian; read to 16.
    Pcm24,
    /// Linear, 32 bits, little-endian; read to 16.
    Pcm32,
    /// IEEE 754, 32 bits, little-endian, full scale 1; read to 16 bits, clipped.
    Float32,
    /// G.711.
    G711(Law),
}

impl Encoding {
    /// Octets a sample.
    #[must_use]
    pub const fn octets(self) -> usize {
        match self {
            Encoding::Pcm16 => 2,
            Encoding::Pcm8 | Encoding::G711(_) => 1,
            Encoding::Pcm24 => 3,
            Encoding::Pcm32 | Encoding::Float32 => 4,
        }
    }

    /// The encoding of headerless files by the ending of their name: `ulaw`, `ul`, `mulaw`, `pcmu`; `alaw`, `al`,
    /// `pcma`; `sln`, `raw`, `pcm` (linear, 8 kHz). Any case.
    #[must_use]
    pub fn from_ending(ending: &str) -> Option<Self> {
        let is = |names: &[&str]| names.iter().any(|n| n.eq_ignore_ascii_case(ending));
        if is(&["ulaw", "ul", "mulaw", "pcmu", "mu"]) {
            Some(Encoding::G711(Law::Mu))
        } else if is(&["alaw", "al", "pcma"]) {
            Some(Encoding::G711(Law::A))
        } else if is(&["sln", "raw", "pcm"]) {
            Some(Encoding::Pcm16)
        } else {
            None
        }
    }

    fn decode_into(self, octets: &[u8], into: &mut Vec<i16>) {
        match self {
            Encoding::Pcm16 => {
                into.extend(octets.as_chunks::<2>().0.iter().map(|&pair| i16::from_le_bytes(pair)));
            }
            Encoding::Pcm8 => into.extend(octets.iter().map(|&o| (i16::from(o) - 128) << 8)),
            Encoding::G711(law) => into.extend(octets.iter().map(|&o| law.to_linear(o))),
            // The upper 16 bits: what is below them is quieter than any detector listens.
            Encoding::Pcm24 => {
                into.extend(
                    octets.as_chunks::<3>().0.iter().map(|&[_, low, high]| i16::from_le_bytes([low, high])),
                );
            }
            Encoding::Pcm32 => into.extend(
                octets.as_chunks::<4>().0.iter().map(|&[_, _, low, high]| i16::from_le_bytes([low, high])),
            ),
            Encoding::Float32 => {
                into.extend(
                    octets.as_chunks::<4>().0.iter().map(|&four| from_float(f32::from_le_bytes(four))),
                );
            }
        }
    }
}

/// A sample of full scale 1 as 16 bits; what is no number is silence.
fn from_float(x: f32) -> i16 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "clamped to the range of 16 bits; not a number becomes 0"
    )]
    let sample = (x * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16;
    sample
}

/// Which of several channels is listened to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listen {
    /// All, averaged.
    #[default]
    Mix,
    /// The first (left).
    Left,
    /// This one, from 0; a file without it is refused.
    Channel(u16),
}

/// Mono sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sound {
    /// Samples a second.
    pub rate: u32,
    /// Linear samples.
    pub samples: Vec<i16>,
}

impl Sound {
    /// Headerless sound at 8 kHz.
    ///
    /// # Errors
    /// [`Error::TooLong`] over [`Limits::samples_max`].
    pub fn from_raw(octets: &[u8], encoding: Encoding, limits: &Limits) -> Result<Self, Error> {
        let count = octets.len() / encoding.octets();
        if count > limits.samples_max {
            return Err(Error::TooLong { samples: count });
        }
        let mut samples = Vec::with_capacity(count);
        encoding.decode_into(octets, &mut samples);
        Ok(Self { rate: 8000, samples })
    }

    /// The same sound at 8 kHz.
    #[must_use]
    pub fn at_8_khz(self) -> Self {
        if self.rate == 8000 {
            return self;
        }
        Self { rate: 8000, samples: resample::to(&self.samples, self.rate, 8000) }
    }
}

/// Reads a whole file, by the ending of its name and by its first octets; a `RIFF` header wins over the name.
///
/// # Errors
/// [`Error`].
pub fn read(name: &str, octets: &[u8], listen: Listen, limits: &Limits) -> Result<Sound, Error> {
    if octets.is_empty() {
        return Err(Error::Empty);
    }
    if octets.starts_with(b"RIFF") {
        return wav::Wav::parse(octets, limits)?.decode(listen, limits);
    }
    let ending = name.rsplit_once('.').map_or("", |(_, e)| e);
    let encoding = Encoding::from_ending(ending).ok_or(Error::UnknownFormat)?;
    if let Listen::Channel(n) = listen
        && n > 0
    {
        return Err(Error::NoChannel { asked: n, channels: 1 });
    }
    Sound::from_raw(octets, encoding, limits)
}

/// What is wrong with a sound file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Not one octet.
    Empty,
    /// Neither RIFF nor a known name.
    UnknownFormat,
    /// Ends before its data begin.
    Truncated,
    /// No `fmt ` chunk before the data, or no data.
    MissingChunk,
    /// More chunks than [`Limits::chunks_max`].
    TooManyChunks,
    /// A format tag or a sample size we do not decode.
    UnknownEncoding {
        /// `wFormatTag`.
        tag: u16,
        /// Bits a sample.
        bits: u16,
    },
    /// No channels or too many.
    Channels(u16),
    /// A channel was asked for that the file does not have.
    NoChannel {
        /// Which, from 0.
        asked: u16,
        /// How many there are.
        channels: u16,
    },
    /// Out of [`Limits::rate_min`]..=[`Limits::rate_max`].
    Rate(u32),
    /// More than [`Limits::samples_max`].
    TooLong {
        /// Samples a channel.
        samples: usize,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Empty => f.write_str("the file is empty"),
            Error::UnknownFormat => f.write_str(
                "neither a WAV file nor, by its name, raw sound (.ulaw, .alaw, or .sln for 16 bits, 8 kHz)",
            ),
            Error::Truncated => f.write_str("the file ends before its data begin"),
            Error::MissingChunk => f.write_str("the fmt or the data chunk is missing"),
            Error::TooManyChunks => f.write_str("too many chunks before the data"),
            Error::UnknownEncoding { tag, bits } => {
                write!(
                    f,
                    "{} with {bits} bits a sample (format tag {tag}) is not decoded; PCM, float, mu-law and A-law are",
                    name_of(*tag)
                )
            }
            Error::Channels(n) => write!(f, "a file of {n} channels is not read"),
            Error::NoChannel { asked, channels } => {
                write!(f, "channel {} was asked for; the file has {channels}", u32::from(*asked) + 1)
            }
            Error::Rate(hz) => write!(f, "a sample rate of {hz} Hz is not read"),
            Error::TooLong { samples } => write!(f, "{samples} samples are too many"),
        }
    }
}

impl std::error::Error for Error {}

/// What registered format tags of WAVE stand for, as far as one meets them in telephony (RFC 2361).
fn name_of(tag: u16) -> &'static str {
    match tag {
        0x0001 => "PCM",
        0x0002 => "MS ADPCM",
        0x0003 => "float",
        0x0011 => "IMA ADPCM",
        0x0031 => "GSM 6.10",
        0x0040 | 0x0045 | 0x0064 => "G.726 ADPCM",
        0x0050 | 0x0055 => "MPEG audio",
        _ => "an encoding unknown here",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_raw_encodings() {
        let check = |name: &str, want| assert_eq!(read(name, &[0xFF], Listen::Mix, &Limits::default()), want);
        let sound = |s: i16| Ok(Sound { rate: 8000, samples: vec![s] });
        check("a.ulaw", sound(0));
        check("a.b.ALAW", sound(848));
        check("a.mp3", Err(Error::UnknownFormat));
        check("", Err(Error::UnknownFormat));
        assert_eq!(read("a.ulaw", &[], Listen::Mix, &Limits::default()), Err(Error::Empty));
        let second = read("a.ulaw", &[0xFF], Listen::Channel(1), &Limits::default());
        assert_eq!(second, Err(Error::NoChannel { asked: 1, channels: 1 }));
    }

    #[test]
    fn wide_samples_are_read_to_sixteen_bits() {
        let check = |e: Encoding, octets: &[u8], want: &[i16]| {
            let sound = Sound::from_raw(octets, e, &Limits::default()).expect("short");
            assert_eq!(sound.samples, want, "{e:?}");
        };
        check(Encoding::Pcm24, &[9, 0x34, 0x12, 0, 0, 0x80, 7], &[0x1234, i16::MIN]);
        check(Encoding::Pcm32, &[9, 9, 0x34, 0x12, 0, 0, 0, 0x80], &[0x1234, i16::MIN]);
        let floats: Vec<u8> = [0.5, -1.0, 9.0, f32::NAN].iter().flat_map(|x: &f32| x.to_le_bytes()).collect();
        check(Encoding::Float32, &floats, &[16_384, -32_768, 32_767, 0]);
    }

    #[test]
    fn length_is_bounded() {
        let limits = Limits { samples_max: 3, ..Limits::default() };
        let e = Encoding::G711(Law::Mu);
        assert_eq!(Sound::from_raw(&[0; 4], e, &limits), Err(Error::TooLong { samples: 4 }));
    }
}

//! A program that speaks, run once a text: the text by standard input and never through a shell, the sound by a file.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Why a text was not spoken. The text itself is in no message.
#[derive(Debug)]
pub enum Error {
    /// The program that speaks is not installed, or would not start.
    Start(std::io::Error),
    /// It ended with this status.
    Status(Option<i32>),
    /// The file it wrote cannot be read.
    Sound,
    /// The voice's name is none.
    Voice,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Start(error) => write!(f, "the voice would not start: {error}"),
            Error::Status(status) => write!(f, "the voice ended with {status:?}"),
            Error::Sound => f.write_str("what the voice wrote is no sound"),
            Error::Voice => f.write_str("no such voice"),
        }
    }
}

impl std::error::Error for Error {}

/// Runs `program` on a text; it writes `file`, which is read and removed: rate in Hz and linear samples as octets.
///
/// # Errors
/// [`Error`].
pub(crate) fn sound(program: &mut Command, text: &str, file: &Path) -> Result<(u32, Vec<u8>), Error> {
    let mut child = program
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(Error::Start)?;
    if let Some(mut input) = child.stdin.take() {
        // One that dies early is told by its status.
        drop(input.write_all(text.as_bytes()));
    }
    let status = child.wait().map_err(Error::Start)?;
    if !status.success() {
        return Err(Error::Status(status.code()));
    }
    let wav = std::fs::read(file).map_err(|_| Error::Sound)?;
    drop(std::fs::remove_file(file));
    samples(&wav).ok_or(Error::Sound)
}

/// Rate and samples of a plain WAV: 16 bits, mono.
fn samples(wav: &[u8]) -> Option<(u32, Vec<u8>)> {
    if wav.get(..4)? != b"RIFF" || wav.get(8..12)? != b"WAVE" {
        return None;
    }
    let mut hz = None;
    let mut rest = wav.get(12..)?;
    while rest.len() >= 8 {
        let length = usize::try_from(u32::from_le_bytes(rest.get(4..8)?.try_into().ok()?)).ok()?;
        let body = rest.get(8..)?;
        match &rest[..4] {
            b"fmt " => hz = Some(u32::from_le_bytes(body.get(4..8)?.try_into().ok()?)),
            b"data" => return Some((hz?, body[..length.min(body.len())].to_vec())),
            _ => {}
        }
        rest = body.get(length + length % 2..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wav_is_read_and_nonsense_is_not() {
        let mut wav =
            b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0".to_vec();
        wav.extend(b"data\x04\0\0\0\x01\0\x02\0");
        assert_eq!(samples(&wav), Some((16_000, vec![1, 0, 2, 0])));
        assert_eq!(samples(b"RIFFxxxxWAVE"), None);
        assert_eq!(samples(b""), None);
    }
}

//! `carillon audio`: what is heard in a recording, one JSON object a line, or a line for people.

use clap::{Args, Subcommand, ValueEnum};
use hw::audio::{self, Limits, Listen, analyse};
use hw::dsp::cadence::Country;
use memmap2::Mmap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub(super) enum Audio {
    /// DTMF digits, with times, level and twist.
    Dtmf(File),
    /// Who answered: human, machine, fax or silence, and where a greeting ends.
    Amd(File),
    /// Call-progress and fax tones.
    Tones {
        #[command(flatten)]
        file: File,
        /// Whose tones.
        #[arg(long, value_enum, default_value = "us")]
        country: Profile,
    },
}

#[derive(Debug, Args)]
pub(super) struct File {
    /// WAV (any rate; mu-law, A-law, PCM or float), or without a header at 8 kHz: `.ulaw`, `.alaw`, `.sln` (16 bits).
    file: PathBuf,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Listen to this channel alone, from 1; otherwise all are averaged, which makes one of two 6 dB quieter.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    channel: Option<u16>,
}

/// Tone plans.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Profile {
    /// United States and Canada.
    Us,
    /// Most of Europe.
    Eu,
    /// United Kingdom.
    Uk,
    /// Germany.
    De,
    /// France.
    Fr,
    /// Japan.
    Jp,
}

impl Audio {
    pub(super) fn run(&self) -> ExitCode {
        match self {
            Audio::Dtmf(f) => f.tell(|s| analyse::dtmf(s, &hw::dsp::dtmf::Limits::default())),
            Audio::Amd(f) => f.tell(|s| analyse::amd(s, &hw::dsp::amd::Limits::default())),
            Audio::Tones { file, country } => {
                let country = match country {
                    Profile::Us => Country::Us,
                    Profile::Eu => Country::Eu,
                    Profile::Uk => Country::Uk,
                    Profile::De => Country::De,
                    Profile::Fr => Country::Fr,
                    Profile::Jp => Country::Jp,
                };
                file.tell(|s| analyse::tones(s, country))
            }
        }
    }
}

impl File {
    /// Reads the file, analyses it and prints each finding; 1 if the file cannot be read.
    fn tell<T: Display>(&self, analyse: impl Fn(&[i16]) -> Vec<T>) -> ExitCode {
        let listen = self.channel.map_or(Listen::Mix, |n| Listen::Channel(n - 1));
        match samples(&self.file, listen) {
            Ok(samples) => {
                for finding in analyse(&samples) {
                    super::print(&if self.json {
                        finding.to_string()
                    } else {
                        for_people(&finding.to_string())
                    });
                }
                ExitCode::SUCCESS
            }
            Err(why) => super::no(&format!("{}: {why}", self.file.display())),
        }
    }
}

/// `{"digit":"5","start_ms":120}` as `digit 5  start_ms 120`.
fn for_people(json: &str) -> String {
    json.trim_matches(['{', '}']).replace("\":", " ").replace(",\"", "  ").replace('"', "")
}

/// The samples of a file at 8 kHz. The file is mapped, so that an hour of sound is not copied before it is decoded.
fn samples(path: &Path, listen: Listen) -> Result<Vec<i16>, String> {
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    let about = file.metadata().map_err(|e| e.to_string())?;
    if about.is_dir() {
        return Err("this is a directory".into());
    }
    let length = about.len();
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let read = |octets: &[u8]| {
        let sound = audio::read(name, octets, listen, &Limits::default()).map_err(|e| e.to_string())?;
        Ok(sound.at_8_khz().samples)
    };
    if length == 0 {
        return read(&[]);
    }
    // SAFETY: the mapping is read only and lives until the samples are decoded; a file that another program cuts
    // short meanwhile ends this tool with SIGBUS, which harms nobody: it is no part of a running node.
    let map = unsafe { Mmap::map(&file) }.map_err(|e| e.to_string())?;
    read(&map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_reads_well() {
        assert_eq!(for_people(r#"{"digit":"5","start_ms":120}"#), "digit 5  start_ms 120");
    }

    #[test]
    fn a_file_that_is_none_is_told() {
        assert!(samples(Path::new("/nowhere/a.wav"), Listen::Mix).is_err());
        assert_eq!(samples(&std::env::temp_dir(), Listen::Mix), Err("this is a directory".to_owned()));
    }
}

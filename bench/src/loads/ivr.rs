//! The IVR workload that every comparison uses: an 8 s prompt, a digit 10 s after the answer, a 9.5 s prompt, hang-up; as
//! a VoiceXML application with script and DTMF grammar, as prompts, and as what the caller does.

use crate::farend::{mulaw, tones};
use std::path::{Path, PathBuf};
use units::Seed;

/// How long a call of it lasts, s: the second prompt begins when the digit has been taken.
pub const CALL_SECONDS: f64 = 19.8;

const FIRST_MS: u32 = 8_000;
const SECOND_MS: u32 = 9_500;

/// What the caller does; prompts are known by their sound.
pub const CALLER: &str = "\
# Calls in, hears the first prompt, presses 1 ten seconds after the answer, hears the second one out, is hung up on.
prompt first first.wav
prompt second second.wav
person caller
  answer
  hear prompt first within 12s
  at 10s
  press 1
  hear prompt second within 15s
  wait hangup 5s
";

/// The application.
pub const APPLICATION: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!-- Two prompts and a digit: the load that telephony servers are compared with. -->
<vxml version="2.1" xmlns="http://www.w3.org/2001/vxml" xml:lang="en-US">
  <property name="inputmodes" value="dtmf"/>
  <property name="timeout" value="6s"/>
  <var name="choice" expr="'none'"/>
  <script><![CDATA[
    function named(digit) { return digit === '1' ? 'confirmed' : 'other'; }
  ]]></script>
  <form id="main">
    <field name="digit">
      <grammar version="1.0" mode="dtmf" root="one" type="application/srgs+xml" xmlns="http://www.w3.org/2001/06/grammar">
        <rule id="one" scope="public">
          <one-of><item>1</item><item>2</item><item>3</item></one-of>
        </rule>
      </grammar>
      <prompt><audio src="first.wav"/></prompt>
      <noinput><exit expr="'silent'"/></noinput>
      <filled><assign name="document.choice" expr="named(digit)"/></filled>
    </field>
    <block>
      <prompt><audio src="second.wav"/></prompt>
      <exit namelist="choice"/>
    </block>
  </form>
</vxml>
"#;

/// The first prompt, 8 kHz mu-law: speech-like from its first octet to its last.
#[must_use]
pub fn first() -> Vec<u8> {
    prompt(FIRST_MS, Seed(81))
}

/// The second prompt.
#[must_use]
pub fn second() -> Vec<u8> {
    prompt(SECOND_MS, Seed(95))
}

fn prompt(ms: u32, seed: Seed) -> Vec<u8> {
    let mut audio = tones::speech(ms, seed);
    // The end sounds too, so that a prompt's length can be heard.
    let tail = tones::sine(440.0, 200);
    let at = audio.len() - tail.len();
    audio[at..].copy_from_slice(&tail);
    audio
}

/// A file of the workload as a web server or a folder holds it: type and octets.
#[must_use]
pub fn file(name: &str) -> Option<(&'static str, Vec<u8>)> {
    Some(match name {
        "app.vxml" => ("application/voicexml+xml", APPLICATION.as_bytes().to_vec()),
        "first.wav" => ("audio/x-wav", mulaw::wav(&first())),
        "second.wav" => ("audio/x-wav", mulaw::wav(&second())),
        "caller.txt" => ("text/plain", CALLER.as_bytes().to_vec()),
        // Raw octets, as Asterisk plays them without a header.
        "first.ulaw" => ("audio/basic", first()),
        "second.ulaw" => ("audio/basic", second()),
        _ => return None,
    })
}

/// Names of all files.
pub const FILES: [&str; 6] =
    ["app.vxml", "first.wav", "second.wav", "caller.txt", "first.ulaw", "second.ulaw"];

/// `carillon-bench workload`.
#[derive(Clone, Debug, clap::Args)]
pub struct WorkloadOptions {
    /// Folder that is made and filled.
    folder: PathBuf,
}

/// Writes the files of the workload into a folder: application, prompts, the caller's scenario.
///
/// # Errors
/// What the system says.
pub fn workload(options: &WorkloadOptions) -> Result<bool, Box<dyn std::error::Error>> {
    write(&options.folder)?;
    crate::say!("{}: {}", options.folder.display(), FILES.join(", "));
    Ok(true)
}

/// Writes them.
///
/// # Errors
/// What the system says.
pub fn write(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for name in FILES {
        let (_, octets) = file(name).expect("its own names");
        std::fs::write(folder.join(name), octets)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::farend::Scenario;

    #[test]
    fn the_workload_is_sound() {
        let scenario = Scenario::parse(CALLER, &|name| file(name).map(|f| f.1)).expect("valid");
        assert_eq!(scenario.for_callers(), Ok(()));
        for (n, ms) in [(0, FIRST_MS), (1, SECOND_MS)] {
            let print = scenario.prints.get(n).expect("declared");
            assert!(print.length_ms.abs_diff(ms) <= 120, "{}: {}", print.name, print.length_ms);
        }
        let mut hint = 0;
        assert_eq!(scenario.prints.identify(&second()[..3200], &mut hint), Some(1));
        // No pause inside is as long as the quiet that ends a prompt.
        let quiet = first()
            .chunks(160)
            .map(|f| mulaw::level_dbm0(f) < -42.0)
            .fold((0, 0), |(run, most), q| if q { (run + 1, most.max(run + 1)) } else { (0, most) });
        assert!(quiet.1 * 20 < 600, "{} ms", quiet.1 * 20);
    }
}

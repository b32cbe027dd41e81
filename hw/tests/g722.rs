//! G.722 against libspandsp: the octets and the decoded samples must be equal. Test-only, as in `q24.rs`.
#![expect(clippy::disallowed_types, reason = "a test runs programs and uses files")]

use hw::dsp::g722::{Decoder, Encoder};
use std::io::Write as _;
use std::process::{Command, Stdio};
use units::Seed;

/// Sweeps, noise and silence at several levels.
fn signal() -> Vec<i16> {
    let mut rng = Seed(722).rng();
    let mut samples = Vec::new();
    let mut phase = 0f64;
    for n in 0..64_000u32 {
        phase += 50.0 + f64::from(n % 16_000) * 0.45;
        let sine = (phase * std::f64::consts::TAU / 16_000.0).sin();
        let noise = rng.unit() - 0.5;
        let x = match n / 8000 {
            0 | 1 => sine * 12_000.0,
            2 => noise * 20_000.0,
            3 => 0.0,
            4 => sine * 500.0 + noise * 100.0,
            // Not louder: at overload the oracle wraps where the Recommendation saturates.
            5 => sine * 20_000.0,
            _ => sine * 6000.0 + noise * 6000.0,
        };
        #[expect(clippy::cast_possible_truncation, reason = "saturating is meant")]
        samples.push(x as i16);
    }
    samples
}

#[test]
fn octets_and_samples_equal_the_oracle() {
    let dir = tempfile::tempdir().expect("a place for files");
    let program = dir.path().join("oracle");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tape/oracle_g722.c");
    let built = Command::new("cc").args(["-O1", source, "-o"]).arg(&program).arg("-lspandsp").output();
    if !built.is_ok_and(|o| o.status.success()) {
        println!("SKIPPED: no C compiler or no libspandsp");
        return;
    }
    let samples = signal();
    let input = dir.path().join("samples");
    let octets: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    std::fs::File::create(&input).and_then(|mut f| f.write_all(&octets)).expect("a small file");
    let stdin = Stdio::from(std::fs::File::open(&input).expect("just written"));
    let out = Command::new(&program).stdin(stdin).output().expect("just built").stdout;
    let (theirs, their_samples) = out.split_at(samples.len() / 2);
    let mut ours = vec![0; samples.len() / 2];
    Encoder::new().encode(&samples, &mut ours);
    let mut our_samples = vec![0; samples.len()];
    Decoder::new().decode(theirs, &mut our_samples);
    let differing = ours.iter().zip(theirs).filter(|(a, b)| a != b).count();
    let their_samples: Vec<i16> =
        their_samples.as_chunks::<2>().0.iter().map(|&p| i16::from_le_bytes(p)).collect();
    let decoded = our_samples.iter().zip(&their_samples).filter(|(a, b)| a != b).count();
    println!(
        "G.722: {differing} of {} octets and {decoded} of {} samples differ",
        ours.len(),
        our_samples.len()
    );
    assert_eq!((differing, decoded, their_samples.len()), (0, 0, our_samples.len()));
}

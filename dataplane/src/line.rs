//! What is done to the voice of a timeslot on its way: gain both ways, and the line's echo taken off what is received.

use crate::codec::Octets;
use crate::limits::FRAME;
use hw::dsp::echo::{Achieved, Canceller};
use hw::dsp::g711::Law;
use hw::dsp::level;
use hw::dsp::math::sample;

/// How a line is treated; made by the lender, since it is large.
#[derive(Clone, Debug)]
pub struct Treatment {
    law: Law,
    echo: Option<Canceller>,
    /// Amplitude factors.
    receive: f32,
    send: f32,
}

/// Largest gain or loss, dB.
pub const GAIN_DB_MAX: f32 = 24.0;

impl Treatment {
    /// With these gains in dB (bounded by [`GAIN_DB_MAX`]), and an echo canceller of 128 ms if wanted; `None`: nothing is to be done.
    #[must_use]
    pub fn new(law: Law, cancels: bool, receive_db: f32, send_db: f32) -> Option<Self> {
        let ratio = |db: f32| level::ratio(db.clamp(-GAIN_DB_MAX, GAIN_DB_MAX));
        let needed = cancels || receive_db != 0.0 || send_db != 0.0;
        needed.then(|| Self {
            law,
            echo: cancels.then(Canceller::default),
            receive: ratio(receive_db),
            send: ratio(send_db),
        })
    }

    /// What came in twenty milliseconds, treated; `sent` went out in the very same.
    pub fn receive(&mut self, sent: &Octets, line: &mut Octets) {
        let (mut out, mut heard) = ([0; FRAME], [0; FRAME]);
        self.law.decode(line, &mut heard);
        if let Some(echo) = &mut self.echo {
            self.law.decode(sent, &mut out);
            echo.cancel(&out, &mut heard);
        }
        louder(&mut heard, self.receive);
        self.law.encode(&heard, line);
    }

    /// What goes out, treated.
    pub fn send(&self, said: &mut Octets) {
        if self.send != 1.0 {
            let mut samples = [0; FRAME];
            self.law.decode(said, &mut samples);
            louder(&mut samples, self.send);
            self.law.encode(&samples, said);
        }
    }

    /// What its canceller has achieved, if it has one.
    #[must_use]
    pub fn achieved(&self) -> Option<Achieved> {
        self.echo.as_ref().map(Canceller::achieved)
    }
}

fn louder(samples: &mut [i16], factor: f32) {
    if factor != 1.0 {
        samples.iter_mut().for_each(|s| *s = sample(f32::from(*s) * factor));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::Seed;

    #[test]
    fn gain_is_as_asked_both_ways() {
        let tone: [i16; FRAME] = std::array::from_fn(|n| if n % 16 < 8 { 2_000 } else { -2_000 });
        for (receive, send) in [(6.0, -6.0), (-12.0, 3.0)] {
            let mut t = Treatment::new(Law::A, false, receive, send).expect("something to do");
            let mut octets = [0; FRAME];
            Law::A.encode(&tone, &mut octets);
            let level_of = |octets: &Octets| level::of(&octets.map(|o| Law::A.to_linear(o)));
            let before = level_of(&octets);
            let (mut heard, mut said) = (octets, octets);
            t.receive(&octets, &mut heard);
            t.send(&mut said);
            assert!((level_of(&heard) - before - receive).abs() < 0.5);
            assert!((level_of(&said) - before - send).abs() < 0.5);
        }
        assert!(Treatment::new(Law::Mu, false, 0.0, 0.0).is_none());
    }

    #[test]
    fn an_echo_of_the_line_is_gone_within_seconds() {
        let mut t = Treatment::new(Law::Mu, true, 0.0, 0.0).expect("something to do");
        let mut rng = Seed(1).rng();
        let mut before = [0i16; FRAME];
        let (mut echo, mut left) = (0.0, 0.0);
        for frame in 0..200 {
            let said: [i16; FRAME] =
                std::array::from_fn(|_| i16::try_from(rng.below(8_000)).expect("small") - 4_000);
            let (mut sent, mut line) = ([0; FRAME], [0; FRAME]);
            Law::Mu.encode(&said, &mut sent);
            // It comes back 20 ms later at a third.
            Law::Mu.encode(&before.map(|s| s / 3), &mut line);
            if frame > 100 {
                echo += level::power(&line.map(|o| Law::Mu.to_linear(o)));
            }
            t.receive(&sent, &mut line);
            if frame > 100 {
                left += level::power(&line.map(|o| Law::Mu.to_linear(o)));
            }
            before = said;
        }
        assert!(left * 1_000.0 < echo, "{left} of {echo}");
        assert!(t.achieved().is_some_and(|a| a.erle_db > 20.0), "{:?}", t.achieved());
    }
}

//! What is listened for in the sound of one bearer; the algorithms are `hw::dsp`'s, what they mean is decided here.

use crate::codec::Pcm;
use crate::command::Detectors;
use crate::report::Heard;
use hw::dsp::cadence::{Country, Signal};
use hw::dsp::{amd, dtmf, progress, vad};
use units::Digit;

/// The detectors' state of one bearer.
#[derive(Clone, Default)]
pub struct Detect {
    voice: vad::Detector,
    dtmf: dtmf::Detector,
    progress: Option<progress::Detector>,
    machine: Option<amd::Detector>,
}

/// What a frame brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Voice began (true) or ended.
    pub voice: Option<bool>,
    /// A digit is certain. (Two in one frame cannot be: each lasts longer.)
    pub digit: Option<Digit>,
    /// What the network was heard saying.
    pub progress: Option<Heard>,
    /// Who answered.
    pub answer: Option<Heard>,
    /// The machine's greeting is over.
    pub greeting_ended: bool,
}

impl Detect {
    /// Begins anew with these.
    pub fn begin(&mut self, on: Detectors, country: Country) {
        *self = Self {
            progress: on.progress.then(|| progress::Detector::new(country, &progress::Limits::default())),
            machine: on.machine.then(|| amd::Detector::new(&amd::Limits::default())),
            ..Self::default()
        };
    }

    /// Listens to a frame.
    pub fn frame(&mut self, on: Detectors, pcm: &Pcm) -> Found {
        let mut found = Found::default();
        if on.dtmf {
            self.dtmf.feed(pcm, &mut |event| {
                if event.edge == dtmf::Edge::Start {
                    found.digit = Some(event.digit);
                }
            });
        }
        if on.voice {
            self.voice.feed(pcm, &mut |event| found.voice = Some(event.edge == vad::Edge::Voice));
        }
        if let Some(progress) = &mut self.progress {
            progress.feed(pcm, &mut |event| found.progress = heard(event.signal));
        }
        if let Some(machine) = &mut self.machine {
            machine.feed(pcm, &mut |event| match event {
                amd::Event::Answered { answer, .. } => found.answer = Some(answered(answer)),
                amd::Event::GreetingEnd { .. } => found.greeting_ended = true,
            });
        }
        found
    }
}

fn heard(signal: Signal) -> Option<Heard> {
    Some(match signal {
        Signal::Dial => Heard::DialTone,
        Signal::Ringback => Heard::Ringback,
        Signal::Busy => Heard::Busy,
        Signal::Congestion => Heard::Congestion,
        Signal::SpecialInformation => Heard::Sit,
        Signal::FaxAnswer => Heard::FaxAnswer,
        Signal::FaxCalling => Heard::FaxCalling,
        // A beep means something only after a greeting.
        Signal::Beep => return None,
    })
}

fn answered(answer: amd::Answer) -> Heard {
    match answer {
        amd::Answer::Human => Heard::Human,
        amd::Answer::Machine => Heard::Machine,
        amd::Answer::Fax => Heard::FaxAnswer,
        amd::Answer::Silence => Heard::Silence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::FRAME;
    use hw::dsp::cadence::Player;

    #[test]
    fn a_busy_tone_is_told_once() {
        let on = Detectors { progress: true, machine: true, ..Detectors::default() };
        let mut detect = Detect::default();
        detect.begin(on, Country::De);
        let mut player = Player::new(Country::De, Signal::Busy);
        let mut told = Vec::new();
        for _ in 0..300 {
            let mut pcm = [0; FRAME];
            player.fill(&mut pcm);
            told.extend(detect.frame(on, &pcm).progress);
        }
        assert_eq!(told, [Heard::Busy]);
    }
}

//! A bearer's state: what every packet and frame touches ([`Hot`], two cache lines) and the rest ([`Cold`]).

use super::Counts;
use super::link::Link;
use super::splice::Splice;
use crate::capture::Capture;
use crate::codec;
use crate::command::{CaptureHandle, Detectors, SpecHandle};
use crate::detect::Detect;
use crate::event;
use crate::jitter::Jitter;
use crate::limits::{FRAME, SEND_DIGITS};
use crate::line::Treatment;
use crate::play::{Ended, Queue, Sound};
use crate::pool::{CaptureSink, Lent};
use crate::report::{BearerCounts, CaptureEnd, DigitVia, PlayEnd, Report};
use crate::spec::{Direction, Medium, NOWHERE, Spec};
use crate::srtp::Srtp;
use hw::dsp::cadence::Country;
use hw::dsp::dtmf;
use hw::dsp::noise::Comfort;
use hw::dsp::plc::Concealer;
use std::net::SocketAddr;
use units::{BearerId, Codec, Digit, Samples};

/// No payload type.
pub(super) const NO_TYPE: u8 = 0xff;

/// What every packet touches.
#[derive(Clone)]
pub(super) struct Hot {
    pub(super) remote: SocketAddr,
    /// Sequence numbers seen: bit n stands for `rx_sequence - n`.
    pub(super) window: u64,
    pub(super) ssrc: u32,
    pub(super) tx_timestamp: u32,
    pub(super) rx_ssrc: u32,
    /// Highest sequence number received, with the cycles above (RFC 3550 §A.1).
    pub(super) rx_sequence: u32,
    pub(super) rx_base: u32,
    pub(super) transit: u32,
    /// Who else may be the source: an SSRC on probation.
    pub(super) other_ssrc: u32,
    pub(super) last_rx_ms: u32,
    pub(super) counts: BearerCounts,
    pub(super) tx_sequence: u16,
    pub(super) generation: u16,
    /// The sequence number that would confirm a jump.
    pub(super) jump_next: u16,
    pub(super) link: u16,
    pub(super) payload_type: u8,
    pub(super) event_type: u8,
    pub(super) codec: Codec,
    pub(super) direction: Direction,
    pub(super) open: bool,
    /// A packet has come.
    pub(super) started: bool,
    pub(super) symmetric: bool,
    pub(super) rtp: bool,
    /// SRTP is agreed.
    pub(super) secure: bool,
}

impl Default for Hot {
    fn default() -> Self {
        Self {
            remote: NOWHERE,
            window: 0,
            ssrc: 0,
            tx_timestamp: 0,
            rx_ssrc: 0,
            rx_sequence: 0,
            rx_base: 0,
            transit: 0,
            other_ssrc: 0,
            last_rx_ms: 0,
            counts: BearerCounts::default(),
            tx_sequence: 0,
            generation: 0,
            jump_next: 0,
            link: 0,
            payload_type: NO_TYPE,
            event_type: NO_TYPE,
            codec: Codec::Pcmu,
            direction: Direction::Inactive,
            open: false,
            started: false,
            symmetric: false,
            rtp: false,
            secure: false,
        }
    }
}

/// A digit waiting to be sent.
#[derive(Clone, Copy)]
pub(super) struct ToDial {
    pub(super) digit: Digit,
    pub(super) length: u32,
}

/// The rest.
pub(super) struct Cold {
    pub(super) spec: Option<(SpecHandle, Box<Spec>)>,
    pub(super) jitter: Jitter,
    pub(super) queue: Queue,
    pub(super) events: event::Receiver,
    pub(super) sender: event::Sender,
    pub(super) dial: [Option<ToDial>; SEND_DIGITS],
    pub(super) dial_len: u8,
    /// A digit being sent in band.
    pub(super) dialing: Option<dtmf::Generator>,
    pub(super) capture: Option<Capture>,
    /// Somebody listens along.
    pub(super) tap: Option<(CaptureHandle, Box<CaptureSink>)>,
    pub(super) peers: [Option<u32>; 2],
    /// Joined with a bearer of another worker, under this bearer's name at the lender.
    pub(super) splice: Option<(BearerId, Box<Splice>)>,
    /// The last 20 ms from the far side, concealed where missing, for bridged bearers: in G.711.
    pub(super) heard: codec::Octets,
    pub(super) heard_sound: bool,
    pub(super) concealer: Concealer,
    /// The far side is silent and told us of its noise (RFC 3389).
    pub(super) comfort: Option<Comfort>,
    pub(super) detectors: Detectors,
    pub(super) detect: Detect,
    pub(super) silent_told: u32,
    /// RFC 4733 has been heard: in-band digits would be the same ones again.
    pub(super) events_seen: bool,
    /// The last packet sent was no audio: the next one begins a talkspurt.
    pub(super) mark_next: bool,
    pub(super) control: super::control::Control,
}

impl Default for Cold {
    fn default() -> Self {
        Self {
            spec: None,
            jitter: Jitter::default(),
            queue: Queue::default(),
            events: event::Receiver::default(),
            sender: event::Sender::default(),
            dial: [None; SEND_DIGITS],
            dial_len: 0,
            dialing: None,
            capture: None,
            tap: None,
            peers: [None; 2],
            splice: None,
            heard: [0xff; FRAME],
            heard_sound: false,
            concealer: Concealer::default(),
            comfort: None,
            detectors: Detectors::default(),
            detect: Detect::default(),
            silent_told: 0,
            events_seen: false,
            mark_next: true,
            control: super::control::Control::default(),
        }
    }
}

/// G.722 is handed to bridged bearers as mu-law: its octets mean nothing without their past.
pub(super) fn heard_codec(codec: Codec) -> Codec {
    if codec == Codec::Pcma { Codec::Pcma } else { Codec::Pcmu }
}

/// What a bridged bearer was heard saying.
pub(super) struct PeerFrame {
    pub(super) codec: Codec,
    pub(super) octets: codec::Octets,
    pub(super) sound: bool,
}

/// A bearer with all that its work needs.
pub(super) struct Bearer<'a> {
    pub(super) id: BearerId,
    pub(super) hot: &'a mut Hot,
    pub(super) cold: &'a mut Cold,
    pub(super) link: &'a mut Link,
    pub(super) counts: &'a mut Counts,
}

impl Bearer<'_> {
    /// The SRTP context, where one is agreed.
    pub(super) fn srtp(&mut self) -> Option<&mut Srtp> {
        if !self.hot.secure {
            return None;
        }
        match &mut self.cold.spec.as_mut()?.1.medium {
            Medium::Rtp(rtp) => rtp.srtp.as_deref_mut(),
            Medium::Timeslot { .. } => None,
        }
    }

    /// What is done to its line's voice, if anything.
    pub(super) fn treatment(&mut self) -> Option<&mut Treatment> {
        self.cold.spec.as_mut()?.1.treatment.as_deref_mut()
    }

    /// G.722's state, where it is the codec.
    pub(super) fn wide(cold: &mut Cold) -> Option<&mut codec::Wide> {
        cold.spec.as_mut()?.1.wide.as_deref_mut()
    }

    pub(super) fn country(&self) -> Country {
        self.cold.spec.as_ref().map_or(Country::default(), |(_, spec)| spec.country)
    }

    /// The codec in which bridged bearers get what was heard.
    pub(super) fn heard_codec(&self) -> Codec {
        heard_codec(self.hot.codec)
    }

    /// A digit was heard: told once; cuts what it may cut, at once.
    pub(super) fn digit(&mut self, digit: Digit, via: DigitVia, length: Samples) {
        self.link.edge(Report::Digit { bearer: self.id, digit, via, length });
        self.cut(PlayEnd::CutByDigit);
        if self.cold.capture.as_ref().is_some_and(|c| c.digit_ends) {
            self.end_capture(CaptureEnd::Digit);
        }
    }

    /// Voice began or ended.
    pub(super) fn voice(&mut self, on: bool) {
        self.link.edge(Report::Voice { bearer: self.id, on });
        if on {
            self.cut(PlayEnd::CutByVoice);
        }
    }

    /// Ends what may be ended so.
    pub(super) fn cut(&mut self, end: PlayEnd) {
        while let Some(ended) = self.cold.queue.end_front(end) {
            play_ended(self.id, self.link, ended);
        }
    }

    /// Refuses an item or tells how it ended.
    pub(super) fn end_capture(&mut self, end: CaptureEnd) {
        let Some(capture) = self.cold.capture.take() else { return };
        self.link.edge(Report::CaptureEnded {
            bearer: self.id,
            capture: capture.handle,
            end,
            length: Samples(capture.length),
            sound: capture.sound,
        });
        self.link.return_capture(capture.handle, capture.sink);
    }

    /// Ends a tap.
    pub(super) fn untap(&mut self) {
        if let Some((handle, sink)) = self.cold.tap.take() {
            self.link.return_capture(handle, sink);
        }
    }

    /// Gives a splice back.
    pub(super) fn unsplice(&mut self) {
        if let Some((bearer, splice)) = self.cold.splice.take() {
            self.link.give_back(Lent::Splice(bearer, splice));
        }
    }

    /// Somebody hears what is heard here.
    pub(super) fn bridged(&self) -> bool {
        self.cold.peers != [None; 2] || self.cold.splice.is_some()
    }

    /// Gives everything back and frees the place.
    pub(super) fn close(mut self) {
        self.unsplice();
        self.cut(PlayEnd::Stopped);
        self.end_capture(CaptureEnd::Stopped);
        self.untap();
        if let Some((handle, spec)) = self.cold.spec.take() {
            self.link.return_spec(handle, spec, self.id);
        }
        self.hot.open = false;
        self.counts.open -= 1;
        self.link.edge(Report::Closed { bearer: self.id, counts: self.counted() });
    }

    /// The counters as reported (RFC 3550 §A.3 for what is lost).
    pub(super) fn counted(&self) -> BearerCounts {
        let mut counts = self.hot.counts;
        if self.hot.started {
            let expected = self.hot.rx_sequence.wrapping_sub(self.hot.rx_base).wrapping_add(1);
            counts.lost = expected.saturating_sub(counts.received);
        }
        // Kept with 4 bits of fraction (RFC 3550 §A.8).
        counts.jitter >>= 4;
        counts
    }
}

/// Tells that an item ended and lets go of its prompt.
pub(super) fn play_ended(bearer: BearerId, link: &mut Link, ended: Ended) {
    if let Sound::Prompt(handle) = ended.sound {
        link.release_prompt(handle);
    }
    link.edge(Report::PlayEnded { bearer, item: ended.item, end: ended.end, heard: ended.heard });
}

//! The sending half of a frame: digits before prompts before the bridged far sides before silence.

use super::bearer::{Bearer, PeerFrame, play_ended};
use crate::codec::{self, Octets, Pcm};
use crate::event::{self, ToSend};
use crate::limits::FRAME;
use crate::net::{Channel, Net};
use crate::play::Voice;
use crate::rtp::{self, HEADER, Header};
use hw::dsp::{dtmf, mix};
use units::Samples;

/// In-band digits: the shortest tone (ITU-T Q.24: 40 ms and up; doubled here).
const TONE_MIN: Samples = Samples(640);

impl Bearer<'_> {
    /// Sends 20 ms; what was said, for who has no packets.
    pub(super) fn speak(
        &mut self,
        heard: Option<&Pcm>,
        peers: &[Option<PeerFrame>; 2],
        net: &mut impl Net,
    ) -> Octets {
        let mut said = [0; FRAME];
        self.next_digit();
        let event = self.cold.sender.frame();
        let suspended = event.is_some_and(|_| self.cold.sender.on());
        if !self.play(&mut said) {
            self.relay(peers, &mut said);
        }
        // What is played under a digit is lost, not delayed: time goes on.
        self.in_band(&mut said);
        if let Some(heard) = heard {
            self.record(heard, &said);
        }
        if !self.hot.rtp || !self.hot.direction.sends() || self.hot.remote.port() == 0 {
            self.hot.tx_timestamp = self.hot.tx_timestamp.wrapping_add(160);
            return said;
        }
        if let Some(event) = event {
            self.send_event(&event, net);
        }
        if suspended {
            self.cold.mark_next = true;
        } else {
            self.send_audio(&said, net);
        }
        self.hot.tx_timestamp = self.hot.tx_timestamp.wrapping_add(160);
        said
    }

    /// Fills from the play queue; false if there is nothing.
    fn play(&mut self, said: &mut Octets) -> bool {
        let (id, country) = (self.id, self.country());
        let mut ends = [None; crate::limits::PLAY_ITEMS];
        let mut n = 0;
        let cold = &mut *self.cold;
        let wide = cold.spec.as_mut().and_then(|(_, spec)| spec.wide.as_deref_mut());
        let mut voice = Voice { codec: self.hot.codec, country, wide, prompts: &self.link.prompts };
        let playing = cold.queue.fill(&mut voice, said, |ended| {
            ends[n] = Some(ended);
            n += 1;
        });
        for ended in ends.into_iter().flatten() {
            play_ended(id, self.link, ended);
        }
        playing
    }

    /// What the bridged far sides say: one is passed on, two are mixed.
    fn relay(&mut self, peers: &[Option<PeerFrame>; 2], said: &mut Octets) {
        let codec = self.hot.codec;
        let mut pcm = [0; FRAME];
        match peers {
            [Some(one), None] | [None, Some(one)] if one.sound => {
                if one.codec == codec {
                    *said = one.octets;
                    return;
                }
                codec::decode(one.codec, None, &one.octets, &mut pcm);
            }
            [Some(one), Some(two)] => {
                let mut other = [0; FRAME];
                codec::decode(one.codec, None, &one.octets, &mut pcm);
                codec::decode(two.codec, None, &two.octets, &mut other);
                mix::add(&mut pcm, &other);
            }
            _ => return,
        }
        codec::encode(codec, Self::wide(self.cold), &pcm, said);
    }

    /// Records the frame.
    fn record(&mut self, heard: &Pcm, said: &Octets) {
        let bridged = self.bridged();
        let heard_codec = self.heard_codec();
        let Some(mut capture) = self.cold.capture.take() else { return };
        let ready = (bridged && capture.sink.codec == heard_codec).then_some(self.cold.heard);
        let mut also = None;
        if capture.both {
            let mut pcm = [0; FRAME];
            codec::decode_said(self.hot.codec, Self::wide(self.cold), said, &mut pcm);
            also = Some(pcm);
        }
        let end = capture.frame(heard, ready.as_ref(), also.as_ref());
        self.cold.capture = Some(capture);
        if let Some(end) = end {
            self.end_capture(end);
        }
    }

    /// Begins the next digit that waits.
    fn next_digit(&mut self) {
        let busy = !self.cold.sender.idle() || self.cold.dialing.is_some();
        let len = usize::from(self.cold.dial_len);
        if busy || len == 0 {
            return;
        }
        let Some(next) = self.cold.dial[0] else { return };
        self.cold.dial.copy_within(1..len, 0);
        self.cold.dial_len -= 1;
        if self.hot.rtp && self.hot.event_type != super::bearer::NO_TYPE {
            self.cold.sender.begin(next.digit, next.length, self.hot.tx_timestamp);
        } else {
            let keying = dtmf::Keying { tone: Samples(next.length).max(TONE_MIN), ..dtmf::Keying::default() };
            self.cold.dialing = Some(dtmf::Generator::new(next.digit, &keying));
        }
    }

    /// A digit as tones, in place of what would be said.
    fn in_band(&mut self, said: &mut Octets) {
        let Some(dialing) = &mut self.cold.dialing else { return };
        let mut pcm = [0; FRAME];
        dialing.fill(&mut pcm);
        if dialing.finished() {
            self.cold.dialing = None;
        }
        codec::encode(self.hot.codec, Self::wide(self.cold), &pcm, said);
    }

    fn send_audio(&mut self, said: &Octets, net: &mut impl Net) {
        let marker = std::mem::take(&mut self.cold.mark_next);
        let (payload_type, timestamp) = (self.hot.payload_type, self.hot.tx_timestamp);
        self.send(marker, payload_type, timestamp, said, net);
    }

    fn send_event(&mut self, event: &ToSend, net: &mut impl Net) {
        let payload = event::build(event.event);
        self.send(event.marker, self.hot.event_type, event.timestamp, &payload, net);
    }

    fn send(&mut self, marker: bool, payload_type: u8, timestamp: u32, payload: &[u8], net: &mut impl Net) {
        let place = self.id.index;
        let hot = &mut *self.hot;
        let header = Header { marker, payload_type, sequence: hot.tx_sequence, timestamp, ssrc: hot.ssrc };
        hot.tx_sequence = hot.tx_sequence.wrapping_add(1);
        hot.counts.sent = hot.counts.sent.wrapping_add(1);
        let remote = hot.remote;
        let octets = u32::try_from(payload.len()).expect("at most a frame");
        self.cold.control.octets = self.cold.control.octets.wrapping_add(octets);
        let srtp = self.srtp();
        net.send(place, Channel::Rtp, remote, |buffer| {
            rtp::write_header(buffer, &header);
            let len = HEADER + payload.len();
            buffer[HEADER..len].copy_from_slice(payload);
            srtp.map_or(len, |srtp| srtp.protect(buffer, len))
        });
    }
}

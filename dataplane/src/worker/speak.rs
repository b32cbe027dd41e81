//! The sending half of a frame: digits before prompts before the bridged far sides before silence.

use super::bearer::{Bearer, PeerFrame, play_ended};
use crate::codec::{self, Octets, Pcm};
use crate::event::{self, ToSend};
use crate::limits::FRAME;
use crate::net::{Channel, Net};
use crate::rtp::{self, HEADER, Header};
use crate::tone;
use units::Codec;

/// In-band digits: shortest tone, and the pause after each (ITU-T Q.24: 40 ms and up; both doubled here).
const TONE_MIN: u32 = 640;
const TONE_PAUSE: u32 = 640;

impl Bearer<'_> {
    /// Sends 20 ms.
    pub(super) fn speak(&mut self, peers: &[Option<PeerFrame>; 2], net: &mut impl Net) {
        let mut said = [0; FRAME];
        self.next_digit();
        let event = self.cold.sender.frame();
        let suspended = event.is_some_and(|_| self.cold.sender.on());
        if !self.play(&mut said) {
            self.relay(peers, &mut said);
        }
        // What is played under a digit is lost, not delayed: time goes on.
        self.in_band(&mut said);
        if let Some(capture) = self.cold.capture.as_mut() {
            let end = capture.frame(self.hot.codec, &self.cold.heard, &said);
            if let Some(end) = end {
                self.end_capture(end);
            }
        }
        if !self.hot.rtp || !self.hot.direction.sends() || self.hot.remote.port() == 0 {
            self.hot.tx_timestamp = self.hot.tx_timestamp.wrapping_add(160);
            return;
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
    }

    /// Fills from the play queue; false if there is nothing.
    fn play(&mut self, said: &mut Octets) -> bool {
        let (id, codec) = (self.id, self.hot.codec);
        let mut ends = [None; crate::limits::PLAY_ITEMS];
        let mut n = 0;
        let playing = self.cold.queue.fill(codec, &self.link.prompts, said, |ended| {
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
        match peers {
            [Some(one), None] | [None, Some(one)] if one.sound => {
                transcode(one.codec, &one.octets, codec, said)
            }
            [Some(one), Some(two)] => {
                let (mut a, mut b): (Pcm, Pcm) = ([0; FRAME], [0; FRAME]);
                codec::decode(one.codec, &one.octets, &mut a);
                codec::decode(two.codec, &two.octets, &mut b);
                a.iter_mut().zip(b).for_each(|(a, b)| *a = a.saturating_add(b));
                codec::encode(codec, &a, said);
            }
            _ => {}
        }
    }

    /// Begins the next digit that waits.
    fn next_digit(&mut self) {
        let busy = !self.cold.sender.idle() || self.cold.tone_left > 0 || self.cold.pause_left > 0;
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
            self.cold.tone_hz = tone::dtmf(next.digit);
            self.cold.tone_left = next.length.max(TONE_MIN).div_ceil(160) * 160;
        }
    }

    /// A digit as tones, in place of what would be said.
    fn in_band(&mut self, said: &mut Octets) {
        let codec = self.hot.codec;
        if self.cold.tone_left > 0 {
            self.cold.tone_left -= 160;
            if self.cold.tone_left == 0 {
                self.cold.pause_left = TONE_PAUSE;
            }
            let mut pcm = [0; FRAME];
            self.cold.generator.fill(self.cold.tone_hz, &mut pcm);
            codec::encode(codec, &pcm, said);
        } else if self.cold.pause_left > 0 {
            self.cold.pause_left -= 160;
            said.fill(codec::silence(codec));
        }
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

fn transcode(from: Codec, octets: &Octets, to: Codec, into: &mut Octets) {
    if from == to {
        *into = *octets;
        return;
    }
    let mut pcm = [0; FRAME];
    codec::decode(from, octets, &mut pcm);
    codec::encode(to, &pcm, into);
}

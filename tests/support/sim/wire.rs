//! The simulated network: datagrams with seeded loss and delay, delivered in virtual time, in a fixed order.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use units::{Mono, Rng, Seed};

/// A datagram under way.
#[derive(Clone, Debug)]
pub struct Datagram {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

/// What the network does to datagrams.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weather {
    /// Lost, 0..=1.
    pub loss: f64,
    /// Shortest time under way, ms.
    pub delay_ms: u64,
    /// Added at random, up to, ms: enough of it reorders.
    pub jitter_ms: u64,
    /// Delivered twice, 0..=1.
    pub twice: f64,
}

impl Weather {
    /// Nothing is lost, everything takes 1 ms.
    pub const FAIR: Weather = Weather { loss: 0.0, delay_ms: 1, jitter_ms: 0, twice: 0.0 };
}

/// See the module.
pub struct Wire {
    weather: Weather,
    rng: Rng,
    under_way: BTreeMap<(Mono, u64), Datagram>,
    sent: u64,
    pub lost: u64,
}

impl Wire {
    pub fn new(weather: Weather, seed: Seed) -> Self {
        Self { weather, rng: seed.rng(), under_way: BTreeMap::new(), sent: 0, lost: 0 }
    }

    pub fn send(&mut self, now: Mono, datagram: Datagram) {
        let w = self.weather;
        if self.rng.chance(w.loss) {
            self.lost += 1;
            return;
        }
        let copies = 1 + u32::from(self.rng.chance(w.twice));
        for _ in 0..copies {
            let ms = w.delay_ms + self.rng.below(w.jitter_ms + 1);
            self.sent += 1;
            self.under_way.insert((now + Duration::from_millis(ms), self.sent), datagram.clone());
        }
    }

    /// The next datagram that is due.
    pub fn arrive(&mut self, now: Mono) -> Option<Datagram> {
        let entry = self.under_way.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    pub fn next(&self) -> Option<Mono> {
        self.under_way.first_key_value().map(|(k, _)| k.0)
    }
}

//! What differs between exchanges, as data: EuroISDN (ETS 300 102) and National ISDN 2.

use super::q921;
use super::q931::ie::Law;
use std::time::Duration;

/// A dialect of Q.931.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    /// Its name in configuration, as `chan_dahdi.conf` has it.
    pub name: &'static str,
    /// SETUP says that the number is complete (EuroISDN: sending complete).
    pub sending_complete: bool,
    /// Channels are asked for exclusively by the user, too.
    pub exclusive: bool,
    /// Voice is asked for as 3.1 kHz audio instead of speech.
    pub audio: bool,
    /// Companding where the peer does not say.
    pub law: Law,
    /// Octet before a display's text (NI-2: display type 0xB1).
    pub display_type: Option<u8>,
    /// RESTART is sent when the data link comes up.
    pub restart: bool,
    /// Idle time of the data link, s.
    pub t203_s: u64,
    /// How it transfers calls, where that is subscribed to.
    pub transfer: Transfer,
}

/// Call transfer by an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// Explicit call transfer (EN 300 369-1).
    Explicit,
    /// Two B-channel transfer (GR-2865).
    TwoChannels,
}

/// EuroISDN.
pub const EURO: Switch = Switch {
    name: "euroisdn",
    sending_complete: true,
    exclusive: false,
    audio: false,
    law: Law::A,
    display_type: None,
    restart: true,
    t203_s: 10,
    transfer: Transfer::Explicit,
};

/// National ISDN 2 (SR-NWT-002120).
pub const NI2: Switch = Switch {
    name: "national",
    sending_complete: false,
    exclusive: true,
    audio: false,
    law: Law::Mu,
    display_type: Some(0xB1),
    restart: true,
    t203_s: 30,
    transfer: Transfer::TwoChannels,
};

impl Switch {
    /// By its name in configuration.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [EURO, NI2].into_iter().find(|s| s.name == name)
    }

    /// Timers of its data link.
    #[must_use]
    pub fn link(&self) -> q921::Timers {
        q921::Timers { t203: Duration::from_secs(self.t203_s), ..q921::Timers::default() }
    }
}

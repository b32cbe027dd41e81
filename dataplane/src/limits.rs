//! What a worker is given at start: every table, ring and queue has its size here and never grows.

/// Sizes of one worker. All memory that a tick touches follows from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bearers of a worker.
    pub bearers: u32,
    /// Control shards that talk with a worker, each over its own pair of rings.
    pub shards: u16,
    /// Lent specifications a shard may have out at one worker.
    pub specs: u32,
    /// Lent prompts a shard may have out at one worker.
    pub prompts: u32,
    /// Lent captures a shard may have out at one worker.
    pub captures: u32,
    /// Slots of a command ring.
    pub command_ring_slots: usize,
    /// Slots of a report ring.
    pub report_ring_slots: usize,
    /// Slots of each ring of D-channel frames, 272 octets each.
    pub frame_ring_slots: usize,
    /// Edges that wait for a place in the report ring; beyond three quarters of it no command is read.
    pub report_backlog: usize,
    /// Commands read from one shard in a tick, so that a burst cannot make a tick late.
    pub commands_per_tick: usize,
    /// Milliseconds a late tick catches up with; what is older is skipped and counted.
    pub catch_up_ms: u64,
    /// Nothing received for so long is told as `Silent`, ms, and told again each time as much has passed.
    pub silent_ms: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bearers: 2_000,
            shards: 1,
            specs: 4_000,
            prompts: 16_384,
            captures: 2_000,
            command_ring_slots: 8_192,
            report_ring_slots: 8_192,
            frame_ring_slots: 256,
            report_backlog: 16_384,
            commands_per_tick: 256,
            catch_up_ms: 40,
            silent_ms: 5_000,
        }
    }
}

/// Samples (and octets: all our codecs run at 64 kbit/s) of a frame, 20 ms.
pub const FRAME: usize = 160;

/// Phases of the 20 ms packet clock, one a millisecond.
pub const PHASES: u32 = 20;

/// Play items that a bearer queues.
pub const PLAY_ITEMS: usize = 16;

/// Digits that a register says at once: a number of 32 with KP and ST.
pub const REGISTER_SIGNALS: usize = 34;

/// Registers of a card: every slot of four E1 may be dialling or under test at one instant.
pub const REGISTERS: usize = 128;

/// Digits that a bearer queues for sending.
pub const SEND_DIGITS: usize = 32;

impl Limits {
    /// Places of one phase: the bearers of a phase stand side by side in the tables, so that a tick reads memory in
    /// order.
    #[must_use]
    pub fn phase_places(&self) -> u32 {
        self.bearers.div_ceil(PHASES).max(1)
    }

    /// All places: [`Self::bearers`] rounded up to whole phases.
    #[must_use]
    pub fn places(&self) -> u32 {
        self.phase_places() * PHASES
    }
}

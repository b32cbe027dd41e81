//! A worker's side of one (shard, worker) pair: two rings for words, two for lent things, two for D-channel frames, and the tables of what is
//! lent. Edges wait in a backlog of fixed size until the report ring has room; telemetry does not wait.

use crate::command::{CaptureHandle, Command, PromptHandle, SpecHandle};
use crate::dchannel::Frame;
use crate::limits::Limits;
use crate::pool::{CaptureSink, Lent, LentPrompt, Returned, Table};
use crate::report::Report;
use crate::spec::Spec;
use crate::worker::Splice;
use rtrb::{Consumer, Producer, RingBuffer};
use std::collections::VecDeque;
use units::BearerId;

/// One side's ring ends, typed by who writes: `A` is the worker's or control's.
#[derive(Debug)]
pub struct LinkEnds {
    /// Commands to the worker.
    pub commands: Consumer<Command>,
    /// Reports from it.
    pub reports: Producer<Report>,
    /// Lent things to it.
    pub lends: Consumer<Lent>,
    /// Lent things back.
    pub returns: Producer<Returned>,
    /// D-channel frames to send.
    pub frames: Consumer<Frame>,
    /// D-channel frames that came.
    pub heard: Producer<Frame>,
}

/// Control's side of the same rings.
#[derive(Debug)]
pub struct ControlEnds {
    /// Commands to the worker.
    pub commands: Producer<Command>,
    /// Reports from it.
    pub reports: Consumer<Report>,
    /// Lent things to it.
    pub lends: Producer<Lent>,
    /// Lent things back.
    pub returns: Consumer<Returned>,
    /// D-channel frames to send.
    pub frames: Producer<Frame>,
    /// D-channel frames that came.
    pub heard: Consumer<Frame>,
}

/// The rings between one shard and one worker.
#[must_use]
pub fn links(limits: &Limits) -> (ControlEnds, LinkEnds) {
    let (command_in, command_out) = RingBuffer::new(limits.command_ring_slots);
    let (report_in, report_out) = RingBuffer::new(limits.report_ring_slots);
    let things = u64::from(limits.specs)
        + u64::from(limits.prompts)
        + u64::from(limits.captures)
        + u64::from(limits.bearers);
    // As large as everything that can be out at once, so that giving back never has to wait.
    let things = usize::try_from(things).expect("fits memory");
    let (lend_in, lend_out) = RingBuffer::new(things);
    let (return_in, return_out) = RingBuffer::new(things);
    let (frame_in, frame_out) = RingBuffer::new(limits.frame_ring_slots);
    let (heard_in, heard_out) = RingBuffer::new(limits.frame_ring_slots);
    (
        ControlEnds {
            commands: command_in,
            reports: report_out,
            lends: lend_in,
            returns: return_out,
            frames: frame_in,
            heard: heard_out,
        },
        LinkEnds {
            commands: command_out,
            reports: report_in,
            lends: lend_out,
            returns: return_in,
            frames: frame_out,
            heard: heard_in,
        },
    )
}

pub(super) struct Link {
    pub(super) ends: LinkEnds,
    backlog: VecDeque<Report>,
    backlog_max: usize,
    pub(super) specs: Table<Box<Spec>>,
    pub(super) prompts: Table<LentPrompt>,
    pub(super) captures: Table<Box<CaptureSink>>,
    pub(super) pushed: bool,
    pub(super) telemetry_dropped: u64,
    pub(super) edges_lost: u64,
    /// D-channel frames that found the ring full.
    pub(super) frames_lost: u64,
}

impl Link {
    pub(super) fn new(ends: LinkEnds, limits: &Limits) -> Self {
        Self {
            ends,
            backlog: VecDeque::with_capacity(limits.report_backlog),
            backlog_max: limits.report_backlog,
            specs: Table::new(limits.specs),
            prompts: Table::new(limits.prompts),
            captures: Table::new(limits.captures),
            pushed: false,
            telemetry_dropped: 0,
            edges_lost: 0,
            frames_lost: 0,
        }
    }

    /// Reports something that must arrive.
    pub(super) fn edge(&mut self, report: Report) {
        if self.backlog.is_empty() && self.ends.reports.push(report).is_ok() {
            self.pushed = true;
        } else if self.backlog.len() < self.backlog_max {
            self.backlog.push_back(report);
        } else {
            self.edges_lost += 1;
        }
    }

    /// Reports something that may be lost.
    pub(super) fn telemetry(&mut self, report: Report) {
        if self.backlog.is_empty() && self.ends.reports.push(report).is_ok() {
            self.pushed = true;
        } else {
            self.telemetry_dropped += 1;
        }
    }

    /// Passes a D-channel frame up. A full ring loses it, as the line may: Q.921 sends again.
    pub(super) fn frame(&mut self, frame: Frame) {
        match self.ends.heard.push(frame) {
            Ok(()) => self.pushed = true,
            Err(_) => self.frames_lost += 1,
        }
    }

    /// Retries what waits.
    pub(super) fn flush(&mut self) {
        while let Some(&report) = self.backlog.front() {
            if self.ends.reports.push(report).is_err() {
                return;
            }
            self.pushed = true;
            self.backlog.pop_front();
        }
    }

    /// So many edges wait that no command may cause more.
    pub(super) fn congested(&self) -> bool {
        self.backlog.len() > self.backlog_max / 4 * 3
    }

    /// Takes in what was lent, up to a splice, which it brings: that is for a bearer. A thing whose handle is taken or
    /// out of range goes straight back.
    pub(super) fn take_lent(&mut self) -> Option<(BearerId, Box<Splice>)> {
        while let Ok(lent) = self.ends.lends.pop() {
            let refused = match lent {
                Lent::Spec(h, spec) => self.specs.put(h.0, spec).err().map(|s| Lent::Spec(h, s)),
                Lent::Prompt(h, prompt) => {
                    let lent = LentPrompt { prompt, uses: 0, returning: false };
                    self.prompts.put(h.0, lent).err().map(|l| Lent::Prompt(h, l.prompt))
                }
                Lent::Splice(bearer, splice) => return Some((bearer, splice)),
                Lent::Capture(h, sink) => self.captures.put(h.0, sink).err().map(|s| Lent::Capture(h, s)),
            };
            if let Some(thing) = refused {
                self.give_back(thing);
            }
        }
        None
    }

    pub(super) fn give_back(&mut self, thing: Returned) {
        if let Err(rtrb::PushError::Full(thing)) = self.ends.returns.push(thing) {
            // The ring holds all that can be lent; only a lender that breaks its own limits gets here. Forgetting
            // leaks, but neither frees in a tick nor blocks.
            self.edges_lost += 1;
            std::mem::forget(thing);
        }
    }

    pub(super) fn return_spec(&mut self, handle: SpecHandle, spec: Box<Spec>, bearer: BearerId) {
        self.give_back(Lent::Spec(handle, spec));
        self.edge(Report::SpecReturned { bearer, spec: handle });
    }

    pub(super) fn return_capture(&mut self, handle: CaptureHandle, sink: Box<CaptureSink>) {
        self.give_back(Lent::Capture(handle, sink));
    }

    /// A queued item names a prompt.
    pub(super) fn use_prompt(&mut self, handle: PromptHandle) {
        if let Some(lent) = self.prompts.get_mut(handle.0) {
            lent.uses += 1;
        }
    }

    /// An item that named a prompt is gone.
    pub(super) fn release_prompt(&mut self, handle: PromptHandle) {
        if let Some(lent) = self.prompts.get_mut(handle.0) {
            lent.uses = lent.uses.saturating_sub(1);
        }
        self.maybe_return_prompt(handle);
    }

    /// The lender wants a prompt back.
    pub(super) fn want_prompt(&mut self, handle: PromptHandle) {
        match self.prompts.get_mut(handle.0) {
            Some(lent) => lent.returning = true,
            None => self.edge(Report::PromptReturned { prompt: handle }),
        }
        self.maybe_return_prompt(handle);
    }

    fn maybe_return_prompt(&mut self, handle: PromptHandle) {
        if self.prompts.get(handle.0).is_some_and(|l| l.returning && l.uses == 0) {
            if let Some(lent) = self.prompts.take(handle.0) {
                self.give_back(Lent::Prompt(handle, lent.prompt));
            }
            self.edge(Report::PromptReturned { prompt: handle });
        }
    }
}

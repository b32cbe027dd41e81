//! Prompts lent to the workers: each once, under one handle, as long as any call uses it, and a while longer.

use control::call::play::Loaded;
use dataplane::command::{Command, PromptHandle};
use dataplane::io::host::ControlEnd;
use dataplane::pool::Prompt;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lent {
    by_handle: BTreeMap<u32, Entry>,
    by_prompt: BTreeMap<usize, u32>,
    /// Not used at the moment, the longest unused first.
    idle: VecDeque<u32>,
}

#[derive(Debug)]
struct Entry {
    prompt: Arc<Prompt>,
    uses: u32,
}

/// Unused prompts that stay with the workers.
const IDLE_MAX: usize = 1_024;

impl Lent {
    /// A handle for one use of a prompt; `None` if the workers can hold no more.
    pub(super) fn lend(&mut self, end: &mut ControlEnd, prompt: Arc<Prompt>) -> Option<Loaded> {
        let length = prompt.length();
        let address = Arc::as_ptr(&prompt).addr();
        if let Some(&handle) = self.by_prompt.get(&address) {
            let entry = self.by_handle.get_mut(&handle).expect("both maps hold the same prompts");
            if entry.uses == 0 {
                self.idle.retain(|&h| h != handle);
            }
            entry.uses += 1;
            return Some(Loaded { prompt: PromptHandle(handle), length });
        }
        let handle = match end.lend_prompt(Arc::clone(&prompt)) {
            Ok(handle) => handle,
            Err(_) => {
                self.take_back(end, IDLE_MAX / 2);
                end.lend_prompt(Arc::clone(&prompt)).ok()?
            }
        };
        self.by_prompt.insert(address, handle.0);
        self.by_handle.insert(handle.0, Entry { prompt, uses: 1 });
        Some(Loaded { prompt: handle, length })
    }

    /// One use has ended.
    pub(super) fn unload(&mut self, end: &mut ControlEnd, handle: PromptHandle) {
        let Some(entry) = self.by_handle.get_mut(&handle.0) else { return };
        entry.uses = entry.uses.saturating_sub(1);
        if entry.uses == 0 {
            self.idle.push_back(handle.0);
            self.take_back(end, IDLE_MAX);
        }
    }

    fn take_back(&mut self, end: &mut ControlEnd, keep: usize) {
        while self.idle.len() > keep {
            let Some(handle) = self.idle.front().copied() else { return };
            // A full ring: the next use or end tries again.
            if end.send(Command::ReturnPrompt { prompt: PromptHandle(handle) }).is_err() {
                return;
            }
            self.idle.pop_front();
            if let Some(entry) = self.by_handle.remove(&handle) {
                self.by_prompt.remove(&Arc::as_ptr(&entry.prompt).addr());
            }
        }
    }
}

//! Listening for a caller's words: the interpreter's grammars go to a recogniser beyond the doors, and what it tells comes
//! back. The worker cuts prompts at the first sound; here nothing waits.
//!
//! A recogniser that is not there, breaks or is overloaded costs this listening an `error.noresource` and nobody else
//! anything.

use super::play::Listening;
use super::talk::Talk;
use crate::conduct::{Ctx, Hear, Heard, Output};
use dataplane::command::{Command, Detectors};
use vxml::session::{Input, Listen, ListenId};

/// What of a conversation is heard as voice.
#[derive(Debug, Default)]
pub(super) struct Voice {
    /// There is a recogniser at all.
    hears: bool,
    /// To be begun at the next step.
    wanted: Option<Box<Listen>>,
    running: Option<ListenId>,
    /// Utterances kept so far.
    kept: u32,
}

/// Utterances that one call keeps.
const KEPT_MAX: u32 = 1_000;

impl Voice {
    pub(super) fn new(hears: bool) -> Self {
        Self { hears, ..Self::default() }
    }
}

impl Talk {
    pub(super) fn listen(&mut self, listen: &Listen) {
        let asked = !listen.voice.is_empty();
        let voice = asked && self.voice.hears && !self.hung_up;
        // Without a recogniser keys are enough where they are wanted too; else the document is told.
        if asked && !voice && !listen.dtmf {
            self.inputs.push_back(Input::NoResource { id: listen.id });
        }
        self.voice.wanted = voice.then(|| Box::new(listen.clone()));
        self.listening = Some((listen.id, Listening { dtmf: listen.dtmf, voice }));
    }

    /// Begins and ends hearing as the listening in force says, wherever that was changed.
    pub(super) fn step_voice(&mut self, ctx: &mut Ctx<'_>) {
        let listening = self.listening.filter(|(_, l)| l.voice && !self.hung_up).map(|(id, _)| id);
        if let Some(running) = self.voice.running.take_if(|running| listening != Some(*running))
            && let Some(bearer) = self.bearer
        {
            ctx.out.push_back(Output::StopHear { bearer, id: running });
        }
        let Some(listen) = self.voice.wanted.take().filter(|l| listening == Some(l.id)) else { return };
        let Some(bearer) = self.bearer else { return };
        let keep = (listen.record_utterance && self.voice.kept < KEPT_MAX).then(|| {
            self.voice.kept += 1;
            format!("{}-u{}", self.attempt, self.voice.kept)
        });
        let on = Detectors { dtmf: !self.events, voice: true, ..Detectors::default() };
        ctx.command(Command::Detect { bearer, on });
        self.voice.running = Some(listen.id);
        let hear = Hear { bearer, tenant: self.tenant, keep, listen: *listen };
        ctx.out.push_back(Output::Hear(Box::new(hear)));
    }

    /// The recogniser tells.
    pub(super) fn heard(&mut self, ctx: &mut Ctx<'_>, id: ListenId, heard: Heard) {
        if self.voice.running != Some(id) {
            return;
        }
        if heard != Heard::Started {
            self.voice.running = None;
        }
        if matches!(heard, Heard::Recognised(..) | Heard::TooMuch) {
            // Who is being connected or recorded talks all the time: what no grammar knows ends nothing.
            self.voice.wanted = self.listens_on(id);
        }
        let input = match heard {
            Heard::Started => Input::SpeechStarted { id },
            Heard::Recognised(nbest, recording) => {
                self.recordings.extend(recording.as_ref().map(|r| r.name.clone()));
                Input::Recognised { id, nbest, recording }
            }
            Heard::TooMuch => Input::TooMuchSpeech { id },
            Heard::NoResource => Input::NoResource { id },
            Heard::NoLanguage if self.keys_are_enough(id) => {
                ctx.story(self.attempt, "voice", "no recogniser for this language: keys only".into());
                return;
            }
            Heard::NoLanguage => Input::NoLanguage { id },
        };
        self.inputs.push_back(input);
    }

    /// During a transfer and a recording the grammars stand until one of them matches.
    fn listens_on(&self, id: ListenId) -> Option<Box<Listen>> {
        let transfer = self.transfer_listen();
        let recording = self.record_listen();
        [transfer, recording].into_iter().flatten().find(|listen| listen.id == id).cloned().map(Box::new)
    }

    /// Keys are wanted too: then a language that nobody understands takes nothing away. (DEVIATES VoiceXML 2.0 §5.2.6:
    /// the event would end every call in that language as soon as any recogniser is configured.)
    fn keys_are_enough(&mut self, id: ListenId) -> bool {
        match &mut self.listening {
            Some((now, listening)) if *now == id && listening.dtmf => {
                listening.voice = false;
                true
            }
            _ => false,
        }
    }
}

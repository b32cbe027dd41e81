//! The media server's side: an offer becomes a call, if its pass is good, there is room, and the store gives the claim.

use crate::clock;
use crate::desk::{Answers, Back, Parts, Placing};
use crate::shard::Inbox;
use crate::store::bus::Asking;
use control::bus::{Done, Errand};
use control::desk::Input;
use control::dispatch::Wanted;
use control::permit::{Permit, Slot};
use control::policy::Pass;
use control::store::{Answer, Ask, Error, Lease};
use tokio::sync::oneshot;
use units::Cause;

/// What the store said of a claim that was offered to us.
#[derive(Debug)]
pub struct Took {
    permit: Permit,
    slot: Slot,
    trunks: Vec<String>,
    result: Result<Answer, Error>,
    answer: oneshot::Sender<Done>,
}

impl Parts {
    pub(crate) async fn errand(&mut self, asking: Asking, answers: &Answers) {
        let (errand, answer) = asking;
        match errand {
            Errand::Offer { lease, pass, trunks } => {
                self.offered((lease, pass, trunks), answer, answers).await
            }
            Errand::HangUp { attempt, dialog } => {
                let taken = match self.shards.first() {
                    Some(shard) => shard.send(Inbox::TakeOver(attempt, dialog)).await.is_ok(),
                    None => false,
                };
                self.reply(answer, taken);
            }
        }
    }

    fn reply(&self, answer: oneshot::Sender<Done>, taken: bool) {
        // Who asked may wait no longer.
        let _ = answer.send(Done { taken, load: Some(self.load()) });
    }

    async fn offered(
        &mut self,
        (lease, pass, trunks): (Lease, Pass, Vec<String>),
        answer: oneshot::Sender<Done>,
        answers: &Answers,
    ) {
        let now = clock::now();
        let room = if self.draining { None } else { self.desk.reserve(now, &Wanted::default()).ok() };
        let Some(slot) = room else { return self.reply(answer, false) };
        let redeemed = self.ours.as_mut().and_then(|ours| {
            let permit = ours.gate.as_mut()?.redeem(&pass, &lease, now);
            let permit = permit
                .inspect_err(|why| tracing::warn!(order = %lease.order, ?why, "a pass was not redeemed"));
            Some((permit.ok()?, ours.member.id, ours.lease_ms, ours.store.clone()))
        });
        let Some((permit, owner, lease_ms, store)) = redeemed else {
            self.step(Input::Returned(slot.release(Cause::NORMAL_UNSPECIFIED)), answers).await;
            return self.reply(answer, false);
        };
        let take = Ask::Take { lease, owner, lease_ms };
        let answers = answers.clone();
        tokio::spawn(async move {
            let result = store.ask(take).await;
            let took = Took { permit, slot, trunks, result, answer };
            if let Err(lost) = answers.send(Back::Took(Box::new(took)))
                && let Back::Took(took) = lost.0
            {
                took.permit.waive();
                let _ = took.slot.release(Cause::NORMAL_UNSPECIFIED);
            }
        });
    }

    pub(crate) async fn took(&mut self, took: Took, answers: &Answers) {
        let Took { permit, slot, trunks, result, answer } = took;
        let claimed = match result {
            Ok(Answer::Claimed(mut claims, _)) if claims.len() == 1 => claims.remove(0),
            other => {
                permit.waive();
                self.step(Input::Returned(slot.release(Cause::NORMAL_UNSPECIFIED)), answers).await;
                // Whether the store took it is not known: nor is it to who offered it.
                if !matches!(other, Err(Error::Unavailable)) {
                    self.reply(answer, false);
                }
                return;
            }
        };
        self.reply(answer, true);
        let (order, lease) = (claimed.order.clone(), claimed.lease.clone());
        self.step(Input::Taken(Box::new(claimed)), answers).await;
        self.place(Placing { permit, slot, order, lease, trunks: Some(trunks), again: false }, answers).await;
    }
}

//! The control node's side: offers go out, and neighbours of a dead server are asked to end its calls.

use crate::desk::{Answers, Back, Parts};
use crate::store::Handle;
use crate::store::bus::{Asked, Bus};
use control::bus::{Done, Errand, errand_place};
use control::desk::{Handed, HandedBack, Offer};
use control::store::{Answer, Ask, Keep, Node, Shelf};
use std::sync::Arc;
use std::time::Duration;
use units::{AttemptId, Cause, OrderId, ServerId};

/// Stands in an errand's place when its server refused it.
pub(super) const REFUSED: &[u8] = b"refused";
/// An errand in the store is looked at so often ...
const LOOK: Duration = Duration::from_millis(200);
/// ... and so many times before it is given up: a server looks with each of its beats.
const LOOKS_MAX: u32 = 12;
/// Neighbours asked to end a call.
const NEIGHBOURS_MAX: usize = 4;

impl Parts {
    /// Offers a claim to a media server; the answer comes back as [`Back::Handed`].
    pub(crate) fn offer(&self, offer: Offer, answers: &Answers) {
        let Some(ours) = &self.ours else { return };
        let Offer { server, pass, lease, order, slot } = offer;
        let trunks = self.plan(&order, None).map(|plan| plan.ways.into_iter().map(|way| way.trunk).collect());
        let errand = Errand::Offer { lease: lease.clone(), pass, trunks: trunks.unwrap_or_default() };
        let (bus, store, answers) = (Arc::clone(&ours.bus), ours.store.clone(), answers.clone());
        tokio::spawn(async move {
            let asked = send(&*bus, &store, server, order.id, &errand).await;
            let (how, load) = match asked {
                Asked::Done(Done { taken: true, load }) => (Handed::Taken, load),
                Asked::Done(Done { taken: false, load }) => (Handed::Refused, load),
                Asked::Absent | Asked::Silent => (Handed::Unknown, None),
            };
            let load = load.map(|load| load.report(server));
            let released = slot.release(Cause::NORMAL_UNSPECIFIED);
            // A desk that is gone books nothing.
            drop(answers.send(Back::Handed(Box::new(HandedBack { lease, how, load, released }))));
        });
    }

    /// A dead server left a callee connected: a neighbour sends the BYE.
    pub(crate) fn ask_neighbour(&self, order: OrderId, attempt: AttemptId, dialog: Vec<u8>) {
        let Some(ours) = &self.ours else { return };
        let (bus, store) = (Arc::clone(&ours.bus), ours.store.clone());
        let others = ours.others.load_full();
        let mut loads: Vec<_> = self.desk.dispatcher().view(crate::clock::now().mono).collect();
        loads.sort_by(|a, b| a.1.total_cmp(&b.1));
        let alive = |server: &ServerId| self.desk.dispatcher().is_up(*server) && is_media(&others, *server);
        let neighbours: Vec<ServerId> =
            loads.into_iter().map(|(server, ..)| server).filter(alive).take(NEIGHBOURS_MAX).collect();
        tokio::spawn(async move {
            let errand = Errand::HangUp { attempt, dialog };
            for server in neighbours {
                let asked = send(&*bus, &store, server, order, &errand).await;
                if matches!(asked, Asked::Done(Done { taken: true, .. })) {
                    return tracing::info!(%order, %attempt, server = server.0, "a neighbour ends a dead server's call");
                }
            }
            tracing::error!(%order, %attempt, "no neighbour could be asked; the callee's session timer ends the call");
        });
    }
}

fn is_media(others: &[Node], server: ServerId) -> bool {
    others.iter().any(|n| n.id == server && n.role == super::Role::Media.name())
}

/// By the bus, or where that does not reach through the store.
async fn send(bus: &dyn Bus, store: &Handle, server: ServerId, order: OrderId, errand: &Errand) -> Asked {
    match bus.ask(server, errand).await {
        Asked::Absent => by_store(store, server, order, errand).await,
        asked => asked,
    }
}

async fn by_store(store: &Handle, server: ServerId, order: OrderId, errand: &Errand) -> Asked {
    let (shelf, name) = (Shelf::Errands, errand_place(server, order));
    let put = Keep { shelf, name: name.clone(), value: serde_json::to_vec(errand).ok() };
    if store.ask(Ask::Keep(vec![put])).await.is_err() {
        return Asked::Silent;
    }
    let take = || Ask::Keep(vec![Keep { shelf, name: name.clone(), value: None }]);
    for _ in 0..LOOKS_MAX {
        tokio::time::sleep(LOOK).await;
        match store.ask(Ask::Kept { shelf, name: name.clone() }).await {
            Ok(Answer::Kept(None)) => return Asked::Done(Done { taken: true, load: None }),
            Ok(Answer::Kept(Some(value))) if value == REFUSED => {
                drop(store.ask(take()).await);
                return Asked::Done(Done { taken: false, load: None });
            }
            _ => {}
        }
    }
    drop(store.ask(take()).await);
    Asked::Silent
}

//! The cards of `[[spans]]`, as one card for the first worker: a span, its D-channel and its calls belong to one worker
//! and one shard.

use control::config::{Config, Device, Line, LineKind};
use dataplane::io::host::Board;
use hw::card::{Card, SpanKind};
use hw::io::dahdi::{self, Dahdi};
use hw::io::tdmoe::{self, Tdmoe};
use hw::soft::{Bundle, Loopback, Wiring};
use std::path::Path;

fn kind(line: &Line) -> SpanKind {
    match line.kind {
        LineKind::E1 => SpanKind::E1,
        LineKind::T1 => SpanKind::T1,
    }
}

/// All spans as one card, with their D-channels; `None`: there are no spans.
///
/// # Errors
/// What could not be opened, and the operating system's word.
pub fn open(config: &Config) -> Result<Option<Board>, (String, std::io::Error)> {
    let mut cards: Vec<Box<dyn Card>> = Vec::new();
    let mut lines = config.spans.iter();
    let mut channel = 1;
    while let Some(line) = lines.next() {
        let failed = |error| (format!("span {}", line.number), error);
        cards.push(match &line.device {
            Device::Loopback(_) => {
                // The configuration was judged: its pair follows.
                let pair: Vec<&Line> = std::iter::once(line).chain(lines.next()).collect();
                let kinds: Vec<SpanKind> = pair.iter().map(|l| kind(l)).collect();
                let d: Vec<(u16, u8)> =
                    (0..).zip(&pair).filter_map(|(n, l)| Some((n, l.d_slot()?))).collect();
                Box::new(Loopback::new(&kinds, Wiring::Pairs, &d))
            }
            Device::Dahdi { span, first } => {
                let first_channel = first.unwrap_or(channel);
                channel = first_channel + u32::from(line.slots());
                let d_channels = line.d_slot().into_iter().collect();
                let bits = line.is_cas();
                let span = dahdi::Span { number: *span, first_channel, kind: kind(line), d_channels, bits };
                Box::new(Dahdi::open(&[span]).map_err(failed)?)
            }
            Device::Ethernet { interface, peer, subaddress } => {
                let card = Tdmoe::ethernet(interface, *peer, &[span(line, *subaddress)]);
                Box::new(card.map_err(failed)?)
            }
            Device::Unix { own, peer } => {
                Box::new(Tdmoe::unix(Path::new(own), Path::new(peer), &[span(line, 0)]).map_err(failed)?)
            }
        });
    }
    if cards.is_empty() {
        return Ok(None);
    }
    let d_channels = (0..).zip(&config.spans).filter_map(|(n, line)| Some((n, line.d_slot()?))).collect();
    Ok(Some(Board { card: Box::new(Bundle::new(cards)), d_channels }))
}

fn span(line: &Line, subaddress: u16) -> tdmoe::Span {
    tdmoe::Span { kind: kind(line), subaddress, d_channels: line.d_slot().into_iter().collect() }
}

//! How fast a tenant may order: a leaky bucket in its virtual-time form (GCRA), one number for each tenant.

use std::collections::HashMap;
use units::{Mono, TenantId};

/// So many seconds' worth may come at once.
const BURST_S: u64 = 10;

/// See the module. Bounded by the number of tenants, which the configuration bounds.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    /// When each tenant's next order would be on time, ns.
    next: HashMap<TenantId, u64>,
}

impl Pace {
    /// Takes `count` orders of a tenant that may order `milli_hz` thousandths of one per second.
    ///
    /// # Errors
    /// Milliseconds after which the same request would be taken; nothing is taken now. A request larger than the
    /// burst is taken when the bucket is empty, and makes the next one wait.
    pub fn take(&mut self, now: Mono, tenant: TenantId, count: u64, milli_hz: u64) -> Result<(), u64> {
        let each = 1_000_000_000_000 / milli_hz.max(1);
        let burst = BURST_S * 1_000_000_000;
        let next = self.next.entry(tenant).or_insert(0);
        let start = (*next).max(now.0);
        let cost = each.saturating_mul(count);
        let ahead = start - now.0;
        if ahead > 0 && ahead.saturating_add(cost) > burst.max(each) {
            let wait = ahead.saturating_add(cost).saturating_sub(burst.max(each)).min(ahead);
            return Err(wait.div_ceil(1_000_000));
        }
        *next = start.saturating_add(cost);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_seconds_worth_at_once_and_then_the_rate() {
        let mut p = Pace::default();
        let at = Mono::from_ms;
        let t = TenantId(1);
        assert!((0..20).all(|_| p.take(at(0), t, 1, 2_000).is_ok()), "2/s for 10 s");
        assert_eq!(p.take(at(0), t, 1, 2_000), Err(500));
        assert_eq!(p.take(at(0), TenantId(2), 1, 2_000), Ok(()), "another tenant is another bucket");
        assert_eq!(p.take(at(500), t, 1, 2_000), Ok(()));
        assert_eq!(p.take(at(500), t, 1, 2_000), Err(500));
        assert_eq!(p.take(at(100_000), t, 1_000, 2_000), Ok(()), "a large one when the bucket is empty");
        assert!(p.take(at(100_000), t, 1, 2_000).is_err());
    }
}

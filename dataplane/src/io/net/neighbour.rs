//! Who is next on the way to an IPv4 address: routes read at start, link-layer addresses read from the kernel's table
//! once a second by a thread of its own and published in atomics. What is not in the table yet goes by an ordinary
//! socket, which makes the kernel ask for it.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Slots of the table, a power of two; neighbours beyond three quarters of it go by the socket.
const SLOTS: usize = 1024;
const VALID: u64 = 1 << 63;

/// A link-layer address.
pub(crate) type Mac = [u8; 6];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Route {
    net: u32,
    mask: u32,
    gateway: u32,
}

#[derive(Debug)]
struct Shared {
    /// Address and validity; written once.
    keys: Box<[AtomicU64]>,
    /// 48 bits and validity.
    macs: Box<[AtomicU64]>,
    stop: AtomicBool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Neighbours {
    shared: Arc<Shared>,
    routes: Vec<Route>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Neighbours {
    /// Watches an interface.
    pub(crate) fn watch(interface: &str) -> std::io::Result<Self> {
        let zeros = || (0..SLOTS).map(|_| AtomicU64::new(0)).collect();
        let shared = Arc::new(Shared { keys: zeros(), macs: zeros(), stop: AtomicBool::new(false) });
        let routes = routes(&std::fs::read_to_string("/proc/net/route")?, interface);
        shared.read(interface);
        let (theirs, interface) = (Arc::clone(&shared), interface.to_owned());
        let thread = std::thread::Builder::new().name("neighbours".into()).spawn(move || {
            while !theirs.stop.load(Ordering::Relaxed) {
                std::thread::park_timeout(Duration::from_secs(1));
                theirs.read(&interface);
            }
        })?;
        Ok(Self { shared, routes, thread: Some(thread) })
    }

    /// The link-layer address to send to for `to`, if it is known.
    pub(crate) fn find(&self, to: Ipv4Addr) -> Option<Mac> {
        let ip = u32::from(to);
        let route = self.routes.iter().find(|r| ip & r.mask == r.net)?;
        self.shared.find(if route.gateway == 0 { ip } else { route.gateway })
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn slot(ip: u32) -> usize {
    usize::try_from(ip.wrapping_mul(0x9e37_79b1) >> 22).expect("ten bits")
}

impl Shared {
    fn find(&self, ip: u32) -> Option<Mac> {
        let key = VALID | u64::from(ip);
        for probe in 0..SLOTS {
            let i = (slot(ip) + probe) % SLOTS;
            match self.keys[i].load(Ordering::Acquire) {
                0 => return None,
                k if k == key => {
                    let mac = self.macs[i].load(Ordering::Acquire);
                    let [_, _, mac @ ..] = mac.to_be_bytes();
                    return (self.macs[i].load(Ordering::Acquire) & VALID != 0).then_some(mac);
                }
                _ => {}
            }
        }
        None
    }

    fn read(&self, interface: &str) {
        let Ok(table) = std::fs::read_to_string("/proc/net/arp") else { return };
        for (ip, mac) in neighbours(&table, interface) {
            self.put(u32::from(ip), mac);
        }
    }

    fn put(&self, ip: u32, mac: Option<Mac>) {
        let key = VALID | u64::from(ip);
        for probe in 0..SLOTS / 4 * 3 {
            let i = (slot(ip) + probe) % SLOTS;
            let k = self.keys[i].load(Ordering::Relaxed);
            if k != 0 && k != key {
                continue;
            }
            let value =
                mac.map_or(0, |[a, b, c, d, e, f]| VALID | u64::from_be_bytes([0, 0, a, b, c, d, e, f]));
            self.macs[i].store(value, Ordering::Release);
            self.keys[i].store(key, Ordering::Release);
            return;
        }
    }
}

/// The neighbours of an interface in the text of `/proc/net/arp`; `None`: asked for, no answer.
fn neighbours(table: &str, interface: &str) -> Vec<(Ipv4Addr, Option<Mac>)> {
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [ip, _, flags, mac, _, device] = words[..] else { return None };
        let complete = u32::from_str_radix(flags.trim_start_matches("0x"), 16).ok()? & 2 != 0;
        let octets: Vec<u8> = mac.split(':').filter_map(|o| u8::from_str_radix(o, 16).ok()).collect();
        let mac = complete.then(|| octets.try_into().ok()).flatten();
        (device == interface).then_some((ip.parse().ok()?, mac))
    };
    table.lines().filter_map(line).collect()
}

/// The routes of an interface in the text of `/proc/net/route`, the most specific first.
fn routes(table: &str, interface: &str) -> Vec<Route> {
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [device, net, gateway, _, _, _, _, mask, ..] = words[..] else { return None };
        // As the kernel prints them: network order read as a number of this machine.
        let hex = |word| u32::from_str_radix(word, 16).ok().map(u32::swap_bytes);
        let route = Route { net: hex(net)?, mask: hex(mask)?, gateway: hex(gateway)? };
        (device == interface).then_some(route)
    };
    let mut routes: Vec<Route> = table.lines().filter_map(line).collect();
    routes.sort_by_key(|r| std::cmp::Reverse(r.mask));
    routes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let arp = "IP address HW type Flags HW address Mask Device\n\
            10.9.0.2 0x1 0x2 0a:00:00:00:00:ff * v0\n10.9.0.3 0x1 0x0 00:00:00:00:00:00 * v0\n10.9.0.4 0x1 0x2 0a:00:00:00:00:01 * v1\n";
        let read = neighbours(arp, "v0");
        assert_eq!(
            read,
            [(Ipv4Addr::new(10, 9, 0, 2), Some([10, 0, 0, 0, 0, 255])), (Ipv4Addr::new(10, 9, 0, 3), None)]
        );
        let route = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
            v0 00000000 0100090A 0003 0 0 0 00000000 0 0 0\nv0 0000090A 00000000 0001 0 0 0 00FFFFFF 0 0 0\n";
        let read = routes(route, "v0");
        assert_eq!(read[0], Route { net: 0x0a09_0000, mask: 0xffff_ff00, gateway: 0 });
        assert_eq!(read[1].gateway, 0x0a09_0001);
    }
}

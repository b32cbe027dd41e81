//! The two BPF programs that we load, assembled by hand so that no compiler is needed where Carillon runs, and the few
//! calls of bpf(2) around them.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// One instruction, as the kernel lays it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Insn {
    code: u8,
    /// Destination register in the low nibble, source in the high one.
    regs: u8,
    offset: i16,
    imm: i32,
}

const fn insn(code: u8, dst: u8, src: u8, offset: i16, imm: i32) -> Insn {
    Insn { code, regs: dst | (src << 4), offset, imm }
}

// Opcodes: class | operation | source, `linux/bpf_common.h` and `linux/bpf.h`.
const fn mov(dst: u8, src: u8) -> Insn {
    insn(0xbf, dst, src, 0, 0)
}
const fn mov_imm(dst: u8, imm: i32) -> Insn {
    insn(0xb7, dst, 0, 0, imm)
}
const fn add_imm(dst: u8, imm: i32) -> Insn {
    insn(0x07, dst, 0, 0, imm)
}
const fn shr_imm(dst: u8, imm: i32) -> Insn {
    insn(0x77, dst, 0, 0, imm)
}
const fn mod_imm(dst: u8, imm: i32) -> Insn {
    insn(0x97, dst, 0, 0, imm)
}
const fn and_imm(dst: u8, imm: i32) -> Insn {
    insn(0x57, dst, 0, 0, imm)
}
/// From big endian, 16 bits.
const fn be16(dst: u8) -> Insn {
    insn(0xdc, dst, 0, 0, 16)
}
const fn load8(dst: u8, src: u8, offset: i16) -> Insn {
    insn(0x71, dst, src, offset, 0)
}
const fn load16(dst: u8, src: u8, offset: i16) -> Insn {
    insn(0x69, dst, src, offset, 0)
}
const fn load32(dst: u8, src: u8, offset: i16) -> Insn {
    insn(0x61, dst, src, offset, 0)
}
const fn store32(dst: u8, offset: i16, src: u8) -> Insn {
    insn(0x63, dst, src, offset, 0)
}
const fn jne_imm(dst: u8, imm: i32, offset: i16) -> Insn {
    insn(0x55, dst, 0, offset, imm)
}
/// As [`jne_imm`] on the low 32 bits, so that addresses are not taken for negative.
const fn jne32_imm(dst: u8, imm: i32, offset: i16) -> Insn {
    insn(0x56, dst, 0, offset, imm)
}
const fn jeq_imm(dst: u8, imm: i32, offset: i16) -> Insn {
    insn(0x15, dst, 0, offset, imm)
}
const fn jlt_imm(dst: u8, imm: i32, offset: i16) -> Insn {
    insn(0xa5, dst, 0, offset, imm)
}
const fn jgt_imm(dst: u8, imm: i32, offset: i16) -> Insn {
    insn(0x25, dst, 0, offset, imm)
}
const fn jgt(dst: u8, src: u8, offset: i16) -> Insn {
    insn(0x2d, dst, src, offset, 0)
}
const fn call(helper: i32) -> Insn {
    insn(0x85, 0, 0, 0, helper)
}
const EXIT: Insn = insn(0x95, 0, 0, 0, 0);
/// A jump to the end, filled in by [`to_end`].
const END: i16 = i16::MIN;

/// A map's address, two instructions long.
fn load_map(dst: u8, map: &OwnedFd) -> [Insn; 2] {
    const PSEUDO_MAP_FD: u8 = 1;
    [insn(0x18, dst, PSEUDO_MAP_FD, 0, map.as_raw_fd()), insn(0, 0, 0, 0, 0)]
}

/// Points all jumps to [`END`] at the last two instructions.
fn to_end(mut program: Vec<Insn>) -> Vec<Insn> {
    let end = program.len() - 2;
    for (i, insn) in program.iter_mut().enumerate() {
        if insn.offset == END {
            insn.offset = i16::try_from(end - i - 1).expect("programs are short");
        }
    }
    program
}

const MAP_LOOKUP: i32 = 1;
const REDIRECT_MAP: i32 = 51;
const SK_RELEASE: i32 = 86;
const SK_ASSIGN: i32 = 124;
const UDP: i32 = libc::IPPROTO_UDP;

/// `SK_LOOKUP`: UDP to ports `first..=last` of `ip` (of any address, if unspecified) goes to the socket at (port / 2)
/// modulo `workers` of `map`, so that RTP and RTCP of a bearer meet; all else goes its usual way.
pub(crate) fn sk_lookup(map: &OwnedFd, first: u16, last: u16, workers: u16, ip: IpAddr) -> Vec<Insn> {
    // Offsets of `struct bpf_sk_lookup`.
    const FAMILY: i16 = 8;
    const PROTOCOL: i16 = 12;
    const LOCAL_IP4: i16 = 40;
    const LOCAL_IP6: i16 = 44;
    const LOCAL_PORT: i16 = 60;
    const SK_PASS: i32 = 1;
    let mut octets = [0; 16];
    let (family, at, len) = match ip {
        IpAddr::V4(v4) => {
            octets[..4].copy_from_slice(&v4.octets());
            (libc::AF_INET, LOCAL_IP4, 4)
        }
        IpAddr::V6(v6) => {
            octets = v6.octets();
            (libc::AF_INET6, LOCAL_IP6, 16)
        }
    };
    let mut p = vec![
        mov(6, 1),
        load32(2, 6, PROTOCOL),
        jne_imm(2, UDP, END),
        load32(2, 6, FAMILY),
        jne_imm(2, family, END),
    ];
    let (words, _) = octets[..len].as_chunks::<4>();
    for (offset, word) in (at..).step_by(4).zip(words.iter().filter(|_| !ip.is_unspecified())) {
        p.extend([load32(2, 6, offset), jne32_imm(2, i32::from_ne_bytes(*word), END)]);
    }
    p.extend([
        load32(2, 6, LOCAL_PORT),
        jlt_imm(2, i32::from(first), END),
        jgt_imm(2, i32::from(last), END),
        shr_imm(2, 1),
        mod_imm(2, i32::from(workers)),
        store32(10, -4, 2),
    ]);
    p.extend(load_map(1, map));
    p.extend([
        mov(2, 10),
        add_imm(2, -4),
        call(MAP_LOOKUP),
        jeq_imm(0, 0, END),
        mov(7, 0),
        mov(1, 6),
        mov(2, 7),
        mov_imm(3, 0),
        call(SK_ASSIGN),
        mov(1, 7),
        call(SK_RELEASE),
        mov_imm(0, SK_PASS),
        EXIT,
    ]);
    to_end(p)
}

/// XDP: whole, unfragmented UDP without IP options to ports `first..=last` goes to the socket of the receiving queue
/// in `map`; all else is passed to the kernel.
pub(crate) fn xdp(map: &OwnedFd, first: u16, last: u16, v6: bool) -> Vec<Insn> {
    const DATA: i16 = 0;
    const DATA_END: i16 = 4;
    const RX_QUEUE: i16 = 16;
    const XDP_PASS: i32 = 2;
    const ETHERNET: i16 = 14;
    let ip_octets: i16 = if v6 { 40 } else { 20 };
    let udp = ETHERNET + ip_octets;
    let mut p = vec![
        mov(6, 1),
        load32(2, 6, DATA),
        load32(3, 6, DATA_END),
        mov(4, 2),
        add_imm(4, i32::from(udp) + 8),
        jgt(4, 3, END),
        load16(5, 2, 12),
        be16(5),
        jne_imm(5, if v6 { 0x86dd } else { 0x0800 }, END),
    ];
    if v6 {
        p.extend([load8(5, 2, ETHERNET + 6), jne_imm(5, UDP, END)]);
    } else {
        p.extend([
            load8(5, 2, ETHERNET),
            jne_imm(5, 0x45, END),
            load8(5, 2, ETHERNET + 9),
            jne_imm(5, UDP, END),
            load16(5, 2, ETHERNET + 6),
            be16(5),
            and_imm(5, 0x3fff),
            jne_imm(5, 0, END),
        ]);
    }
    p.extend([
        load16(5, 2, udp + 2),
        be16(5),
        jlt_imm(5, i32::from(first), END),
        jgt_imm(5, i32::from(last), END),
    ]);
    p.extend(load_map(1, map));
    p.extend([
        load32(2, 6, RX_QUEUE),
        mov_imm(3, XDP_PASS),
        call(REDIRECT_MAP),
        // Whatever the helper said is the verdict.
        insn(0x05, 0, 0, 1, 0),
        mov_imm(0, XDP_PASS),
        EXIT,
    ]);
    to_end(p)
}

/// Kinds of maps that we make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapKind {
    Sockets = 15,
    Xsk = 17,
}

/// Kinds of programs that we load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProgramKind {
    Xdp,
    SkLookup,
}

impl ProgramKind {
    fn numbers(self) -> (u32, u32) {
        match self {
            ProgramKind::Xdp => (6, 37),
            ProgramKind::SkLookup => (30, 36),
        }
    }
}

/// `union bpf_attr`, zeroed, with fields put at their offsets.
struct Attr([u64; 18]);

impl Attr {
    fn new() -> Self {
        Self([0; 18])
    }

    fn u32(mut self, at: usize, value: u32) -> Self {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.0);
        bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        self
    }

    fn fd(self, at: usize, fd: i32) -> Self {
        self.u32(at, fd.cast_unsigned())
    }

    fn pointer<T>(mut self, at: usize, to: *const T) -> Self {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.0);
        bytes[at..at + 8].copy_from_slice(&u64::try_from(to.addr()).expect("64 bits").to_ne_bytes());
        self
    }

    /// bpf(2).
    fn call(&self, command: i64) -> std::io::Result<i32> {
        // SAFETY: the attribute is larger than any the kernel knows of these commands, the rest is zero; pointers in it
        // are kept alive by the callers below.
        let rc = unsafe { libc::syscall(libc::SYS_bpf, command, self.0.as_ptr(), size_of_val(&self.0)) };
        i32::try_from(rc).ok().filter(|rc| *rc >= 0).ok_or_else(std::io::Error::last_os_error)
    }

    fn call_fd(&self, command: i64) -> std::io::Result<OwnedFd> {
        let fd = self.call(command)?;
        // SAFETY: these commands give a new descriptor that nobody else owns.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

/// Makes a map from 32-bit keys to sockets.
pub(crate) fn make_map(kind: MapKind, entries: u32) -> std::io::Result<OwnedFd> {
    Attr::new().u32(0, kind as u32).u32(4, 4).u32(8, 4).u32(12, entries).call_fd(0)
}

/// Puts a socket into a map.
pub(crate) fn put_socket(map: &OwnedFd, key: u32, socket: i32) -> std::io::Result<()> {
    let attr = Attr::new().fd(0, map.as_raw_fd()).pointer(8, &raw const key).pointer(16, &raw const socket);
    attr.call(2).map(|_| ())
}

/// Loads a program.
pub(crate) fn load(kind: ProgramKind, program: &[Insn]) -> std::io::Result<OwnedFd> {
    let (kind, attach) = kind.numbers();
    let attr = Attr::new()
        .u32(0, kind)
        .u32(4, u32::try_from(program.len()).expect("programs are short"))
        .pointer(8, program.as_ptr())
        .pointer(16, c"MIT OR Apache-2.0".as_ptr())
        .u32(68, attach);
    attr.call_fd(5)
}

/// Attaches a program to a network namespace (by descriptor) or an interface (by index); detached when dropped.
pub(crate) fn attach(
    program: &OwnedFd,
    target: i32,
    kind: ProgramKind,
    flags: u32,
) -> std::io::Result<OwnedFd> {
    let (_, attach) = kind.numbers();
    Attr::new().fd(0, program.as_raw_fd()).fd(4, target).u32(8, attach).u32(12, flags).call_fd(28)
}

const _: () = assert!(size_of::<Insn>() == 8);

//! One session with an engine: the SIP dialog, the control channel in a task of its own, and RTP.

use super::sip::{Order, Told as SipTold};
use super::{Inner, Resource};
use dataplane::rtp;
use hw::dsp::g711::{a_to_linear, mu_to_linear};
use signalling::leg::{Media, Place, Rtp, Transport};
use signalling::sdp::{Channel as Opened, Control};
use speech::mrcp::channel::{Ask, Channel, Told};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_rustls::TlsConnector;
use units::{AttemptId, Codec, LegId, Private};

/// See the module. Dropped, it stops what is in progress and hangs up.
pub(crate) struct Session {
    _dialog: Dialog,
    signalling: mpsc::Receiver<SipTold>,
    asks: mpsc::Sender<Ask>,
    told: mpsc::Receiver<Told>,
    pub(super) sound: Sound,
    out: rtp::Header,
    /// Parameters of the engine.
    pub(super) vendor: std::collections::BTreeMap<String, String>,
    _permit: OwnedSemaphorePermit,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// Its name leads nowhere.
    #[error("its name leads nowhere")]
    Address,
    /// No socket of our own.
    #[error("no socket of our own: {0}")]
    Socket(std::io::Error),
    /// It refused the call, or answered without a channel or a codec of ours.
    #[error("it refused the call, or opened no channel")]
    Refused,
    /// It did not answer in time.
    #[error("it did not answer in time")]
    Late,
    /// The control connection did not come about.
    #[error("no control connection: {0}")]
    Connect(std::io::Error),
}

/// The RTP stream. Cloning is cheap.
#[derive(Clone)]
pub(super) struct Sound {
    socket: Arc<UdpSocket>,
    far: SocketAddr,
}

/// Hangs up when dropped.
struct Dialog {
    leg: LegId,
    orders: mpsc::Sender<Order>,
}

impl Drop for Dialog {
    fn drop(&mut self) {
        if let Err(mpsc::error::TrySendError::Full(order)) = self.orders.try_send(Order::Close(self.leg)) {
            let orders = self.orders.clone();
            tokio::spawn(async move { drop(orders.send(order).await) });
        }
    }
}

/// What waits for either side of the control channel.
const QUEUE: usize = 64;
/// Octets that are read from a connection or a datagram at once.
const READ: usize = 16_384;
/// An engine that reads nothing for so long is given up.
const WRITE_MAX: Duration = Duration::from_secs(5);
/// How often an even port is looked for.
const PORT_TRIES: usize = 32;
/// Samples of a packet.
const PACKET: usize = 160;

impl Session {
    /// Calls a server for a resource.
    pub(super) async fn open(
        pool: &Inner,
        number: usize,
        resource: Resource,
        permit: OwnedSemaphorePermit,
    ) -> Result<Self, Failed> {
        let server = &pool.servers[number];
        let longest = server.config.timeout.duration();
        let found = tokio::net::lookup_host(server.config.address.as_str()).await;
        let hop = found.ok().and_then(|mut all| all.next()).ok_or(Failed::Address)?;
        let socket = port(pool.ip).await.map_err(Failed::Socket)?;
        let own = socket.local_addr().map_err(Failed::Socket)?;
        let leg = pool.leg();
        let (tell, mut signalling) = mpsc::channel(QUEUE);
        let control = Control { resource: resource.name(), secure: server.tls.is_some() };
        let place = Box::new(place(hop, own, control, &server.config.user, longest));
        let order = Order::Open { leg, server: number, place, tell };
        pool.orders.send(order).await.map_err(|_| Failed::Refused)?;
        let dialog = Dialog { leg, orders: pool.orders.clone() };
        let answered = tokio::time::timeout(longest, answered(&mut signalling)).await;
        let (opened, far) = answered.map_err(|_| Failed::Late)?.ok_or(Failed::Refused)?;
        let tls = server.tls.as_ref().map(|tls| (tls, server.config.address.as_str()));
        let connected = connect(&opened, tls);
        let stream = tokio::time::timeout(longest, connected).await.map_err(|_| Failed::Late)?;
        let stream = stream.map_err(Failed::Connect)?;
        let mut rng = crate::clock::seed().rng();
        let channel = Channel::new(opened.identifier, 1);
        let (asks, asked) = mpsc::channel(QUEUE);
        let (tell, told) = mpsc::channel(QUEUE);
        tokio::spawn(converse(stream, channel, asked, tell));
        let out = rtp::Header {
            marker: true,
            payload_type: Codec::Pcmu.payload_type(),
            sequence: u16::from_le_bytes(crate::clock::random()),
            timestamp: rng.next_u32(),
            ssrc: rng.next_u32(),
        };
        let vendor = server.config.parameters.clone();
        let sound = Sound { socket: Arc::new(socket), far: far.addr };
        Ok(Self { _dialog: dialog, signalling, asks, told, sound, out, vendor, _permit: permit })
    }

    /// Asks something; `None`: the session is over.
    pub(super) async fn ask(&self, ask: Ask) -> Option<()> {
        self.asks.send(ask).await.ok()
    }

    /// What happens next; [`Told::Broken`] is the last.
    pub(super) async fn next(&mut self) -> Told {
        loop {
            tokio::select! {
                told = self.told.recv() => return told.unwrap_or(Told::Broken),
                told = self.signalling.recv() => match told {
                    Some(SipTold::Ended) | None => return Told::Broken,
                    Some(_) => {}
                },
            }
        }
    }

    /// Waits for the end of a request that has no events. False: it was refused, or the session is over.
    pub(super) async fn done(&mut self) -> bool {
        loop {
            match self.next().await {
                Told::Done { .. } => return true,
                Told::Failed { status, .. } => {
                    tracing::warn!(status, "a speech engine refused a request");
                    return false;
                }
                Told::Broken => return false,
                _ => {}
            }
        }
    }

    /// Sends what the caller said, mu-law, in packets of 20 ms at most. What does not go out is lost, as on any network.
    pub(super) async fn send(&mut self, octets: &[u8]) {
        for part in octets.chunks(PACKET) {
            let mut packet = [0; rtp::HEADER + PACKET];
            rtp::write_header(&mut packet, &self.out);
            packet[rtp::HEADER..rtp::HEADER + part.len()].copy_from_slice(part);
            let packet = &packet[..rtp::HEADER + part.len()];
            drop(self.sound.socket.send_to(packet, self.sound.far).await);
            let length = u32::try_from(part.len()).expect("at most a packet");
            self.out.timestamp = self.out.timestamp.wrapping_add(length);
            self.out.sequence = self.out.sequence.wrapping_add(1);
            self.out.marker = false;
        }
    }
}

impl Sound {
    /// A packet of the engine's sound: timestamp and linear samples. `None`: it was none.
    pub(super) async fn hear(&self) -> Option<(u32, Vec<i16>)> {
        let mut buffer = [0; 2_048];
        let (length, from) = self.socket.recv_from(&mut buffer).await.ok()?;
        if from.ip() != self.far.ip() {
            return None;
        }
        let packet = rtp::parse(&buffer[..length]).ok()?;
        let decode: fn(u8) -> i16 = match packet.payload_type {
            0 => mu_to_linear,
            8 => a_to_linear,
            _ => return None,
        };
        Some((packet.timestamp, packet.payload.iter().map(|&octet| decode(octet)).collect()))
    }
}

/// A socket for RTP. RFC 3550 §11: an even port.
async fn port(ip: IpAddr) -> std::io::Result<UdpSocket> {
    let mut last = UdpSocket::bind(SocketAddr::new(ip, 0)).await?;
    for _ in 0..PORT_TRIES {
        if last.local_addr()?.port().is_multiple_of(2) {
            break;
        }
        last = UdpSocket::bind(SocketAddr::new(ip, 0)).await?;
    }
    Ok(last)
}

fn place(hop: SocketAddr, own: SocketAddr, engine: Control, user: &str, longest: Duration) -> Place {
    let recogniser = engine.resource == Resource::Recogniser.name();
    // What the ring holds is mu-law already; a synthesiser may send either law.
    let codecs = if recogniser { vec![Codec::Pcmu] } else { vec![Codec::Pcmu, Codec::Pcma] };
    let media = Rtp {
        addr: own,
        rtcp: None,
        codecs,
        telephone_event: None,
        sends: recogniser,
        receives: !recogniser,
        srtp: None,
        ptime_ms: 20,
    };
    Place {
        to: Private::new(format!("sip:{user}@{hop}")),
        from: Private::new(format!("<sip:carillon@{own}>")),
        asserted: None,
        hop,
        transport: Transport::Udp,
        attempt: AttemptId(crate::clock::seed().rng().next_u128()),
        media: Media::Rtp(media),
        engine: Some(engine),
        credentials: None,
        headers: Vec::new(),
        ring_max_ms: u64::try_from(longest.as_millis()).unwrap_or(u64::MAX),
    }
}

/// The channel and the far side's media; `None`: refused.
async fn answered(signalling: &mut mpsc::Receiver<SipTold>) -> Option<(Opened, Rtp)> {
    let mut channel = None;
    loop {
        match signalling.recv().await? {
            SipTold::Channel(opened) => channel = Some(opened),
            SipTold::Answered(far) => return Some((channel?, far)),
            SipTold::Ended => return None,
        }
    }
}

/// Octets both ways, by TLS or not.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn connect(opened: &Opened, tls: Option<(&TlsConnector, &str)>) -> std::io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect(opened.addr).await?;
    stream.set_nodelay(true)?;
    let Some((tls, address)) = tls else { return Ok(Box::new(stream)) };
    Ok(Box::new(tls.connect(crate::tls::name(address)?, stream).await?))
}

/// The control channel until one side gives up. When ours does, what is in progress is stopped.
async fn converse(
    mut stream: Box<dyn Stream>,
    mut channel: Channel,
    mut asked: mpsc::Receiver<Ask>,
    tell: mpsc::Sender<Told>,
) {
    let mut buffer = vec![0; READ];
    loop {
        while let Some(told) = channel.poll() {
            let last = told == Told::Broken;
            if tell.send(told).await.is_err() || last {
                return;
            }
        }
        let due = channel.deadline().map(crate::clock::instant);
        let timer = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            read = stream.read(&mut buffer) => match read {
                Ok(length @ 1..) => channel.receive(buffer.get(..length).unwrap_or_default()),
                _ => channel.break_off(),
            },
            ask = asked.recv() => match ask {
                Some(ask) => {
                    if channel.ask(crate::clock::now(), ask).is_err() || !write(&mut stream, &mut channel).await {
                        channel.break_off();
                    }
                }
                None => {
                    if channel.working() && channel.ask(crate::clock::now(), Ask::Stop).is_ok() {
                        write(&mut stream, &mut channel).await;
                    }
                    // Nobody waits for how it ends.
                    drop(stream.shutdown().await);
                    return;
                }
            },
            () = timer => channel.timer(crate::clock::now()),
        }
    }
}

/// False: the engine does not read.
async fn write(stream: &mut Box<dyn Stream>, channel: &mut Channel) -> bool {
    while let Some(octets) = channel.poll_transmit() {
        let written = async {
            stream.write_all(&octets).await?;
            stream.flush().await
        };
        if !matches!(tokio::time::timeout(WRITE_MAX, written).await, Ok(Ok(()))) {
            return false;
        }
    }
    true
}

//! The running node: `carillon serve` is all roles in one process; `carillon control` and `carillon media` are one each,
//! beside others. Opens its doors, starts shards, workers, desk and notifier, and ends when told to, after the last call.

use crate::admin::{self, Admin};
use crate::cluster::{self, Ours, Role};
use crate::desk;
use crate::ears::Ears;
use crate::fetch::Fetcher;
use crate::intake::{Bench, Intake};
use crate::notify::Notifier;
use crate::prompts::{Attachments, Prompts, recording_path};
use crate::shard::{self, Inbox, Listener, Post};
use crate::sip::{bind, endpoint, tls};
use crate::speech::Speaker;
use crate::spoken::Spoken;
use crate::store::{Handle, Limits as StoreLimits};
use crate::vault::Vault;
use crate::{clock, config, files, logs};
use arc_swap::ArcSwap;
use control::config::{Backend, Config};
use control::desk::{Desk, Key, Part};
use control::dispatch::Dispatcher;
use control::order::stop::StopKey;
use control::policy::Gate;
use control::shard::{ScriptClock, Settings};
use dataplane::io::host::{Config as HostConfig, Host};
use dataplane::io::net::{Backend as Net, Choice};
use dataplane::io::recorder::Recorder;
use signalling::leg::Transport;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, watch};
use units::ServerId;

/// Why the node does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration.
    #[error("{0}")]
    Config(#[from] config::ConfigError),
    /// Something in it that only shows now.
    #[error("{0}: {1}")]
    Setting(&'static str, String),
    /// A socket, file or thread.
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
    /// The store.
    #[error("{0}")]
    Store(#[from] crate::store::OpenError),
    /// The workers.
    #[error("workers: {0}")]
    Workers(String),
    /// Another process of this name has taken its place.
    #[error("another process of this name runs; this one has ended")]
    Replaced,
}

pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> ServeError {
    let what = what.into();
    move |error| ServeError::Io(what, error)
}

/// Runs the node until SIGTERM or SIGINT, then drains it. With a role it is one process of a cluster.
///
/// # Errors
/// [`ServeError`] when it cannot start.
pub fn serve(path: &Path, role: Option<Role>) -> Result<(), ServeError> {
    let config = config::load(path)?;
    logs::start(&config.node);
    let metrics = logs::metrics();
    // Someone installed one already: then that is used.
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(io("runtime"))?;
    runtime.block_on(async {
        let node =
            Node::start(config, path.to_owned(), role, metrics, &tokio::runtime::Handle::current()).await?;
        node.until_told().await
    })
}

/// Judges a configuration as `serve` would, and opens nothing.
///
/// # Errors
/// [`ServeError`] with what is wrong.
pub fn check(path: &Path) -> Result<String, ServeError> {
    let config = config::load(path)?;
    crate::fetch::guard::Guard::new(&config.fetch)
        .map_err(|why| ServeError::Setting("fetch.allow_networks", format!("`{why}` is no network")))?;
    crate::intake::Settings::of(&config)
        .map_err(|error| ServeError::Setting("tenants", error.to_string()))?;
    tls(&config)?;
    let speech = |why| ServeError::Setting("speech", why);
    crate::worker::Source::of(&config.speech, Path::new("")).map_err(speech)?;
    for engine in &config.speech.mrcp {
        crate::mrcp::tls(engine).map_err(speech)?;
    }
    crate::tls::mail(&config).map_err(|why| ServeError::Setting("smtp.tls_certificate", why))?;
    crate::tls::http(&config).map_err(|why| ServeError::Setting("http.tls_certificate", why))?;
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    Ok(format!(
        "{}: fine; {}, {}, {}, {}",
        path.display(),
        count(config.tenants.len(), "tenant"),
        count(config.trunks.len(), "trunk"),
        count(config.spans.len(), "span"),
        count(config.inbound.len(), "inbound route"),
    ))
}

/// A running node.
struct Node {
    path: PathBuf,
    config: Arc<ArcSwap<Config>>,
    shards: Vec<Post>,
    threads: Vec<std::thread::JoinHandle<()>>,
    /// Ends when the shards are gone and all that they left is booked.
    desk_task: Option<tokio::task::JoinHandle<()>>,
    desk: desk::Way,
    intake: Arc<Intake>,
    fetcher: Arc<ArcSwap<Fetcher>>,
    media_ip: IpAddr,
    secret: [u8; 32],
    recordings: PathBuf,
    vault: Arc<Vault>,
    drain: Arc<Notify>,
    reload: Arc<Notify>,
    /// The names of trunks may have changed.
    names: Arc<Notify>,
    stop: watch::Sender<bool>,
    host: Option<Arc<Host>>,
    role: Option<Role>,
    among: Option<Among>,
    store: Handle,
}

/// What a process of a cluster has beside.
struct Among {
    member: Arc<cluster::Member>,
    others: Arc<ArcSwap<Vec<control::store::Node>>>,
    fenced: Arc<Notify>,
    watch: tokio::task::JoinHandle<()>,
}

/// Workers and shards: where calls live. A control node has none.
#[derive(Default)]
struct Floor {
    host: Option<Arc<Host>>,
    shards: Vec<Post>,
    threads: Vec<std::thread::JoinHandle<()>>,
    load: Vec<Arc<shard::Load>>,
}

/// What is kept, and what guards it.
struct Kept {
    vault: Arc<Vault>,
    store: Handle,
    fetcher: Arc<ArcSwap<Fetcher>>,
}

impl Kept {
    fn open(
        config: &Config,
        role: Option<Role>,
        state: &Path,
        recordings: &Path,
    ) -> Result<Self, ServeError> {
        let vault = vault(config, state)?;
        let store = open_store(config, role)?.sealed(Arc::clone(&vault));
        tokio::spawn(files::forget_recordings(
            recordings.to_owned(),
            config.media.recordings_keep.duration(),
        ));
        let fetcher = Fetcher::new(&config.fetch, recordings_of(recordings, &vault))
            .map_err(|why| ServeError::Setting("fetch.allow_networks", why))?;
        Ok(Self { vault, store, fetcher: Arc::new(ArcSwap::from(fetcher)) })
    }
}

/// What every shard works with.
struct Common<'a> {
    config: &'a Config,
    store: &'a Handle,
    fetcher: &'a Arc<ArcSwap<Fetcher>>,
    intake: &'a Arc<Intake>,
    recordings: &'a Path,
    vault: &'a Arc<Vault>,
    media_ip: IpAddr,
    secret: [u8; 32],
    server: ServerId,
    finished: mpsc::Sender<Box<control::shard::Finished>>,
    desk: desk::Way,
    elsewhere: &'a tokio::runtime::Handle,
}

impl Floor {
    fn start(common: &Common<'_>, mut sockets: Vec<(Transport, Listener)>) -> Result<Self, ServeError> {
        let Common { config, fetcher, recordings, vault, media_ip, .. } = *common;
        let (host, ends) = start_workers(config)?;
        let state = PathBuf::from(&config.node.state);
        let secret = common.secret;
        let settings = settings(config, media_ip, common.server, secret);
        let attachments = attachments_of(common.intake);
        let setting = |why| ServeError::Setting("speech", why);
        let mrcp = crate::mrcp::Pool::start(&config.speech, media_ip).map_err(setting)?;
        let speaker = Speaker::start(&config.speech, &state, mrcp.clone()).map_err(setting)?;
        let prompts = prompt_store(config, fetcher, (&state, recordings), &attachments, vault, speaker);
        let ears = Ears::start(&config.speech, &state, mrcp).map_err(setting)?;
        let recorder = Arc::new(Recorder::start().map_err(io("recorder"))?);
        let mut floor = Self { host: Some(Arc::new(host)), ..Self::default() };
        for (number, end) in (0..).zip(ends) {
            let load = Arc::new(shard::Load::default());
            floor.load.push(Arc::clone(&load));
            let parts = shard::Parts {
                number,
                settings: Arc::clone(&settings),
                endpoint: endpoint(config, number, media_ip, secret),
                // A span, its D-channel and its calls belong to the first shard.
                tdm: if number == 0 { config.tdm() } else { signalling::tdm::Endpoint::default() },
                spans: config
                    .spans
                    .iter()
                    .map(|l| shard::Span {
                        d_slot: l.d_slot(),
                        codec: l.codec(),
                        cancels: l.echocancel,
                        gains_db: (l.rxgain.db(), l.txgain.db()),
                    })
                    .collect(),
                sockets: std::mem::take(&mut sockets),
                tls: tls(config)?,
                end,
                recorder: Arc::clone(&recorder),
                recordings: recordings.to_owned(),
                vault: Arc::clone(vault),
                store: common.store.clone(),
                fetcher: Arc::clone(fetcher),
                prompts: Arc::clone(&prompts),
                ears: ears.clone(),
                attachments: Arc::clone(&attachments),
                finished: common.finished.clone(),
                desk: common.desk.clone(),
                load: Arc::clone(&load),
                elsewhere: common.elsewhere.clone(),
            };
            let (post, thread) = shard::start(parts).map_err(io("shard"))?;
            floor.shards.push(post);
            floor.threads.push(thread);
        }
        Ok(floor)
    }
}

impl Node {
    async fn start(
        config: Config,
        path: PathBuf,
        role: Option<Role>,
        metrics: metrics_exporter_prometheus::PrometheusHandle,
        elsewhere: &tokio::runtime::Handle,
    ) -> Result<Self, ServeError> {
        let (state, recordings) =
            (PathBuf::from(&config.node.state), PathBuf::from(&config.media.recordings));
        folders(&[&state, &recordings])?;
        let Kept { vault, store, fetcher } = Kept::open(&config, role, &state, &recordings)?;
        let calls = state.join("call-id.secret");
        let secret = files::secret(&calls).map_err(io(calls.display().to_string()))?;
        let media_ip = config.sip.advertised_address.unwrap_or(config.sip.listen[0].addr.ip());
        // Before it joins: who cannot have the sockets must not take the place of who has them.
        let sockets = if role == Some(Role::Control) { Vec::new() } else { bind(&config)? };
        let among = match role {
            Some(role) => Some(join(role, &config, media_ip, &store).await?),
            None => None,
        };
        let server = among.as_ref().map_or(ServerId(config.node.server_id), |(member, _)| member.id);
        let intake = intake(&config, &store, &fetcher, role, &vault).await?;
        let (over, finished) = mpsc::channel(desk::WAITING_MAX);
        let desk_way = mpsc::channel(desk::WAITING_MAX);
        let floor = if role == Some(Role::Control) {
            Floor::default()
        } else {
            let (store, fetcher, intake, finished) = (&store, &fetcher, &intake, over.clone());
            let (config, recordings) = (&config, recordings.as_path());
            let (desk, vault) = (desk_way.0.clone(), &vault);
            let common = Common {
                config,
                store,
                fetcher,
                intake,
                recordings,
                vault,
                media_ip,
                secret,
                server,
                finished,
                desk,
                elsewhere,
            };
            Floor::start(&common, sockets)?
        };
        let key = role.map(|_| cluster::key(&config)).transpose()?;
        // From here on the configuration in force counts: the file's, with provisioned tenants.
        let config = Arc::clone(&intake.config);
        // A fresh cell takes its first value.
        drop(intake.desk.set(desk_way.0.clone()));
        let mut node = Self {
            path,
            shards: floor.shards,
            threads: floor.threads,
            desk_task: None,
            desk: desk_way.0,
            intake,
            fetcher,
            media_ip,
            secret,
            recordings,
            vault,
            drain: Arc::new(Notify::new()),
            reload: Arc::new(Notify::new()),
            names: Arc::new(Notify::new()),
            stop: watch::channel(false).0,
            host: floor.host,
            config,
            role,
            among: None,
            store: store.clone(),
        };
        let ours = among.zip(key).map(|(among, key)| node.enter(among, key, over));
        node.desk_task = Some(node.start_desk(ours, server, floor.load, desk_way.1, finished));
        node.start_doors(metrics).await?;
        tracing::info!("ready");
        Ok(node)
    }

    /// Starts the watch over the others; what the desk's shell needs of them.
    fn enter(
        &mut self,
        (member, bus): (cluster::Member, Arc<dyn crate::store::bus::Bus>),
        key: Key,
        over: mpsc::Sender<Box<control::shard::Finished>>,
    ) -> (Ours, Key) {
        let member = Arc::new(member);
        let (load, loads) = watch::channel(None);
        let others = Arc::new(ArcSwap::from_pointee(Vec::new()));
        let fenced = Arc::new(Notify::new());
        let parts = cluster::watch::Parts {
            member: Arc::clone(&member),
            store: self.store.clone(),
            bus: Arc::clone(&bus),
            desk: self.desk.clone(),
            intake: Arc::clone(&self.intake),
            load: loads,
            others: Arc::clone(&others),
            fenced: Arc::clone(&fenced),
        };
        let watch = tokio::spawn(cluster::watch::run(parts));
        let seen = (Arc::clone(&member), Arc::clone(&others));
        self.among = Some(Among { member: seen.0, others: seen.1, fenced, watch });
        let control = member.role == Role::Control;
        let ours = Ours {
            member,
            bus,
            store: self.store.clone(),
            gate: (!control).then(|| Gate::new(key.0)),
            lease_ms: self.config.load().store.lease.ms,
            load,
            said: units::Mono(0),
            words: 0,
            others,
            keep: control.then_some(over),
        };
        (ours, key)
    }

    fn start_desk(
        &self,
        ours: Option<(Ours, Key)>,
        server: ServerId,
        load: Vec<Arc<shard::Load>>,
        messages: mpsc::Receiver<desk::Message>,
        finished: mpsc::Receiver<Box<control::shard::Finished>>,
    ) -> tokio::task::JoinHandle<()> {
        let config = self.config.load();
        let dispatch = Dispatcher::new(
            control::dispatch::Limits::default(),
            config.dispatch.scheme,
            config.dispatch.shares(config.limits.outbound_share),
            clock::seed(),
        );
        let court = Bench(Arc::clone(&self.intake));
        let mut limits = control::limits::desk(&config);
        let (ours, key) = ours.unzip();
        let part = match (self.role, key) {
            (Some(Role::Control), Some(key)) => {
                // A wake-up that the bus lost is found in the store within this.
                limits.sweep_ms = 1_000;
                Part::Control(key)
            }
            (Some(Role::Media), _) => Part::Media,
            _ => Part::Whole,
        };
        let desk = Desk::new(server, limits, court, dispatch, clock::seed()).with_part(part);
        let parts = desk::Parts {
            desk,
            store: self.store.clone(),
            shards: self.shards.clone(),
            config: Arc::clone(&self.config),
            server,
            intake: Arc::clone(&self.intake),
            load,
            draining: false,
            seconds: std::collections::BTreeMap::new(),
            ours,
        };
        tokio::spawn(desk::run(parts, messages, finished))
    }

    async fn start_doors(
        &self,
        metrics: metrics_exporter_prometheus::PrometheusHandle,
    ) -> Result<(), ServeError> {
        if self.role != Some(Role::Media) {
            let notifier = Notifier::new(self.store.clone(), Arc::clone(&self.config))
                .map_err(|why| ServeError::Setting("fetch.allow_networks", why))?;
            tokio::spawn(notifier.run());
            tokio::spawn(crate::sources::run(Arc::clone(&self.intake)));
            crate::books::start(&self.store, &self.config);
        }
        tokio::spawn(crate::locate::run(crate::locate::Parts {
            config: Arc::clone(&self.config),
            changed: Arc::clone(&self.names),
            shards: self.shards.clone(),
        }));
        let kept = (self.recordings.clone(), Arc::clone(&self.vault));
        crate::doors::start(&self.config.load(), self.role, &self.intake, kept, metrics, &self.stop).await?;
        let path = PathBuf::from(&self.config.load().node.admin_socket);
        let listener = admin::bind(&path).map_err(io(path.display().to_string()))?;
        let host = self.host.clone();
        let workers = move || host.iter().flat_map(|h| h.workers()).map(worker_line).collect();
        let admin = Admin {
            shards: self.shards.clone(),
            store: self.store.clone(),
            workers: Arc::new(workers),
            others: self.among.as_ref().map(|among| Arc::clone(&among.others)),
            desk: self.desk.clone(),
            intake: Arc::clone(&self.intake),
            reload: Arc::clone(&self.reload),
            drain: Arc::clone(&self.drain),
        };
        tokio::spawn(admin.run(listener));
        Ok(())
    }

    /// Reloads on SIGHUP; drains on SIGTERM, SIGINT or by the admin socket.
    async fn until_told(self) -> Result<(), ServeError> {
        let mut hup = signal(SignalKind::hangup()).map_err(io("SIGHUP"))?;
        let mut term = signal(SignalKind::terminate()).map_err(io("SIGTERM"))?;
        let mut int = signal(SignalKind::interrupt()).map_err(io("SIGINT"))?;
        loop {
            tokio::select! {
                _ = hup.recv() => self.reload().await,
                () = self.reload.notified() => self.reload().await,
                () = self.intake.changed.notified() => {
                    if let Err(why) = self.tell_settings().await {
                        tracing::error!(why, "a change of numbers or tenants did not reach the shards");
                    }
                }
                _ = term.recv() => break,
                _ = int.recv() => break,
                () = self.drain.notified() => break,
                () = replaced(self.among.as_ref()) => return Err(ServeError::Replaced),
            }
        }
        let longest = self.config.load().node.drain_max.duration();
        tracing::info!(
            longest_s = longest.as_secs(),
            "draining: no new calls; those that are up end by themselves"
        );
        // A desk that is gone claims nothing either.
        drop(self.desk.send(desk::Message::Drain).await);
        self.intake.drain();
        self.tell_shards(false).await;
        let gone = wait_for(self.threads);
        tokio::pin!(gone);
        let again = async {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
        };
        let ended = tokio::select! {
            () = &mut gone => true,
            () = tokio::time::sleep(longest) => false,
            () = again => false,
        };
        if !ended {
            tell(&self.shards, true).await;
        }
        if !ended && tokio::time::timeout(Duration::from_secs(45), gone).await.is_err() {
            tracing::error!("calls would not end");
        }
        // Results of the last calls are booked and told; who waits for an answer gets it.
        if let Some(task) = self.desk_task
            && tokio::time::timeout(Duration::from_secs(10), task).await.is_err()
        {
            tracing::error!("the last results could not be booked; they are found again at the next start");
        }
        let _ = self.stop.send(true);
        if let Some(among) = self.among {
            among.watch.abort();
            among.member.leave(&self.store).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        tracing::info!("over");
        Ok(())
    }

    async fn tell_shards(&self, hard: bool) {
        tell(&self.shards, hard).await;
    }

    async fn reload(&self) {
        let newer = match config::load(&self.path) {
            Ok(newer) => newer,
            Err(error) => {
                tracing::error!(%error, "the configuration stays as it was");
                return;
            }
        };
        let reload = self.intake.file.load().reload(&newer);
        if let Err(why) = self.take_over(&newer).await {
            tracing::error!(why, "the configuration stays as it was");
            return;
        }
        tracing::info!(taken = ?reload.taken, waiting = ?reload.waiting, "reloaded; `waiting` needs a restart");
        self.names.notify_one();
    }

    async fn take_over(&self, newer: &Config) -> Result<(), String> {
        let fetcher = Fetcher::new(&newer.fetch, recordings_of(&self.recordings, &self.vault))?;
        self.intake.take_file(newer)?;
        self.fetcher.store(fetcher);
        let scheme =
            desk::Message::Scheme(newer.dispatch.scheme, newer.dispatch.shares(newer.limits.outbound_share));
        self.desk.send(scheme).await.map_err(|_| "the desk is gone".to_owned())?;
        self.tell_settings().await
    }

    /// Calls are conducted by the configuration in force: the file's, with what was provisioned.
    async fn tell_settings(&self) -> Result<(), String> {
        let config = self.config.load_full();
        let server = self.among.as_ref().map_or(ServerId(config.node.server_id), |among| among.member.id);
        let settings = settings(&config, self.media_ip, server, self.secret);
        for shard in &self.shards {
            shard.send(Inbox::Settings(Arc::clone(&settings))).await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// How a worker stands, and what it has counted.
fn worker_line(worker: &dataplane::io::host::WorkerInfo) -> String {
    let (counts, net) = worker.gauges.counts();
    let mut refused = String::new();
    for (kind, n) in REFUSED.iter().zip(counts.refused).filter(|(_, n)| *n > 0) {
        refused.push_str(&format!(", refused as {kind} {n}"));
    }
    format!(
        "{worker}; bearers {}, ticks {}, skipped {} ms, packets in {} out {}{refused}",
        counts.open, counts.ticks, counts.skipped_ms, net.received, net.sent
    )
}

/// Names of `dataplane::rtp::Refused`, in its order.
const REFUSED: [&str; dataplane::rtp::REFUSED_KINDS] = [
    "truncated",
    "oversized",
    "wrong version",
    "foreign payload",
    "foreign source",
    "replay",
    "jump",
    "foreign ssrc",
    "not authentic",
    "nobody's",
    "broken rtcp",
];

async fn tell(shards: &[Post], hard: bool) {
    for shard in shards {
        // A shard that is gone has no calls.
        drop(shard.send(Inbox::Drain(hard)).await);
    }
}

async fn wait_for(threads: Vec<std::thread::JoinHandle<()>>) {
    while !threads.iter().all(std::thread::JoinHandle::is_finished) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Another process of this name runs.
async fn replaced(among: Option<&Among>) {
    match among {
        Some(among) => among.fenced.notified().await,
        None => std::future::pending().await,
    }
}

/// Finds the others.
async fn join(
    role: Role,
    config: &Config,
    ip: IpAddr,
    store: &Handle,
) -> Result<(cluster::Member, Arc<dyn crate::store::bus::Bus>), ServeError> {
    let bus = cluster::bus(config).await?;
    let address = match (role, config.http.listen) {
        (Role::Control, Some(http)) => http.to_string(),
        (Role::Control, None) => String::new(),
        (Role::Media, _) => SocketAddr::new(ip, config.sip.listen[0].addr.port()).to_string(),
    };
    Ok((cluster::join(role, config, address, store).await?, bus))
}

fn settings(config: &Config, media_ip: IpAddr, server: ServerId, secret: [u8; 32]) -> Arc<Settings> {
    let mut settings = Settings::new(config, media_ip, secret);
    settings.server = server;
    settings.script_clock = Some(ScriptClock(Arc::new(|| clock::now().mono)));
    Arc::new(settings)
}

fn open_store(config: &Config, role: Option<Role>) -> Result<Handle, ServeError> {
    if role.is_some() && !config.store.url.starts_with("postgres") {
        let why = "control and media find each other in PostgreSQL: postgres://…";
        return Err(ServeError::Setting("store.url", why.to_owned()));
    }
    Ok(crate::store::open(&config.store.url, StoreLimits::default(), clock::for_store)?)
}

fn start_workers(config: &Config) -> Result<(Host, Vec<dataplane::io::host::ControlEnd>), ServeError> {
    let all = dataplane::io::thread::cores();
    let spare = if all.len() > 1 { &all[1..] } else { &all[..] };
    let wanted = if config.media.workers == 0 { spare.len() } else { usize::from(config.media.workers) };
    let cores: Vec<usize> = all.iter().rev().take(wanted.max(1)).copied().collect();
    let workers = u16::try_from(cores.len()).unwrap_or(u16::MAX);
    let backend = match config.media.backend {
        Backend::Auto => Choice::Auto,
        Backend::Plain => Choice::Only(Net::Plain),
        Backend::Sockets => Choice::Only(Net::Sockets),
        Backend::Xdp => Choice::Only(Net::Xdp),
    };
    let [low, high] = config.media.rtp_ports;
    let host = HostConfig {
        backend,
        ip: config.sip.listen[0].addr.ip(),
        interface: config.media.interface.clone(),
        ports: low..=high,
        cores,
        shards: 1,
        priority: if config.media.realtime { 50 } else { 0 },
        limits: control::limits::worker(config, workers),
        seed: clock::seed(),
    };
    let cards = crate::cards::open(config).map_err(|(what, error)| ServeError::Io(what, error))?;
    let started = Host::start_with_cards(host, cards.into_iter().collect());
    let (host, ends) = started.map_err(|error| ServeError::Workers(error.to_string()))?;
    for worker in host.workers() {
        tracing::info!("{worker}");
    }
    Ok((host, ends))
}

/// Intake with the suppression lists learnt: before that nothing is dialled.
async fn intake(
    config: &Config,
    store: &Handle,
    fetcher: &Arc<ArcSwap<Fetcher>>,
    role: Option<Role>,
    vault: &Vault,
) -> Result<Arc<Intake>, ServeError> {
    let intake = Intake::new(store.clone(), clock::now, config.clone())
        .map_err(|error| ServeError::Setting("tenants", error.to_string()))?;
    let intake = Arc::new(intake);
    let stop = StopKey::new(&vault.derived("opt-out links"));
    intake.opens(stop).map_err(|why| ServeError::Setting("tenants", why))?;
    // A fresh cell takes its first value.
    drop(intake.fetcher.set(Arc::clone(fetcher)));
    if role == Some(Role::Media) {
        // What is provisioned for incoming calls counts here, too.
        let learnt = intake.learn_tenants().await;
        learnt.map_err(|error| ServeError::Setting("store", format!("tenants: {error:?}")))?;
        tokio::spawn(Arc::clone(&intake).follow_tenants());
        return Ok(intake);
    }
    let held = intake.learn().await;
    let held = held.map_err(|error| ServeError::Setting("store", format!("suppression lists: {error:?}")))?;
    tracing::info!(held, "suppression lists read");
    tokio::spawn(Arc::clone(&intake).follow_tenants());
    tokio::spawn(Arc::clone(&intake).keep_ledger());
    Ok(intake)
}

fn recordings_of(folder: &Path, vault: &Arc<Vault>) -> crate::fetch::Recordings {
    let (folder, vault) = (folder.to_owned(), Arc::clone(vault));
    Arc::new(move |name| {
        let octets = vault.read_file(&recording_path(&folder, name)?).ok()?;
        Some(("audio/x-wav".to_owned(), octets))
    })
}

fn folders(wanted: &[&Path]) -> Result<(), ServeError> {
    for folder in wanted {
        std::fs::create_dir_all(folder).map_err(io(folder.display().to_string()))?;
    }
    Ok(())
}

fn prompt_store(
    config: &Config,
    fetcher: &Arc<ArcSwap<Fetcher>>,
    (state, recordings): (&Path, &Path),
    attachments: &Attachments,
    vault: &Arc<Vault>,
    speaker: Speaker,
) -> Arc<Prompts> {
    let spoken =
        Spoken::new(state.join("spoken"), u64::try_from(config.speech.cache_max.len()).unwrap_or(u64::MAX));
    let (fetcher, attachments) = (Arc::clone(fetcher), Arc::clone(attachments));
    let recordings = (recordings.to_owned(), Arc::clone(vault));
    Arc::new(Prompts::new(fetcher, speaker, spoken, recordings, attachments, &config.media))
}

/// What recordings and values are sealed by.
fn vault(config: &Config, state: &Path) -> Result<Arc<Vault>, ServeError> {
    let path = config.store.seal_key.as_ref().map_or_else(|| state.join("seal.key"), PathBuf::from);
    let secret = files::secret(&path).map_err(io(path.display().to_string()))?;
    Ok(Arc::new(Vault::new(&secret)))
}

/// What came with orders lies in the store.
fn attachments_of(intake: &Arc<Intake>) -> Attachments {
    let intake = Arc::clone(intake);
    Arc::new(move |order, name| {
        let intake = Arc::clone(&intake);
        Box::pin(async move { intake.part(order, &name).await.ok() })
    })
}

//! The guarded fetcher: every URL that a third party gave goes through here, and nothing else does.
//!
//! Scheme, port and address are checked on each hop ([`guard`]); size, time, redirects and the number of fetches are
//! bounded; the proxy variables of the environment are ignored. Cookies live as long as their call. Equal requests
//! that are under way at the same time are made once.

mod cache;
pub mod guard;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method as HttpMethod, Request, StatusCode, header, response};
use cache::{Cache, Verdict};
use cookie_store::CookieStore;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use guard::{Guard, Refused, Resolver};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{Mutex, Semaphore};
use units::CallId;
use url::Url;
use vxml::session::{Caching, FetchError, FetchRequest, Fetched, FieldValue, FormField, Method, Resource};

/// Octets of a recording, by its name.
pub type Recordings = Arc<dyn Fn(&str) -> Option<(String, Vec<u8>)> + Send + Sync>;

/// The fetcher. Shared by all calls; a change of rules makes a new one.
pub struct Fetcher {
    guard: Arc<Guard>,
    client: reqwest::Client,
    rules: control::config::Fetch,
    cache: Mutex<Cache>,
    jars: Mutex<BTreeMap<(u16, CallId), CookieStore>>,
    under_way: Mutex<BTreeMap<String, Flight>>,
    places: Arc<Semaphore>,
    hosts: Mutex<BTreeMap<String, Arc<Semaphore>>>,
    recordings: Recordings,
}

type Flight = Shared<BoxFuture<'static, Result<Fetched, FetchError>>>;

/// Whose cookies: the shard and the call.
pub type Jar = (u16, CallId);

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fetcher")
    }
}

impl Fetcher {
    /// A fetcher by these rules.
    ///
    /// # Errors
    /// What in the rules cannot be read.
    pub fn new(rules: &control::config::Fetch, recordings: Recordings) -> Result<Arc<Self>, String> {
        let guard = Arc::new(Guard::new(rules)?);
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .dns_resolver(Resolver(Arc::clone(&guard)))
            .connect_timeout(Duration::from_secs(5))
            .pool_max_idle_per_host(16)
            .user_agent(concat!("carillon/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| e.to_string())?;
        Ok(Arc::new(Self {
            guard,
            client,
            cache: Mutex::new(Cache::new(rules.cache_max.len())),
            jars: Mutex::default(),
            under_way: Mutex::default(),
            places: Arc::new(Semaphore::new(rules.fetches_max as usize)),
            hosts: Mutex::default(),
            rules: rules.clone(),
            recordings,
        }))
    }

    /// Fetches for a call.
    ///
    /// # Errors
    /// As [`FetchError`] says.
    pub async fn fetch(self: &Arc<Self>, jar: Jar, request: FetchRequest) -> Result<Fetched, FetchError> {
        let limit = Duration::from_millis(request.timeout_ms).min(self.rules.timeout_max.duration());
        tokio::time::timeout(limit, self.coalesced(jar, request, false))
            .await
            .unwrap_or(Err(FetchError::Timeout))
    }

    /// Fetches audio for a call.
    ///
    /// # Errors
    /// As [`FetchError`] says.
    pub async fn audio(
        self: &Arc<Self>,
        jar: Jar,
        url: &str,
        timeout_ms: u64,
        caching: Caching,
    ) -> Result<Fetched, FetchError> {
        let request = FetchRequest {
            url: url.to_owned(),
            resource: Resource::Data,
            method: Method::Get,
            fields: Vec::new(),
            timeout_ms,
            caching,
            fetchaudio: None,
            prefetch: false,
        };
        let limit = Duration::from_millis(timeout_ms).min(self.rules.timeout_max.duration());
        tokio::time::timeout(limit, self.coalesced(jar, request, true))
            .await
            .unwrap_or(Err(FetchError::Timeout))
    }

    /// Forgets the cookies of a call that is over.
    pub async fn forget(&self, jar: Jar) {
        self.jars.lock().await.remove(&jar);
    }

    /// GETs that look alike share one flight: within a call, and for audio, where nobody starts a session by the
    /// answer's cookies, between calls that send the same ones.
    async fn coalesced(
        self: &Arc<Self>,
        jar: Jar,
        request: FetchRequest,
        shared: bool,
    ) -> Result<Fetched, FetchError> {
        let url = Url::parse(&request.url).map_err(|_| FetchError::BadUri)?;
        if request.method != Method::Get {
            return self.hops(jar, url, request).await;
        }
        let cookies = self.cookies(jar, &url).await;
        let whose = (!shared).then_some(jar);
        let key = format!("{whose:?} {cookies:?} {:?} {}", request.caching, request.url);
        let flight = {
            let mut under_way = self.under_way.lock().await;
            let me = Arc::clone(self);
            let start = || {
                let key = key.clone();
                async move {
                    let result = me.hops(jar, url, request).await;
                    me.under_way.lock().await.remove(&key);
                    result
                }
                .boxed()
                .shared()
            };
            under_way.entry(key.clone()).or_insert_with(start).clone()
        };
        // Driven apart, so that one who loses patience does not stop it for the others.
        tokio::spawn(flight).await.unwrap_or(Err(FetchError::Unreachable))
    }

    /// Follows redirects, each hop checked like the first.
    async fn hops(&self, jar: Jar, url: Url, request: FetchRequest) -> Result<Fetched, FetchError> {
        let _place = self.places.acquire().await.map_err(|_| FetchError::Unreachable)?;
        let mut url = url;
        let mut method = request.method;
        for _ in 0..=self.rules.redirects_max {
            self.guard.check(&url).map_err(refused)?;
            match self.hop(jar, &url, method, &request).await? {
                Hop::Done(fetched) => return Ok(fetched),
                Hop::Elsewhere(status, to) => {
                    // RFC 9110 §15.4.4: 303 turns into GET; so do 301 and 302 after POST, as everyone does.
                    if !matches!(status.as_u16(), 307 | 308) {
                        method = Method::Get;
                    }
                    url = to;
                }
            }
        }
        Err(FetchError::TooManyRedirects)
    }

    async fn hop(
        &self,
        jar: Jar,
        url: &Url,
        method: Method,
        request: &FetchRequest,
    ) -> Result<Hop, FetchError> {
        let asked = self.head(jar, url, method, request).await?;
        let key = format!("{:?} {url}", asked.headers.get(header::COOKIE));
        let cacheable = method == Method::Get;
        let headers = match self.cache.lock().await.look(&key, &asked, SystemTime::now()) {
            Verdict::Hit(fetched) if cacheable => return Ok(Hop::Done(fetched)),
            Verdict::Ask(headers) if cacheable => headers,
            _ => asked.headers.clone(),
        };
        let _host = self.host_place(url).await?;
        let response = self.send(url, method, headers, &request.fields).await?;
        let (mut answer, ()) = axum::http::Response::new(()).into_parts();
        answer.status = response.status();
        answer.headers = response.headers().clone();
        self.keep_cookies(jar, url, &answer.headers).await;
        if answer.status == StatusCode::NOT_MODIFIED {
            let again = self.cache.lock().await.revalidated(&key, &asked, &answer, SystemTime::now());
            return again.map(Hop::Done).ok_or(FetchError::Status(304));
        }
        if let Some(to) = redirected(url, &answer) {
            return Ok(Hop::Elsewhere(answer.status, to));
        }
        if !answer.status.is_success() {
            return Err(FetchError::Status(answer.status.as_u16()));
        }
        let body = self.body(response).await?;
        let fetched = cache::fetched(url.to_string(), &answer.headers, body);
        if cacheable {
            self.cache.lock().await.store(&key, &asked, &answer, &fetched);
        }
        Ok(Hop::Done(fetched))
    }

    async fn head(
        &self,
        jar: Jar,
        url: &Url,
        method: Method,
        request: &FetchRequest,
    ) -> Result<Parts, FetchError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept(request.resource)));
        headers.extend(cache::wishes(request.caching));
        if let Some(cookies) = self.cookies(jar, url).await {
            headers.insert(header::COOKIE, cookies);
        }
        let method = if method == Method::Get { HttpMethod::GET } else { HttpMethod::POST };
        let built = Request::builder().method(method).uri(url.as_str()).body(());
        let mut parts = built.map_err(|_| FetchError::BadUri)?.into_parts().0;
        parts.headers = headers;
        Ok(parts)
    }

    async fn send(
        &self,
        url: &Url,
        method: Method,
        headers: HeaderMap,
        fields: &[FormField],
    ) -> Result<reqwest::Response, FetchError> {
        let request = match method {
            Method::Get => self.client.get(url.clone()),
            Method::PostUrlencoded => {
                let mut form = url::form_urlencoded::Serializer::new(String::new());
                for field in fields {
                    match &field.value {
                        FieldValue::Text(text) => form.append_pair(&field.name, text),
                        FieldValue::Recording(name) => form.append_pair(&field.name, name),
                    };
                }
                self.client
                    .post(url.clone())
                    .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                    .body(form.finish())
            }
            Method::PostMultipart => self.client.post(url.clone()).multipart(self.multipart(fields)),
        };
        request.headers(headers).send().await.map_err(|error| unreachable(&error))
    }

    fn multipart(&self, fields: &[FormField]) -> reqwest::multipart::Form {
        let mut form = reqwest::multipart::Form::new();
        for field in fields {
            let part = match &field.value {
                FieldValue::Text(text) => reqwest::multipart::Part::text(text.clone()),
                FieldValue::Recording(name) => {
                    let (kind, octets) = (self.recordings)(name).unwrap_or_default();
                    let part = reqwest::multipart::Part::bytes(octets.clone()).file_name(name.clone());
                    part.mime_str(&kind).unwrap_or_else(|_| reqwest::multipart::Part::bytes(octets))
                }
            };
            form = form.part(field.name.clone(), part);
        }
        form
    }

    /// The body, never more than the rules allow, whatever Content-Length says.
    async fn body(&self, mut response: reqwest::Response) -> Result<Vec<u8>, FetchError> {
        let max = self.rules.body_max.len();
        if response.content_length().is_some_and(|n| n > self.rules.body_max.bytes) {
            return Err(FetchError::TooLarge);
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|_| FetchError::Unreachable)? {
            if body.len() + chunk.len() > max {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    async fn host_place(&self, url: &Url) -> Result<tokio::sync::OwnedSemaphorePermit, FetchError> {
        let host = format!("{:?}:{:?}", url.host_str(), url.port_or_known_default());
        let semaphore = {
            let mut hosts = self.hosts.lock().await;
            if hosts.len() > HOSTS_MAX {
                hosts.retain(|_, s| Arc::strong_count(s) > 1);
            }
            let places = self.rules.per_host_max as usize;
            Arc::clone(hosts.entry(host).or_insert_with(|| Arc::new(Semaphore::new(places))))
        };
        semaphore.acquire_owned().await.map_err(|_| FetchError::Unreachable)
    }

    async fn cookies(&self, jar: Jar, url: &Url) -> Option<HeaderValue> {
        let jars = self.jars.lock().await;
        let pairs: Vec<String> =
            jars.get(&jar)?.get_request_values(url).map(|(name, value)| format!("{name}={value}")).collect();
        HeaderValue::from_str(&pairs.join("; ")).ok().filter(|_| !pairs.is_empty())
    }

    async fn keep_cookies(&self, jar: Jar, url: &Url, headers: &HeaderMap) {
        let set: Vec<&str> = headers
            .get_all(header::SET_COOKIE)
            .iter()
            .filter_map(|v| v.to_str().ok())
            .take(COOKIES_MAX)
            .collect();
        if set.is_empty() {
            return;
        }
        let mut jars = self.jars.lock().await;
        let store = jars.entry(jar).or_default();
        for cookie in set {
            if store.iter_any().count() < COOKIES_MAX {
                // A cookie that cannot be read or is not for this host is left out, as browsers do.
                drop(store.parse(cookie, url));
            }
        }
    }
}

/// Hosts whose places are remembered.
const HOSTS_MAX: usize = 10_000;
/// Cookies of one call.
const COOKIES_MAX: usize = 100;

/// A resolver that lets only admissible addresses through, for other clients of third parties' URLs.
#[must_use]
pub fn resolver(guard: &Arc<Guard>) -> impl reqwest::dns::Resolve + 'static {
    Resolver(Arc::clone(guard))
}

enum Hop {
    Done(Fetched),
    Elsewhere(StatusCode, Url),
}

fn accept(resource: Resource) -> &'static str {
    match resource {
        Resource::Document => "application/voicexml+xml, application/xml;q=0.9, text/xml;q=0.9, */*;q=0.1",
        Resource::Grammar => "application/srgs+xml, application/srgs;q=0.9, */*;q=0.1",
        Resource::Script => "application/ecmascript, text/javascript, */*;q=0.1",
        Resource::Data | Resource::Audio => "*/*",
    }
}

fn redirected(from: &Url, answer: &response::Parts) -> Option<Url> {
    if !matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    from.join(answer.headers.get(header::LOCATION)?.to_str().ok()?).ok()
}

fn refused(refused: Refused) -> FetchError {
    match refused {
        Refused::Uri => FetchError::BadUri,
        Refused::Forbidden => FetchError::Forbidden,
    }
}

/// The resolver's own refusal is somewhere among the causes.
fn unreachable(error: &reqwest::Error) -> FetchError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<Refused>() {
            return FetchError::Forbidden;
        }
        cause = error.source();
    }
    if error.is_timeout() { FetchError::Timeout } else { FetchError::Unreachable }
}

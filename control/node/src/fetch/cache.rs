//! Answers kept for reuse by the rules of RFC 9111 (`http-cache-semantics`), with the caching wishes of VoiceXML 2.0
//! §6.1.2 put into the request as `Cache-Control`.

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, response};
use http_cache_semantics::{AfterResponse, BeforeRequest, CachePolicy};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;
use vxml::session::{Caching, Fetched};

/// A bounded set of answers.
#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: BTreeMap<String, Entry>,
    /// Keys in the order they were stored: the oldest goes first when room is needed.
    order: VecDeque<String>,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Entry {
    policy: CachePolicy,
    /// Header fields of the stored answer: its validators are looked up here.
    validators: HeaderMap,
    fetched: Fetched,
}

/// What the cache says of a request.
pub(super) enum Verdict {
    /// It is here and good.
    Hit(Fetched),
    /// Ask the server; with these header fields if something is here that may still be good.
    Ask(HeaderMap),
}

impl Cache {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, ..Self::default() }
    }

    pub(super) fn look(&self, key: &str, request: &Parts, now: SystemTime) -> Verdict {
        let Some(entry) = self.entries.get(key) else { return Verdict::Ask(request.headers.clone()) };
        match entry.policy.before_request(request, now) {
            BeforeRequest::Fresh(_) => Verdict::Hit(entry.fetched.clone()),
            BeforeRequest::Stale { request, .. } => Verdict::Ask(request.headers),
        }
    }

    /// A 304 came: what is here is good again.
    pub(super) fn revalidated(
        &mut self,
        key: &str,
        request: &Parts,
        response: &response::Parts,
        now: SystemTime,
    ) -> Option<Fetched> {
        let entry = self.entries.get_mut(key)?;
        let mut response = response.clone();
        // RFC 9110 §15.4.5: a 304 repeats the validators, but not every server does. It answered our condition, so what
        // it means is the copy that the condition named.
        for name in [header::ETAG, header::LAST_MODIFIED] {
            if let (false, Some(value)) = (response.headers.contains_key(&name), entry.validators.get(&name))
            {
                response.headers.insert(name, value.clone());
            }
        }
        match entry.policy.after_response(request, &response, now) {
            AfterResponse::NotModified(policy, _) => {
                entry.policy = policy;
                Some(entry.fetched.clone())
            }
            AfterResponse::Modified(..) => None,
        }
    }

    pub(super) fn store(
        &mut self,
        key: &str,
        request: &Parts,
        response: &response::Parts,
        fetched: &Fetched,
    ) {
        let policy = CachePolicy::new(request, response);
        let size = fetched.body.len() + key.len();
        if response.status != StatusCode::OK || !policy.is_storable() || size > self.bytes_max / 4 {
            return;
        }
        self.remove(key);
        self.bytes += size;
        self.entries.insert(
            key.to_owned(),
            Entry { policy, validators: response.headers.clone(), fetched: fetched.clone() },
        );
        self.order.push_back(key.to_owned());
        while self.bytes > self.bytes_max {
            let Some(oldest) = self.order.front().cloned() else { break };
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, key: &str) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.fetched.body.len() + key.len();
            self.order.retain(|k| k != key);
        }
    }
}

/// VoiceXML 2.0 §6.1.2.1: `maxage` and `maxstale` are the request directives of the same names (RFC 9111 §5.2.1).
pub(super) fn wishes(caching: Caching) -> Option<(HeaderName, HeaderValue)> {
    let age = caching.maxage_s.map(|s| format!("max-age={s}"));
    let stale = caching.maxstale_s.map(|s| format!("max-stale={s}"));
    let text = [age, stale].into_iter().flatten().collect::<Vec<_>>().join(", ");
    let value = HeaderValue::from_str(&text).ok().filter(|_| !text.is_empty())?;
    Some((axum::http::header::CACHE_CONTROL, value))
}

/// Media type and charset of an answer.
pub(super) fn media_type(headers: &HeaderMap) -> (String, Option<String>) {
    let text =
        headers.get(axum::http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let mut parts = text.split(';');
    let kind = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let charset = parts.find_map(|p| {
        let (name, value) = p.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"').to_owned())
    });
    (kind, charset)
}

/// What tells two versions of a body apart.
pub(super) fn validator(headers: &HeaderMap) -> Option<String> {
    let of = |name| headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok()).map(str::to_owned);
    of(axum::http::header::ETAG).or_else(|| of(axum::http::header::LAST_MODIFIED))
}

/// A fetched body.
pub(super) fn fetched(url: String, headers: &HeaderMap, body: Vec<u8>) -> Fetched {
    let (media_type, charset) = media_type(headers);
    Fetched { url, media_type, charset, body: Arc::from(body), validator: validator(headers) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{Request, Response};
    use std::time::Duration;

    fn request(caching: Caching) -> Parts {
        let mut parts = Request::get("http://a/").body(()).expect("request").into_parts().0;
        parts.headers.extend(wishes(caching).map(|(n, v)| (Some(n), v)));
        parts
    }

    fn cache_with(control: &str) -> (Cache, SystemTime) {
        let mut cache = Cache::new(1_000);
        let response = Response::builder().header("cache-control", control).body(()).expect("response");
        let parts = response.into_parts().0;
        cache.store(
            "k",
            &request(Caching::default()),
            &parts,
            &fetched("http://a/".into(), &parts.headers, vec![1]),
        );
        (cache, SystemTime::now())
    }

    #[test]
    fn voicexml_6_1_2_maxage_and_maxstale_decide() {
        let check = |control: &str, after_s: u64, caching: Caching, want: bool| {
            let (cache, now) = cache_with(control);
            let verdict = cache.look("k", &request(caching), now + Duration::from_secs(after_s));
            assert_eq!(matches!(verdict, Verdict::Hit(_)), want, "{control} {after_s} {caching:?}");
        };
        let none = Caching::default();
        check("max-age=60", 30, none, true);
        check("max-age=60", 90, none, false);
        check("max-age=60", 30, Caching { maxage_s: Some(10), maxstale_s: None }, false);
        check("max-age=60", 90, Caching { maxage_s: None, maxstale_s: Some(60) }, true);
        check("no-store", 0, none, false);
    }

    #[test]
    fn room_is_bounded() {
        let mut cache = Cache::new(400);
        let parts = Response::builder()
            .header("cache-control", "max-age=9")
            .body(())
            .expect("response")
            .into_parts()
            .0;
        for n in 0..20 {
            let body = fetched("http://a/".into(), &parts.headers, vec![0; 50]);
            cache.store(&format!("key{n:02}"), &request(Caching::default()), &parts, &body);
        }
        assert!(cache.bytes <= 400 && cache.entries.len() == cache.order.len());
        assert!(cache.entries.contains_key("key19") && !cache.entries.contains_key("key00"));
    }
}

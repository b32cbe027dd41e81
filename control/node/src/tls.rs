//! TLS: our certificate for who connects by SIP or says STARTTLS to the mail door, and whom we trust when we connect.

use crate::shard::Tls;
use control::config::{Config, Sip};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::sync::Arc;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Both directions; without a certificate only outwards.
///
/// # Errors
/// What cannot be read, in words.
pub fn both(sip: &Sip) -> Result<Tls, String> {
    let own = match (&sip.tls_certificate, &sip.tls_key) {
        (Some(certificate), Some(key)) => Some((certificate.as_str(), key.as_str())),
        (None, None) => None,
        _ => return Err("certificate and key belong together".into()),
    };
    let mut roots = RootCertStore::empty();
    // Our own issuer is trusted, too: a fleet often signs for itself.
    for path in
        [own.map(|(certificate, _)| certificate), sip.tls_authorities.as_deref()].into_iter().flatten()
    {
        for certificate in read(path)? {
            drop(roots.add(certificate));
        }
    }
    let acceptor = match own {
        Some((certificate, key)) => {
            let asked = sip.tls_clients_verified.then(|| roots.clone());
            Some(TlsAcceptor::from(Arc::new(server(certificate, key, asked)?)))
        }
        None => None,
    };
    let client = ClientConfig::builder().with_root_certificates(roots);
    // A trunk may ask who we are: we show the certificate that we show to those who connect to us.
    let client = match own {
        Some((certificate, key)) => client
            .with_client_auth_cert(read(certificate)?, private(key)?)
            .map_err(|error| error.to_string())?,
        None => client.with_no_client_auth(),
    };
    Ok(Tls { acceptor, connector: TlsConnector::from(Arc::new(client)) })
}

/// STARTTLS for the mail door: by its own certificate, or else by SIP's; none: it is not offered.
///
/// # Errors
/// What cannot be read, in words.
pub fn mail(config: &Config) -> Result<Option<TlsAcceptor>, String> {
    let own = (config.smtp.tls_certificate.as_deref(), config.smtp.tls_key.as_deref());
    let pair = if own == (None, None) {
        (config.sip.tls_certificate.as_deref(), config.sip.tls_key.as_deref())
    } else {
        own
    };
    match pair {
        (Some(certificate), Some(key)) => acceptor(certificate, key).map(Some),
        (None, None) => Ok(None),
        _ => Err("certificate and key belong together".into()),
    }
}

/// HTTPS, and, with those who sign client certificates, mutual TLS: a certificate is asked for, and nobody is turned
/// away who shows none, since a key does as well.
///
/// # Errors
/// What cannot be read, in words.
pub fn http(config: &Config) -> Result<Option<TlsAcceptor>, String> {
    let http = &config.http;
    let (Some(certificate), Some(key)) = (&http.tls_certificate, &http.tls_key) else { return Ok(None) };
    let Some(ca) = &http.client_ca else { return acceptor(certificate, key).map(Some) };
    let mut roots = RootCertStore::empty();
    for issuer in read(ca)? {
        roots.add(issuer).map_err(|error| format!("{ca}: {error}"))?;
    }
    let verifier = rustls::server::WebPkiClientVerifier::builder(Arc::new(roots))
        .allow_unauthenticated()
        .build()
        .map_err(|error| format!("{ca}: {error}"))?;
    let chain = read(certificate)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{key}: {error}"))?;
    let server = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| error.to_string())?;
    Ok(Some(TlsAcceptor::from(Arc::new(server))))
}

/// For connections that we make to engines and farms: whom we believe, and who we are if they ask.
///
/// # Errors
/// What cannot be read, in words.
pub fn client(authorities: Option<&str>, own: Option<(&str, &str)>) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = authorities {
        for authority in read(path)? {
            roots.add(authority).map_err(|error| format!("{path}: {error}"))?;
        }
    }
    let client = ClientConfig::builder().with_root_certificates(roots);
    let client = match own {
        Some((certificate, key)) => client
            .with_client_auth_cert(read(certificate)?, private(key)?)
            .map_err(|error| error.to_string())?,
        None => client.with_no_client_auth(),
    };
    Ok(TlsConnector::from(Arc::new(client)))
}

/// The name that the certificate at `host:port` must bear.
///
/// # Errors
/// `InvalidInput`: it is no name.
pub fn name(address: &str) -> std::io::Result<ServerName<'static>> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    ServerName::try_from(bare).map_err(|_| std::io::ErrorKind::InvalidInput.into())
}

fn read(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| format!("{path}: {error}"))
}

fn private(path: &str) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| format!("{path}: {error}"))
}

fn acceptor(certificate: &str, key: &str) -> Result<TlsAcceptor, String> {
    server(certificate, key, None).map(|server| TlsAcceptor::from(Arc::new(server)))
}

/// With `authorities` who connects must show a certificate of theirs.
fn server(certificate: &str, key: &str, authorities: Option<RootCertStore>) -> Result<ServerConfig, String> {
    let server = match authorities {
        Some(roots) => {
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
            ServerConfig::builder().with_client_cert_verifier(verifier.map_err(|error| error.to_string())?)
        }
        None => ServerConfig::builder().with_no_client_auth(),
    };
    server.with_single_cert(read(certificate)?, private(key)?).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a test that makes certificates")]

    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// A certificate for `name` that signs itself, made by openssl.
    fn made(folder: &std::path::Path, name: &str) -> Option<(String, String)> {
        let path = |end: &str| folder.join(format!("{name}.{end}")).display().to_string();
        let (key, cert) = (path("key"), path("pem"));
        let made = std::process::Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
            .args(["-days", "2", "-subj", "/CN=test", "-addext", &format!("subjectAltName=DNS:{name}")])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", &key, "-out", &cert])
            .output();
        made.is_ok_and(|m| m.status.success()).then_some((cert, key))
    }

    fn sip(own: Option<&(String, String)>, authorities: &str, clients_verified: bool) -> Sip {
        Sip {
            tls_certificate: own.map(|o| o.0.clone()),
            tls_key: own.map(|o| o.1.clone()),
            tls_authorities: Some(authorities.to_owned()),
            tls_clients_verified: clients_verified,
            ..Sip::default()
        }
    }

    /// Whether an octet gets through from a client to a server.
    async fn meet(client: &Sip, server: &Sip, name: &str) -> bool {
        let (client, server) = (both(client).expect("sound"), both(server).expect("sound"));
        let (here, there) = tokio::io::duplex(16_384);
        let acceptor = server.acceptor.expect("it has a certificate");
        let listening = tokio::spawn(async move {
            let mut stream = acceptor.accept(there).await.ok()?;
            stream.read_u8().await.ok()
        });
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        // Held until the server is done: it sends tickets after the handshake, which need somewhere to go.
        let mut stream = client.connector.connect(name, here).await.ok();
        if let Some(stream) = &mut stream {
            // Who was refused after its own half of the handshake learns it here or by the answer below.
            let _ = stream.write_all(b"!").await;
            let _ = stream.flush().await;
        }
        let heard = listening.await.expect("no panic");
        drop(stream);
        heard == Some(b'!')
    }

    #[tokio::test]
    async fn each_side_may_ask_for_the_others_certificate_and_its_name() {
        drop(rustls::crypto::ring::default_provider().install_default());
        let folder = tempfile::tempdir().expect("a folder");
        let (Some(us), Some(carrier)) = (made(folder.path(), "us.test"), made(folder.path(), "carrier.test"))
        else {
            println!("SKIPPED: openssl makes no certificate here");
            return;
        };
        let server = sip(Some(&carrier), &us.0, true);
        assert!(meet(&sip(Some(&us), &carrier.0, false), &server, "carrier.test").await);
        assert!(
            !meet(&sip(Some(&us), &carrier.0, false), &server, "other.test").await,
            "RFC 5922 §4: its name"
        );
        assert!(!meet(&sip(None, &carrier.0, false), &server, "carrier.test").await, "who shows nothing");
        let stranger = made(folder.path(), "stranger.test").expect("another");
        assert!(!meet(&sip(Some(&stranger), &carrier.0, false), &server, "carrier.test").await);
        assert!(
            meet(&sip(None, &carrier.0, false), &sip(Some(&carrier), &us.0, false), "carrier.test").await
        );
        assert!(!meet(&sip(None, &us.0, false), &sip(Some(&carrier), &us.0, false), "carrier.test").await);
    }
}

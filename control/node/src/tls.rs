//! TLS: our certificate for who connects by SIP or says STARTTLS to the mail door, and whom we trust when we connect.

use crate::shard::Tls;
use control::config::Config;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Both directions; without a certificate only outwards.
///
/// # Errors
/// What cannot be read, in words.
pub fn both(certificate: Option<&str>, key: Option<&str>) -> Result<Tls, String> {
    let acceptor = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(acceptor(certificate, key)?),
        (None, None) => None,
        _ => return Err("certificate and key belong together".into()),
    };
    let mut roots = RootCertStore::empty();
    if let Some(certificate) = certificate {
        // Our own issuer is trusted, too: a fleet often signs for itself.
        for own in read(certificate)? {
            drop(roots.add(own));
        }
    }
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
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

fn read(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| format!("{path}: {error}"))
}

fn acceptor(certificate: &str, key: &str) -> Result<TlsAcceptor, String> {
    let chain = read(certificate)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{key}: {error}"))?;
    let server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| error.to_string())?;
    Ok(TlsAcceptor::from(Arc::new(server)))
}

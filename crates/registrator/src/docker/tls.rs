//! The TLS side of an `https://` endpoint: Docker's three certificate files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use super::error::{CertificateError, Error};
use crate::aside::{self, Aside};
use crate::error_chain::error_chain;
use crate::tls_advice::{OwnCertificate, Sides};

/// A folder of certificate files, which may be replaced at any time.
pub(super) struct Certificates {
    folder: PathBuf,
    aside: Aside,
    /// Made of the files when they could be used last.
    latest: Mutex<Usable>,
}

/// What the files give.
#[derive(Clone)]
pub(super) struct Usable {
    pub(super) connector: TlsConnector,
    /// The client's certificate, if there is one.
    pub(super) own: Option<OwnCertificate>,
}

impl Certificates {
    /// Reads them for the first time.
    pub(super) fn read(folder: &Path) -> Result<Self, Error> {
        let own = folder.to_owned();
        let first = aside::wait_for(move || usable(&own))
            .map_err(|error| failed(folder, CertificateError::Read(error)))??;
        Ok(Self {
            folder: folder.to_owned(),
            aside: Aside::default(),
            latest: Mutex::new(first),
        })
    }

    /// What to do about `symptom`, for which a connection does not come about, or `broke`. `answered` is whether Docker ever did.
    pub(super) fn advice(&self, symptom: &str, broke: bool, answered: bool) -> Option<String> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = self.folder.display();
        let sides = Sides {
            server: "Docker",
            own: latest.own.as_ref(),
            how_to_own: &format!("put cert.pem and key.pem into {folder}"),
            how_to_go_plain: "leave out DOCKER_TLS_VERIFY (--docker-tls-verify)",
            answered,
        };
        sides.advice(symptom, broke, SystemTime::now())
    }

    /// Reads them again for a connection. If they cannot be used, those that could are, and the reason is returned too.
    pub(super) async fn again(&self) -> (Usable, Option<String>) {
        let folder = self.folder.clone();
        let read = self.aside.run(move || usable(&folder)).await;
        let read =
            read.unwrap_or_else(|error| Err(failed(&self.folder, CertificateError::Read(error))));
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(new) => {
                *latest = new.clone();
                (new, None)
            }
            Err(error) => (latest.clone(), Some(error_chain(&error))),
        }
    }
}

/// Reads `ca.pem`, which must be there, and `cert.pem` with `key.pem`, which may be missing together.
///
/// The server is always verified, and only against `ca.pem`: a daemon's certificate is hardly ever one of the public web.
fn usable(folder: &Path) -> Result<Usable, Error> {
    let roots = roots(&folder.join("ca.pem"))?;
    // Named, because rustls panics when it has to choose between two providers that are both compiled in.
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(&folder.join("ca.pem"), error))?
        .with_root_certificates(roots);
    let mut own = None;
    let config = match identity(folder)? {
        None => builder.with_no_client_auth(),
        Some((pem, key)) => {
            let cert = folder.join("cert.pem");
            own = OwnCertificate::parse(&cert, &pem);
            builder
                .with_client_auth_cert(certificates(&cert, &pem)?, key)
                .map_err(|error| unfit(folder, error))?
        }
    };
    Ok(Usable {
        connector: TlsConnector::from(Arc::new(config)),
        own,
    })
}

/// Certificate and key cannot be used together.
fn unfit(folder: &Path, error: rustls::Error) -> Error {
    let key = folder.join("key.pem");
    match error {
        rustls::Error::InconsistentKeys(_) => {
            failed(&key, CertificateError::Mismatch(folder.join("cert.pem")))
        }
        error => refused(&key, error),
    }
}

fn roots(path: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, &read(path)?)? {
        roots
            .add(certificate)
            .map_err(|error| refused(path, error))?;
    }
    Ok(roots)
}

/// The text of the certificate's file, and the key.
type Identity = (Vec<u8>, PrivateKeyDer<'static>);

fn identity(folder: &Path) -> Result<Option<Identity>, Error> {
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let half =
        |missing: &Path, there: &Path| failed(missing, CertificateError::Half(there.to_owned()));
    match (cert.exists(), key.exists()) {
        (false, false) => Ok(None),
        (false, true) => Err(half(&cert, &key)),
        (true, false) => Err(half(&key, &cert)),
        (true, true) => Ok(Some((read(&cert)?, private_key(&key)?))),
    }
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| failed(path, bad_pem(&error)))?;
    if certificates.is_empty() {
        Err(failed(path, CertificateError::Missing("certificate")))
    } else {
        Ok(certificates)
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| match error {
        pem::Error::NoItemsFound => failed(path, CertificateError::Missing("private key")),
        error => failed(path, bad_pem(&error)),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error: io::Error| failed(path, CertificateError::Read(error)))
}

fn bad_pem(error: &pem::Error) -> CertificateError {
    CertificateError::Pem(error.to_string())
}

fn refused(path: &Path, error: rustls::Error) -> Error {
    failed(path, CertificateError::Refused(error))
}

fn failed(path: &Path, source: CertificateError) -> Error {
    Error::CertificateFile {
        path: path.to_owned(),
        source,
    }
}

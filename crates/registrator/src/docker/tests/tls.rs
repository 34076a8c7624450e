//! TLS with certificates of an authority of its own: who is let in, and what is said to whom is not.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use crate::docker::{DockerClient, DockerEndpoint, EndpointSettings, Error, engine_id};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::fake_docker::{State, serve};
use super::watched::{Watched, block_on, chain, quick};

/// A certificate authority.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate and its key in PEM.
    fn sign(&self, name: &str, purpose: ExtendedKeyUsagePurpose) -> (String, String) {
        self.sign_as(name, purpose, |_| {})
    }

    /// The same, valid until 2021.
    fn sign_expired(&self, name: &str, purpose: ExtendedKeyUsagePurpose) -> (String, String) {
        self.sign_as(name, purpose, |params| {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        })
    }

    fn sign_as(
        &self,
        name: &str,
        purpose: ExtendedKeyUsagePurpose,
        change: impl FnOnce(&mut CertificateParams),
    ) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![purpose];
        change(&mut params);
        (
            params.signed_by(&key, &self.issuer).unwrap().pem(),
            key.serialize_pem(),
        )
    }

    /// A folder as `DOCKER_CERT_PATH` names it.
    fn client_folder(&self, client: bool) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), &self.pem).unwrap();
        if client {
            let (cert, key) = self.sign("client", ExtendedKeyUsagePurpose::ClientAuth);
            fs::write(folder.path().join("cert.pem"), cert).unwrap();
            fs::write(folder.path().join("key.pem"), key).unwrap();
        }
        folder
    }
}

/// A daemon on 127.0.0.1 as `dockerd --tlsverify` makes it; its port. Its certificate is for `name`.
fn daemon(authority: &Authority, name: &str) -> u16 {
    daemon_with(
        authority,
        authority.sign(name, ExtendedKeyUsagePurpose::ServerAuth),
    )
}

/// The same with this certificate and key.
fn daemon_with(authority: &Authority, (cert, key): (String, String)) -> u16 {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap())
        .unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider))
        .build()
        .unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap();
    listen(move |stream, state| {
        let tls = ServerConnection::new(Arc::new(config.clone())).unwrap();
        serve(StreamOwned::new(tls, stream), state);
    })
}

fn listen(connection: impl Fn(TcpStream, &State) + Clone + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let state = State::new();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (connection, state) = (connection.clone(), Arc::clone(&state));
            std::thread::spawn(move || connection(stream, &state));
        }
    });
    port
}

fn settings(port: u16, certs: &Path) -> EndpointSettings {
    EndpointSettings {
        host: Some(format!("tcp://127.0.0.1:{port}")),
        tls_verify: true,
        cert_path: Some(certs.to_owned()),
    }
}

fn ask(settings: &EndpointSettings) -> Result<String, Error> {
    let client = DockerClient::new(DockerEndpoint::from_settings(settings).unwrap(), quick().0)?;
    block_on(engine_id(&client))
}

#[track_caller]
fn refused(settings: &EndpointSettings, expected: &str) -> Error {
    let error = ask(settings).unwrap_err();
    let text = chain(&error);
    assert!(
        text.contains(expected),
        "{text:?} does not contain {expected:?}"
    );
    error
}

#[test]
fn both_sides_show_certificates() {
    let authority = Authority::new();
    let port = daemon(&authority, "127.0.0.1");
    let folder = authority.client_folder(true);
    assert_eq!(ask(&settings(port, folder.path())).unwrap(), "ENGINE");
}

#[test]
fn certificates_are_read_again_for_each_connection() {
    let (old, new) = (Authority::new(), Authority::new());
    let folder = old.client_folder(true);
    let port = daemon(&new, "127.0.0.1");
    let endpoint = DockerEndpoint::from_settings(&settings(port, folder.path())).unwrap();
    let client = DockerClient::new(endpoint, quick().0).unwrap();
    let error = block_on(engine_id(&client)).unwrap_err();
    assert!(chain(&error).contains("invalid peer certificate: "));
    let key = folder.path().join("key.pem");
    fs::write(&key, "half").unwrap();
    let error = chain(&block_on(engine_id(&client)).unwrap_err());
    let hint = format!(
        "(with the former certificates: cannot use {}",
        key.display()
    );
    assert!(error.contains(&hint), "{error}");
    let replacement = new.client_folder(true);
    for name in ["ca.pem", "cert.pem", "key.pem"] {
        fs::copy(replacement.path().join(name), folder.path().join(name)).unwrap();
    }
    assert_eq!(block_on(engine_id(&client)).unwrap(), "ENGINE");
}

/// As a file is whose disk hangs.
#[test]
fn a_pipe_that_nobody_writes_to_is_named() {
    let folder = Authority::new().client_folder(true);
    let key = folder.path().join("key.pem");
    fs::remove_file(&key).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&key).status();
    assert!(made.unwrap().success());
    refused(
        &settings(1, folder.path()),
        "is it a pipe that nobody writes to?",
    );
}

#[test]
fn a_watch_over_tls() {
    let authority = Authority::new();
    let port = daemon(&authority, "127.0.0.1");
    let folder = authority.client_folder(true);
    let client = DockerClient::new(
        DockerEndpoint::from_settings(&settings(port, folder.path())).unwrap(),
        quick().0,
    )
    .unwrap();
    let mut watched = Watched::of(client, quick().1);
    watched.expect(&["connected 1.41", "init", "done"]);
}

#[test]
fn the_name_must_be_the_certificate_s() {
    let authority = Authority::new();
    let port = daemon(&authority, "docker.example.com");
    let folder = authority.client_folder(true);
    refused(
        &settings(port, folder.path()),
        "certificate not valid for name",
    );
    refused(
        &settings(port, folder.path()),
        "(name Docker as its certificate does)",
    );
}

#[test]
fn a_daemon_whose_certificate_has_expired_is_told_of() {
    let authority = Authority::new();
    let own = authority.sign_expired("127.0.0.1", ExtendedKeyUsagePurpose::ServerAuth);
    let port = daemon_with(&authority, own);
    let folder = authority.client_folder(true);
    let expected = "(Docker needs a new certificate, or the clock of this machine is wrong)";
    refused(&settings(port, folder.path()), expected);
}

#[test]
fn a_client_certificate_that_has_expired_is_named() {
    let authority = Authority::new();
    let port = daemon(&authority, "127.0.0.1");
    let folder = authority.client_folder(false);
    let (cert, key) = authority.sign_expired("client", ExtendedKeyUsagePurpose::ClientAuth);
    let path = folder.path().join("cert.pem");
    fs::write(&path, cert).unwrap();
    fs::write(folder.path().join("key.pem"), key).unwrap();
    let path = path.display();
    let expected = format!("(our certificate {path} expired on Jan  1 00:00:00 2021 +00:00)");
    refused(&settings(port, folder.path()), &expected);
}

#[test]
fn a_client_certificate_of_another_authority_is_named() {
    let (authority, other) = (Authority::new(), Authority::new());
    let port = daemon(&authority, "127.0.0.1");
    let folder = other.client_folder(true);
    fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
    let path = folder.path().join("cert.pem");
    let expected = format!(
        "(Docker does not accept our certificate {})",
        path.display()
    );
    refused(&settings(port, folder.path()), &expected);
}

#[test]
fn another_authority_is_not_believed() {
    let port = daemon(&Authority::new(), "127.0.0.1");
    let folder = Authority::new().client_folder(true);
    let error = refused(&settings(port, folder.path()), "invalid peer certificate: ");
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    let expected = "(none of the authorities given signed Docker's certificate)";
    refused(&settings(port, folder.path()), expected);
}

#[test]
fn without_a_client_certificate_one_is_not_let_in() {
    let authority = Authority::new();
    let port = daemon(&authority, "127.0.0.1");
    let folder = authority.client_folder(false);
    let expected = format!(
        "(Docker demands a client certificate, and none is given: put cert.pem and key.pem into {})",
        folder.path().display()
    );
    let error = refused(&settings(port, folder.path()), &expected);
    assert!(chain(&error).contains("CertificateRequired"), "{error:?}");
}

#[test]
fn plain_and_tls_do_not_mix() {
    let authority = Authority::new();
    let folder = authority.client_folder(true);
    let plain = listen(serve);
    refused(
        &settings(plain, folder.path()),
        &format!("cannot connect to Docker at https://127.0.0.1:{plain}: "),
    );
    refused(
        &settings(plain, folder.path()),
        "(if Docker speaks no TLS there: leave out DOCKER_TLS_VERIFY (--docker-tls-verify))",
    );
    let talkative = listen(|mut stream, _| {
        _ = stream.read(&mut [0; 4096]);
        _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    refused(
        &settings(talkative, folder.path()),
        "(Docker speaks no TLS there: leave out",
    );
    let go = listen(|mut stream, _| {
        let answer =
            "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
        _ = stream.read(&mut [0; 4096]);
        _ = stream.write_all(answer.as_bytes());
    });
    let plain = EndpointSettings {
        tls_verify: false,
        ..settings(go, folder.path())
    };
    refused(
        &plain,
        "HTTPS server. (set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH)",
    );
}

#[test]
fn plain_tcp() {
    let port = listen(serve);
    let host = format!("tcp://localhost:{port}");
    assert_eq!(
        ask(&EndpointSettings {
            host: Some(host),
            ..EndpointSettings::default()
        })
        .unwrap(),
        "ENGINE"
    );
}

#[test]
fn nobody_listens() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let host = format!("tcp://127.0.0.1:{port}");
    refused(
        &EndpointSettings {
            host: Some(host.clone()),
            ..EndpointSettings::default()
        },
        &format!(
            "cannot connect to Docker at {host} (is Docker running?): Connection refused (os error 111)"
        ),
    );
}

#[test]
fn damaged_files_are_named() {
    let authority = Authority::new();
    type Damage = (&'static str, fn(&Path), &'static str);
    let cases: [Damage; 6] = [
        (
            "ca.pem",
            |path| fs::remove_file(path).unwrap(),
            "cannot read it: No such file or directory",
        ),
        (
            "ca.pem",
            |path| fs::write(path, "").unwrap(),
            "it holds no certificate in PEM format",
        ),
        (
            "ca.pem",
            |path| {
                fs::write(
                    path,
                    "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
                )
                .unwrap()
            },
            "its PEM text is damaged",
        ),
        (
            "cert.pem",
            |path| fs::remove_file(path).unwrap(),
            "it is missing, but",
        ),
        (
            "key.pem",
            |path| fs::remove_file(path).unwrap(),
            "it is missing, but",
        ),
        (
            "key.pem",
            |path| fs::write(path, "secret").unwrap(),
            "it holds no private key in PEM format",
        ),
    ];
    for (file, damage, expected) in cases {
        let folder = authority.client_folder(true);
        let path = folder.path().join(file);
        damage(&path);
        let error = refused(&settings(1, folder.path()), expected);
        assert!(
            chain(&error).starts_with(&format!("cannot use {}", path.display())),
            "{error}"
        );
    }
    let folder = authority.client_folder(true);
    let other = authority
        .sign("client", ExtendedKeyUsagePurpose::ClientAuth)
        .1;
    fs::write(folder.path().join("key.pem"), other).unwrap();
    refused(
        &settings(1, folder.path()),
        "key.pem: it does not belong to /",
    );
}

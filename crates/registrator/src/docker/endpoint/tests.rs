//! Tables of `DOCKER_HOST` values: what they mean, and what is said about the rest.

use super::*;

#[track_caller]
fn check(vars: &[(&str, &str)], expected: &str) {
    let var = |name: &str| {
        vars.iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| (*value).to_owned())
    };
    let actual = match Endpoint::from_env(var) {
        Ok(ref endpoint @ Endpoint::Tls { ref cert_path, .. }) => {
            format!("{endpoint} with {}", cert_path.display())
        }
        Ok(endpoint) => endpoint.to_string(),
        Err(error) => format!("error: {error}"),
    };
    assert_eq!(actual, expected, "{vars:?}");
}

#[test]
fn sockets() {
    check(&[], "unix:///var/run/docker.sock");
    check(&[("DOCKER_HOST", "")], "unix:///var/run/docker.sock");
    check(&[("DOCKER_HOST", "unix://")], "unix:///var/run/docker.sock");
    check(
        &[("DOCKER_HOST", "unix:///run/user/1000/docker.sock")],
        "unix:///run/user/1000/docker.sock",
    );
    // TLS is for TCP; Docker's own client ignores it on a socket too.
    check(
        &[
            ("DOCKER_TLS_VERIFY", "1"),
            ("DOCKER_HOST", "unix:///d.sock"),
        ],
        "unix:///d.sock",
    );
}

#[test]
fn tcp() {
    check(
        &[("DOCKER_HOST", "tcp://10.0.0.1:2375")],
        "tcp://10.0.0.1:2375",
    );
    check(
        &[("DOCKER_HOST", "tcp://docker.example.com")],
        "tcp://docker.example.com:2375",
    );
    check(
        &[("DOCKER_HOST", "tcp://docker:4000/")],
        "tcp://docker:4000",
    );
    check(&[("DOCKER_HOST", "tcp://")], "tcp://localhost:2375");
    check(&[("DOCKER_HOST", "tcp://:4000")], "tcp://localhost:4000");
    check(&[("DOCKER_HOST", "http://[::1]:2375")], "tcp://[::1]:2375");
    check(
        &[("DOCKER_HOST", "tcp://[fe80::1]")],
        "tcp://[fe80::1]:2375",
    );
}

#[test]
fn tls() {
    let host = ("DOCKER_HOST", "tcp://docker");
    let certs = ("DOCKER_CERT_PATH", "/certs");
    check(&[host, certs], "tcp://docker:2375");
    check(
        &[host, certs, ("DOCKER_TLS_VERIFY", "")],
        "tcp://docker:2375",
    );
    check(
        &[host, certs, ("DOCKER_TLS_VERIFY", "1")],
        "https://docker:2376 with /certs",
    );
    check(
        &[host, certs, ("DOCKER_TLS_VERIFY", "0")],
        "https://docker:2376 with /certs",
    );
    check(
        &[host, ("HOME", "/home/u"), ("DOCKER_TLS_VERIFY", "1")],
        "https://docker:2376 with /home/u/.docker",
    );
    let config = ("DOCKER_CONFIG", "/etc/docker-client");
    check(
        &[
            host,
            config,
            ("HOME", "/home/u"),
            ("DOCKER_TLS_VERIFY", "1"),
        ],
        "https://docker:2376 with /etc/docker-client",
    );
    check(
        &[("DOCKER_HOST", "https://docker:8443"), certs],
        "https://docker:8443 with /certs",
    );
    check(
        &[host, ("DOCKER_TLS_VERIFY", "1")],
        "error: DOCKER_HOST \"tcp://docker\" needs TLS, but there is no folder of certificates: set DOCKER_CERT_PATH",
    );
    check(
        &[
            ("DOCKER_HOST", "http://docker"),
            certs,
            ("DOCKER_TLS_VERIFY", "1"),
        ],
        "error: DOCKER_HOST \"http://docker\" asks for plain HTTP, but DOCKER_TLS_VERIFY is set: write tcp:// or https://, \
         or unset DOCKER_TLS_VERIFY",
    );
}

#[test]
fn unsupported_schemes() {
    check(
        &[("DOCKER_HOST", "ssh://me@host")],
        "error: DOCKER_HOST \"ssh://me@host\": ssh:// is not supported, \
         forward the socket (ssh -L /tmp/docker.sock:/var/run/docker.sock HOST) and use unix:///tmp/docker.sock",
    );
    check(
        &[("DOCKER_HOST", "fd://")],
        "error: DOCKER_HOST \"fd://\": fd:// is not supported, \
         it is for the daemon alone: use unix:// with the path of the daemon's socket",
    );
    check(
        &[("DOCKER_HOST", "npipe:////./pipe/docker_engine")],
        "error: DOCKER_HOST \"npipe:////./pipe/docker_engine\": npipe:// is not supported, \
         it is for Windows alone: use unix:// or tcp://",
    );
    check(
        &[("DOCKER_HOST", "ftp://x")],
        "error: DOCKER_HOST \"ftp://x\": ftp:// is not supported, use unix://, tcp://, http:// or https://",
    );
}

#[test]
fn junk() {
    let says = |host: &str, problem: &str| {
        check(
            &[("DOCKER_HOST", host)],
            &format!("error: DOCKER_HOST {host:?}{problem}"),
        )
    };
    says(
        "/var/run/docker.sock",
        " has no scheme, write \"unix:///var/run/docker.sock\"",
    );
    says(
        "10.0.0.1:2375",
        " has no scheme, write \"tcp://10.0.0.1:2375\"",
    );
    says(
        "unix://docker.sock",
        ": the path of the socket must be absolute, as in unix:///var/run/docker.sock",
    );
    let long = format!("unix:///{}", "x".repeat(107));
    says(
        &long,
        ": the path is longer than the 107 bytes of a Unix socket address",
    );
    says("tcp://h:0", ": the port must be a number from 1 to 65535");
    says(
        "tcp://h:65536",
        ": the port must be a number from 1 to 65535",
    );
    says(
        "tcp://h:http",
        ": the port must be a number from 1 to 65535",
    );
    says("tcp://h:", ": the port must be a number from 1 to 65535");
    says(
        "tcp://h:1/prefix",
        ": a path behind the port is not supported",
    );
    says("tcp://u:p@h:1", ": user names are not supported");
    says(
        "tcp://::1:2375",
        ": an IPv6 address needs brackets, as in tcp://[::1]:2375",
    );
    says("tcp://[::1", ": the IPv6 address has no closing bracket");
    says(
        "tcp://[nonsense]:1",
        ": not an IPv6 address between the brackets",
    );
    says("tcp://[::1]1", ": expected :PORT after the bracket");
    says(
        "tcp://a b",
        ": the host name holds a character that no host name has",
    );
    says(
        "://",
        ": :// is not supported, use unix://, tcp://, http:// or https://",
    );
}

//! Command lines, environments, and what comes of them.

mod help;

use super::*;
use expect_test::{Expect, expect};
use std::time::Duration;

fn read(line: &str, variables: &[(&str, &str)]) -> Result<CommandSettings, UsageError> {
    let arguments = ["kontena-registrator"]
        .into_iter()
        .chain(line.split_whitespace());
    CommandSettings::read(
        arguments.map(OsString::from),
        &variables.iter().copied().collect(),
    )
}

fn run(line: &str, variables: &[(&str, &str)]) -> RunSettings {
    match read(line, variables).unwrap() {
        CommandSettings::Run(run) => run,
        other => panic!("not run: {other:?}"),
    }
}

fn plan(line: &str, variables: &[(&str, &str)]) -> PlanSettings {
    match read(line, variables).unwrap() {
        CommandSettings::Plan(plan) => plan,
        other => panic!("not plan: {other:?}"),
    }
}

fn check_error(line: &str, variables: &[(&str, &str)], expected: &Expect) {
    let error = read(line, variables).unwrap_err();
    assert_eq!(error.0.exit_code(), 2);
    expected.assert_eq(&error.to_string());
}

#[test]
fn run_is_the_default_and_its_options_need_not_name_it() {
    let named = run("run --policies x --on-exit release", &[]);
    let unnamed = run("--policies x --on-exit release", &[]);
    assert_eq!(format!("{named:?}"), format!("{unnamed:?}"));
    assert_eq!(unnamed.common.policies, "x");
    assert_eq!(unnamed.on_exit, OnExit::Release);
}

#[test]
fn options_of_run_before_another_command_are_not_lost_silently() {
    check_error(
        "--policies x check",
        &[],
        &expect![[r#"
        error: the subcommand 'check' cannot be used with '--policies <FOLDER|PATTERN|FILE>'

        Usage: kontena-registrator [OPTIONS]
               kontena-registrator <COMMAND>

        For more information, try '--help'.
    "#]],
    );
    assert!(matches!(
        read("check", &[("KONTENA_REGISTRATOR_POLICIES", "x")]),
        Ok(CommandSettings::Check(check)) if check.common.policies == "x"
    ));
}

#[test]
fn without_anything_the_defaults_hold() {
    expect![[r#"
        RunSettings {
            common: CommonSettings {
                policies: "etc/policies/",
                services: "etc/services/",
                given: Given {
                    policies: false,
                    services: false,
                },
                policy_env: [],
                ruby: "ruby",
                log_level: Info,
                log_format: Text,
            },
            host: HostSettings {
                evaluation: EvaluationSettings {
                    evaluation_timeout: 1s,
                    max_instances: 1000,
                    max_nodes: 100000,
                },
                facts: HostFactSettings {
                    host_ips: [],
                    host_interface: None,
                    host_name: None,
                },
                brake: BrakeSettings {
                    max_delete: Percent(
                        50,
                    ),
                    max_delete_hold: OrNever(
                        Some(
                            900s,
                        ),
                    ),
                },
                docker: DockerSettings {
                    docker_host: "unix:///var/run/docker.sock",
                    docker_tls_verify: false,
                    docker_cert_path: None,
                },
                etcd: EtcdSettings {
                    etcd_endpoints: [],
                    embedded_listen: 127.0.0.1:2379,
                    etcd_ca_file: None,
                    etcd_cert_file: None,
                    etcd_key_file: None,
                    etcd_username: None,
                    etcd_password: None,
                    etcd_password_file: None,
                    meta_prefix: "/registrator/",
                    lease_ttl: 30s,
                    allow_prefixes: [],
                },
                host_id: None,
            },
            embedded: EmbeddedSettings {
                access: Read,
                quota: 67108864,
            },
            admin: AdminSettings {
                socket: SocketSettings {
                    admin_socket: None,
                },
                admin_listen: None,
                admin_details: Loopback,
                admin_hosts: [],
            },
            on_exit: Keep,
            on_conflict: Refuse,
            stale_after: OrNever(
                Some(
                    300s,
                ),
            ),
        }
    "#]]
    .assert_debug_eq(&run("", &[]));
}

#[test]
fn a_flag_wins_over_its_variable_which_wins_over_the_default() {
    let variables = [
        ("LOG_LEVEL", "DEBUG"),
        ("KONTENA_REGISTRATOR_LEASE_TTL", "1m"),
    ];
    let settings = run("--log-level Fatal", &variables);
    assert_eq!(settings.common.log_level, crate::logging::Level::Fatal);
    assert_eq!(settings.host.etcd.lease_ttl, Duration::from_secs(60));
}

#[test]
fn a_host_id_was_once_a_node_name() {
    let check = |flags: &str, variables: &[(&str, &str)]| {
        assert_eq!(run(flags, variables).host.host_id.as_deref(), Some("one"));
        let environment = Environment::from_iter(variables.iter().copied());
        assert!(command_line::unknown_variables(&environment).is_empty());
    };
    let (old, new) = (
        ("KONTENA_REGISTRATOR_NODE_NAME", "one"),
        ("KONTENA_REGISTRATOR_HOST_ID", "one"),
    );
    check("--host-id one", &[]);
    check("--node-name one", &[]);
    check("", &[old]);
    check("", &[new, ("KONTENA_REGISTRATOR_NODE_NAME", "two")]);
}

#[test]
fn an_empty_variable_is_not_set() {
    let known = command_line::variables();
    let empty: Vec<(&str, &str)> = known.iter().map(|(name, _)| (name.as_str(), "")).collect();
    assert_eq!(
        format!("{:?}", run("", &empty)),
        format!("{:?}", run("", &[]))
    );
    assert_eq!(
        format!("{:?}", plan("plan", &empty)),
        format!("{:?}", plan("plan", &[]))
    );
}

#[test]
fn lists_are_separated_by_commas_or_repeated() {
    let etcd = |line, variables| run(line, variables).host.etcd;
    let two = ["http://a:1", "b"];
    assert_eq!(
        etcd("--etcd-endpoint http://a:1,b", &[]).etcd_endpoints,
        two
    );
    assert_eq!(
        etcd("", &[("ETCD_ENDPOINT", "http://a:1, b")]).etcd_endpoints,
        two
    );
    assert_eq!(
        etcd("", &[("ETCD_ENDPOINTS", "http://a:1,b")]).etcd_endpoints,
        two
    );
    assert_eq!(
        etcd(
            "--allow-prefix /a --allow-prefix b/c/",
            &[("KONTENA_REGISTRATOR_ALLOW_PREFIX", "/x")]
        )
        .allow_prefixes,
        ["/a/", "b/c/"]
    );
    assert_eq!(
        etcd("", &[("KONTENA_REGISTRATOR_ALLOW_PREFIX", "/a,/b/")]).allow_prefixes,
        ["/a/", "/b/"]
    );
}

#[test]
fn docker_tls_is_on_with_any_value_as_docker_has_it() {
    let check = |line, value, expected| {
        let docker = run(line, &[("DOCKER_TLS_VERIFY", value)]).host.docker;
        assert_eq!(docker.docker_tls_verify, expected, "{line:?} {value:?}");
    };
    check("", "", false);
    check("", "1", true);
    check("", "0", true);
    check("--docker-tls-verify", "", true);
    check("--docker-tls-verify=1", "", true);
    check("--docker-tls-verify=", "1", false);
}

#[test]
fn others_may_write_to_the_embedded_etcd_only_if_that_is_said() {
    let check = |line, value, expected| {
        let variables = [("KONTENA_REGISTRATOR_EMBEDDED_ACCESS", value)];
        assert_eq!(run(line, &variables).embedded.access, expected);
    };
    check("", "", EmbeddedAccess::Read);
    check("", "Write", EmbeddedAccess::Write);
    check("--embedded-access read", "write", EmbeddedAccess::Read);
}

#[test]
fn switches_have_variables_too() {
    let check = |line, value, expected: bool| {
        let settings = plan(line, &[("KONTENA_REGISTRATOR_JSON", value)]);
        assert_eq!(settings.json, expected, "{line:?} {value:?}");
    };
    check("plan", "", false);
    check("plan --json", "", true);
    check("plan", "true", true);
    check("plan", "1", true);
    check("plan", "no", false);
    check("plan --json", "no", true);
    let settings = plan("plan --containers c.json --no-etcd --exit-code", &[]);
    assert_eq!(settings.containers, Some("c.json".into()));
    assert!(settings.no_etcd && settings.exit_code);
}

#[test]
fn errors_name_flag_and_variable() {
    check_error(
        "--lease-ttl 1s",
        &[],
        &expect![[r#"
        error: invalid value '1s' for '--lease-ttl <TIME>' or 'KONTENA_REGISTRATOR_LEASE_TTL': it must be from 5s to 3600s

        For more information, try '--help'.
    "#]],
    );
    check_error(
        "plan",
        &[("KONTENA_REGISTRATOR_LEASE_TTL", "soon")],
        &expect![[r#"
            error: invalid value 'soon' for '--lease-ttl <TIME>' or 'KONTENA_REGISTRATOR_LEASE_TTL': write a number with a unit, as in 500ms, 30s, 5m or 1h

            For more information, try '--help'.
        "#]],
    );
    check_error(
        "--log-level loud",
        &[],
        &expect![[r#"
        error: invalid value 'loud' for '--log-level <LEVEL>' or 'LOG_LEVEL'
          [possible values: debug, info, warn, error, fatal]

        For more information, try '--help'.
    "#]],
    );
    check_error(
        "",
        &[("KONTENA_REGISTRATOR_ON_EXIT", "stay")],
        &expect![[r#"
        error: invalid value 'stay' for '--on-exit <ACTION>' or 'KONTENA_REGISTRATOR_ON_EXIT'
          [possible values: keep, release]

        For more information, try '--help'.
    "#]],
    );
    check_error(
        "",
        &[("KONTENA_REGISTRATOR_EMBEDDED_LISTEN", "2379")],
        &expect![[r#"
            error: invalid value '2379' for '--embedded-listen <ADDRESS:PORT>' or 'KONTENA_REGISTRATOR_EMBEDDED_LISTEN': invalid socket address syntax

            For more information, try '--help'.
        "#]],
    );
    check_error(
        "",
        &[("ETCD_ENDPOINT", "a,,b")],
        &expect![[r#"
        error: invalid value '' for '--etcd-endpoint <URL,…>' or 'ETCD_ENDPOINT': an item of the list is empty: separate items by one comma

        For more information, try '--help'.
    "#]],
    );
    check_error(
        "plan",
        &[("KONTENA_REGISTRATOR_NO_ETCD", "maybe")],
        &expect![[r#"
            error: invalid value 'maybe' for '--no-etcd' or 'KONTENA_REGISTRATOR_NO_ETCD': value was not a boolean

            For more information, try '--help'.
        "#]],
    );
    check_error(
        "--services=",
        &[],
        &expect![[r#"
        error: a value is required for '--services <FOLDER>' or 'KONTENA_REGISTRATOR_SERVICES' but none was supplied

        For more information, try '--help'.
    "#]],
    );
    check_error(
        "--polices x",
        &[],
        &expect![[r#"
        error: unexpected argument '--polices' found

          tip: a similar argument exists: '--policies'

        Usage: kontena-registrator --policies <FOLDER|PATTERN|FILE>

        For more information, try '--help'.
    "#]],
    );
}

#[test]
fn a_host_address_is_of_one_host() {
    check_error(
        "",
        &[("KONTENA_REGISTRATOR_HOST_IP", "192.0.2.1,eth0")],
        &expect![[r#"
            error: invalid value 'eth0' for '--host-ip <ADDRESS>' or 'KONTENA_REGISTRATOR_HOST_IP': it must be an IP address, as in 192.0.2.10 or 2001:db8::10

            For more information, try '--help'.
        "#]],
    );
    check_error(
        "check --host-ip ::",
        &[],
        &expect![[r#"
        error: invalid value '::' for '--host-ip <ADDRESS>' or 'KONTENA_REGISTRATOR_HOST_IP': it must be the address of one host, which this is not

        For more information, try '--help'.
    "#]],
    );
}

#[test]
fn contradictions_are_refused() {
    let check = |line: &str, expected: &str| {
        let text = read(line, &[]).unwrap_err().to_string();
        assert!(text.contains(expected), "{line}: {text}");
    };
    let etcd = "--etcd-endpoint a";
    check(
        &format!("{etcd} --etcd-cert-file c"),
        "--etcd-cert-file (ETCD_CERT_FILE) needs --etcd-key-file (ETCD_KEY_FILE)",
    );
    check(
        &format!("{etcd} --etcd-key-file c"),
        "--etcd-key-file (ETCD_KEY_FILE) needs --etcd-cert-file (ETCD_CERT_FILE)",
    );
    check(
        &format!("{etcd} --etcd-username u"),
        "--etcd-username (ETCD_USERNAME) needs --etcd-password-file",
    );
    check(
        &format!("{etcd} --etcd-password p"),
        "--etcd-password (ETCD_PASSWORD) needs --etcd-username",
    );
    check(
        &format!("{etcd} --etcd-password-file p"),
        "--etcd-password-file (ETCD_PASSWORD_FILE) needs --etcd-username",
    );
    check(
        &format!("{etcd} --etcd-username u --etcd-password p --etcd-password-file f"),
        "give one of them",
    );
    check(
        "--etcd-ca-file c",
        "give --etcd-endpoint (ETCD_ENDPOINT) too",
    );
    check(
        "plan --etcd-ca-file c",
        "give --etcd-endpoint (ETCD_ENDPOINT) too",
    );
    check(
        "--allow-prefix /registrator/nodes",
        "where policies may not write",
    );
    for command in ["", "check ", "plan "] {
        check(
            &format!("{command}--host-ip 192.0.2.1,2001:db8::1 --host-ip 192.0.2.2"),
            "--host-ip (KONTENA_REGISTRATOR_HOST_IP) has two IPv4 addresses, 192.0.2.1 and 192.0.2.2: give at most one IPv4 and one IPv6 address",
        );
    }
    check("--host-ip fd00::1,fd00::2", "has two IPv6 addresses");
    plan("plan --no-etcd --etcd-ca-file c", &[]);
    run(
        &format!("{etcd} --etcd-username u --etcd-password p --etcd-cert-file c --etcd-key-file k"),
        &[],
    );
}

#[test]
fn the_password_is_never_shown() {
    let variables = [
        ("ETCD_ENDPOINT", "a"),
        ("ETCD_USERNAME", "u"),
        ("ETCD_PASSWORD", "hush"),
    ];
    let settings = run("", &variables);
    let shown = format!("{settings:?}");
    assert!(
        shown.contains("(hidden)") && !shown.contains("hush"),
        "{shown}"
    );
    let (user, password) = settings.host.etcd.credentials().unwrap().unwrap();
    assert_eq!((user.as_str(), password.expose()), ("u", "hush"));
    let help = read("--help", &variables).unwrap_err().to_string();
    assert!(!help.contains("hush"), "{help}");
}

#[test]
fn the_password_can_be_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    let line = format!(
        "--etcd-endpoint a --etcd-username u --etcd-password-file {}",
        path.display()
    );
    let credentials = || run(&line, &[]).host.etcd.credentials();
    let error = crate::error_chain::error_chain(&credentials().unwrap_err());
    assert!(
        error.ends_with("password: No such file or directory (os error 2)"),
        "{error}"
    );
    std::fs::write(&path, "\nx").unwrap();
    assert!(
        credentials()
            .unwrap_err()
            .to_string()
            .contains("first line is empty")
    );
    std::fs::write(&path, "hush\r\n").unwrap();
    assert_eq!(credentials().unwrap().unwrap().1.expose(), "hush");
}

#[test]
fn misspelt_variables_are_found() {
    let environment = Environment::from_iter([
        ("KONTENA_REGISTRATOR_POLICES", "x"),
        ("KONTENA_REGISTRATOR_POLICIES", "x"),
        ("KONTENA_REGISTRATOR_OLD", ""),
        ("HOME", "x"),
    ]);
    assert_eq!(
        CommandSettings::unknown_variables(&environment),
        ["KONTENA_REGISTRATOR_POLICES"]
    );
}

#[test]
fn help_and_version_are_answers() {
    let check = |line, expected: &str| {
        let answer = read(line, &[]).unwrap_err();
        assert_eq!(answer.0.exit_code(), 0);
        assert!(answer.to_string().contains(expected), "{answer}");
    };
    check(
        "--version",
        concat!("kontena-registrator ", env!("CARGO_PKG_VERSION")),
    );
    check("--help", "[env: ETCD_ENDPOINT]");
    check("plan --help", "[env: KONTENA_REGISTRATOR_CONTAINERS]");
}

//! The text of `--help`, of each command.

use super::{Environment, command_line};
use clap::Command;
use expect_test::expect;

/// The help as on a terminal 100 columns wide.
fn help(path: &[&str]) -> String {
    let mut command = command_line::command(&Environment::default()).term_width(100);
    command.build();
    let found = path.iter().fold(&mut command, |command, name| {
        command.find_subcommand_mut(name).unwrap()
    });
    found.render_help().to_string()
}

/// `--name`s of a command's options but those of clap itself.
fn options(command: &Command) -> Vec<String> {
    let args = command.get_arguments().filter_map(|arg| arg.get_long());
    let own = args.filter(|name| !matches!(*name, "help" | "version"));
    own.map(str::to_owned).collect()
}

#[test]
fn every_option_has_a_variable_and_a_default_in_the_help() {
    let mut command = command_line::command(&Environment::default()).term_width(10_000);
    command.build();
    let variables = command_line::variables();
    for command in command.get_subcommands().chain([&command]) {
        let help = command.clone().render_help().to_string();
        for option in options(command) {
            let (variable, _) = variables.iter().find(|(_, name)| *name == option).unwrap();
            let line = help
                .lines()
                .find(|line| line.contains(&format!("[env: {variable}]")))
                .unwrap_or_else(|| panic!("{option} lacks its variable: {help}"));
            assert!(line.contains("[default: "), "{line}");
        }
    }
}

/// As the narrowest terminal has it, and the widest.
#[test]
fn help_fits_80_columns() {
    let mut command = command_line::command(&Environment::default());
    command.build();
    for command in command.get_subcommands().chain([&command]) {
        for help in [
            command.clone().render_help(),
            command.clone().render_long_help(),
        ] {
            for line in help.to_string().lines() {
                assert!(line.chars().count() <= 80, "{}: {line}", command.get_name());
            }
        }
    }
}

#[test]
fn help_of_run() {
    expect![[r#"
        Watches the containers of this Docker host, runs policies over them, and keeps exactly the nodes
        that the policies ask for in etcd, under one lease

        Usage: kontena-registrator [OPTIONS]
               kontena-registrator <COMMAND>

        Commands:
          run      Register the containers of this host in etcd, until it is stopped (the default)
          check    Load and check policies and configurations, without Docker and without etcd
          plan     Show what `run` would write now, and write nothing
          explain  Tell why a container, a key or an instance has what it has in etcd, or has not
          status   Show how a running registrator is
          brake    Show what the brake on mass deletion holds back, or let it go

        Options:
              --policies <FOLDER|PATTERN|FILE>  The policies: a folder (every *.star and *.rb file in it), a
                                                pattern such as 'etc/policies/*.star', or one file
                                                [env: KONTENA_REGISTRATOR_POLICIES] [default: etc/policies/]
              --services <FOLDER>               The policies' configurations: a folder with POLICY/NAME.json
                                                and POLICY.json
                                                [env: KONTENA_REGISTRATOR_SERVICES] [default: etc/services/]
              --policy-env <NAME,…>             The environment variables that policies may read, separated
                                                by commas; a * at the end stands for any rest
                                                [env: KONTENA_REGISTRATOR_POLICY_ENV] [default: all but
                                                those with this program's secrets]
              --ruby <PROGRAM>                  The Ruby interpreter that runs policies in Ruby: a path, or
                                                a name to be looked for in PATH
                                                [env: KONTENA_REGISTRATOR_RUBY] [default: ruby]
              --log-level <LEVEL>               What to log, in capitals or not: debug, info, warn, error,
                                                or fatal, which is only what ends the program
                                                [env: LOG_LEVEL] [default: info]
              --log-format <FORMAT>             How to log: text for people, or json, one object per line
                                                [env: KONTENA_REGISTRATOR_LOG_FORMAT] [default: text]
              --evaluation-timeout <TIME>       The most time that a policy may take for one container, as
                                                in 500ms or 2s
                                                [env: KONTENA_REGISTRATOR_EVALUATION_TIMEOUT] [default: 1s]
              --max-instances <NUMBER>          The most instances, policies with their configurations, that
                                                may run: at least 1
                                                [env: KONTENA_REGISTRATOR_MAX_INSTANCES] [default: 1000]
              --max-nodes <NUMBER>              The most nodes that this process may ask for: at least 1
                                                [env: KONTENA_REGISTRATOR_MAX_NODES] [default: 100000]
              --host-ip <ADDRESS>               The address of this host for policies that register ports
                                                published on it: one IPv4 and one IPv6 address at most.
                                                Repeatable, or separated by commas
                                                [env: KONTENA_REGISTRATOR_HOST_IP] [default: none]
              --host-interface <NAME>           The network interface whose first global IPv4 and IPv6
                                                address count as --host-ip where that is not given
                                                [env: KONTENA_REGISTRATOR_HOST_INTERFACE] [default: none]
              --host-name <NAME>                The name of this host for policies
                                                [env: KONTENA_REGISTRATOR_HOST_NAME] [default: the machine's
                                                host name]
              --max-delete <SHARE|NUMBER>       How many nodes a mistake may delete within a minute: a share
                                                of those that are there, a number, or off. More stay at
                                                first; fewer than 10 always go
                                                [env: KONTENA_REGISTRATOR_MAX_DELETE] [default: 50%]
              --max-delete-hold <TIME>          How long such nodes stay at most, as in 15m; never keeps
                                                them until SIGUSR1 or until the cause is mended
                                                [env: KONTENA_REGISTRATOR_MAX_DELETE_HOLD] [default: 15m]
          -h, --help                            Print help
          -V, --version                         Print version

        Docker:
              --docker-host <URL>          Where the Docker Engine listens: unix:///PATH or tcp://HOST:PORT
                                           [env: DOCKER_HOST] [default: unix:///var/run/docker.sock]
              --docker-tls-verify[=<ANY>]  Speak TLS with Docker, and verify it. As with Docker, any value
                                           switches it on, even 0
                                           [env: DOCKER_TLS_VERIFY] [default: off]
              --docker-cert-path <FOLDER>  The folder of ca.pem, cert.pem and key.pem
                                           [env: DOCKER_CERT_PATH] [default: $DOCKER_CONFIG or ~/.docker]

        etcd:
              --etcd-endpoint <URL,…>           The endpoints of one etcd cluster, separated by commas:
                                                http://HOST:PORT or https://HOST:PORT. The variable
                                                ETCD_ENDPOINTS does as well
                                                [env: ETCD_ENDPOINT] [default: none, an etcd of its own is
                                                embedded]
              --embedded-listen <ADDRESS:PORT>  Where the embedded etcd listens when no --etcd-endpoint is
                                                given
                                                [env: KONTENA_REGISTRATOR_EMBEDDED_LISTEN] [default:
                                                127.0.0.1:2379]
              --etcd-ca-file <FILE>             The authorities that may have signed etcd's certificate, in
                                                PEM form
                                                [env: ETCD_CA_FILE] [default: the system's]
              --etcd-cert-file <FILE>           The client certificate for etcd, in PEM form; needs
                                                --etcd-key-file
                                                [env: ETCD_CERT_FILE] [default: none]
              --etcd-key-file <FILE>            The client certificate's private key, in PEM form; needs
                                                --etcd-cert-file
                                                [env: ETCD_KEY_FILE] [default: none]
              --etcd-username <NAME>            The user in etcd; needs a password
                                                [env: ETCD_USERNAME] [default: none, no login]
              --etcd-password <PASSWORD>        The user's password. Other users of this machine can read a
                                                command line: prefer the variable or the file
                                                [env: ETCD_PASSWORD] [default: none]
              --etcd-password-file <FILE>       A file with the user's password in its first line
                                                [env: ETCD_PASSWORD_FILE] [default: none]
              --etcd-meta-prefix <PREFIX>       Where registrators keep their own keys: the same for all
                                                that share an etcd
                                                [env: KONTENA_REGISTRATOR_META_PREFIX] [default:
                                                /registrator/]
              --lease-ttl <TIME>                How long the nodes stay when this process ends or loses
                                                etcd: whole seconds from 5s to 1h
                                                [env: KONTENA_REGISTRATOR_LEASE_TTL] [default: 30s]
              --allow-prefix <PREFIX>           The only keys that this process may ever write: those below
                                                these prefixes. Repeatable, or separated by commas
                                                [env: KONTENA_REGISTRATOR_ALLOW_PREFIX] [default: none,
                                                every key that the policies name but those below
                                                --etcd-meta-prefix]
              --host-id <ID>                    Which host this registrator speaks for in etcd: the same
                                                after a restart, and different from that of every other
                                                registrator
                                                [env: KONTENA_REGISTRATOR_HOST_ID] [default: the Docker
                                                Engine's ID]
              --embedded-access <ACCESS>        What everybody else who reaches the embedded etcd may do
                                                there: read, or also write. It has no passwords
                                                [env: KONTENA_REGISTRATOR_EMBEDDED_ACCESS] [default: read]
              --embedded-quota <SIZE>           The most memory that the keys in the embedded etcd may take,
                                                as in 64MiB: from 1MiB to 4GiB
                                                [env: KONTENA_REGISTRATOR_EMBEDDED_QUOTA] [default: 64MiB]
              --on-exit <ACTION>                What becomes of the nodes when the program is asked to end:
                                                keep them until the lease expires, for a restart to adopt,
                                                or release them at once
                                                [env: KONTENA_REGISTRATOR_ON_EXIT] [default: keep]
              --on-conflict <ACTION>            What to do if another live process has the same host id:
                                                refuse to run, or wait until it ends
                                                [env: KONTENA_REGISTRATOR_ON_CONFLICT] [default: refuse]
              --stale-after <TIME>              How long the nodes stay at most while etcd refuses this
                                                process, because of its password, its user or its rights, so
                                                that it cannot change them: from 10s to 24h, or never for no
                                                limit. Then its lease is no longer renewed
                                                [env: KONTENA_REGISTRATOR_STALE_AFTER] [default: 5m]

        Asking:
              --admin-socket <PATH|off>      The unix socket at which a running registrator is asked, or
                                             off. Who may ask is who may write to it
                                             [env: KONTENA_REGISTRATOR_ADMIN_SOCKET] [default:
                                             /run/kontena-registrator/admin.sock, or the same below
                                             XDG_RUNTIME_DIR]
              --admin-listen <ADDRESS:PORT>  Also serve the page, the API, /metrics, /livez and /readyz over
                                             HTTP at this address, as in 127.0.0.1:9790
                                             [env: KONTENA_REGISTRATOR_ADMIN_LISTEN] [default: none]
              --admin-details <WHERE>        Who may see more than numbers at --admin-listen: loopback, only
                                             where that is an address of the loopback; or always
                                             [env: KONTENA_REGISTRATOR_ADMIN_DETAILS] [default: loopback]
              --admin-host <NAME>            Further names by which browsers may call --admin-listen,
                                             besides localhost and addresses. Repeatable, or separated by
                                             commas
                                             [env: KONTENA_REGISTRATOR_ADMIN_HOST] [default: none]

        Without a command it runs: the options are those of `run`. Every option can be given by its
        environment variable; an empty one counts as not set.

        Exit codes: 0 done, 1 failed, 2 wrong usage, 3 changes pending (`plan --exit-code`) or nodes missing
        (`explain --exit-code`).
    "#]].assert_eq(&help(&[]));
}

#[test]
fn help_of_check() {
    expect![[r#"
        Load and check policies and configurations, without Docker and without etcd

        Usage: kontena-registrator check [OPTIONS]

        Options:
              --policies <FOLDER|PATTERN|FILE>  The policies: a folder (every *.star and *.rb file in it), a
                                                pattern such as 'etc/policies/*.star', or one file
                                                [env: KONTENA_REGISTRATOR_POLICIES] [default: etc/policies/]
              --services <FOLDER>               The policies' configurations: a folder with POLICY/NAME.json
                                                and POLICY.json
                                                [env: KONTENA_REGISTRATOR_SERVICES] [default: etc/services/]
              --policy-env <NAME,…>             The environment variables that policies may read, separated
                                                by commas; a * at the end stands for any rest
                                                [env: KONTENA_REGISTRATOR_POLICY_ENV] [default: all but
                                                those with this program's secrets]
              --ruby <PROGRAM>                  The Ruby interpreter that runs policies in Ruby: a path, or
                                                a name to be looked for in PATH
                                                [env: KONTENA_REGISTRATOR_RUBY] [default: ruby]
              --log-level <LEVEL>               What to log, in capitals or not: debug, info, warn, error,
                                                or fatal, which is only what ends the program
                                                [env: LOG_LEVEL] [default: info]
              --log-format <FORMAT>             How to log: text for people, or json, one object per line
                                                [env: KONTENA_REGISTRATOR_LOG_FORMAT] [default: text]
              --host-ip <ADDRESS>               The address of this host for policies that register ports
                                                published on it: one IPv4 and one IPv6 address at most.
                                                Repeatable, or separated by commas
                                                [env: KONTENA_REGISTRATOR_HOST_IP] [default: none]
              --host-interface <NAME>           The network interface whose first global IPv4 and IPv6
                                                address count as --host-ip where that is not given
                                                [env: KONTENA_REGISTRATOR_HOST_INTERFACE] [default: none]
              --host-name <NAME>                The name of this host for policies
                                                [env: KONTENA_REGISTRATOR_HOST_NAME] [default: the machine's
                                                host name]
              --json                            Print the result as JSON
                                                [env: KONTENA_REGISTRATOR_JSON] [default: off]
          -h, --help                            Print help
    "#]].assert_eq(&help(&["check"]));
}

#[test]
fn help_of_plan() {
    expect![[r#"
        Show what `run` would write now, and write nothing

        Usage: kontena-registrator plan [OPTIONS]

        Options:
              --policies <FOLDER|PATTERN|FILE>  The policies: a folder (every *.star and *.rb file in it), a
                                                pattern such as 'etc/policies/*.star', or one file
                                                [env: KONTENA_REGISTRATOR_POLICIES] [default: etc/policies/]
              --services <FOLDER>               The policies' configurations: a folder with POLICY/NAME.json
                                                and POLICY.json
                                                [env: KONTENA_REGISTRATOR_SERVICES] [default: etc/services/]
              --policy-env <NAME,…>             The environment variables that policies may read, separated
                                                by commas; a * at the end stands for any rest
                                                [env: KONTENA_REGISTRATOR_POLICY_ENV] [default: all but
                                                those with this program's secrets]
              --ruby <PROGRAM>                  The Ruby interpreter that runs policies in Ruby: a path, or
                                                a name to be looked for in PATH
                                                [env: KONTENA_REGISTRATOR_RUBY] [default: ruby]
              --log-level <LEVEL>               What to log, in capitals or not: debug, info, warn, error,
                                                or fatal, which is only what ends the program
                                                [env: LOG_LEVEL] [default: info]
              --log-format <FORMAT>             How to log: text for people, or json, one object per line
                                                [env: KONTENA_REGISTRATOR_LOG_FORMAT] [default: text]
              --containers <FILE>               Take the containers from this file instead of from Docker: a
                                                JSON array of inspect documents, as `docker inspect` prints
                                                it
                                                [env: KONTENA_REGISTRATOR_CONTAINERS] [default: none, Docker
                                                is asked]
              --no-etcd                         Compare with nothing instead of with what etcd holds
                                                [env: KONTENA_REGISTRATOR_NO_ETCD] [default: off]
              --json                            Print the plan as JSON
                                                [env: KONTENA_REGISTRATOR_JSON] [default: off]
              --exit-code                       End with exit code 3 if there are changes to make
                                                [env: KONTENA_REGISTRATOR_EXIT_CODE] [default: off]
              --evaluation-timeout <TIME>       The most time that a policy may take for one container, as
                                                in 500ms or 2s
                                                [env: KONTENA_REGISTRATOR_EVALUATION_TIMEOUT] [default: 1s]
              --max-instances <NUMBER>          The most instances, policies with their configurations, that
                                                may run: at least 1
                                                [env: KONTENA_REGISTRATOR_MAX_INSTANCES] [default: 1000]
              --max-nodes <NUMBER>              The most nodes that this process may ask for: at least 1
                                                [env: KONTENA_REGISTRATOR_MAX_NODES] [default: 100000]
              --host-ip <ADDRESS>               The address of this host for policies that register ports
                                                published on it: one IPv4 and one IPv6 address at most.
                                                Repeatable, or separated by commas
                                                [env: KONTENA_REGISTRATOR_HOST_IP] [default: none]
              --host-interface <NAME>           The network interface whose first global IPv4 and IPv6
                                                address count as --host-ip where that is not given
                                                [env: KONTENA_REGISTRATOR_HOST_INTERFACE] [default: none]
              --host-name <NAME>                The name of this host for policies
                                                [env: KONTENA_REGISTRATOR_HOST_NAME] [default: the machine's
                                                host name]
              --max-delete <SHARE|NUMBER>       How many nodes a mistake may delete within a minute: a share
                                                of those that are there, a number, or off. More stay at
                                                first; fewer than 10 always go
                                                [env: KONTENA_REGISTRATOR_MAX_DELETE] [default: 50%]
              --max-delete-hold <TIME>          How long such nodes stay at most, as in 15m; never keeps
                                                them until SIGUSR1 or until the cause is mended
                                                [env: KONTENA_REGISTRATOR_MAX_DELETE_HOLD] [default: 15m]
          -h, --help                            Print help

        Docker:
              --docker-host <URL>          Where the Docker Engine listens: unix:///PATH or tcp://HOST:PORT
                                           [env: DOCKER_HOST] [default: unix:///var/run/docker.sock]
              --docker-tls-verify[=<ANY>]  Speak TLS with Docker, and verify it. As with Docker, any value
                                           switches it on, even 0
                                           [env: DOCKER_TLS_VERIFY] [default: off]
              --docker-cert-path <FOLDER>  The folder of ca.pem, cert.pem and key.pem
                                           [env: DOCKER_CERT_PATH] [default: $DOCKER_CONFIG or ~/.docker]

        etcd:
              --etcd-endpoint <URL,…>           The endpoints of one etcd cluster, separated by commas:
                                                http://HOST:PORT or https://HOST:PORT. The variable
                                                ETCD_ENDPOINTS does as well
                                                [env: ETCD_ENDPOINT] [default: none, an etcd of its own is
                                                embedded]
              --embedded-listen <ADDRESS:PORT>  Where the embedded etcd listens when no --etcd-endpoint is
                                                given
                                                [env: KONTENA_REGISTRATOR_EMBEDDED_LISTEN] [default:
                                                127.0.0.1:2379]
              --etcd-ca-file <FILE>             The authorities that may have signed etcd's certificate, in
                                                PEM form
                                                [env: ETCD_CA_FILE] [default: the system's]
              --etcd-cert-file <FILE>           The client certificate for etcd, in PEM form; needs
                                                --etcd-key-file
                                                [env: ETCD_CERT_FILE] [default: none]
              --etcd-key-file <FILE>            The client certificate's private key, in PEM form; needs
                                                --etcd-cert-file
                                                [env: ETCD_KEY_FILE] [default: none]
              --etcd-username <NAME>            The user in etcd; needs a password
                                                [env: ETCD_USERNAME] [default: none, no login]
              --etcd-password <PASSWORD>        The user's password. Other users of this machine can read a
                                                command line: prefer the variable or the file
                                                [env: ETCD_PASSWORD] [default: none]
              --etcd-password-file <FILE>       A file with the user's password in its first line
                                                [env: ETCD_PASSWORD_FILE] [default: none]
              --etcd-meta-prefix <PREFIX>       Where registrators keep their own keys: the same for all
                                                that share an etcd
                                                [env: KONTENA_REGISTRATOR_META_PREFIX] [default:
                                                /registrator/]
              --lease-ttl <TIME>                How long the nodes stay when this process ends or loses
                                                etcd: whole seconds from 5s to 1h
                                                [env: KONTENA_REGISTRATOR_LEASE_TTL] [default: 30s]
              --allow-prefix <PREFIX>           The only keys that this process may ever write: those below
                                                these prefixes. Repeatable, or separated by commas
                                                [env: KONTENA_REGISTRATOR_ALLOW_PREFIX] [default: none,
                                                every key that the policies name but those below
                                                --etcd-meta-prefix]
              --host-id <ID>                    Which host this registrator speaks for in etcd: the same
                                                after a restart, and different from that of every other
                                                registrator
                                                [env: KONTENA_REGISTRATOR_HOST_ID] [default: the Docker
                                                Engine's ID]
    "#]].assert_eq(&help(&["plan"]));
}

//! Evaluates a policy for one container: `evaluate POLICY.star CONTAINER.json [CONFIG.json]`.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use registrator_core::config::{self, ConfigSource, RawConfig};
use registrator_core::container::Container;
use registrator_policy::{Settings, lint, load};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = std::path::Path::new(&arguments[0]);
    let settings = Settings::default();
    for finding in lint(path, &settings) {
        println!("{finding}\n");
    }
    let mut policy = match load(path, &settings) {
        Ok(policy) => policy,
        Err(error) => return println!("{error}"),
    };
    println!("{:?}", policy.spec());
    let json = serde_json::from_slice(&std::fs::read(&arguments[1]).unwrap()).unwrap();
    let container = Container::from_inspect(json).unwrap();
    let config = policy.spec().schema.as_ref().map(|schema| {
        let bytes = arguments
            .get(2)
            .map_or(b"{}".to_vec(), |path| std::fs::read(path).unwrap());
        let raw = RawConfig {
            policy: policy.spec().name.clone(),
            name: Some("x".into()),
            source: ConfigSource::File("x.json".into()),
            bytes,
        };
        config::check(schema, &raw).unwrap()
    });
    match policy.evaluate(config.as_ref(), &container) {
        Ok(done) => println!("{done:#?}"),
        Err(error) => println!("{:?} {error}", error.kind),
    }
}

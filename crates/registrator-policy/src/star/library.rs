//! The dialect and the built-in functions of policies.

use super::container::container_types;
use super::guards::guards;
use super::json::{encode, to_star};
use super::object::objects;
use super::words::words;
use crate::names;
use starlark::environment::{Globals, GlobalsBuilder, LibraryExtension, Module};
use starlark::eval::Evaluator;
use starlark::syntax::{AstModule, Dialect, DialectTypes};
use starlark::values::none::NoneOr;
use starlark::values::{Heap, Value};
use starlark_derive::starlark_module;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

/// Standard Starlark with types, f-strings, and `if` and `for` outside functions.
pub(super) const DIALECT: Dialect = Dialect {
    enable_types: DialectTypes::Enable,
    enable_f_strings: true,
    enable_keyword_only_arguments: true,
    enable_top_level_stmt: true,
    enable_load_reexport: false,
    ..Dialect::Standard
};

/// Names something of each built-in type, as a policy may do first.
const FIRST_USE: &str = r#"
def f(a: str | None = None, *b, c: list[str] = [], **d) -> dict[str, int]:
    return {str(x): len(dir(x)) for x in ["", [], {}, set(), (), struct(a = 1), 1, 1.5, True, None, range(3), len, f]}
f(c = ["a".upper(), "%s" % 1, f"{1}"])
"#;

/// Everything that a policy can name besides its own definitions.
///
/// What the interpreter makes once for a process, it makes in the thread that uses it first, and leaves there scraps of memory that it takes
/// for the heap of whatever runs next: up to megabytes, that count for the limit of a policy. So that is done in a thread that ends.
pub(super) fn globals() -> &'static Globals {
    static GLOBALS: LazyLock<Globals> = LazyLock::new(|| {
        let building = std::thread::Builder::new().spawn(|| {
            let globals = build();
            // Were it to fail, only the count would be wrong; a test sees to it.
            let _ = use_first(&globals);
            globals
        });
        let built = building.ok().and_then(|building| building.join().ok());
        built.unwrap_or_else(build)
    });
    &GLOBALS
}

fn use_first(globals: &Globals) -> starlark::Result<()> {
    let ast = AstModule::parse("first-use", FIRST_USE.to_owned(), &DIALECT)?;
    Module::with_temp_heap(|module| {
        Evaluator::new(&module).eval_module(ast, globals)?;
        Ok(())
    })
}

/// Left out are the extensions that read the terminal, show addresses or crash: `Breakpoint`, `Debug`, `Internal`, `Json`.
fn build() -> Globals {
    let extensions = [
        LibraryExtension::StructType,
        LibraryExtension::SetType,
        LibraryExtension::Map,
        LibraryExtension::Filter,
        LibraryExtension::Print,
        LibraryExtension::Typing,
    ];
    let builder = GlobalsBuilder::extended_by(&extensions);
    let builder = builder
        .with(words)
        .with(container_types)
        .with(naming)
        .with(objects);
    let builder = builder.with(guards);
    builder.with_namespace("json", json_functions).build()
}

#[starlark_module]
fn naming(builder: &mut GlobalsBuilder) {
    /// A DNS label made of the text: `Web.1` becomes `web-1`.
    fn dns_label(#[starlark(require = pos)] text: &str) -> anyhow::Result<String> {
        Ok(names::dns_label(text)?)
    }

    /// The path of keys for a domain: `skydns.local` becomes `local/skydns`.
    fn domain_path(#[starlark(require = pos)] domain: &str) -> anyhow::Result<String> {
        Ok(names::domain_path(domain)?)
    }

    /// The path of keys for the reverse name of an address.
    fn ptr_path(#[starlark(require = pos)] address: &str) -> anyhow::Result<String> {
        Ok(names::ptr_path(address)?)
    }

    /// The DNS name for the reverse lookup of an address.
    fn ptr_name(#[starlark(require = pos)] address: &str) -> anyhow::Result<String> {
        Ok(names::ptr_name(address)?)
    }

    /// `host:port`, with brackets around an IPv6 address.
    fn host_port(
        #[starlark(require = pos)] host: &str,
        #[starlark(require = pos)] port: i64,
    ) -> anyhow::Result<String> {
        Ok(names::host_port(host, port)?)
    }

    /// Whether the value is the text of an IPv4 address.
    fn is_ipv4(#[starlark(require = pos)] value: Value<'_>) -> anyhow::Result<bool> {
        Ok(value
            .unpack_str()
            .is_some_and(|text| text.parse::<Ipv4Addr>().is_ok()))
    }

    /// Whether the value is the text of an IPv6 address.
    fn is_ipv6(#[starlark(require = pos)] value: Value<'_>) -> anyhow::Result<bool> {
        Ok(value
            .unpack_str()
            .is_some_and(|text| text.parse::<Ipv6Addr>().is_ok()))
    }

    /// The text that makes CoreDNS serve `text` as TXT; None if nothing does.
    fn txt_text(#[starlark(require = pos)] text: &str) -> anyhow::Result<NoneOr<String>> {
        Ok(NoneOr::from_option(names::txt_text(text)))
    }

    /// Traefik's rule for names: `/web_1.x` becomes `web-1-x`.
    fn normalize(#[starlark(require = pos)] text: &str) -> anyhow::Result<String> {
        Ok(names::normalize(text))
    }
}

#[starlark_module]
fn json_functions(builder: &mut GlobalsBuilder) {
    /// The value as compact JSON.
    fn encode(#[starlark(require = pos)] value: Value<'_>) -> anyhow::Result<String> {
        Ok(self::encode(value)?)
    }

    /// The value that a JSON text stands for; `default` if it is not JSON.
    fn decode<'v>(
        #[starlark(require = pos)] text: &str,
        default: Option<Value<'v>>,
        heap: Heap<'v>,
    ) -> anyhow::Result<Value<'v>> {
        match (serde_json::from_str(text), default) {
            (Ok(json), _) => Ok(to_star(&json, heap)?),
            (Err(_), Some(default)) => Ok(default),
            (Err(error), None) => anyhow::bail!(
                "json.decode: {error}; give default = None to get None for a text that is not JSON"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_use_succeeds() {
        use_first(&build()).unwrap();
    }
}

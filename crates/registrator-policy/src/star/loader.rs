//! Loads a policy file and the helper files that it names.

use super::fault;
use super::guarded::{Guarded, Originals};
use super::guards::Room;
use super::library::{DIALECT, globals};
use super::nesting;
use super::source::{PolicyFolder, Source, SourceError, read_policy};
use super::words::{EnvReads, Loading};
use crate::diagnostic::Diagnostic;
use crate::settings::Settings;
use registrator_core::observe::spec::Schema;
use starlark::PrintHandler;
use starlark::environment::{FrozenModule, Module};
use starlark::eval::{Evaluator, FileLoader};
use starlark::syntax::AstModule;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What loading may use of memory, in bytes. It also bounds how deeply values can be nested, and so the stack that freezing
/// them takes: see [`STACK_BYTES`](crate::STACK_BYTES).
const LOAD_HEAP_BYTES: usize = 4 << 20;

/// How long a file may run while it is loaded. Compiling counts, and a busy machine may be slow.
const LOAD_TIME: Duration = Duration::from_secs(20);

/// A policy file that has been run, frozen.
pub(super) struct Loaded {
    pub(super) source: Source,
    pub(super) module: FrozenModule,
    pub(super) schema: Option<Schema>,
    pub(super) fingerprint: u64,
    pub(super) originals: Originals,
}

/// Loads the policy at `path`.
pub(super) fn load(path: &Path, settings: &Settings) -> Result<Loaded, Diagnostic> {
    let shown = path.display().to_string();
    let unreadable = |error: SourceError| fault::about_file(&shown, error.to_string());
    let folder = PolicyFolder::of(path).map_err(unreadable)?;
    let source = read_policy(path).map_err(unreadable)?;
    let workshop = Workshop {
        folder,
        settings,
        reads: EnvReads::default(),
        helpers: RefCell::default(),
        originals: RefCell::default(),
    };
    let importing = vec![source.path.clone()];
    let (module, schema) = workshop
        .run(&source, true, importing)
        .map_err(|error| fault::diagnostic(&error, &shown, &workshop.originals.borrow()))?;
    let fingerprint = workshop.fingerprint(&source);
    Ok(Loaded {
        originals: workshop.originals.into_inner(),
        source,
        module,
        schema,
        fingerprint,
    })
}

/// Parses a file, if that can be done on this stack.
pub(super) fn parse(source: &Source) -> starlark::Result<AstModule> {
    match nesting::too_deep(source) {
        None => AstModule::parse(&source.shown, source.text.clone(), &DIALECT),
        Some(line) => Err(starlark::Error::new_other(anyhow::anyhow!(
            "line {line} of {} is nested too deeply: give its parts names of their own",
            source.shown
        ))),
    }
}

/// What the files of one policy share while they are loaded.
struct Workshop<'a> {
    folder: PolicyFolder,
    settings: &'a Settings,
    reads: EnvReads,
    helpers: RefCell<BTreeMap<PathBuf, (String, FrozenModule)>>,
    originals: RefCell<Originals>,
}

impl Workshop<'_> {
    /// Parses and runs a file. `importing` are the files on the way to it, and itself.
    fn run(
        &self,
        source: &Source,
        is_policy: bool,
        importing: Vec<PathBuf>,
    ) -> starlark::Result<(FrozenModule, Option<Schema>)> {
        let ast = self.parse_guarded(source)?;
        let loading = Loading {
            env: self.settings.env.clone(),
            reads: Rc::clone(&self.reads),
            is_policy,
            room: Room::of(LOAD_HEAP_BYTES),
            declared: RefCell::default(),
        };
        let loader = HelperLoader {
            workshop: self,
            importing,
        };
        let deadline = Instant::now() + LOAD_TIME;
        Module::with_temp_heap(|module| {
            {
                let mut eval = Evaluator::new(&module);
                eval.set_max_tick_count(self.settings.limits.ticks)?;
                eval.set_max_heap_size(LOAD_HEAP_BYTES)?;
                eval.set_max_callstack_size(self.settings.limits.call_depth)?;
                eval.set_check_cancelled(Box::new(move || Instant::now() > deadline));
                // The checker may never come back: see `lint`.
                eval.enable_static_typechecking(false);
                eval.set_print_handler(&NoPrint);
                eval.set_loader(&loader);
                eval.extra = Some(&loading);
                eval.eval_module(ast, globals())?;
            }
            Ok((module.freeze()?, loading.declared.take()))
        })
    }

    /// Parses a file twice: as it is, for the errors in it, and with guards.
    fn parse_guarded(&self, source: &Source) -> starlark::Result<AstModule> {
        parse(source)?;
        let guarded = Guarded::new(source);
        let ast = guarded.parse()?;
        self.originals
            .borrow_mut()
            .insert(source.shown.clone(), guarded);
        Ok(ast)
    }

    fn helper(&self, path: &str, importing: &[PathBuf]) -> starlark::Result<FrozenModule> {
        let source = self
            .folder
            .helper(path)
            .map_err(starlark::Error::new_other)?;
        if importing.contains(&source.path) {
            let error = anyhow::anyhow!("load({path:?}): the files load each other in a circle");
            return Err(starlark::Error::new_other(error));
        }
        if let Some((_, module)) = self.helpers.borrow().get(&source.path) {
            return Ok(module.clone());
        }
        let importing = [importing, std::slice::from_ref(&source.path)].concat();
        let (module, _) = self.run(&source, false, importing)?;
        let entry = (source.text, module.clone());
        self.helpers.borrow_mut().insert(source.path, entry);
        Ok(module)
    }

    /// Covers all that the loaded policy depends on.
    fn fingerprint(&self, policy: &Source) -> u64 {
        let mut hasher = DefaultHasher::new();
        policy.text.hash(&mut hasher);
        for (path, (text, _)) in self.helpers.borrow().iter() {
            (self.folder.relative(path), text).hash(&mut hasher);
        }
        self.reads.borrow().hash(&mut hasher);
        hasher.finish()
    }
}

/// One for each file, because the interpreter does not say which file loads.
struct HelperLoader<'a> {
    workshop: &'a Workshop<'a>,
    importing: Vec<PathBuf>,
}

impl FileLoader for HelperLoader<'_> {
    fn load(&self, path: &str) -> starlark::Result<FrozenModule> {
        self.workshop.helper(path, &self.importing)
    }
}

/// There is no log to print to before an evaluation.
struct NoPrint;

impl PrintHandler for NoPrint {
    fn println(&self, _text: &str) -> starlark::Result<()> {
        let error = anyhow::anyhow!(
            "print() works only in an evaluation: call it in docker_container, or use fail() to stop loading"
        );
        Err(starlark::Error::new_other(error))
    }
}

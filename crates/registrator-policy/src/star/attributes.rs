//! Finds attributes of the configuration that the policy does not declare, without running it: `config.wieght`.

use super::loader::parse;
use super::source::read_policy;
use super::{ENTRY, PREFIXES, VALIDATE, fault};
use crate::diagnostic::{Diagnostic, Severity};
use registrator_core::observe::spec::Schema;
use starlark::syntax::AstModule;
use starlark_syntax::codemap::Span;
use starlark_syntax::syntax::ast::{
    ArgumentP, AstExpr, AstLiteral, AstNoPayload, AstStmt, ClauseP, DefP, ExprP, StmtP,
};
use starlark_syntax::syntax::uniplate::Visit;
use std::collections::BTreeSet;
use std::path::Path;

type Def = DefP<AstNoPayload>;

/// All uses of attributes that `schema` does not have in the policy's own file.
pub(crate) fn undeclared(path: &Path, schema: Option<&Schema>) -> Vec<Diagnostic> {
    let Ok(source) = read_policy(path) else {
        return Vec::new();
    };
    let Ok(ast) = parse(&source) else {
        return Vec::new();
    };
    let known = known(schema);
    let mut uses = Uses::of(ast.statement());
    uses.found
        .retain(|(_, name)| !known.contains(name) && !uses.asked_for.contains(name));
    let finding =
        |(span, name): &(Span, String)| finding(&ast, *span, name, schema.is_some(), &known);
    uses.found.iter().map(finding).collect()
}

fn known(schema: Option<&Schema>) -> BTreeSet<String> {
    let attributes = schema.into_iter().flat_map(|schema| &schema.attributes);
    let paths = schema.and_then(|schema| schema.etcd_path.as_ref());
    let placeholders = paths.into_iter().flat_map(|path| path.placeholders());
    let attributes = attributes.map(|attribute| attribute.name.clone());
    attributes.chain(placeholders.map(str::to_owned)).collect()
}

fn finding(
    ast: &AstModule,
    span: Span,
    name: &str,
    is_declared: bool,
    known: &BTreeSet<String>,
) -> Diagnostic {
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let help = if is_declared {
        format!("it has {}", known.join(", "))
    } else {
        "the policy declares none: declare it with config() and attr()".to_owned()
    };
    let message = format!("The configuration has no attribute `{name}`\nhelp: {help}");
    fault::placed(Some(&ast.file_span(span)), "", Severity::Error, message)
}

/// What a file does with configurations.
#[derive(Default)]
struct Uses {
    /// What configurations are called: the interpreter gives one to some functions, and these hand it on under the same name.
    names: BTreeSet<String>,
    /// Functions that get something else under such a name.
    others: BTreeSet<String>,
    /// Attributes that the file asks for before it uses them.
    asked_for: BTreeSet<String>,
    found: Vec<(Span, String)>,
}

impl Uses {
    fn of(file: &AstStmt) -> Uses {
        let mut defs = Vec::new();
        collect(file, &mut defs);
        let mut uses = Uses::default();
        let given = [(ENTRY, 1), (PREFIXES, 0), (VALIDATE, 0)];
        for def in &defs {
            let place = given.iter().find(|(name, _)| *name == def.name.ident);
            let name = place.and_then(|(_, at)| parameters(def).into_iter().nth(*at));
            uses.names.extend(name.flatten());
        }
        each_expr(file, &mut |expr| uses.note_call(expr, &defs));
        for def in &defs {
            if !uses.others.contains(&def.name.ident) {
                uses.look_into(def);
            }
        }
        uses
    }

    fn is_config(&self, expr: &AstExpr) -> bool {
        matches!(&expr.node, ExprP::Identifier(name) if self.names.contains(&name.ident))
    }

    fn note_call(&mut self, expr: &AstExpr, defs: &[&Def]) {
        let ExprP::Call(callee, args) = &expr.node else {
            return;
        };
        let ExprP::Identifier(callee) = &callee.node else {
            return;
        };
        if let ("hasattr" | "getattr", [one, name, ..]) = (callee.ident.as_str(), &*args.args)
            && self.is_config(one.expr())
            && let ExprP::Literal(AstLiteral::String(name)) = &name.expr().node
        {
            self.asked_for.insert(name.node.clone());
        }
        let Some(def) = defs.iter().find(|def| def.name.ident == callee.ident) else {
            return;
        };
        let parameters = parameters(def);
        for (at, argument) in args.args.iter().enumerate() {
            let name = match &argument.node {
                ArgumentP::Positional(_) => parameters.get(at).cloned().flatten(),
                ArgumentP::Named(name, _) => Some(name.node.clone()),
                ArgumentP::Args(_) | ArgumentP::KwArgs(_) => {
                    self.others.insert(callee.ident.clone());
                    return;
                }
            };
            if name.is_some_and(|name| self.names.contains(&name))
                && !self.is_config(argument.expr())
            {
                self.others.insert(callee.ident.clone());
            }
        }
    }

    /// Notes the attributes that a function uses of its parameters that are configurations.
    fn look_into(&mut self, def: &Def) {
        let mut names: BTreeSet<String> = parameters(def).into_iter().flatten().collect();
        names.retain(|name| self.names.contains(name));
        let mut bound = BTreeSet::new();
        bound_in(&def.body, &mut bound);
        names.retain(|name| !bound.contains(name));
        let found = &mut self.found;
        each_expr(&def.body, &mut |expr| {
            if let ExprP::Dot(of, attribute) = &expr.node
                && let ExprP::Identifier(of) = &of.node
                && names.contains(&of.ident)
            {
                found.push((attribute.span, attribute.node.clone()));
            }
        });
    }
}

fn collect<'a>(statement: &'a AstStmt, defs: &mut Vec<&'a Def>) {
    match &statement.node {
        StmtP::Def(def) => defs.push(def),
        _ => statement.visit_stmt(|inner| collect(inner, defs)),
    }
}

fn parameters(def: &Def) -> Vec<Option<String>> {
    let names = def.params.iter();
    names
        .map(|parameter| Some(parameter.node.ident()?.ident.clone()))
        .collect()
}

/// All expressions, also those in functions in it.
fn each_expr<'a>(statement: &'a AstStmt, visit: &mut dyn FnMut(&'a AstExpr)) {
    statement.node.visit_children(|child| match child {
        Visit::Stmt(inner) => each_expr(inner, visit),
        Visit::Expr(expr) => each_part(expr, visit),
    });
}

fn each_part<'a>(expr: &'a AstExpr, visit: &mut dyn FnMut(&'a AstExpr)) {
    visit(expr);
    expr.node.visit_expr(|part| each_part(part, visit));
}

/// Names that get other values than the parameters of the function around: by assignments, loops, functions and lambdas.
fn bound_in(statement: &AstStmt, bound: &mut BTreeSet<String>) {
    match &statement.node {
        StmtP::Assign(assign) => assign.lhs.visit_lvalue(|name| note(&name.ident, bound)),
        StmtP::AssignModify(target, _, _) => target.visit_lvalue(|name| note(&name.ident, bound)),
        StmtP::For(clause) => clause.var.visit_lvalue(|name| note(&name.ident, bound)),
        StmtP::Def(def) => bound.extend(parameters(def).into_iter().flatten()),
        _ => {}
    }
    statement.node.visit_children(|child| match child {
        Visit::Stmt(inner) => bound_in(inner, bound),
        Visit::Expr(expr) => each_part(expr, &mut |part| bound_by(part, bound)),
    });
}

fn bound_by(expr: &AstExpr, bound: &mut BTreeSet<String>) {
    let (first, rest) = match &expr.node {
        ExprP::ListComprehension(_, first, rest) => (first, rest),
        ExprP::DictComprehension(_, first, rest) => (first, rest),
        ExprP::Lambda(lambda) => {
            let names = lambda.params.iter().filter_map(|one| one.node.ident());
            names.for_each(|name| note(&name.ident, bound));
            return;
        }
        _ => return,
    };
    first.var.visit_lvalue(|name| note(&name.ident, bound));
    for clause in rest {
        if let ClauseP::For(clause) = clause {
            clause.var.visit_lvalue(|name| note(&name.ident, bound));
        }
    }
}

fn note(name: &str, bound: &mut BTreeSet<String>) {
    bound.insert(name.to_owned());
}

//! Finds variables whose static type would grow for ever.
//!
//! The interpreter's type checker gives a variable the union of the types of all its assignments, until nothing changes or 100
//! rounds are over. For `x = (x, 1)` each round wraps the type once more, and its size doubles: the checker never comes back.
//! A function with such a variable is legal, so its file is loaded without static types, and `lint` says so.

use starlark::codemap::FileSpan;
use starlark::syntax::AstModule;
use starlark_syntax::syntax::ast::{
    AssignTarget, AstAssignTarget, AstExpr, AstStmt, Clause, Expr, ForClause, Stmt,
};
use std::collections::{BTreeMap, BTreeSet};

/// Bounds the search; a function that needs more is taken as one that grows.
const MAX_STEPS: usize = 200_000;

/// The first function or statement with a variable that is assigned a value of which it is a part itself.
pub(super) fn endless_type(ast: &AstModule) -> Option<FileSpan> {
    let mut scopes = Vec::new();
    collect_scopes(ast.statement(), &mut scopes);
    let module: Vec<&AstStmt> = scopes
        .iter()
        .copied()
        .filter(|stmt| !is_def(stmt))
        .collect();
    let functions = scopes
        .iter()
        .copied()
        .filter(|stmt| is_def(stmt))
        .map(|stmt| vec![stmt]);
    let mut grows = functions
        .chain([module])
        .filter(|scope| Scope::of(scope).grows());
    let found = grows.next()?;
    found.first().map(|stmt| ast.file_span(stmt.span))
}

fn is_def(stmt: &AstStmt) -> bool {
    matches!(stmt.node, Stmt::Def(_))
}

fn collect_scopes<'a>(stmt: &'a AstStmt, scopes: &mut Vec<&'a AstStmt>) {
    match &stmt.node {
        Stmt::Statements(stmts) => stmts.iter().for_each(|stmt| collect_scopes(stmt, scopes)),
        _ => scopes.push(stmt),
    }
}

/// Which variables the values of a variable are made of.
#[derive(Default)]
struct Scope<'a> {
    /// Variable to the variables that its values mention.
    uses: BTreeMap<&'a str, BTreeSet<&'a str>>,
    /// The same, where the mentioned one becomes a part of a tuple or struct.
    wraps: BTreeSet<(&'a str, &'a str)>,
}

impl<'a> Scope<'a> {
    fn of(stmts: &[&'a AstStmt]) -> Scope<'a> {
        let mut scope = Scope::default();
        stmts.iter().for_each(|stmt| scope.statement(stmt));
        scope
    }

    fn statement(&mut self, stmt: &'a AstStmt) {
        match &stmt.node {
            Stmt::Assign(assign) => self.bind(&assign.lhs, &assign.rhs),
            Stmt::AssignModify(target, _, value) => self.bind(target, value),
            Stmt::For(each) => self.bind(&each.var, &each.over),
            _ => {}
        }
        stmt.visit_expr(|expr| self.comprehensions(expr));
        stmt.visit_stmt(|inner| self.statement(inner));
    }

    fn comprehensions(&mut self, expr: &'a AstExpr) {
        if let Expr::ListComprehension(_, first, clauses)
        | Expr::DictComprehension(_, first, clauses) = &expr.node
        {
            self.clause(first);
            for clause in clauses {
                if let Clause::For(clause) = clause {
                    self.clause(clause);
                }
            }
        }
        expr.visit_expr(|inner| self.comprehensions(inner));
    }

    fn clause(&mut self, clause: &'a ForClause) {
        self.bind(&clause.var, &clause.over);
    }

    fn bind(&mut self, target: &'a AstAssignTarget, value: &'a AstExpr) {
        let (mut names, mut mentions) = (Vec::new(), Vec::new());
        targets(target, &mut names);
        mentioned(value, false, &mut mentions);
        for name in names {
            for (mention, wrapped) in &mentions {
                self.uses.entry(name).or_default().insert(mention);
                if *wrapped {
                    self.wraps.insert((name, mention));
                }
            }
        }
    }

    /// Whether a variable becomes a part of itself, on whatever way.
    fn grows(&self) -> bool {
        let mut steps = 0;
        self.wraps
            .iter()
            .any(|(name, part)| self.leads(part, name, &mut steps))
    }

    fn leads(&self, from: &'a str, to: &str, steps: &mut usize) -> bool {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(name) = open.pop() {
            *steps += 1;
            if name == to || *steps > MAX_STEPS {
                return true;
            }
            if seen.insert(name) {
                open.extend(self.uses.get(name).into_iter().flatten());
            }
        }
        false
    }
}

fn targets<'a>(target: &'a AstAssignTarget, names: &mut Vec<&'a str>) {
    match &target.node {
        AssignTarget::Identifier(name) => names.push(&name.node.ident),
        AssignTarget::Tuple(parts) => parts.iter().for_each(|part| targets(part, names)),
        AssignTarget::Index(_) | AssignTarget::Dot(..) => {}
    }
}

fn mentioned<'a>(expr: &'a AstExpr, wrapped: bool, found: &mut Vec<(&'a str, bool)>) {
    match &expr.node {
        Expr::Identifier(name) => found.push((&name.node.ident, wrapped)),
        Expr::Tuple(parts) => parts.iter().for_each(|part| mentioned(part, true, found)),
        Expr::Call(function, _) if is_struct(function) => {
            expr.visit_expr(|part| mentioned(part, true, found));
        }
        _ => expr.visit_expr(|part| mentioned(part, wrapped, found)),
    }
}

fn is_struct(function: &AstExpr) -> bool {
    matches!(&function.node, Expr::Identifier(name) if name.node.ident == "struct")
}

#[cfg(test)]
mod tests {
    use super::super::library::DIALECT;
    use super::*;

    fn check(body: &str, expected: Option<usize>) {
        let text = format!(
            "x = 1\ndef f(a, b):\n    {}\n",
            body.replace('\n', "\n    ")
        );
        let ast = AstModule::parse("p.star", text, &DIALECT).unwrap();
        let found = endless_type(&ast).map(|span| span.resolve_span().begin.line + 1);
        assert_eq!(found, expected, "{body}");
    }

    #[test]
    fn variables_that_wrap_themselves_are_found() {
        check("l = 1\nl = (l, 1)", Some(2));
        check("l = 1\nfor i in range(3):\n    l = [(1, l)]", Some(2));
        check("l = [(p, 1) for p in l]", Some(2));
        check("m = (l, 1)\nl = m", Some(2));
        check("for l in [(l, 2)]:\n    pass", Some(2));
        check("l = struct(inner = l)", Some(2));
        check("l += [(l, 1)]", Some(2));
        check("if a:\n    l = {\"x\": (l,)}", Some(2));
    }

    #[test]
    fn others_are_not() {
        check("l = [l]", None);
        check("l = (a, 1)\nm = (l, 2)", None);
        check("l = []\nl += [(a, b)]\nreturn l", None);
        check("l = f(l)", None);
        check("return [(p, 1) for p in a]", None);
        check("for name, part in [(a, b)]:\n    a = name", Some(2));
        check("l = a.split(\".\")\nl = l[0]\nreturn (l, l)", None);
    }
}

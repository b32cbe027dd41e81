//! The scope chain: variables in Rust until an engine is needed, in the engine from then on.

use super::light::{self, Bail, Names};
use super::{Expr, Program};
use engine::{Config, Engine, ScriptError, Slot, Value};
use units::Wall;

/// A scope by its place in the session's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ScopeId(u32);

/// Session, application, document, dialog and anonymous scope; missing ones repeat the one outside.
pub type Chain = [ScopeId; 5];

#[derive(Debug, Default)]
struct Scope {
    /// The names by which scripts reach the scope itself (`application`, `document` ...).
    labels: Vec<&'static str>,
    /// Variables, while there is no engine.
    variables: Vec<(String, Value)>,
    /// The engine's object, when there is one.
    slot: Option<Slot>,
    read_only: bool,
    used: bool,
}

/// All scopes of one session.
pub struct Scopes {
    scopes: Vec<Scope>,
    engine: Option<Box<Engine>>,
    config: Config,
    wall: Wall,
    lenient: bool,
}

impl std::fmt::Debug for Scopes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scopes").field("scopes", &self.scopes.len()).field("engine", &self.engine).finish()
    }
}

/// Why a variable could not be set or read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScopeError {
    /// Nobody declared it: `error.semantic`.
    Undeclared(Box<str>),
    /// It may not be written (`session`).
    ReadOnly(Box<str>),
    /// The name is no variable's name.
    BadName(Box<str>),
    /// The expression failed.
    Script(ScriptError),
}

impl std::fmt::Display for ScopeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ScopeError::Undeclared(name) => write!(f, "{name} is not declared"),
            ScopeError::ReadOnly(name) => write!(f, "{name} is read-only"),
            ScopeError::BadName(name) => write!(f, "'{name}' is no variable"),
            ScopeError::Script(e) => e.fmt(f),
        }
    }
}

impl From<ScriptError> for ScopeError {
    fn from(e: ScriptError) -> Self {
        ScopeError::Script(e)
    }
}

struct Lookup<'a>(&'a Scopes, &'a Chain);

impl Names for Lookup<'_> {
    fn lookup(&self, path: &[Box<str>]) -> Result<Value, Bail> {
        let Lookup(scopes, chain) = self;
        let (head, rest) = path.split_first().ok_or(Bail)?;
        for id in chain.iter().rev() {
            let scope = &scopes.scopes[id.0 as usize];
            if let Some((_, v)) = scope.variables.iter().find(|(n, _)| **n == **head) {
                return members(v, rest);
            }
            if scope.labels.contains(&&**head) {
                let (name, rest) = rest.split_first().ok_or(Bail)?;
                return match scope.variables.iter().find(|(n, _)| **n == **name) {
                    Some((_, v)) => members(v, rest),
                    None if rest.is_empty() && !scope.labels.contains(&&**name) => Ok(Value::Undefined),
                    None => Err(Bail),
                };
            }
        }
        Err(Bail)
    }
}

/// A member of a member; a member of nothing is the engine's to complain about.
fn members(v: &Value, path: &[Box<str>]) -> Result<Value, Bail> {
    let mut v = v.clone();
    for name in path {
        // Strings have methods and the like; only their length is known here.
        let known = matches!(v, Value::Object(_)) && **name != *"length"
            || matches!(v, Value::Array(_))
                && (&**name == "length" || name.bytes().all(|b| b.is_ascii_digit()))
            || matches!(v, Value::String(_)) && &**name == "length";
        if !known {
            return Err(Bail);
        }
        v = match &v {
            Value::Object(props) => {
                props.iter().find(|(k, _)| **k == **name).map(|(_, v)| v.clone()).unwrap_or_default()
            }
            other => other.member(name),
        };
    }
    Ok(v)
}

impl Scopes {
    /// An empty table.
    #[must_use]
    pub fn new(config: Config, lenient: bool) -> Self {
        Self { scopes: Vec::new(), engine: None, config, wall: Wall(0), lenient }
    }

    /// What `Date` says from now on.
    pub fn set_wall(&mut self, wall: Wall) {
        self.wall = wall;
        if let Some(e) = &mut self.engine {
            e.set_wall(wall);
        }
    }

    /// Whether an engine was needed so far.
    #[must_use]
    pub fn has_engine(&self) -> bool {
        self.engine.is_some()
    }

    /// Octets of the engine's heap.
    #[must_use]
    pub fn engine_octets(&self) -> usize {
        self.engine.as_ref().map_or(0, |e| e.used_octets())
    }

    /// A new scope that scripts may call by these names.
    pub fn open(&mut self, labels: &[&'static str]) -> ScopeId {
        let scope = Scope { labels: labels.to_vec(), used: true, ..Scope::default() };
        let i = if let Some(i) = self.scopes.iter().position(|s| !s.used) {
            self.scopes[i] = scope;
            i
        } else {
            self.scopes.push(scope);
            self.scopes.len() - 1
        };
        if self.engine.is_some() {
            self.materialise(i);
        }
        ScopeId(u32::try_from(i).expect("scopes are few"))
    }

    /// Adds a name by which scripts reach the scope.
    pub fn label(&mut self, id: ScopeId, label: &'static str) {
        let scope = &mut self.scopes[id.0 as usize];
        if scope.labels.contains(&label) {
            return;
        }
        scope.labels.push(label);
        if let (Some(e), Some(slot)) = (&mut self.engine, scope.slot) {
            e.link(slot, label, slot);
        }
    }

    /// Takes a name by which scripts reach the scope away again.
    pub fn unlabel(&mut self, id: ScopeId, label: &str) {
        let scope = &mut self.scopes[id.0 as usize];
        if let Some(i) = scope.labels.iter().position(|l| *l == label) {
            scope.labels.swap_remove(i);
            if let (Some(e), Some(slot)) = (&mut self.engine, scope.slot) {
                e.unlink(slot, label);
            }
        }
    }

    /// Forgets a scope and what it holds.
    pub fn close(&mut self, id: ScopeId) {
        let scope = std::mem::take(&mut self.scopes[id.0 as usize]);
        if let (Some(e), Some(slot)) = (&mut self.engine, scope.slot) {
            e.drop_scope(slot);
        }
    }

    /// Makes a scope read-only for documents.
    pub fn freeze(&mut self, id: ScopeId) {
        let scope = &mut self.scopes[id.0 as usize];
        scope.read_only = true;
        if let (Some(e), Some(slot)) = (&mut self.engine, scope.slot) {
            e.freeze(slot);
        }
    }

    /// Defines a variable in a scope, whatever was there.
    pub fn define(&mut self, id: ScopeId, name: &str, value: Value) {
        let scope = &mut self.scopes[id.0 as usize];
        if let (Some(e), Some(slot)) = (&mut self.engine, scope.slot) {
            e.set(slot, name, &value);
        } else if let Some((_, v)) = scope.variables.iter_mut().find(|(n, _)| n == name) {
            *v = value;
        } else {
            scope.variables.push((name.to_owned(), value));
        }
    }

    /// A variable of one scope, if declared there.
    pub fn get(&mut self, id: ScopeId, name: &str) -> Option<Value> {
        let scope = &self.scopes[id.0 as usize];
        if let (Some(e), Some(slot)) = (&mut self.engine, scope.slot) {
            return e.get(slot, name);
        }
        scope.variables.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone())
    }

    /// Whether a scope declares a variable.
    pub fn has(&mut self, id: ScopeId, name: &str) -> bool {
        let scope = &self.scopes[id.0 as usize];
        match (&mut self.engine, scope.slot) {
            (Some(e), Some(slot)) => e.has(slot, name),
            _ => scope.variables.iter().any(|(n, _)| n == name),
        }
    }

    /// Evaluates a program that sees none of the session's variables.
    ///
    /// # Errors
    /// What the script threw, or a limit.
    pub fn eval_alone(&mut self, source: &str) -> Result<Value, ScriptError> {
        self.ensure_engine()?;
        let engine = self.engine.as_mut().expect("just made");
        let code = engine.compile(source)?;
        let nothing = engine.scope();
        let value = engine.eval(&code, &[nothing; 5]);
        engine.drop_scope(nothing);
        value
    }

    /// Evaluates an expression.
    ///
    /// # Errors
    /// What the script threw, or a limit.
    pub fn eval(&mut self, expr: &Expr, chain: &Chain) -> Result<Value, ScriptError> {
        if let Some(v) = self.without_engine(expr, chain) {
            return Ok(v);
        }
        let (engine, code, slots) = self.with_engine(expr, chain)?;
        engine.eval(&code, &slots)
    }

    /// Evaluates and converts by `ToString`.
    ///
    /// # Errors
    /// What the script threw, or a limit.
    pub fn eval_text(&mut self, expr: &Expr, chain: &Chain) -> Result<String, ScriptError> {
        if let Some(v) = self.without_engine(expr, chain)
            && v.is_primitive()
        {
            return Ok(v.to_text());
        }
        let (engine, code, slots) = self.with_engine(expr, chain)?;
        engine.eval_text(&code, &slots)
    }

    /// Evaluates and converts by `ToBoolean`.
    ///
    /// # Errors
    /// What the script threw, or a limit.
    pub fn eval_bool(&mut self, expr: &Expr, chain: &Chain) -> Result<bool, ScriptError> {
        if let Some(v) = self.without_engine(expr, chain) {
            return Ok(v.truthy());
        }
        let (engine, code, slots) = self.with_engine(expr, chain)?;
        engine.eval_bool(&code, &slots)
    }

    /// Evaluates and defines the result, by reference, as a variable of a scope.
    ///
    /// # Errors
    /// What the script threw, or a limit.
    pub fn eval_into(
        &mut self,
        expr: &Expr,
        chain: &Chain,
        id: ScopeId,
        name: &str,
    ) -> Result<(), ScriptError> {
        if let Some(v) = self.without_engine(expr, chain)
            && v.is_primitive()
        {
            self.define(id, name, v);
            return Ok(());
        }
        let (_, code, slots) = self.with_engine(expr, chain)?;
        let slot = self.slot(id);
        let engine = self.engine.as_mut().expect("made by with_engine");
        engine.eval_into(&code, &slots, slot, &[name])
    }

    /// `<assign>`: evaluates and sets a declared variable, or a property of one.
    ///
    /// # Errors
    /// Undeclared or read-only names (`error.semantic`), or what the script threw.
    pub fn assign(&mut self, name: &str, expr: &Expr, chain: &Chain) -> Result<(), ScopeError> {
        let path = light::variable(name).ok_or_else(|| ScopeError::BadName(name.into()))?;
        let (id, rest) = self.owner(&path, chain).ok_or_else(|| ScopeError::Undeclared(name.into()))?;
        if self.scopes[id.0 as usize].read_only {
            return Err(ScopeError::ReadOnly(name.into()));
        }
        if rest.is_empty() {
            return Err(ScopeError::BadName(name.into()));
        }
        if let ([only], Some(v)) = (&rest[..], self.without_engine(expr, chain))
            && v.is_primitive()
        {
            self.define(id, only, v);
            return Ok(());
        }
        let (_, code, slots) = self.with_engine(expr, chain)?;
        let slot = self.slot(id);
        let names: Vec<&str> = rest.iter().map(|s| &**s).collect();
        let engine = self.engine.as_mut().expect("made by with_engine");
        Ok(engine.eval_into(&code, &slots, slot, &names)?)
    }

    /// The value of a variable by name, with members, as in a `namelist`.
    ///
    /// # Errors
    /// Undeclared names.
    pub fn variable(&mut self, name: &str, chain: &Chain) -> Result<Value, ScopeError> {
        let path = light::variable(name).ok_or_else(|| ScopeError::BadName(name.into()))?;
        let (id, rest) = self.owner(&path, chain).ok_or_else(|| ScopeError::Undeclared(name.into()))?;
        let (first, members) = rest.split_first().ok_or_else(|| ScopeError::BadName(name.into()))?;
        let v = self.get(id, first).ok_or_else(|| ScopeError::Undeclared(name.into()))?;
        Ok(members.iter().fold(v, |v, m| v.member(m)))
    }

    /// The scope that owns the head of a path, and the path from there. In lenient mode an undeclared variable
    /// belongs to the innermost scope.
    fn owner(&mut self, path: &[Box<str>], chain: &Chain) -> Option<(ScopeId, Vec<Box<str>>)> {
        let (head, rest) = path.split_first()?;
        for id in chain.iter().rev() {
            let labelled = self.scopes[id.0 as usize].labels.contains(&&**head);
            if labelled && !rest.is_empty() {
                let declared = self.has(*id, &rest[0]);
                return (declared || self.lenient).then(|| (*id, rest.to_vec()));
            }
            if !labelled && self.has(*id, head) {
                return Some((*id, path.to_vec()));
            }
        }
        (self.lenient && rest.is_empty()).then(|| (chain[4], path.to_vec()))
    }

    /// Runs a program in a scope.
    ///
    /// # Errors
    /// What the script threw, or a limit.
    pub fn run(&mut self, program: &Program, chain: &Chain, current: ScopeId) -> Result<(), ScriptError> {
        self.ensure_engine()?;
        let (lenient, slot) = (self.lenient, self.slot(current));
        let slots = self.slots(chain);
        let engine = self.engine.as_mut().expect("just made");
        let code = program.code.get_or_init(|| {
            let functions: Vec<&str> = program.declared.functions.iter().map(String::as_str).collect();
            let lexical: Vec<&str> = program.declared.lexical.iter().map(String::as_str).collect();
            engine.compile_program(&program.source, &functions, &lexical)
        });
        let code = code.as_ref().map_err(Clone::clone)?;
        for name in &program.declared.vars {
            if !engine.has(slot, name) {
                engine.set(slot, name, &Value::Undefined);
            }
        }
        engine.run(code, &slots, slot, lenient)
    }

    fn without_engine(&self, expr: &Expr, chain: &Chain) -> Option<Value> {
        let ast = expr.light.as_ref()?;
        if self.engine.is_some() {
            return match ast {
                light::Ast::Literal(v) => Some(v.clone()),
                _ => None,
            };
        }
        light::eval(ast, &Lookup(self, chain)).ok()
    }

    fn with_engine(
        &mut self,
        expr: &Expr,
        chain: &Chain,
    ) -> Result<(&mut Engine, engine::Code, [Slot; 5]), ScriptError> {
        self.ensure_engine()?;
        let slots = self.slots(chain);
        let engine = self.engine.as_mut().expect("just made");
        let code = expr.code.get_or_init(|| engine.compile(&expr.source));
        Ok((engine, code.clone()?, slots))
    }

    fn ensure_engine(&mut self) -> Result<(), ScriptError> {
        if self.engine.is_some() {
            return Ok(());
        }
        let mut engine = Box::new(Engine::new(&self.config)?);
        engine.set_wall(self.wall);
        self.engine = Some(engine);
        for i in 0..self.scopes.len() {
            if self.scopes[i].used {
                self.materialise(i);
            }
        }
        Ok(())
    }

    /// Gives a scope its object in the engine.
    fn materialise(&mut self, i: usize) {
        let engine = self.engine.as_mut().expect("only called with an engine");
        let scope = &mut self.scopes[i];
        let slot = engine.scope();
        for label in &scope.labels {
            engine.link(slot, label, slot);
        }
        for (name, value) in scope.variables.drain(..) {
            engine.set(slot, &name, &value);
        }
        scope.variables = Vec::new();
        if scope.read_only {
            engine.freeze(slot);
        }
        scope.slot = Some(slot);
    }

    fn slot(&self, id: ScopeId) -> Slot {
        self.scopes[id.0 as usize].slot.expect("every used scope has one once there is an engine")
    }

    fn slots(&self, chain: &Chain) -> [Slot; 5] {
        chain.map(|id| self.slot(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(lenient: bool) -> (Scopes, Chain) {
        let mut s = Scopes::new(Config::default(), lenient);
        let chain = [
            s.open(&["session"]),
            s.open(&["application"]),
            s.open(&["document"]),
            s.open(&["dialog"]),
            s.open(&[]),
        ];
        (s, chain)
    }

    #[test]
    fn vxml20_5_3_2_assignment_needs_a_declaration() {
        for heavy in [false, true] {
            let (mut s, c) = scopes(false);
            if heavy {
                s.ensure_engine().expect("starts");
            }
            s.define(c[2], "x", Value::Number(1.0));
            assert_eq!(s.assign("x", &Expr::new("'a'"), &c), Ok(()));
            assert_eq!(s.get(c[2], "x"), Some(Value::text("a")));
            assert_eq!(s.assign("y", &Expr::new("1"), &c), Err(ScopeError::Undeclared("y".into())));
            assert_eq!(
                s.assign("dialog.y", &Expr::new("1"), &c),
                Err(ScopeError::Undeclared("dialog.y".into()))
            );
            assert_eq!(s.assign("document.x", &Expr::new("2"), &c), Ok(()));
            assert_eq!(s.eval(&Expr::new("x"), &c), Ok(Value::Number(2.0)));
        }
    }

    #[test]
    fn variables_move_when_the_engine_comes() {
        let (mut s, c) = scopes(false);
        s.define(c[2], "x", Value::Number(1.0));
        assert_eq!(s.eval(&Expr::new("x + 1"), &c), Ok(Value::Number(2.0)));
        assert!(!s.has_engine());
        assert_eq!(s.eval(&Expr::new("[x, 2].length"), &c), Ok(Value::Number(2.0)));
        assert!(s.has_engine());
        assert_eq!(s.run(&Program::new("var o = {p: x}"), &c, c[3]), Ok(()));
        assert_eq!(s.assign("o.p", &Expr::new("o.p + 5"), &c), Ok(()));
        assert_eq!(s.variable("o.p", &c), Ok(Value::Number(6.0)));
        assert_eq!(s.variable("dialog.o.p", &c), Ok(Value::Number(6.0)));
    }

    #[test]
    fn lenient_mode_declares_on_assignment() {
        let (mut s, c) = scopes(true);
        assert_eq!(s.assign("y", &Expr::new("1"), &c), Ok(()));
        assert_eq!(s.get(c[4], "y"), Some(Value::Number(1.0)));
    }
}

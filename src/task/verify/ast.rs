//! Expression trees in one arena, children before parents.
//!
//! Because a parent always comes after its children, a tree is a contiguous range of nodes and is evaluated by one
//! pass over that range: no recursion, so no answer can overflow the stack.

use super::budget::{MAX_NODES, Stop};
use num_rational::BigRational;

pub type Id = u32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    Sin,
    Cos,
    Tan,
    Cot,
    Sec,
    Csc,
    Arcsin,
    Arccos,
    Arctan,
    Sinh,
    Cosh,
    Tanh,
    Ln,
    /// A logarithm without a base: natural or decimal.
    Log,
    Exp,
    Abs,
    Floor,
    Ceil,
    Factorial,
}

/// What a node with any number of children is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Many {
    /// Values side by side: `1, 2`.
    List,
    /// `\{1, 2\}`; the empty set is one without values.
    Set,
    Union,
    Intersection,
    Difference,
    /// `(1, 2]`, with its brackets.
    Tuple(u8, u8),
    /// Rows, and whether it is a determinant.
    Matrix(u32, bool),
    /// `3:4`, `11:45`.
    Ratio,
    /// A chain of relations; the operators are kept beside it.
    Relation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
}

impl Relation {
    /// The same relation read from right to left.
    pub fn flip(self) -> Relation {
        match self {
            Relation::Lt => Relation::Gt,
            Relation::Le => Relation::Ge,
            Relation::Gt => Relation::Lt,
            Relation::Ge => Relation::Le,
            same => same,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Node {
    /// Into `Arena::numbers`.
    Number(u32),
    /// Into `Arena::names`.
    Variable(u32),
    Pi,
    Euler,
    Imaginary,
    Infinity,
    Negate(Id),
    Add(Id, Id),
    Subtract(Id, Id),
    Multiply(Id, Id),
    Divide(Id, Id),
    Power(Id, Id),
    /// `a ± b`; the second is `true` for `∓`.
    PlusMinus(Id, Id, bool),
    Call(Function, Id),
    /// The index and the radicand.
    Root(Id, Id),
    /// The base and the argument.
    LogBase(Id, Id),
    Binomial(Id, Id),
    /// Degrees; `true` inside a trigonometric function, where they are converted.
    Degrees(Id, bool),
    Percent(Id),
    /// `f(x)`: a named function for f, g, h, else a product.
    Apply(Id, Id),
    /// Numeral (into `Arena::names`) and base.
    Based(u32, u32),
    /// First child in `Arena::children`, and how many.
    Many(Many, u32, u32),
}

/// What occurs in a tree.
pub mod flag {
    pub const VARIABLE: u16 = 1;
    /// Something that no prime field can evaluate.
    pub const TRANSCENDENTAL: u16 = 2;
    /// Variables stand for whole numbers: floors, factorials, binomials.
    pub const INTEGER: u16 = 4;
    pub const PLUS_MINUS: u16 = 8;
    pub const MANY: u16 = 16;
    pub const INFINITY: u16 = 32;
    pub const PLAIN_LOG: u16 = 64;
    pub const IMAGINARY: u16 = 128;
    pub const CONSTANT: u16 = 256;
    pub const ABS: u16 = 512;
}

#[derive(Debug, Default)]
pub struct Arena {
    pub nodes: Vec<Node>,
    /// First node of the tree that each node is the root of.
    pub first: Vec<Id>,
    pub flags: Vec<u16>,
    pub numbers: Vec<BigRational>,
    pub names: Vec<String>,
    pub children: Vec<Id>,
    /// Operators of `Many::Relation`, at the index of the child left of each.
    pub relations: Vec<Relation>,
}

impl Arena {
    pub fn node(&self, id: Id) -> Node {
        self.nodes[id as usize]
    }

    pub fn flags(&self, id: Id) -> u16 {
        self.flags[id as usize]
    }

    pub fn has(&self, id: Id, flags: u16) -> bool {
        self.flags(id) & flags != 0
    }

    /// The children of a `Many` node.
    pub fn many(&self, id: Id) -> &[Id] {
        match self.node(id) {
            Node::Many(_, first, len) => &self.children[first as usize..(first + len) as usize],
            _ => &[],
        }
    }

    /// The operators of a `Many::Relation` node.
    pub fn operators(&self, id: Id) -> &[Relation] {
        match self.node(id) {
            Node::Many(Many::Relation, first, len) => {
                &self.relations[first as usize..(first + len).saturating_sub(1) as usize]
            }
            _ => &[],
        }
    }

    pub fn number(&mut self, value: BigRational) -> Result<Id, Stop> {
        self.numbers.push(value);
        self.push(Node::Number(self.numbers.len() as u32 - 1))
    }

    pub fn name(&mut self, name: &str) -> u32 {
        let at = self.names.iter().position(|n| n == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        at as u32
    }

    pub fn push_many(&mut self, kind: Many, items: &[Id], operators: &[Relation]) -> Result<Id, Stop> {
        let first = self.children.len();
        self.children.extend_from_slice(items);
        self.relations.extend_from_slice(operators);
        self.relations.resize(self.children.len(), Relation::Eq);
        self.push(Node::Many(kind, first as u32, items.len() as u32))
    }

    pub fn push(&mut self, node: Node) -> Result<Id, Stop> {
        if self.nodes.len() >= MAX_NODES {
            return Err(Stop::Budget);
        }
        let id = self.nodes.len() as Id;
        use Node::*;
        let own = match node {
            Variable(_) | Apply(..) => flag::VARIABLE,
            Pi | Euler => flag::CONSTANT,
            Imaginary => flag::IMAGINARY,
            Infinity => flag::INFINITY,
            PlusMinus(..) => flag::PLUS_MINUS,
            Call(Function::Floor | Function::Ceil | Function::Factorial, _) | Binomial(..) => {
                flag::INTEGER | flag::TRANSCENDENTAL
            }
            Call(Function::Abs, _) => flag::ABS | flag::TRANSCENDENTAL,
            Call(Function::Log, _) => flag::PLAIN_LOG | flag::TRANSCENDENTAL,
            Call(..) | Root(..) | LogBase(..) => flag::TRANSCENDENTAL,
            Many(..) | Based(..) => flag::MANY,
            _ => 0,
        };
        let children: &[Id] = match node {
            Negate(a) | Call(_, a) | Degrees(a, _) | Percent(a) => &[a],
            Add(a, b)
            | Subtract(a, b)
            | Multiply(a, b)
            | Divide(a, b)
            | Power(a, b)
            | PlusMinus(a, b, _)
            | Root(a, b)
            | LogBase(a, b)
            | Binomial(a, b)
            | Apply(a, b) => &[a, b],
            Many(_, first, len) => &self.children[first as usize..(first + len) as usize],
            _ => &[],
        };
        let first = children.iter().map(|&c| self.first[c as usize]).min().unwrap_or(id);
        let mut flags = children.iter().fold(own, |f, &c| f | self.flags[c as usize]);
        if let Power(_, exponent) = node
            && self.flags(exponent) & (flag::VARIABLE | flag::CONSTANT | flag::IMAGINARY | flag::TRANSCENDENTAL) != 0
        {
            flags |= flag::TRANSCENDENTAL;
        }
        self.nodes.push(node);
        self.first.push(first);
        self.flags.push(flags);
        Ok(id)
    }

    /// Degrees in this tree are angles: they will be converted to radians.
    pub fn mark_angle(&mut self, id: Id) {
        for at in self.first[id as usize]..=id {
            if let Node::Degrees(_, angle) = &mut self.nodes[at as usize] {
                *angle = true;
            }
        }
    }
}

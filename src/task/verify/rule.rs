//! Which rule decided: a closed set, reported beside every verdict.

macro_rules! rules {
    ($($variant:ident $name:literal $what:literal,)*) => {
        /// The rule that decided a verdict.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Rule {
            $(#[doc = $what] $variant,)*
        }

        impl Rule {
            /// Every rule there is.
            pub const ALL: &'static [Rule] = &[$(Rule::$variant,)*];

            /// The name used in records.
            pub fn name(self) -> &'static str {
                match self {
                    $(Rule::$variant => $name,)*
                }
            }
        }
    };
}

rules! {
    Same "same" "The two spellings are the same after normalisation.",
    Number "number" "Exact rational numbers.",
    Constant "constant" "Real or complex constants, compared in ball arithmetic.",
    Tolerance "tolerance" "Numbers within the relative tolerance asked for.",
    Identity "identity" "Rational expressions in variables, compared in a prime field.",
    Expression "expression" "Other expressions in variables, compared at points in ball arithmetic.",
    Structure "structure" "The same expression tree, where nothing can be evaluated.",
    Percent "percent" "`p%` against `p`.",
    Unit "unit" "The value matches and one side names no unit, or the units differ.",
    Base "base" "Numerals with a base, such as `52_8`.",
    Ratio "ratio" "Colon-separated numbers, part by part.",
    List "list" "Values in any order, `±` written out.",
    Set "set" "Braced sets.",
    Tuple "tuple" "Bracketed values in order; intervals too.",
    Union "union" "Unions and other set operations.",
    Matrix "matrix" "Matrices, entry by entry.",
    Equation "equation" "Equations, up to a constant factor.",
    Inequality "inequality" "Inequalities, up to a positive factor, or as an interval.",
    Prefix "prefix" "`x = a` against `a`.",
    Choice "choice" "A multiple-choice letter.",
    Text "text" "Words.",
    Shape "shape" "Two different kinds of answer.",
    Unparsable "unparsable" "One side is no answer in the accepted grammar.",
    Undefined "undefined" "One side has no value, such as a division by zero.",
    Empty "empty" "There is nothing to compare.",
    Budget "budget" "A limit on length, depth, digits, terms or steps was reached.",
    Precision "precision" "The values agree as far as computed, which is not far enough.",
}

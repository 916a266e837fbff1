//! What characters and commands mean: tables only.

/// What the tokeniser does with a LaTeX command.
pub enum Command {
    /// Layout: dropped.
    Drop,
    /// Space.
    Gap,
    /// Its braces hold words.
    Text,
    /// The same as this symbol.
    Sym(&'static str),
    /// Itself, under its usual name.
    Name(&'static str),
    /// Itself.
    Plain,
}

pub fn command(name: &str) -> Command {
    use Command::*;
    match name {
        "left" | "right" | "middle" | "big" | "Big" | "bigg" | "Bigg" | "bigl" | "bigr" | "Bigl" | "Bigr" | "biggl"
        | "biggr" | "Biggl" | "Biggr" | "bigm" | "displaystyle" | "textstyle" | "scriptstyle" | "limits"
        | "nolimits" | "mathbf" | "boldsymbol" | "bm" | "mathit" | "mathsf" | "mathtt" | "mathnormal" | "mathbb"
        | "mathcal" | "mathfrak" | "mathscr" | "rm" | "bf" | "it" | "boxed" | "fbox" | "ensuremath" | "hfill"
        | "nonumber" | "notag" | "strut" | "mathopen" | "mathclose" | "mathord" | "vec" | "overrightarrow" => Drop,
        "quad" | "qquad" | "space" | "enspace" | "thinspace" | "medspace" | "thickspace" | "negthinspace" => Gap,
        "text" | "textbf" | "textit" | "textrm" | "textnormal" | "textsf" | "texttt" | "mbox" | "hbox" | "mathrm"
        | "operatorname" => Text,
        "le" | "leq" | "leqslant" | "leqq" => Sym("<="),
        "ge" | "geq" | "geqslant" | "geqq" => Sym(">="),
        "lt" => Sym("<"),
        "gt" => Sym(">"),
        "ne" | "neq" => Sym("!="),
        "times" | "cdot" | "ast" | "star" => Sym("*"),
        "div" => Sym("/"),
        "lbrace" => Sym("\\{"),
        "rbrace" => Sym("\\}"),
        "lbrack" => Sym("["),
        "rbrack" => Sym("]"),
        "lparen" => Sym("("),
        "rparen" => Sym(")"),
        "lvert" | "rvert" | "vert" | "mid" => Sym("|"),
        "colon" => Sym(":"),
        "degree" | "textdegree" => Sym("°"),
        "prime" => Sym("'"),
        "dollar" | "textdollar" => Sym("$"),
        "euro" | "texteuro" => Sym("€"),
        "pounds" => Sym("£"),
        "dfrac" | "tfrac" | "cfrac" | "frac" => Name("frac"),
        "dbinom" | "tbinom" | "binom" | "choose" => Name("binom"),
        "varepsilon" => Name("epsilon"),
        "varphi" => Name("phi"),
        "vartheta" => Name("theta"),
        "varrho" => Name("rho"),
        "varnothing" | "emptyset" => Name("emptyset"),
        "infin" | "infinity" | "infty" => Name("infty"),
        "arcsin" | "asin" => Name("arcsin"),
        "arccos" | "acos" => Name("arccos"),
        "arctan" | "atan" => Name("arctan"),
        "tg" => Name("tan"),
        "ctg" => Name("cot"),
        "cosec" => Name("csc"),
        "longrightarrow" | "Rightarrow" | "implies" | "to" | "rightarrow" => Name("to"),
        "setminus" | "backslash" | "smallsetminus" => Name("setminus"),
        "ldots" | "cdots" | "dots" | "dotsc" | "dotsb" | "vdots" => Name("dots"),
        "overline" | "bar" => Name("overline"),
        _ => Plain,
    }
}

/// Words that stand for a command when written without its backslash.
pub fn word_command(word: &str) -> Option<&'static str> {
    Some(match word {
        "pi" => "pi",
        "sqrt" => "sqrt",
        "frac" | "dfrac" | "tfrac" => "frac",
        "infinity" | "infty" | "oo" => "infty",
        "theta" => "theta",
        "alpha" => "alpha",
        "beta" => "beta",
        "gamma" => "gamma",
        "lambda" => "lambda",
        "omega" => "omega",
        "cup" => "cup",
        _ => return function(word),
    })
}

/// Function names, as words or commands.
pub fn function(name: &str) -> Option<&'static str> {
    const NAMES: &[&str] = &[
        "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "ln", "log",
        "lg", "exp", "max", "min", "gcd", "lcm",
    ];
    match name {
        "asin" => Some("arcsin"),
        "acos" => Some("arccos"),
        "atan" => Some("arctan"),
        _ => NAMES.iter().find(|n| **n == name).copied(),
    }
}

/// Commands that name a variable.
pub fn letter(name: &str) -> bool {
    matches!(
        name,
        "alpha"
            | "beta"
            | "gamma"
            | "delta"
            | "epsilon"
            | "zeta"
            | "eta"
            | "theta"
            | "iota"
            | "kappa"
            | "lambda"
            | "mu"
            | "nu"
            | "xi"
            | "rho"
            | "sigma"
            | "tau"
            | "upsilon"
            | "phi"
            | "chi"
            | "psi"
            | "omega"
            | "Gamma"
            | "Delta"
            | "Theta"
            | "Lambda"
            | "Xi"
            | "Pi"
            | "Sigma"
            | "Upsilon"
            | "Phi"
            | "Psi"
            | "Omega"
            | "hbar"
            | "ell"
            | "angle"
            | "triangle"
            | "nabla"
            | "partial"
    )
}

/// A character outside ASCII, spelled in the tokeniser's own input language.
pub fn unicode(c: char) -> Option<&'static str> {
    Some(match c {
        '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => " ",
        '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{ad}' => "",
        '−' | '–' | '—' | '‐' | '‑' | '﹣' => "-",
        '×' | '·' | '⋅' | '∙' | '∗' | '•' => "*",
        '÷' | '⁄' | '∕' => "/",
        '±' => "\\pm ",
        '∓' => "\\mp ",
        '√' => "\\sqrt ",
        '∛' => "\\sqrt[3]",
        '∞' => "\\infty ",
        '≤' | '⩽' | '≦' => "\\le ",
        '≥' | '⩾' | '≧' => "\\ge ",
        '≠' => "\\ne ",
        '≈' => "\\approx ",
        '∪' => "\\cup ",
        '∩' => "\\cap ",
        '∈' => "\\in ",
        '∖' => "\\setminus ",
        '∅' | 'Ø' => "\\emptyset ",
        '°' | 'º' | '˚' => "\\degree ",
        '→' | '⇒' => "\\to ",
        '∠' => "\\angle ",
        '…' => "\\dots ",
        '′' | '’' | '‘' => "'",
        '“' | '”' => "\"",
        '⌊' => "\\lfloor ",
        '⌋' => "\\rfloor ",
        '⌈' => "\\lceil ",
        '⌉' => "\\rceil ",
        '⟨' | '〈' => "\\langle ",
        '⟩' | '〉' => "\\rangle ",
        '½' => "\\frac12",
        '⅓' => "\\frac13",
        '⅔' => "\\frac23",
        '¼' => "\\frac14",
        '¾' => "\\frac34",
        '⅕' => "\\frac15",
        '⅖' => "\\frac25",
        '⅗' => "\\frac35",
        '⅘' => "\\frac45",
        '⅙' => "\\frac16",
        '⅚' => "\\frac56",
        '⅛' => "\\frac18",
        '⅜' => "\\frac38",
        '⅝' => "\\frac58",
        '⅞' => "\\frac78",
        'π' => "\\pi ",
        'α' => "\\alpha ",
        'β' => "\\beta ",
        'γ' => "\\gamma ",
        'δ' => "\\delta ",
        'ε' | 'ϵ' => "\\epsilon ",
        'ζ' => "\\zeta ",
        'η' => "\\eta ",
        'θ' | 'ϑ' => "\\theta ",
        'κ' => "\\kappa ",
        'λ' => "\\lambda ",
        'μ' | 'µ' => "\\mu ",
        'ν' => "\\nu ",
        'ξ' => "\\xi ",
        'ρ' => "\\rho ",
        'σ' => "\\sigma ",
        'τ' => "\\tau ",
        'φ' | 'ϕ' => "\\phi ",
        'χ' => "\\chi ",
        'ψ' => "\\psi ",
        'ω' => "\\omega ",
        'Γ' => "\\Gamma ",
        'Δ' | '∆' => "\\Delta ",
        'Θ' => "\\Theta ",
        'Λ' => "\\Lambda ",
        'Σ' => "\\Sigma ",
        'Φ' => "\\Phi ",
        'Ψ' => "\\Psi ",
        'Ω' => "\\Omega ",
        'ℏ' => "\\hbar ",
        'ℓ' => "\\ell ",
        'ℝ' => "R",
        'ℤ' => "Z",
        'ℕ' => "N",
        'ℚ' => "Q",
        '€' => "\\euro ",
        '£' => "\\pounds ",
        '％' => "\\%",
        _ => return None,
    })
}

/// Superscript and subscript characters: `(is superscript, plain character)`.
pub fn script(c: char) -> Option<(bool, char)> {
    const UP: &str = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿˣ";
    const UP_PLAIN: &[u8] = b"0123456789+-nx";
    const DOWN: &str = "₀₁₂₃₄₅₆₇₈₉₊₋ₙₓ";
    if let Some(k) = UP.chars().position(|u| u == c) {
        return Some((true, UP_PLAIN[k] as char));
    }
    DOWN.chars().position(|u| u == c).map(|k| (false, UP_PLAIN[k] as char))
}

//! Where the answer stands in a response.
//!
//! Every rule takes the *last* match, as the paper's reward does: a model may correct itself, and a model that rambles on
//! is judged by where its rambling ended. The one exception is Minerva's `I hope it is correct`, which ends a solution;
//! what follows it belongs to the next example of a few-shot prompt.
//!
//! Dropped: the paper's pattern counts at most three nested braces and is fooled by `\{`; here any depth balances and
//! escaped braces don't count. Its letter rule knows only a–d, so that no answer `e` could ever be right; ours goes on to j.

use crate::recipe::template::Extract;

/// The answer in a response, trimmed and never empty; none if the rule finds none.
pub fn extract(response: &str, rule: Extract) -> Option<&str> {
    let found = match rule {
        Extract::LastBoxed => last_boxed(response),
        Extract::LastAnswerIs => last_answer_number(response),
        Extract::Hashes => after_hashes(response),
        Extract::Minerva => hoped(response)
            .or_else(|| last_boxed(response))
            .or_else(|| last_answer_is(response))
            .or_else(|| last_number(response)),
        Extract::LastNumber => last_number(response),
        Extract::Letter => letter(response),
        Extract::FinalAnswer => marked(response),
    };
    found.map(str::trim).filter(|answer| !answer.is_empty())
}

/// What the last `\boxed{…}` or `\fbox{…}` holds. A box that is never closed is passed over; without braces, as in
/// `\boxed 5$`, the box holds the next word.
fn last_boxed(text: &str) -> Option<&str> {
    boxed(text, false)
}

/// The same; with `unclosed`, a box whose brace never closes holds the rest.
fn boxed(text: &str, unclosed: bool) -> Option<&str> {
    // A box that never closes swallows all that opens before it and doesn't close in front of it, so each byte is read once.
    let (mut end, mut wall) = (text.len(), text.len());
    while let Some(start) = text[..end].rfind('\\') {
        end = start;
        let name = ["\\boxed", "\\fbox"].into_iter().find(|name| text[start..].starts_with(name));
        let Some(name) = name else { continue };
        let rest = &text[start + name.len()..];
        let content = rest.trim_start();
        let held = match content.strip_prefix('{') {
            Some(inner) => match balanced(&inner[..inner.len() - (text.len() - wall)]) {
                Some(held) => Some(held),
                None => {
                    wall = start;
                    unclosed.then_some(inner)
                }
            },
            // `\boxedfoo` is another command, and `\boxed` at the very end holds nothing.
            None if rest.len() == content.len() => None,
            None => Some(&content[..content.find(|c: char| c.is_whitespace() || c == '$').unwrap_or(content.len())]),
        };
        if let Some(held) = held.filter(|held| !held.is_empty()) {
            return Some(held);
        }
    }
    None
}

/// The text up to the brace that closes an already opened one.
fn balanced(text: &str) -> Option<&str> {
    let mut depth = 1;
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(&text[..at]);
        }
    }
    None
}

/// `N` of the last `answer is N`, where `N` is a whole number and a word of its own (a full stop may touch it).
fn last_answer_number(text: &str) -> Option<&str> {
    let mut end = text.len();
    while let Some(start) = text[..end].rfind("answer is ") {
        end = start;
        if text[..start].ends_with(|c: char| !c.is_whitespace()) {
            continue;
        }
        let word = text[start + "answer is ".len()..].split_whitespace().next().unwrap_or("");
        let word = word.strip_suffix('.').unwrap_or(word);
        let digits = word.strip_prefix('-').unwrap_or(word);
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(word);
        }
    }
    None
}

/// The rest of the line after the last `####`.
fn after_hashes(text: &str) -> Option<&str> {
    let start = text.rfind("####")? + "####".len();
    unwrapped(text[start..].lines().next()?)
}

/// What stands between `final answer is` and the first `I hope`.
fn hoped(text: &str) -> Option<&str> {
    let end = text.find("I hope")?;
    let start = text[..end].rfind("final answer is")? + "final answer is".len();
    unwrapped(text[start..end].trim_start_matches(':'))
}

/// The rest of the sentence after the last `answer is`.
fn last_answer_is(text: &str) -> Option<&str> {
    let start = text.rfind("answer is")? + "answer is".len();
    let line = text[start..].trim_start_matches(':').trim_start().lines().next()?;
    let math = line.strip_prefix('$').and_then(|inner| Some(&line[..inner.find('$')? + 2]));
    let sentence = math.unwrap_or_else(|| &line[..line.find(". ").unwrap_or(line.len())]);
    unwrapped(sentence)
}

/// Longest response that is taken for an answer by itself, in bytes.
const SHORT: usize = 120;

/// The answer wherever people mark one. A box whose brace is missing still marks it here: the verdict is about a pair that
/// somebody brings, not about a policy that must learn to close its boxes.
fn marked(text: &str) -> Option<&str> {
    if let Some(held) = boxed(text, true) {
        return Some(held);
    }
    // Lower case has the same length, so places are the same.
    let lower = text.to_ascii_lowercase();
    for mark in ["answer is", "answer:"] {
        if let Some(at) = lower.rfind(mark) {
            return sentence(text[at + mark.len()..].trim_start_matches(['*', ':']).trim_start());
        }
    }
    if let Some(line) = after_hashes(text) {
        return Some(line);
    }
    let whole = text.trim();
    if whole.len() <= SHORT && !whole.contains('\n') { Some(whole) } else { last_fraction(text) }
}

/// The answer in a sentence that begins with it: the mathematics, if no more follows, else up to the full stop.
fn sentence(text: &str) -> Option<&str> {
    let line = text.lines().next()?;
    let mut dollars = false;
    let stop = line.char_indices().find(|&(at, c)| {
        dollars ^= c == '$';
        let after = &line[at + c.len_utf8()..];
        c == '.' && !dollars && (after.starts_with(' ') || after.starts_with("**"))
    });
    let sentence = &line[..stop.map_or(line.len(), |(at, _)| at)];
    let sentence = sentence.trim().trim_matches('*');
    let math = sentence.strip_prefix('$').and_then(|inner| Some(&sentence[..inner.find('$')? + 2]));
    unwrapped(math.filter(|math| math.len() > 2 && !sentence[math.len()..].contains('$')).unwrap_or(sentence))
}

/// The last number, with the number it divides: `-3/4`.
fn last_fraction(text: &str) -> Option<&str> {
    let below = last_number(text)?;
    let end = below.as_ptr() as usize - text.as_ptr() as usize + below.len();
    let above = text[..end - below.len()].strip_suffix('/').and_then(last_number);
    match above.filter(|above| text[..end - below.len() - 1].ends_with(above)) {
        Some(above) => Some(&text[end - below.len() - 1 - above.len()..end]),
        None => Some(below),
    }
}

/// Without a full stop at the end and without the dollars around the whole; none if nothing is left.
fn unwrapped(text: &str) -> Option<&str> {
    let text = text.trim();
    let text = text.strip_suffix('.').unwrap_or(text).trim();
    let inner = text.strip_prefix('$').and_then(|inner| inner.strip_suffix('$'));
    let text = inner.filter(|inner| !inner.contains('$')).unwrap_or(text).trim();
    (!text.is_empty()).then_some(text)
}

/// The last decimal number. Commas may group its digits; a minus sign belongs to it unless something is subtracted from.
fn last_number(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let end = (0..bytes.len()).rev().find(|&at| digit(at))? + 1;
    let mut start = end - 1;
    let mut dotted = false;
    while start > 0 {
        let three =
            end.min(bytes.len()) >= start + 3 && (0..3).all(|offset| digit(start + offset)) && !digit(start + 3);
        let fits = match bytes[start - 1] {
            b'0'..=b'9' => true,
            b'.' if !dotted && digit(start) => {
                dotted = true;
                true
            }
            b',' => start >= 2 && digit(start - 2) && digit(start) && three,
            _ => false,
        };
        if !fits {
            break;
        }
        start -= 1;
    }
    // After a space, a word (`is -3`) leaves the sign to the number; another number or a bracket subtracts.
    let minus = text[..start].strip_suffix('-').is_some_and(|before| match before.chars().next_back() {
        Some(' ') => before.trim_end().chars().next_back().is_none_or(|c| !c.is_numeric() && !")]}".contains(c)),
        last => last.is_none_or(|c| !c.is_alphanumeric() && !")]}".contains(c)),
    });
    Some(&text[start - usize::from(minus)..end])
}

/// A choice `A` to `J`: in the last box, after the last `answer is`, in the last parentheses, or as the last word.
fn letter(text: &str) -> Option<&str> {
    let boxed = last_boxed(text).and_then(as_choice);
    let stated = || last_answer_is(text).and_then(|answer| as_choice(answer.split_whitespace().next()?));
    let last_word = || {
        let word = text.split_whitespace().next_back()?.trim_end_matches(['.', ')', ':']);
        word.starts_with(|c: char| c.is_ascii_uppercase()).then_some(word).and_then(as_choice)
    };
    boxed.or_else(stated).or_else(|| in_parentheses(text)).or_else(last_word)
}

fn in_parentheses(text: &str) -> Option<&str> {
    let (mut end, mut close) = (text.len(), None);
    while let Some(start) = text[..end].rfind('(') {
        close = text[start..end].find(')').map(|at| start + at).or(close);
        if let Some(choice) = close.and_then(|close| as_choice(&text[start + 1..close])) {
            return Some(choice);
        }
        end = start;
    }
    None
}

/// The letter of `B`, `(b)`, `B.`, `$B$` or `\text{(B)}`; more than a few dozen bytes are no letter, however they are decorated.
fn as_choice(text: &str) -> Option<&str> {
    let mut text = text.trim();
    if text.len() > 64 {
        return None;
    }
    for wrapper in ["\\text{", "\\textbf{", "\\mathrm{", "\\mathbf{"] {
        text = text.strip_prefix(wrapper).and_then(|inner| inner.strip_suffix('}')).unwrap_or(text);
    }
    let text = text.trim_matches(|c: char| "$(). :*".contains(c));
    (text.len() == 1 && matches!(text.as_bytes()[0].to_ascii_uppercase(), b'A'..=b'J')).then_some(text)
}

#[cfg(test)]
#[path = "extract_tests.rs"]
mod tests;

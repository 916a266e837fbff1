//! The embedded typeface: Inter, cut down to Latin, Greek, punctuation and mathematical signs (`fonts/LICENSE-OFL.txt`).
//!
//! Embedded so that a picture is the same on every machine and text can be measured before it is placed. PNG files are drawn
//! with these outlines; HTML pages carry the same subset as a web font; SVG files name Inter first and fall back to the
//! reader's sans-serif.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, OutlineCurve};

/// For `font-family` in SVG and HTML.
pub const FAMILY: &str = "Inter, 'Helvetica Neue', Helvetica, Arial, sans-serif";

pub const REGULAR_WOFF2: &[u8] = include_bytes!("fonts/Inter-Regular.woff2");
pub const BOLD_WOFF2: &[u8] = include_bytes!("fonts/Inter-SemiBold.woff2");

static REGULAR: LazyLock<FontRef<'static>> = LazyLock::new(|| parse(include_bytes!("fonts/Inter-Regular.otf")));
static BOLD: LazyLock<FontRef<'static>> = LazyLock::new(|| parse(include_bytes!("fonts/Inter-SemiBold.otf")));

fn parse(bytes: &'static [u8]) -> FontRef<'static> {
    FontRef::try_from_slice(bytes).expect("the embedded font is sound")
}

/// The two weights figures use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    Regular,
    Bold,
}

fn face(weight: Weight) -> &'static FontRef<'static> {
    match weight {
        Weight::Regular => &REGULAR,
        Weight::Bold => &BOLD,
    }
}

/// Width of a line of text, `size` in pixels per em. Signs outside the subset count as the replacement glyph.
pub fn width(text: &str, size: f64, weight: Weight) -> f64 {
    let font = face(weight);
    let em = font.units_per_em().unwrap_or(1000.0);
    text.chars().map(|c| font.h_advance_unscaled(font.glyph_id(c)) as f64).sum::<f64>() * size / em as f64
}

/// Calls `draw` with each outline curve of a line of text whose baseline starts at the origin, y downward.
pub fn outlines(text: &str, size: f64, weight: Weight, mut draw: impl FnMut(OutlineCurve)) {
    let font = face(weight);
    let scale = size as f32 / font.units_per_em().unwrap_or(1000.0);
    let mut pen = 0.0f32;
    for c in text.chars() {
        let glyph = font.glyph_id(c);
        if let Some(outline) = font.outline(glyph) {
            let place = |p: ab_glyph::Point| ab_glyph::point(pen + p.x * scale, -p.y * scale);
            for curve in outline.curves {
                draw(match curve {
                    OutlineCurve::Line(a, b) => OutlineCurve::Line(place(a), place(b)),
                    OutlineCurve::Quad(a, b, c) => OutlineCurve::Quad(place(a), place(b), place(c)),
                    OutlineCurve::Cubic(a, b, c, d) => OutlineCurve::Cubic(place(a), place(b), place(c), place(d)),
                });
            }
        }
        pen += font.h_advance_unscaled(glyph) * scale;
    }
}

/// Breaks `text` at spaces into lines no wider than `limit`; at most `lines`, the last ends in an ellipsis if it must.
pub fn wrap(text: &str, size: f64, weight: Weight, limit: f64, lines: usize) -> Vec<String> {
    let mut done: Vec<String> = vec![];
    let mut line = String::new();
    for word in text.split_whitespace() {
        let longer = if line.is_empty() { word.to_string() } else { format!("{line} {word}") };
        if line.is_empty() || width(&longer, size, weight) <= limit {
            line = longer;
        } else {
            done.push(std::mem::replace(&mut line, word.to_string()));
        }
    }
    if !line.is_empty() {
        done.push(line);
    }
    let cut = done.len() > lines;
    done.truncate(lines);
    if let Some(last) = done.last_mut() {
        if cut {
            last.push('…');
        }
        *last = fit(last, size, weight, limit);
    }
    for line in &mut done {
        *line = fit(line, size, weight, limit);
    }
    done
}

/// `text`, or as much of its beginning as fits, with an ellipsis.
pub fn fit(text: &str, size: f64, weight: Weight, limit: f64) -> String {
    if width(text, size, weight) <= limit {
        return text.to_string();
    }
    let mut kept: String = text.trim_end_matches('…').to_string();
    while !kept.is_empty() && width(&format!("{kept}…"), size, weight) > limit {
        kept.pop();
    }
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subset_has_every_sign_that_figures_use() {
        let blank = REGULAR.glyph_id('\u{FFFD}');
        for c in "azAZ09 −±×·→≤≥≈…–—%&<>“”αβσ✓✗".chars() {
            for weight in [Weight::Regular, Weight::Bold] {
                let glyph = face(weight).glyph_id(c);
                assert!(glyph.0 != 0 && glyph != blank, "{c:?}");
            }
        }
    }

    #[test]
    fn wider_text_measures_wider_and_wrapped_text_fits() {
        assert!(width("mmm", 12.0, Weight::Regular) > width("iii", 12.0, Weight::Regular));
        assert!(width("abc", 12.0, Weight::Bold) > width("abc", 12.0, Weight::Regular));
        let text = "which mid-training data makes a base model good at reinforcement learning";
        let lines = wrap(text, 12.0, Weight::Regular, 120.0, 3);
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| width(line, 12.0, Weight::Regular) <= 120.0), "{lines:?}");
        assert!(lines[2].ends_with('…'));
        assert_eq!(wrap(text, 12.0, Weight::Regular, 1000.0, 3), [text]);
        assert_eq!(fit("unbreakableword", 12.0, Weight::Regular, 40.0).chars().last(), Some('…'));
    }
}

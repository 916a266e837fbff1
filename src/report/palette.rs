//! One colour per arm, in every figure of a report.
//!
//! The colours are Okabe and Ito's (2008), which stay apart for the common kinds of colour blindness; their yellow is
//! darkened, since thin lines on white are the rule here. The baseline is grey, as in the paper. Where arms are drawn in groups
//! ([`crate::report::facet`]), a colour names the same thing in each group, and shares of one source are shades of one colour.

use crate::report::ArmInput;
use crate::report::facet::{self, Split};

/// sRGB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Color(pub u8, pub u8, pub u8);

pub const INK: Color = Color(0x22, 0x26, 0x2B);
pub const MUTED: Color = Color(0x5F, 0x66, 0x6E);
pub const FAINT: Color = Color(0xA3, 0xA9, 0xB0);
pub const GRID: Color = Color(0xE8, 0xEA, 0xED);
pub const WHITE: Color = Color(255, 255, 255);
pub const BASELINE: Color = Color(0x77, 0x7B, 0x80);

const WHEEL: [Color; 8] = [
    Color(0x00, 0x72, 0xB2), // blue
    Color(0xD5, 0x5E, 0x00), // vermillion
    Color(0x00, 0x9E, 0x73), // bluish green
    Color(0xCC, 0x79, 0xA7), // reddish purple
    Color(0xE6, 0x9F, 0x00), // orange
    Color(0x56, 0xB4, 0xE9), // sky blue
    Color(0x33, 0x33, 0x33), // black
    Color(0xB5, 0xA6, 0x00), // yellow, darkened
];

/// Solid, long dashes, dash-dot: in pixels, alternately on and off.
const DASHES: [&[f64]; 3] = [&[], &[7.0, 3.5], &[7.0, 3.0, 1.5, 3.0]];

/// How an arm looks everywhere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    pub color: Color,
    pub dash: &'static [f64],
}

impl Color {
    pub fn hex(self) -> String {
        format!("#{:02X}{:02X}{:02X}", self.0, self.1, self.2)
    }

    /// The same hue, dark enough to be read as text on white (contrast of at least 4.5 : 1).
    pub fn ink(self) -> Color {
        let mut color = self;
        while color.contrast_on_white() < 4.5 {
            let darker = |c: u8| (c as f64 * 0.94) as u8;
            color = Color(darker(color.0), darker(color.1), darker(color.2));
        }
        color
    }

    /// The `rank`-th of `count` shades of this colour, from light to dark.
    fn shade(self, rank: usize, count: usize) -> Color {
        let t = if count > 1 { rank as f64 / (count - 1) as f64 } else { 0.5 };
        let (toward, by) = if t < 0.5 { (255.0, 0.52 * (1.0 - 2.0 * t)) } else { (0.0, 0.55 * (2.0 * t - 1.0)) };
        let mix = |c: u8| (c as f64 + (toward - c as f64) * by).round() as u8;
        Color(mix(self.0), mix(self.1), mix(self.2))
    }

    /// WCAG 2 contrast ratio against white.
    fn contrast_on_white(self) -> f64 {
        let linear = |c: u8| {
            let c = c as f64 / 255.0;
            if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        };
        1.05 / (0.2126 * linear(self.0) + 0.7152 * linear(self.1) + 0.0722 * linear(self.2) + 0.05)
    }
}

/// The n-th colour of the wheel, for things that are not arms (corpora).
pub fn wheel(index: usize) -> Color {
    WHEEL[index % WHEEL.len()]
}

/// The looks of all arms, in their order.
pub fn looks(arms: &[ArmInput]) -> Vec<Look> {
    let mut looks = vec![Look { color: BASELINE, dash: DASHES[0] }; arms.len()];
    let groups = facet::groups(arms);
    match facet::split(arms) {
        Split::Whole => {
            let coloured = arms.iter().zip(&mut looks).filter(|(arm, _)| !arm.baseline);
            for (next, (_, look)) in coloured.enumerate() {
                *look = Look { color: wheel(next), dash: DASHES[next / WHEEL.len() % DASHES.len()] };
            }
        }
        Split::Stem => {
            for (hue, (_, members)) in groups.iter().enumerate() {
                for (rank, arm) in members.iter().enumerate() {
                    looks[*arm].color = wheel(hue).shade(rank, members.len());
                }
            }
        }
        Split::Axis(axis) => {
            let rest = |arm: &ArmInput| -> Vec<(String, String)> {
                arm.levels.iter().filter(|(name, _)| name != axis).cloned().collect()
            };
            let grey: Vec<_> = arms.iter().filter(|arm| arm.baseline).map(rest).collect();
            let mut colours: Vec<Vec<(String, String)>> = vec![];
            for (rank, arm) in groups.iter().flat_map(|(_, members)| members.iter().enumerate()) {
                let rest = rest(&arms[*arm]);
                looks[*arm].color = if rest.is_empty() {
                    wheel(rank)
                } else if grey.contains(&rest) {
                    BASELINE
                } else {
                    wheel(position(&mut colours, rest))
                };
            }
        }
    }
    looks
}

fn position<T: PartialEq>(seen: &mut Vec<T>, item: T) -> usize {
    seen.iter().position(|known| *known == item).unwrap_or_else(|| {
        seen.push(item);
        seen.len() - 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arms(families: usize, corpora: usize) -> Vec<ArmInput> {
        let mut arms = vec![];
        for family in 0..families {
            for corpus in 0..corpora {
                let levels =
                    vec![("family".to_string(), format!("f{family}")), ("corpus".to_string(), format!("c{corpus}"))];
                arms.push(ArmInput { id: format!("{family}{corpus}"), levels, ..ArmInput::default() });
            }
        }
        arms
    }

    #[test]
    fn arms_that_are_drawn_together_look_different() {
        for (families, corpora) in [(1, 3), (2, 3), (2, 8), (3, 8), (1, 20)] {
            let arms = arms(families, corpora);
            let looks = looks(&arms);
            for (group, members) in facet::groups(&arms) {
                for (i, a) in members.iter().enumerate() {
                    let other = members[..i].iter().all(|b| looks[*a] != looks[*b]);
                    assert!(other, "{families} × {corpora}: {group}, arm {i}");
                }
            }
        }
    }

    #[test]
    fn arms_without_levels_are_told_apart_too() {
        let arms = ["a", "b", "c"].map(|id| ArmInput { id: id.into(), ..ArmInput::default() });
        let looks = looks(&arms);
        assert!(looks[0] != looks[1] && looks[1] != looks[2] && looks[0] != looks[2]);
    }

    #[test]
    fn a_colour_names_the_same_thing_in_every_group() {
        let looks = looks(&arms(2, 8));
        assert!((0..8).all(|i| looks[i] == looks[i + 8]));
    }

    #[test]
    fn shares_of_a_source_are_shades_of_its_colour() {
        let mut arms = vec![];
        for source in ["a", "b"] {
            for share in [10, 20, 30, 40] {
                let levels = vec![("qa".to_string(), format!("{source}-{share}"))];
                arms.push(ArmInput { id: format!("{source}{share}"), levels, ..ArmInput::default() });
            }
        }
        let looks = looks(&arms);
        let light = |look: &Look| look.color.0 as u32 + look.color.1 as u32 + look.color.2 as u32;
        assert!(looks[..4].windows(2).all(|w| light(&w[0]) > light(&w[1])));
        assert!(looks.iter().enumerate().all(|(i, a)| looks[..i].iter().all(|b| a != b)));
    }

    #[test]
    fn text_in_any_colour_can_be_read() {
        for color in WHEEL.into_iter().chain([INK, MUTED, BASELINE]) {
            assert!(color.ink().contrast_on_white() >= 4.5);
        }
        assert_eq!(INK.ink(), INK);
    }
}

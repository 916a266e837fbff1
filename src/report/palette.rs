//! One colour per arm, in every figure of a report.
//!
//! The colours are Okabe and Ito's (2008), which stay apart for the common kinds of colour blindness; their yellow is
//! darkened, since thin lines on white are the rule here. The baseline is grey, as in the paper. With more arms than colours,
//! the axis with the fewest levels (usually the family) moves from colour to line style, so that a colour then names the
//! data and the dash names the family.

use crate::report::ArmInput;

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
    let style_axis = style_axis(arms);
    let mut colours: Vec<Vec<&str>> = vec![];
    let mut styles: Vec<&str> = vec![];
    arms.iter()
        .map(|arm| {
            let style = style_axis.and_then(|axis| arm.level(axis)).unwrap_or_default();
            // Without a style axis every arm has its own colour; with one, arms that differ in it alone share theirs.
            let key: Vec<&str> = match style_axis {
                None => vec![&arm.id],
                Some(axis) => {
                    arm.levels.iter().filter(|(name, _)| name != axis).map(|(_, level)| level.as_str()).collect()
                }
            };
            let dash = position(&mut styles, style);
            if arm.baseline {
                return Look { color: BASELINE, dash: DASHES[dash % DASHES.len()] };
            }
            let index = position(&mut colours, key);
            Look { color: wheel(index), dash: DASHES[(dash + index / WHEEL.len()) % DASHES.len()] }
        })
        .collect()
}

/// The axis shown by line style: none while there are enough colours, else the one with the fewest levels (2 or 3).
fn style_axis(arms: &[ArmInput]) -> Option<&str> {
    let coloured = arms.iter().filter(|arm| !arm.baseline).count();
    if coloured <= WHEEL.len() {
        return None;
    }
    let mut axes: Vec<(&str, Vec<&str>)> = vec![];
    for (axis, level) in arms.iter().flat_map(|arm| &arm.levels) {
        match axes.iter_mut().find(|(name, _)| name == axis) {
            Some((_, levels)) => {
                if !levels.contains(&level.as_str()) {
                    levels.push(level);
                }
            }
            None => axes.push((axis, vec![level])),
        }
    }
    let few = axes.iter().filter(|(_, levels)| (2..=DASHES.len()).contains(&levels.len()));
    few.min_by_key(|(_, levels)| levels.len()).map(|(axis, _)| *axis)
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
    fn every_arm_looks_different() {
        for (families, corpora) in [(1, 3), (2, 3), (2, 8), (3, 8), (1, 20)] {
            let looks = looks(&arms(families, corpora));
            for (i, a) in looks.iter().enumerate() {
                assert!(looks[..i].iter().all(|b| a != b), "{families} × {corpora}: arm {i}");
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
    fn with_many_arms_colour_is_the_data_and_dash_the_family() {
        let looks = looks(&arms(2, 8));
        assert_eq!(looks[0].color, looks[8].color);
        assert!(looks[0].dash.is_empty() && !looks[8].dash.is_empty());
    }

    #[test]
    fn text_in_any_colour_can_be_read() {
        for color in WHEEL.into_iter().chain([INK, MUTED, BASELINE]) {
            assert!(color.ink().contrast_on_white() >= 4.5);
        }
        assert_eq!(INK.ink(), INK);
    }
}

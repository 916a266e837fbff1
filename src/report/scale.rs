//! From values to pixels, and numbers as people read them.

/// A linear axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    pub from: [f64; 2],
    pub to: [f64; 2],
}

impl Scale {
    /// What lies far outside stays near: nobody draws to infinity.
    pub fn at(&self, value: f64) -> f64 {
        let share = (value - self.from[0]) / (self.from[1] - self.from[0]);
        let share = if share.is_nan() { 0.0 } else { share.clamp(-9.0, 10.0) };
        self.to[0] + share * (self.to[1] - self.to[0])
    }
}

/// A range that holds all `values`, widened to round numbers, with about `count` ticks. Without values: 0 to 1.
pub fn nice(values: impl IntoIterator<Item = f64>, count: usize) -> ([f64; 2], Vec<f64>) {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values.into_iter().filter(|v| v.is_finite()) {
        (low, high) = (low.min(value), high.max(value));
    }
    if low > high {
        (low, high) = (0.0, 1.0);
    }
    if high - low < 1e-9 * high.abs().max(1e-3) {
        let pad = if high == 0.0 { 1.0 } else { high.abs() * 0.1 };
        (low, high) = (if low >= 0.0 { (low - pad).max(0.0) } else { low - pad }, high + pad);
    }
    let step = round_step((high - low) / count.max(1) as f64);
    let first = (low / step + 1e-9).floor();
    let last = (high / step - 1e-9).ceil();
    // Counting in whole steps keeps 0.30000000000000004 out of labels.
    let ticks: Vec<f64> = (first as i64..=last as i64).map(|i| i as f64 * step).collect();
    ([first * step, last * step], ticks)
}

/// As [`nice`], but the range ends a little beyond the values where the next tick lies far beyond them; ticks outside are
/// dropped.
pub fn snug(values: impl IntoIterator<Item = f64>, count: usize) -> ([f64; 2], Vec<f64>) {
    let values: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
    let (range, ticks) = nice(values.iter().copied(), count);
    let (low, high) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    if low >= high {
        return (range, ticks);
    }
    let pad = 0.05 * (high - low);
    let range = [
        if low < range[0] + pad { range[0] } else { low - pad },
        if high > range[1] - pad { range[1] } else { high + pad },
    ];
    let inside = |t: &f64| (range[0] - 1e-9..=range[1] + 1e-9).contains(t);
    let kept: Vec<f64> = ticks.into_iter().filter(inside).collect();
    (range, kept)
}

/// 1, 2 or 5 times a power of ten, at least `raw`.
fn round_step(raw: f64) -> f64 {
    let power = 10f64.powf(raw.log10().floor());
    let lead = raw / power;
    let lead = if lead <= 1.0 + 1e-9 {
        1.0
    } else if lead <= 2.0 + 1e-9 {
        2.0
    } else if lead <= 5.0 + 1e-9 {
        5.0
    } else {
        10.0
    };
    lead * power
}

/// Decimals that tell neighbouring ticks apart.
pub fn tick_decimals(ticks: &[f64]) -> usize {
    let step = ticks.windows(2).map(|t| t[1] - t[0]).fold(f64::INFINITY, f64::min);
    if !step.is_finite() || step <= 0.0 { 0 } else { (-(step.log10() + 1e-9).floor()).clamp(0.0, 6.0) as usize }
}

/// With a real minus sign, and no minus zero.
pub fn fixed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(digits) if digits.chars().all(|c| c == '0' || c == '.') => digits.to_string(),
        Some(digits) => format!("−{digits}"),
        None => text,
    }
}

/// With its sign, for differences.
pub fn signed(value: f64, decimals: usize) -> String {
    let text = fixed(value, decimals);
    if value > 0.0 && text.chars().any(|c| ('1'..='9').contains(&c)) { format!("+{text}") } else { text }
}

/// 2,000,000 as `2M`, 20,000,000,000 as `20B`: at most three digits.
pub fn amount(value: f64) -> String {
    for (unit, name) in [(1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")] {
        if value >= unit * 0.9995 {
            let scaled = value / unit;
            let decimals = if scaled >= 99.95 {
                0
            } else if scaled >= 9.995 {
                1
            } else {
                2
            };
            let text = format!("{scaled:.decimals$}");
            let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
            return format!("{text}{name}");
        }
    }
    format!("{value:.0}")
}

/// Moves label centres apart to at least `gap`, within `low..=high`, staying as near as possible to where they belong.
/// Keeps the order of `wanted`'s values; returns positions in the order given.
pub fn spread(wanted: &[f64], gap: f64, low: f64, high: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]).then(a.cmp(&b)));
    let room = (high - low).max(0.0);
    let gap = if wanted.len() > 1 { gap.min(room / (wanted.len() - 1) as f64) } else { gap };
    // Pool neighbours that collide into blocks, each placed at the mean of what its members want.
    struct Block {
        members: usize,
        centre: f64,
    }
    let mut blocks: Vec<Block> = vec![];
    for &index in &order {
        let centre = wanted[index].clamp(low, high.max(low));
        blocks.push(Block { members: 1, centre });
        while blocks.len() > 1 {
            let [a, b] = &blocks[blocks.len() - 2..] else { break };
            let reach = |block: &Block| (block.members - 1) as f64 * gap / 2.0;
            if b.centre - reach(b) - (a.centre + reach(a)) >= gap - 1e-9 {
                break;
            }
            let members = a.members + b.members;
            let centre = (a.centre * a.members as f64 + b.centre * b.members as f64) / members as f64;
            let reach = (members - 1) as f64 * gap / 2.0;
            let centre = centre.clamp(low + reach, (high - reach).max(low + reach));
            blocks.truncate(blocks.len() - 2);
            blocks.push(Block { members, centre });
        }
    }
    let mut placed = vec![0.0; wanted.len()];
    let mut next = order.into_iter();
    for block in blocks {
        let start = block.centre - (block.members - 1) as f64 * gap / 2.0;
        for member in 0..block.members {
            if let Some(index) = next.next() {
                placed[index] = start + member as f64 * gap;
            }
        }
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_hold_every_value() {
        for (values, expected) in [
            (vec![0.0, 1.0], vec![0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]),
            (vec![3.0, 97.0], vec![0.0, 20.0, 40.0, 60.0, 80.0, 100.0]),
            (vec![-0.03, 0.11], vec![-0.05, 0.0, 0.05, 0.1, 0.15000000000000002]),
        ] {
            let (range, ticks) = nice(values.iter().copied(), 5);
            assert_eq!(ticks, expected);
            assert!(values.iter().all(|v| (range[0]..=range[1]).contains(v)));
        }
        for odd in [vec![], vec![0.0], vec![5.0, 5.0], vec![f64::NAN], vec![-2.0]] {
            let (range, ticks) = nice(odd.iter().copied(), 4);
            assert!(range[0] < range[1] && ticks.len() > 1, "{odd:?}: {range:?}");
        }
    }

    #[test]
    fn whatever_the_range_places_are_near() {
        for from in [[0.0, 1.0], [0.0, 0.0], [-1e308, 1e308], [f64::NAN, 1.0], [0.0, f64::INFINITY]] {
            let scale = Scale { from, to: [10.0, 20.0] };
            for value in [0.0, 0.5, 1e308, -1e308, f64::NAN, f64::INFINITY] {
                assert!((-80.0..=110.0).contains(&scale.at(value)), "{value} in {from:?}: {}", scale.at(value));
            }
        }
        assert_eq!(Scale { from: [0.0, 4.0], to: [10.0, 20.0] }.at(1.0), 12.5);
    }

    #[test]
    fn a_snug_range_wastes_little_and_drops_no_value() {
        let (range, ticks) = snug([0.0, 105.0], 3);
        assert_eq!((range, ticks), ([0.0, 110.25], vec![0.0, 50.0, 100.0]));
        let (range, _) = snug([-0.01, 0.35], 4);
        assert!(range[0] > -0.04 && range[0] < -0.01 && range[1] < 0.41, "{range:?}");
        assert_eq!(snug([], 4).0, [0.0, 1.0]);
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!((fixed(-0.04, 1), fixed(-0.06, 1), fixed(3.0, 0)), ("0.0".into(), "−0.1".into(), "3".into()));
        assert_eq!((signed(0.2, 1), signed(-0.2, 1), signed(0.01, 1)), ("+0.2".into(), "−0.2".into(), "0.0".into()));
        let amounts = [2e6, 2e10, 999.0, 1500.0, 999_999.0, 1.25e9, 123_456.0].map(amount);
        assert_eq!(amounts, ["2M", "20B", "999", "1.5k", "1M", "1.25B", "123k"]);
    }

    #[test]
    fn labels_never_overlap_and_stay_in_their_room() {
        let wanted = [50.0, 50.0, 51.0, 10.0, 99.0, 98.0];
        let placed = spread(&wanted, 12.0, 0.0, 100.0);
        let mut sorted = placed.clone();
        sorted.sort_by(f64::total_cmp);
        assert!(sorted.windows(2).all(|p| p[1] - p[0] > 11.999), "{placed:?}");
        assert!(sorted[0] >= 0.0 && sorted[5] <= 100.001);
        assert_eq!(placed[3], 10.0);
        assert!(placed[5] < placed[4], "order follows the values");
        assert_eq!(spread(&[5.0; 30], 12.0, 0.0, 100.0).len(), 30);
    }
}

//! How long something takes, in words.

/// `1 h 5 min`, `2 min 3 s`, `4.2 s`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        3600..172_800 => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
        172_800..63_072_000 => format!("{:.1} days", seconds / 86_400.0),
        _ => format!("{:.0} years", seconds / 31_536_000.0),
    }
}

//! Student's t distribution: the two functions the intervals need.
//!
//! The cumulative distribution is the regularised incomplete beta function by its continued fraction (modified Lentz), the
//! quantile is found by bisection on it. Slow by the standards of a statistics library and exact to about 1e-12, which is
//! enough: a report asks for some hundred quantiles. No crate is pulled in for sixty lines.

/// P(T ≤ `t`) for `df` degrees of freedom (> 0).
pub fn cdf(t: f64, df: f64) -> f64 {
    let tail = 0.5 * incomplete_beta(df / 2.0, 0.5, df / (df + t * t));
    if t > 0.0 { 1.0 - tail } else { tail }
}

/// The `p`-quantile, `0 < p < 1`.
pub fn quantile(p: f64, df: f64) -> f64 {
    assert!(p > 0.0 && p < 1.0, "a quantile needs 0 < p < 1, not {p}");
    if p < 0.5 {
        return -quantile(1.0 - p, df);
    }
    let (mut low, mut high) = (0.0, 1.0);
    while cdf(high, df) < p {
        high *= 2.0;
    }
    while high - low > 1e-13 * high {
        let middle = 0.5 * (low + high);
        if middle == low || middle == high {
            break;
        }
        if cdf(middle, df) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// Two-sided p-value of a t statistic.
pub fn two_sided(t: f64, df: f64) -> f64 {
    incomplete_beta(df / 2.0, 0.5, df / (df + t * t))
}

fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp();
    // The fraction converges fast on this side of the mean only; the other side is its mirror image.
    if x < (a + 1.0) / (a + b + 2.0) {
        front * fraction(a, b, x) / a
    } else {
        1.0 - front * fraction(b, a, 1.0 - x) / b
    }
}

fn fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let mut value = d;
    for m in 1..500 {
        let m = m as f64;
        for numerator in [
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0)),
        ] {
            d = 1.0 / away(1.0 + numerator * d);
            c = away(1.0 + numerator / c);
            value *= c * d;
        }
        if (c * d - 1.0).abs() < 1e-15 {
            break;
        }
    }
    value
}

/// ln Γ(x) for x > 0: Stirling's series after shifting x above 15, where seven terms are exact to rounding.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut shift) = (x, 0.0);
    while x < 15.0 {
        shift += x.ln();
        x += 1.0;
    }
    let inverse = 1.0 / (x * x);
    let series = (1.0 / 12.0
        + inverse * (-1.0 / 360.0 + inverse * (1.0 / 1260.0 + inverse * (-1.0 / 1680.0 + inverse * (1.0 / 1188.0)))))
        / x;
    (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series - shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_match_the_printed_tables() {
        // Columns 0.975 and 0.8 of any table of Student's t.
        let table = [
            (1.0, 0.975, 12.706),
            (2.0, 0.975, 4.303),
            (4.0, 0.975, 2.776),
            (9.0, 0.975, 2.262),
            (30.0, 0.975, 2.042),
            (4.0, 0.95, 2.132),
            (1.0, 0.8, 1.376),
            (9.0, 0.8, 0.883),
        ];
        for (df, p, expected) in table {
            assert!((quantile(p, df) - expected).abs() < 6e-4, "df {df}, p {p}: {}", quantile(p, df));
        }
        assert!((quantile(0.975, 1e4) - 1.959964).abs() < 1e-3);
    }

    #[test]
    fn the_closed_forms_hold() {
        // One degree of freedom is the Cauchy distribution, two have an algebraic one.
        for t in [-7.0, -1.0, -0.1, 0.0, 0.3, 2.0, 40.0f64] {
            let cauchy = 0.5 + t.atan() / std::f64::consts::PI;
            let two = 0.5 + t / (2.0 * (2.0 + t * t).sqrt());
            assert!((cdf(t, 1.0) - cauchy).abs() < 1e-12, "{t}");
            assert!((cdf(t, 2.0) - two).abs() < 1e-12, "{t}");
            assert!((two_sided(t, 2.0) - 2.0 * (1.0 - cdf(t.abs(), 2.0))).abs() < 1e-12);
        }
        assert!((ln_gamma(0.5) - std::f64::consts::PI.sqrt().ln()).abs() < 1e-12);
        assert!((ln_gamma(10.0) - 362_880f64.ln()).abs() < 1e-12);
    }
}

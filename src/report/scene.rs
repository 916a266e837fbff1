//! A picture as a list of shapes: one drawing, written as SVG here and as PNG by [`crate::report::png`].
//!
//! Coordinates are CSS pixels, y downward. Every shape may say which arm it shows and what it is ([`Role`]); PNG ignores
//! that, SVG turns it into classes and data attributes that the report's page uses to hide arms, smooth curves and show values.
//! Deliberately few shapes and no transforms, clips or gradients, so that the two writers cannot come to differ.

use std::fmt::Write;

use crate::report::font::{self, Weight};
use crate::report::palette::Color;

#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// An open line with round joins.
    Line { points: Vec<(f64, f64)>, color: Color, width: f64, dash: &'static [f64], opacity: f64 },
    /// A filled polygon.
    Area { points: Vec<(f64, f64)>, fill: Color, opacity: f64 },
    Circle {
        x: f64,
        y: f64,
        r: f64,
        fill: Color,
        /// Outline colour and width.
        stroke: Option<(Color, f64)>,
        opacity: f64,
    },
    Text {
        x: f64,
        /// Of the baseline.
        y: f64,
        text: String,
        size: f64,
        weight: Weight,
        color: Color,
        anchor: Anchor,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

/// What a shape is, for the page's script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// Axes, grids, titles.
    #[default]
    Chrome,
    /// A curve that may be smoothed.
    Curve,
    /// Its band over seeds: the upper edge forward, the lower edge back.
    Band,
    /// Anything else of one arm: base lines, dots, labels.
    Mark,
    /// A number along the x axis of curves.
    Tick,
    /// What that axis shows.
    AxisName,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    pub shape: Shape,
    pub role: Role,
    /// Index of the arm.
    pub series: Option<usize>,
    /// Panel in whose coordinates a curve runs.
    pub panel: Option<usize>,
    /// Shown when the pointer rests on the shape.
    pub tip: Option<String>,
}

/// Where a panel lies and what its axes mean, so that the page can tell values from pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct PanelMap {
    /// Left, top, right, bottom.
    pub frame: [f64; 4],
    /// x and y at the left, right, bottom and top edges.
    pub x: [f64; 2],
    pub y: [f64; 2],
    pub title: String,
    /// Of the x axis.
    pub step: String,
    pub unit: &'static str,
    pub decimals: usize,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scene {
    pub width: f64,
    pub height: f64,
    pub items: Vec<Item>,
    pub panels: Vec<PanelMap>,
}

impl Scene {
    pub fn new(width: f64, height: f64) -> Scene {
        Scene { width, height, ..Scene::default() }
    }

    pub fn add(&mut self, shape: Shape) -> &mut Item {
        self.items.push(Item { shape, role: Role::Chrome, series: None, panel: None, tip: None });
        self.items.last_mut().expect("just pushed")
    }

    /// A shape of one arm.
    pub fn mark(&mut self, series: usize, shape: Shape) -> &mut Item {
        let item = self.add(shape);
        (item.role, item.series) = (Role::Mark, Some(series));
        item
    }

    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), color: Color, width: f64) {
        self.add(Shape::Line { points: vec![from, to], color, width, dash: &[], opacity: 1.0 });
    }

    pub fn text(&mut self, x: f64, y: f64, text: impl Into<String>, style: TextStyle) -> &mut Item {
        self.add(style.at(x, y, text))
    }
}

/// How a piece of text looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TextStyle {
    pub size: f64,
    pub weight: Weight,
    pub color: Color,
    pub anchor: Anchor,
}

impl TextStyle {
    pub fn at(self, x: f64, y: f64, text: impl Into<String>) -> Shape {
        let TextStyle { size, weight, color, anchor } = self;
        Shape::Text { x, y, text: text.into(), size, weight, color, anchor }
    }

    pub fn bold(self) -> TextStyle {
        TextStyle { weight: Weight::Bold, ..self }
    }

    pub fn color(self, color: Color) -> TextStyle {
        TextStyle { color, ..self }
    }

    pub fn anchor(self, anchor: Anchor) -> TextStyle {
        TextStyle { anchor, ..self }
    }

    pub fn width(self, text: &str) -> f64 {
        font::width(text, self.size, self.weight)
    }
}

/// Text of the given size in the colour, starting at x.
pub fn style(size: f64, color: Color) -> TextStyle {
    TextStyle { size, weight: Weight::Regular, color, anchor: Anchor::Start }
}

impl Item {
    pub fn tip(&mut self, tip: impl Into<String>) -> &mut Item {
        self.tip = Some(tip.into());
        self
    }
}

/// The picture as a standalone SVG document; `title` is read out by screen readers.
pub fn svg(scene: &Scene, title: &str) -> String {
    let mut out = String::new();
    let (w, h) = (number(scene.width), number(scene.height));
    let title = escape(title);
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" role=\"img\" \
         aria-label=\"{title}\" font-family=\"{}\">",
        font::FAMILY
    );
    let _ = writeln!(out, "<rect width=\"{w}\" height=\"{h}\" fill=\"#FFFFFF\"/>");
    for item in &scene.items {
        write_item(&mut out, item);
        out.push('\n');
    }
    for panel in &scene.panels {
        let [left, top, right, bottom] = panel.frame;
        let map = [panel.x, panel.y].concat().iter().map(f64::to_string).collect::<Vec<_>>().join(" ");
        let _ = writeln!(
            out,
            "<rect class=\"panel\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"none\" pointer-events=\"all\" \
             data-map=\"{map}\" data-title=\"{}\" data-step=\"{}\" data-unit=\"{}\" data-decimals=\"{}\"/>",
            number(left),
            number(top),
            number(right - left),
            number(bottom - top),
            escape(&panel.title),
            escape(&panel.step),
            panel.unit,
            panel.decimals,
        );
    }
    out.push_str("</svg>\n");
    out
}

fn write_item(out: &mut String, item: &Item) {
    let mut attributes = String::new();
    if let Some(series) = item.series {
        let class = match item.role {
            Role::Curve => "arm curve",
            Role::Band => "arm band",
            _ => "arm",
        };
        let _ = write!(attributes, " class=\"{class}\" data-arm=\"{series}\"");
    }
    match item.role {
        Role::Tick => attributes.push_str(" class=\"tick\""),
        Role::AxisName => attributes.push_str(" class=\"axis-name\""),
        _ => {}
    }
    if let Some(panel) = item.panel {
        let _ = write!(attributes, " data-panel=\"{panel}\"");
    }
    let (name, text) = match &item.shape {
        Shape::Line { points, color, width, dash, opacity } => {
            let _ = write!(attributes, " points=\"{}\" fill=\"none\" stroke=\"{}\"", join(points), color.hex());
            let _ = write!(attributes, " stroke-width=\"{}\" stroke-linejoin=\"round\"", number(*width));
            if dash.is_empty() && points.len() > 2 {
                attributes.push_str(" stroke-linecap=\"round\"");
            }
            if !dash.is_empty() {
                let dashes: Vec<String> = dash.iter().map(|d| number(*d)).collect();
                let _ = write!(attributes, " stroke-dasharray=\"{}\"", dashes.join(" "));
            }
            if *opacity < 1.0 {
                let _ = write!(attributes, " stroke-opacity=\"{}\"", number(*opacity));
            }
            ("polyline", None)
        }
        Shape::Area { points, fill, opacity } => {
            let _ = write!(attributes, " points=\"{}\" fill=\"{}\"", join(points), fill.hex());
            if *opacity < 1.0 {
                let _ = write!(attributes, " fill-opacity=\"{}\"", number(*opacity));
            }
            ("polygon", None)
        }
        Shape::Circle { x, y, r, fill, stroke, opacity } => {
            let _ = write!(attributes, " cx=\"{}\" cy=\"{}\" r=\"{}\"", number(*x), number(*y), number(*r));
            let _ = write!(attributes, " fill=\"{}\"", fill.hex());
            if let Some((color, width)) = stroke {
                let _ = write!(attributes, " stroke=\"{}\" stroke-width=\"{}\"", color.hex(), number(*width));
            }
            if *opacity < 1.0 {
                let _ = write!(attributes, " opacity=\"{}\"", number(*opacity));
            }
            ("circle", None)
        }
        Shape::Text { x, y, text, size, weight, color, anchor } => {
            let _ = write!(attributes, " x=\"{}\" y=\"{}\" font-size=\"{}\"", number(*x), number(*y), number(*size));
            if *weight == Weight::Bold {
                attributes.push_str(" font-weight=\"600\"");
            }
            match anchor {
                Anchor::Start => {}
                Anchor::Middle => attributes.push_str(" text-anchor=\"middle\""),
                Anchor::End => attributes.push_str(" text-anchor=\"end\""),
            }
            let _ = write!(attributes, " fill=\"{}\"", color.hex());
            ("text", Some(escape(text)))
        }
    };
    let _ = write!(out, "<{name}{attributes}");
    if item.tip.is_none() && text.is_none() {
        out.push_str("/>");
        return;
    }
    out.push('>');
    if let Some(tip) = &item.tip {
        let _ = write!(out, "<title>{}</title>", escape(tip));
    }
    let _ = write!(out, "{}</{name}>", text.unwrap_or_default());
}

fn join(points: &[(f64, f64)]) -> String {
    points.iter().map(|(x, y)| format!("{},{}", number(*x), number(*y))).collect::<Vec<_>>().join(" ")
}

/// Two decimals at most, no trailing zeros, no negative zero.
pub fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_string() } else { text.to_string() }
}

/// For text and attributes of SVG and HTML. Control characters, which XML forbids, become spaces.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::palette::INK;

    #[test]
    fn names_are_text_never_markup() {
        let mut scene = Scene::new(10.0, 10.0);
        scene.text(1.0, 2.0, "<script>alert('&')</script>", style(10.0, INK)).tip("\"><b>");
        let text = svg(&scene, "a \"quoted\" <title>");
        assert!(!text.contains("<script") && !text.contains("<b>"));
        assert!(text.contains("&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;</text>"));
        assert!(text.contains("aria-label=\"a &quot;quoted&quot; &lt;title&gt;\""));
        assert_eq!(escape("a\u{0}b\nc"), "a b c");
    }

    #[test]
    fn numbers_are_short() {
        let cases = [(1.0, "1"), (0.5, "0.5"), (-0.001, "0"), (-2.375, "-2.38"), (100.0, "100"), (1200.0, "1200")];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }
}

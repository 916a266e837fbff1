//! A scene as a one-page PDF, for papers: the third writer of the same shapes, built with the feature `pdf`.
//!
//! Text is drawn as the outlines that PNG files are made of, so the page needs no font and looks the same in every viewer;
//! the price is that it can be neither selected nor searched. Nothing is dated or numbered at random: a figure has one
//! sequence of bytes. Converting the SVG was tried on paper and left: it brings a text shaper to place what is placed already.

use std::collections::BTreeSet;

use ab_glyph::OutlineCurve;
use pdf_writer::types::{LineCapStyle, LineJoinStyle};
use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref};

use crate::report::font;
use crate::report::palette::Color;
use crate::report::scene::{Anchor, Scene, Shape};

/// Points in a CSS pixel.
const POINT: f64 = 0.75;
/// A quarter circle is a cubic curve with its control points this far out, to within 0.03% of the radius.
const KAPPA: f64 = 0.552_284_75;

/// The bytes of the PDF file.
pub fn bytes(scene: &Scene) -> Vec<u8> {
    let [catalog, pages, page, content] = [1, 2, 3, 4].map(Ref::new);
    let mut pdf = Pdf::new();
    pdf.catalog(catalog).pages(pages);
    pdf.pages(pages).kids([page]).count(1);
    let mut sheet = pdf.page(page);
    sheet.parent(pages).contents(content);
    sheet.media_box(Rect::new(0.0, 0.0, (scene.width * POINT) as f32, (scene.height * POINT) as f32));
    let mut resources = sheet.resources();
    let mut states = resources.ext_g_states();
    for percent in scene.items.iter().map(|item| percent(opacity(&item.shape))).collect::<BTreeSet<u8>>() {
        let alpha = f32::from(percent) / 100.0;
        let mut state = states.insert(Name(state(percent).as_bytes())).start::<pdf_writer::writers::ExtGraphicsState>();
        state.stroking_alpha(alpha).non_stroking_alpha(alpha);
    }
    states.finish();
    resources.finish();
    sheet.finish();

    let mut page = Page { content: Content::new(), height: scene.height };
    page.content.set_line_join(LineJoinStyle::RoundJoin);
    for item in &scene.items {
        page.content.set_parameters(Name(state(percent(opacity(&item.shape))).as_bytes()));
        page.shape(&item.shape);
    }
    pdf.stream(content, &page.content.finish());
    pdf.finish()
}

/// The name of a graphics state with this opacity.
fn state(percent: u8) -> String {
    format!("A{percent}")
}

fn percent(opacity: f64) -> u8 {
    (opacity * 100.0).round() as u8
}

fn opacity(shape: &Shape) -> f64 {
    match shape {
        Shape::Line { opacity, .. } | Shape::Area { opacity, .. } | Shape::Circle { opacity, .. } => *opacity,
        Shape::Text { .. } => 1.0,
    }
}

struct Page {
    content: Content,
    height: f64,
}

impl Page {
    fn shape(&mut self, shape: &Shape) {
        match shape {
            Shape::Line { points, color, width, dash, .. } => {
                let round = dash.is_empty() && points.len() > 2;
                self.content.set_line_cap(if round { LineCapStyle::RoundCap } else { LineCapStyle::ButtCap });
                self.content.set_line_width((width * POINT) as f32);
                self.content.set_dash_pattern(dash.iter().map(|length| (length * POINT) as f32), 0.0);
                self.stroke_color(*color);
                self.path(points);
                self.content.stroke();
            }
            Shape::Area { points, fill, .. } => {
                self.fill_color(*fill);
                self.path(points);
                self.content.close_path().fill_nonzero();
            }
            Shape::Circle { x, y, r, fill, stroke, .. } => {
                self.fill_color(*fill);
                self.circle(*x, *y, *r);
                match stroke {
                    None => self.content.fill_nonzero(),
                    Some((color, width)) => {
                        self.stroke_color(*color);
                        self.content.set_line_width((width * POINT) as f32);
                        self.content.set_dash_pattern([], 0.0);
                        self.content.fill_nonzero_and_stroke()
                    }
                };
            }
            Shape::Text { x, y, text, size, weight, color, anchor } => {
                let width = font::width(text, *size, *weight);
                let left = match anchor {
                    Anchor::Start => *x,
                    Anchor::Middle => x - width / 2.0,
                    Anchor::End => x - width,
                };
                self.fill_color(*color);
                let mut pen = None;
                font::outlines(text, *size, *weight, |curve| {
                    let at = |p: ab_glyph::Point| (left + f64::from(p.x), y + f64::from(p.y));
                    self.curve(curve, &mut pen, at);
                });
                if pen.is_some() {
                    self.content.fill_nonzero();
                }
            }
        }
    }

    /// One piece of an outline. A piece that does not begin where the one before ended begins a new contour.
    fn curve(
        &mut self,
        curve: OutlineCurve,
        pen: &mut Option<ab_glyph::Point>,
        at: impl Fn(ab_glyph::Point) -> (f64, f64),
    ) {
        let (from, to) = match curve {
            OutlineCurve::Line(a, b) => (a, b),
            OutlineCurve::Quad(a, _, c) => (a, c),
            OutlineCurve::Cubic(a, _, _, d) => (a, d),
        };
        if *pen != Some(from) {
            let [x, y] = self.place(at(from));
            self.content.move_to(x, y);
        }
        *pen = Some(to);
        let end = self.place(at(to));
        // A quadratic curve is the cubic whose control points lie two thirds of the way to its own.
        let toward = |a: ab_glyph::Point, b: ab_glyph::Point| {
            ab_glyph::point(a.x + (b.x - a.x) * 2.0 / 3.0, a.y + (b.y - a.y) * 2.0 / 3.0)
        };
        let controls = match curve {
            OutlineCurve::Line(..) => None,
            OutlineCurve::Quad(a, b, c) => Some((toward(a, b), toward(c, b))),
            OutlineCurve::Cubic(_, b, c, _) => Some((b, c)),
        };
        match controls {
            None => self.content.line_to(end[0], end[1]),
            Some((b, c)) => {
                let ([bx, by], [cx, cy]) = (self.place(at(b)), self.place(at(c)));
                self.content.cubic_to(bx, by, cx, cy, end[0], end[1])
            }
        };
    }

    fn path(&mut self, points: &[(f64, f64)]) {
        for (index, point) in points.iter().enumerate() {
            let [x, y] = self.place(*point);
            if index == 0 {
                self.content.move_to(x, y)
            } else {
                self.content.line_to(x, y)
            };
        }
    }

    fn circle(&mut self, x: f64, y: f64, r: f64) {
        let at = |angle: f64, out: f64| {
            let (sin, cos) = (angle.to_radians().sin(), angle.to_radians().cos());
            (x + r * (cos - out * sin), y + r * (sin + out * cos))
        };
        let [startx, starty] = self.place(at(0.0, 0.0));
        self.content.move_to(startx, starty);
        for quarter in 0..4 {
            let (from, to) = (90.0 * f64::from(quarter), 90.0 * f64::from(quarter + 1));
            let [[bx, by], [cx, cy], [dx, dy]] = [at(from, KAPPA), at(to, -KAPPA), at(to, 0.0)].map(|p| self.place(p));
            self.content.cubic_to(bx, by, cx, cy, dx, dy);
        }
        self.content.close_path();
    }

    /// PDF counts in points and upward.
    fn place(&self, (x, y): (f64, f64)) -> [f32; 2] {
        [x * POINT, (self.height - y) * POINT].map(|v| ((v * 100.0).round() / 100.0) as f32)
    }

    fn fill_color(&mut self, color: Color) {
        let [r, g, b] = rgb(color);
        self.content.set_fill_rgb(r, g, b);
    }

    fn stroke_color(&mut self, color: Color) {
        let [r, g, b] = rgb(color);
        self.content.set_stroke_rgb(r, g, b);
    }
}

fn rgb(color: Color) -> [f32; 3] {
    [color.0, color.1, color.2].map(|channel| f32::from(channel) / 255.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{figure, fixture, render};

    #[test]
    fn every_figure_is_a_page_of_its_size_with_as_many_paints_as_shapes() {
        let report = render(&fixture::experiment(1, 3, 2, 4));
        assert!(report.figures.len() > 3);
        for figure::Figure { id, scene, .. } in &report.figures {
            let file = bytes(scene);
            assert_eq!(file, bytes(scene), "{id}");
            let text = String::from_utf8_lossy(&file);
            let size = format!("/MediaBox [0 0 {} {}]", (scene.width * POINT) as f32, (scene.height * POINT) as f32);
            assert!(text.starts_with("%PDF-") && text.contains(&size), "{id}: {size}");
            let paints = text.lines().filter(|line| matches!(*line, "f" | "S" | "B")).count();
            let blank = |shape: &Shape| matches!(shape, Shape::Text { text, .. } if text.trim().is_empty());
            assert_eq!(paints, scene.items.iter().filter(|item| !blank(&item.shape)).count(), "{id}");
        }
    }
}

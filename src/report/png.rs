//! A scene as PNG: exact-coverage rasterisation of the same shapes and glyph outlines that the SVG names.
//!
//! A stroke is the union of its segments' rectangles and round joins: each piece is rasterised alone and a pixel takes the
//! largest coverage, so translucent lines do not darken and thin ones do not thicken where segments meet. Blending is in sRGB, as browsers do it, so that PNG and SVG look the same.

use ab_glyph::OutlineCurve;
use ab_glyph_rasterizer::{Point, Rasterizer, point};

use crate::report::font;
use crate::report::palette::{Color, WHITE};
use crate::report::scene::{Anchor, Scene, Shape};

/// Pixels per CSS pixel: sharp on screens of twice the density and at 200 dpi in print.
pub const SCALE: f64 = 2.0;

/// The bytes of the PNG file.
pub fn bytes(scene: &Scene) -> Vec<u8> {
    let (width, height, mut pixels) = draw(scene);
    // 52 levels a channel instead of 256: no eye sees it, and the files that get committed are a third smaller.
    pixels.iter_mut().for_each(|channel| *channel = ((*channel as u16 + 2) / 5 * 5) as u8);
    let mut out = vec![];
    let mut encoder = png::Encoder::new(&mut out, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Best);
    // Lines on white compress best unfiltered; measured on these figures, a quarter smaller than any filter makes them.
    encoder.set_filter(png::FilterType::NoFilter);
    encoder.set_adaptive_filter(png::AdaptiveFilterType::NonAdaptive);
    let density = (SCALE * 96.0 / 0.0254).round() as u32;
    encoder.set_pixel_dims(Some(png::PixelDimensions { xppu: density, yppu: density, unit: png::Unit::Meter }));
    let mut writer = encoder.write_header().expect("memory takes every byte");
    writer.write_image_data(&pixels).expect("the buffer has the size that was announced");
    writer.finish().expect("memory takes every byte");
    out
}

/// Width, height and RGB bytes.
pub fn draw(scene: &Scene) -> (usize, usize, Vec<u8>) {
    let width = (scene.width * SCALE).round() as usize;
    let height = (scene.height * SCALE).round() as usize;
    let mut canvas = Canvas { width, height, pixels: vec![WHITE.0; width * height * 3] };
    for item in &scene.items {
        canvas.shape(&item.shape);
    }
    (width, height, canvas.pixels)
}

struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

/// Directed edges in device pixels, closed; one piece of a shape.
type Edges = Vec<(Point, Point)>;

impl Canvas {
    fn shape(&mut self, shape: &Shape) {
        match shape {
            Shape::Line { points, color, width, dash, opacity } => {
                let mut pieces = vec![];
                for piece in dashes(points, dash) {
                    stroke(&mut pieces, &piece, *width, dash.is_empty());
                }
                self.fill(&pieces, *color, *opacity);
            }
            Shape::Area { points, fill, opacity } => self.fill(&[polygon(points)], *fill, *opacity),
            Shape::Circle { x, y, r, fill, stroke, opacity } => {
                if let Some((color, width)) = stroke {
                    self.fill(&[circle(*x, *y, r + width / 2.0)], *color, *opacity);
                    self.fill(&[circle(*x, *y, r - width / 2.0)], *fill, *opacity);
                } else {
                    self.fill(&[circle(*x, *y, *r)], *fill, *opacity);
                }
            }
            Shape::Text { x, y, text, size, weight, color, anchor } => {
                let width = font::width(text, *size, *weight);
                let x = match anchor {
                    Anchor::Start => *x,
                    Anchor::Middle => x - width / 2.0,
                    Anchor::End => x - width,
                };
                let place = |p: ab_glyph::Point| device((x + p.x as f64, y + p.y as f64));
                let mut edges = vec![];
                font::outlines(text, *size, *weight, |curve| flatten(&mut edges, curve, place));
                self.fill(&[edges], *color, 1.0);
            }
        }
    }

    /// Fills the union of the pieces.
    fn fill(&mut self, pieces: &[Edges], color: Color, opacity: f64) {
        let Some(whole) = self.bounds(pieces.iter().flatten()) else { return };
        let width = whole.right - whole.left;
        let mut coverage = vec![0.0f32; width * (whole.bottom - whole.top)];
        for piece in pieces {
            let Some(part) = self.bounds(piece.iter()) else { continue };
            let mut raster = Rasterizer::new(part.right - part.left, part.bottom - part.top);
            let (limit_x, limit_y) = ((part.right - part.left) as f32 - 0.01, (part.bottom - part.top) as f32 - 0.01);
            let local = |p: &Point| {
                point((p.x - part.left as f32).clamp(0.0, limit_x), (p.y - part.top as f32).clamp(0.0, limit_y))
            };
            for (a, b) in piece {
                raster.draw_line(local(a), local(b));
            }
            let offset = (part.top - whole.top) * width + part.left - whole.left;
            raster.for_each_pixel_2d(|x, y, share| {
                let pixel = &mut coverage[offset + y as usize * width + x as usize];
                *pixel = pixel.max(share.min(1.0));
            });
        }
        for (index, share) in coverage.into_iter().enumerate().filter(|(_, share)| *share > 0.0) {
            let alpha = share as f64 * opacity;
            let at = 3 * ((whole.top + index / width) * self.width + whole.left + index % width);
            for (channel, ink) in self.pixels[at..at + 3].iter_mut().zip([color.0, color.1, color.2]) {
                *channel = (*channel as f64 + (ink as f64 - *channel as f64) * alpha).round() as u8;
            }
        }
    }

    /// The pixels that edges touch, within the canvas.
    fn bounds<'a>(&self, edges: impl Iterator<Item = &'a (Point, Point)>) -> Option<Bounds> {
        let (mut low, mut high) = ((f32::MAX, f32::MAX), (0.0f32, 0.0f32));
        for p in edges.flat_map(|(a, b)| [a, b]) {
            (low, high) = ((low.0.min(p.x), low.1.min(p.y)), (high.0.max(p.x), high.1.max(p.y)));
        }
        let bounds = Bounds {
            left: low.0.max(0.0) as usize,
            top: low.1.max(0.0) as usize,
            right: (high.0.ceil() as usize + 1).min(self.width),
            bottom: (high.1.ceil() as usize + 1).min(self.height),
        };
        (bounds.left < bounds.right && bounds.top < bounds.bottom).then_some(bounds)
    }
}

struct Bounds {
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
}

fn device((x, y): (f64, f64)) -> Point {
    point((x * SCALE) as f32, (y * SCALE) as f32)
}

fn polygon(points: &[(f64, f64)]) -> Edges {
    let next = |i: usize| points[(i + 1) % points.len()];
    points.iter().enumerate().map(|(i, p)| (device(*p), device(next(i)))).collect()
}

fn circle(x: f64, y: f64, r: f64) -> Edges {
    let corners = ((r * SCALE * 3.0) as usize).clamp(16, 64);
    let points: Vec<(f64, f64)> = (0..corners)
        .map(|i| {
            let angle = std::f64::consts::TAU * i as f64 / corners as f64;
            (x + r * angle.cos(), y + r * angle.sin())
        })
        .collect();
    polygon(&points)
}

fn stroke(pieces: &mut Vec<Edges>, points: &[(f64, f64)], width: f64, round_ends: bool) {
    let half = width / 2.0;
    for pair in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        let length = (x1 - x0).hypot(y1 - y0);
        if length > 0.0 {
            let (nx, ny) = (-(y1 - y0) / length * half, (x1 - x0) / length * half);
            let corners = [(x0 + nx, y0 + ny), (x1 + nx, y1 + ny), (x1 - nx, y1 - ny), (x0 - nx, y0 - ny)];
            pieces.push(polygon(&corners));
        }
    }
    let last = points.len().saturating_sub(1);
    for (i, &(x, y)) in points.iter().enumerate() {
        if (round_ends && points.len() > 2) || (i > 0 && i < last) {
            pieces.push(circle(x, y, half));
        }
    }
}

/// The pieces of a line that its dash pattern leaves.
fn dashes(points: &[(f64, f64)], pattern: &[f64]) -> Vec<Vec<(f64, f64)>> {
    if pattern.is_empty() {
        return vec![points.to_vec()];
    }
    let (mut pieces, mut index, mut left) = (vec![], 0, pattern[0]);
    let mut piece: Vec<(f64, f64)> = points.first().copied().into_iter().collect();
    for pair in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        let length = (x1 - x0).hypot(y1 - y0);
        let mut done = 0.0;
        while length - done > left {
            done += left;
            let at = (x0 + (x1 - x0) * done / length, y0 + (y1 - y0) * done / length);
            if index % 2 == 0 {
                piece.push(at);
                pieces.push(std::mem::take(&mut piece));
            } else {
                piece = vec![at];
            }
            index += 1;
            left = pattern[index % pattern.len()];
        }
        left -= length - done;
        if index % 2 == 0 {
            piece.push((x1, y1));
        }
    }
    if index % 2 == 0 && piece.len() > 1 {
        pieces.push(piece);
    }
    pieces
}

fn flatten(edges: &mut Edges, curve: OutlineCurve, place: impl Fn(ab_glyph::Point) -> Point) {
    const STEPS: usize = 8;
    let mix = |a: Point, b: Point, t: f32| point(a.x + (b.x - a.x) * t, a.y + (b.y - a.y) * t);
    let mut through = |at: &dyn Fn(f32) -> Point| {
        for step in 0..STEPS {
            edges.push((at(step as f32 / STEPS as f32), at((step + 1) as f32 / STEPS as f32)));
        }
    };
    match curve {
        OutlineCurve::Line(a, b) => edges.push((place(a), place(b))),
        OutlineCurve::Quad(a, b, c) => {
            let (a, b, c) = (place(a), place(b), place(c));
            through(&|t| mix(mix(a, b, t), mix(b, c, t), t));
        }
        OutlineCurve::Cubic(a, b, c, d) => {
            let (a, b, c, d) = (place(a), place(b), place(c), place(d));
            through(&|t| {
                let (ab, bc, cd) = (mix(a, b, t), mix(b, c, t), mix(c, d, t));
                mix(mix(ab, bc, t), mix(bc, cd, t), t)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::palette::{Color, INK};
    use crate::report::scene::style;

    fn pixel(pixels: &[u8], width: usize, x: usize, y: usize) -> [u8; 3] {
        let at = 3 * (y * width + x);
        [pixels[at], pixels[at + 1], pixels[at + 2]]
    }

    #[test]
    fn shapes_cover_what_they_say() {
        let mut scene = Scene::new(20.0, 10.0);
        let red = Color(200, 0, 0);
        scene.add(Shape::Area {
            points: vec![(2.0, 2.0), (8.0, 2.0), (8.0, 8.0), (2.0, 8.0)],
            fill: red,
            opacity: 1.0,
        });
        scene.add(Shape::Area {
            points: vec![(12.0, 8.0), (18.0, 8.0), (18.0, 2.0), (12.0, 2.0)],
            fill: red,
            opacity: 0.5,
        });
        let (width, height, pixels) = draw(&scene);
        assert_eq!((width, height, pixels.len()), (40, 20, 2400));
        assert_eq!(pixel(&pixels, width, 10, 10), [200, 0, 0]);
        assert_eq!(pixel(&pixels, width, 30, 10), [228, 128, 128]);
        assert_eq!(pixel(&pixels, width, 20, 10), [255; 3]);
        let red_pixels = pixels.chunks(3).filter(|p| *p == [200, 0, 0]).count();
        assert_eq!(red_pixels, 12 * 12);
    }

    #[test]
    fn dashes_leave_gaps_of_the_pattern() {
        let pieces = dashes(&[(0.0, 0.0), (10.0, 0.0), (20.0, 0.0)], &[4.0, 2.0]);
        let ends: Vec<(f64, f64)> = pieces.iter().map(|p| (p[0].0, p[p.len() - 1].0)).collect();
        assert_eq!(ends, [(0.0, 4.0), (6.0, 10.0), (12.0, 16.0), (18.0, 20.0)]);
    }

    #[test]
    fn the_same_scene_gives_the_same_bytes() {
        let mut scene = Scene::new(60.0, 20.0);
        scene.text(4.0, 14.0, "Σ 3.5 %", style(12.0, INK));
        assert_eq!(bytes(&scene), bytes(&scene));
        assert!(draw(&scene).2.iter().any(|channel| *channel < 60), "the text is drawn");
    }
}

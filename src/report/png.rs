//! A scene as PNG: exact-coverage rasterisation of the same shapes and glyph outlines that the SVG names.
//!
//! A stroke is the union of its segments' rectangles and round joins, filled in one pass, so translucent lines do not darken
//! where segments meet. Blending is in sRGB, as browsers do it, so that PNG and SVG look the same.

use std::io;
use std::path::Path;

use ab_glyph::OutlineCurve;
use ab_glyph_rasterizer::{Point, Rasterizer, point};

use crate::report::font;
use crate::report::palette::{Color, WHITE};
use crate::report::scene::{Anchor, Scene, Shape};

/// Pixels per CSS pixel: sharp on screens of twice the density and at 200 dpi in print.
pub const SCALE: f64 = 2.0;

/// Draws the scene and writes it to `path`.
pub fn write(scene: &Scene, path: &Path) -> io::Result<()> {
    let (width, height, pixels) = draw(scene);
    let file = io::BufWriter::new(std::fs::File::create(path)?);
    let mut encoder = png::Encoder::new(file, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Best);
    encoder.set_filter(png::FilterType::Up);
    encoder.set_adaptive_filter(png::AdaptiveFilterType::NonAdaptive);
    let density = (SCALE * 96.0 / 0.0254).round() as u32;
    encoder.set_pixel_dims(Some(png::PixelDimensions { xppu: density, yppu: density, unit: png::Unit::Meter }));
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels)?;
    Ok(writer.finish()?)
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

/// Directed edges, in device pixels. All pieces of one path turn the same way, so that their coverages add up.
type Edges = Vec<(Point, Point)>;

impl Canvas {
    fn shape(&mut self, shape: &Shape) {
        match shape {
            Shape::Line { points, color, width, dash, opacity } => {
                let mut edges = vec![];
                let round = dash.is_empty();
                for piece in dashes(points, dash) {
                    stroke(&mut edges, &piece, *width, round);
                }
                self.fill(&edges, *color, *opacity);
            }
            Shape::Area { points, fill, opacity } => {
                let mut edges = vec![];
                polygon(&mut edges, points);
                self.fill(&edges, *fill, *opacity);
            }
            Shape::Circle { x, y, r, fill, stroke, opacity } => {
                if let Some((color, width)) = stroke {
                    let mut edges = vec![];
                    circle(&mut edges, *x, *y, r + width / 2.0);
                    self.fill(&edges, *color, *opacity);
                    edges.clear();
                    circle(&mut edges, *x, *y, r - width / 2.0);
                    self.fill(&edges, *fill, *opacity);
                } else {
                    let mut edges = vec![];
                    circle(&mut edges, *x, *y, *r);
                    self.fill(&edges, *fill, *opacity);
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
                self.fill(&edges, *color, 1.0);
            }
        }
    }

    fn fill(&mut self, edges: &Edges, color: Color, opacity: f64) {
        let bound = |pick: fn(&Point) -> f32| {
            let all = edges.iter().flat_map(|(a, b)| [pick(a), pick(b)]);
            all.fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(v), high.max(v)))
        };
        let ((x0, x1), (y0, y1)) = (bound(|p| p.x), bound(|p| p.y));
        if edges.is_empty() || x1 < 0.0 || y1 < 0.0 {
            return;
        }
        let (left, top) = (x0.max(0.0).floor() as usize, y0.max(0.0).floor() as usize);
        let (right, bottom) = ((x1.ceil() as usize + 1).min(self.width), (y1.ceil() as usize + 1).min(self.height));
        if right <= left || bottom <= top {
            return;
        }
        let mut raster = Rasterizer::new(right - left, bottom - top);
        let (limit_x, limit_y) = ((right - left) as f32, (bottom - top) as f32);
        let local = |p: &Point| {
            point((p.x - left as f32).clamp(0.0, limit_x - 0.01), (p.y - top as f32).clamp(0.0, limit_y - 0.01))
        };
        for (a, b) in edges {
            raster.draw_line(local(a), local(b));
        }
        let (width, pixels) = (self.width, &mut self.pixels);
        raster.for_each_pixel_2d(|x, y, coverage| {
            let alpha = coverage.min(1.0) as f64 * opacity;
            if alpha > 0.0 {
                let at = 3 * ((top + y as usize) * width + left + x as usize);
                for (channel, ink) in pixels[at..at + 3].iter_mut().zip([color.0, color.1, color.2]) {
                    *channel = (*channel as f64 + (ink as f64 - *channel as f64) * alpha).round() as u8;
                }
            }
        });
    }
}

fn device((x, y): (f64, f64)) -> Point {
    point((x * SCALE) as f32, (y * SCALE) as f32)
}

fn polygon(edges: &mut Edges, points: &[(f64, f64)]) {
    // Twice the signed area; clockwise pieces are turned round.
    let next = |i: usize| points[(i + 1) % points.len()];
    let area: f64 = points.iter().enumerate().map(|(i, p)| p.0 * next(i).1 - next(i).0 * p.1).sum();
    for (i, p) in points.iter().enumerate() {
        let (a, b) = (device(*p), device(next(i)));
        edges.push(if area < 0.0 { (b, a) } else { (a, b) });
    }
}

fn circle(edges: &mut Edges, x: f64, y: f64, r: f64) {
    let corners = ((r * SCALE * 3.0) as usize).clamp(12, 64);
    let points: Vec<(f64, f64)> = (0..corners)
        .map(|i| {
            let angle = std::f64::consts::TAU * i as f64 / corners as f64;
            (x + r * angle.cos(), y + r * angle.sin())
        })
        .collect();
    polygon(edges, &points);
}

fn stroke(edges: &mut Edges, points: &[(f64, f64)], width: f64, round_ends: bool) {
    let half = width / 2.0;
    for pair in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        let length = (x1 - x0).hypot(y1 - y0);
        if length > 0.0 {
            let (nx, ny) = (-(y1 - y0) / length * half, (x1 - x0) / length * half);
            polygon(edges, &[(x0 + nx, y0 + ny), (x1 + nx, y1 + ny), (x1 - nx, y1 - ny), (x0 - nx, y0 - ny)]);
        }
    }
    let last = points.len().saturating_sub(1);
    for (i, &(x, y)) in points.iter().enumerate() {
        if width > 1.0 && (round_ends || (i > 0 && i < last)) {
            circle(edges, x, y, half);
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
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a.png"), dir.path().join("b.png"));
        write(&scene, &a).unwrap();
        write(&scene, &b).unwrap();
        let bytes = std::fs::read(&a).unwrap();
        assert_eq!(bytes, std::fs::read(&b).unwrap());
        assert!(draw(&scene).2.iter().any(|channel| *channel < 60), "the text is drawn");
    }
}

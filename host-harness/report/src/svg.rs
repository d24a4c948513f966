// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What plotters draws, as SVG that a style sheet colours: a colour is the name
//! of a role here, and comes out as a class. So one drawing serves light and
//! dark, on a screen and on paper. Shapes of one role that follow each other are
//! one path, and it is half as long as elements would be.

use std::{convert::Infallible, fmt::Write};

use irqbed_results::stages::Stage;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
};

/// Units of the drawing in a pixel as it is meant: plotters knows whole ones
/// only, and lines shall be smooth.
pub(super) const SCALE: u32 = 4;
/// Height of letters, as room is made for them; the style sheet has its own for
/// large screens.
pub(super) const LETTERS: u32 = 13 * SCALE;

/// What a shape is, and so how the style sheet shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Role(u8);

impl Role {
    pub(super) const GRID: Self = Self(0);
    pub(super) const AXIS: Self = Self(1);
    pub(super) const LABEL: Self = Self(2);
    pub(super) const FIGURE: Self = Self(3);
    /// The median of a whole way, across its stages.
    pub(super) const MEDIAN: Self = Self(4);
    /// Shades of a heat map.
    pub(super) const SHADES: u8 = 6;
    /// Documents that one plot can tell apart.
    pub(super) const DOCUMENTS: usize = 6;

    /// One of the [`Self::SHADES`], the lightest first.
    pub(super) const fn shade(level: u8) -> Self {
        Self(8 + level)
    }

    /// The line of a document.
    pub(super) const fn document(place: usize) -> Self {
        Self(16 + (place % Self::DOCUMENTS) as u8)
    }

    /// The line of a stage.
    pub(super) const fn line(stage: Stage) -> Self {
        Self(32 + stage as u8)
    }

    /// The bar of a stage.
    pub(super) const fn bar(stage: Stage) -> Self {
        Self(48 + stage as u8)
    }

    pub(super) fn class(self) -> String {
        match self.0 {
            0 => "grid".to_owned(),
            1 => "axis".to_owned(),
            2 => "label".to_owned(),
            3 => "figure".to_owned(),
            4 => "median".to_owned(),
            shade @ 8..16 => format!("h{}", shade - 8),
            document @ 16..32 => format!("ln d{}", document - 16),
            line @ 32..48 => format!("ln s{}", line - 32),
            bar => format!("bar s{}", bar.saturating_sub(48)),
        }
    }

    pub(super) const fn color(self) -> RGBColor {
        RGBColor(0, 0, self.0)
    }
}

/// Draws into a text, what was drawn last on top.
pub(super) struct Svg<'a> {
    size: (u32, u32),
    text: &'a mut String,
    /// The role of the path that is being written.
    path: Option<Role>,
}

/// A drawing of so many pixels, with words for whom does not see it.
pub(super) fn draw(
    (width, height): (u32, u32),
    words: &str,
    paint: impl FnOnce(&DrawingArea<Svg<'_>, plotters::coord::Shift>),
) -> String {
    let size = (width * SCALE, height * SCALE);
    let mut text = format!(
        "<svg role=\"img\" viewBox=\"0 0 {} {}\" aria-label=\"{}\">",
        size.0,
        size.1,
        escaped(words)
    );
    let svg = Svg {
        size,
        text: &mut text,
        path: None,
    };
    paint(&svg.into_drawing_area());
    text.push_str("</svg>");
    text
}

pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

impl Svg<'_> {
    /// The path of a role, to be written on.
    fn path(&mut self, style: &impl BackendStyle) -> &mut String {
        let role = role(style.color());
        if self.path != Some(role) {
            self.end_path();
            // Writing to a string cannot fail.
            let _ = write!(self.text, "<path class=\"{}\" d=\"", role.class());
            self.path = Some(role);
        }
        self.text
    }

    fn end_path(&mut self) {
        if self.path.take().is_some() {
            self.text.push_str("\"/>");
        }
    }
}

impl Drop for Svg<'_> {
    fn drop(&mut self) {
        self.end_path();
    }
}

const fn role(color: BackendColor) -> Role {
    Role(color.rgb.2)
}

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

impl DrawingBackend for Svg<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, color: BackendColor) -> Drawn {
        let _ = write!(self.path(&color), "M{x} {y}h1v1h-1z");
        Ok(())
    }

    fn draw_line<S: BackendStyle>(
        &mut self,
        from: BackendCoord,
        to: BackendCoord,
        style: &S,
    ) -> Drawn {
        self.draw_path([from, to], style)
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        (left, top): BackendCoord,
        (right, bottom): BackendCoord,
        style: &S,
        _fill: bool,
    ) -> Drawn {
        let (width, height) = (right - left, bottom - top);
        let _ = write!(self.path(style), "M{left} {top}h{width}v{height}h-{width}z");
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        if style.color().alpha == 0.0 {
            return Ok(());
        }
        let text = self.path(style);
        let mut last: Option<BackendCoord> = None;
        for (x, y) in path {
            let _ = match last {
                None => write!(text, "M{x} {y}"),
                Some(last) if last == (x, y) => Ok(()),
                Some((_, before)) if before == y => write!(text, "H{x}"),
                Some((before, _)) if before == x => write!(text, "V{y}"),
                Some(last) => write!(text, "l{} {}", x - last.0, y - last.1),
            };
            last = Some((x, y));
        }
        Ok(())
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        (x, y): BackendCoord,
        radius: u32,
        style: &S,
        _fill: bool,
    ) -> Drawn {
        let across = radius * 2;
        let left = x - radius.cast_signed();
        let _ = write!(
            self.path(style),
            "M{left} {y}a{radius} {radius} 0 1 0 {across} 0a{radius} {radius} 0 1 0 -{across} 0z"
        );
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        vertices: I,
        style: &S,
    ) -> Drawn {
        self.draw_path(vertices, style)?;
        self.path(style).push('z');
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &S,
        (x, y): BackendCoord,
    ) -> Drawn {
        self.end_path();
        let anchor = style.anchor();
        let horizontal = match anchor.h_pos {
            HPos::Left => "",
            HPos::Center => " mid",
            HPos::Right => " end",
        };
        // From where plotters has it to the line that letters stand on.
        let down = match anchor.v_pos {
            VPos::Top => 0.75,
            VPos::Center => 0.35,
            VPos::Bottom => 0.0,
        };
        let y = y + (down * f64::from(LETTERS)) as i32;
        let class = role(style.color()).class();
        let text = escaped(text);
        let _ = write!(
            self.text,
            "<text class=\"{class}{horizontal}\" x=\"{x}\" y=\"{y}\">{text}</text>"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(paint: impl FnOnce(&DrawingArea<Svg<'_>, plotters::coord::Shift>)) -> String {
        draw((10, 5), "a \"plot\" of <b>", paint)
    }

    #[test]
    fn shapes_of_one_role_are_one_path() {
        let rectangle =
            |at: i32, role: Role| Rectangle::new([(at, 1), (at + 3, 5)], role.color().filled());
        let text = drawn(|area| {
            for shape in [
                rectangle(0, Role::shade(2)),
                rectangle(5, Role::shade(2)),
                rectangle(9, Role::shade(0)),
            ] {
                area.draw(&shape).expect("a text takes everything");
            }
        });
        assert_eq!(
            text,
            "<svg role=\"img\" viewBox=\"0 0 40 20\" aria-label=\"a &quot;plot&quot; of &lt;b&gt;\">\
             <path class=\"h2\" d=\"M0 1h3v4h-3zM5 1h3v4h-3z\"/><path class=\"h0\" d=\"M9 1h3v4h-3z\"/>\
             </svg>"
        );
    }

    #[test]
    fn words_are_escaped_and_end_a_path() {
        let text = drawn(|area| {
            let line = |y| PathElement::new([(0, y), (4, y), (4, y), (7, 9)], Role::AXIS.color());
            let color = Role::LABEL.color();
            let style = TextStyle::from(("sans-serif", LETTERS)).color(&color);
            area.draw(&line(1)).expect("a text takes everything");
            area.draw(&Text::new("<&", (1, 2), style))
                .expect("a text takes everything");
            area.draw(&line(2)).expect("a text takes everything");
        });
        assert!(text.contains("<path class=\"axis\" d=\"M0 1H4l3 8\"/><text class=\"label\" x=\"1\" y=\"41\">&lt;&amp;</text><path class=\"axis\" d=\"M0 2H4l3 7"), "{text}");
    }
}

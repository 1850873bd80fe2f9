//! Writes SVG: only what the picture needs, without scripts or anything from elsewhere.

use std::fmt::Write;

/// A picture in the making. Places are in pixels, written to a tenth.
pub(crate) struct Svg {
    text: String,
}

impl Svg {
    pub(crate) fn new() -> Self {
        Self { text: String::new() }
    }

    pub(crate) fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), style: &str) {
        self.write(format_args!(r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" {style}/>"#));
    }

    /// Draws a rectangle with a tooltip.
    pub(crate) fn rect(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), style: &str, title: &str) {
        let title = titled(title);
        self.write(format_args!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" {style}>{title}</rect>"#
        ));
    }

    pub(crate) fn circle(&mut self, (x, y): (f64, f64), radius: f64, style: &str, title: &str) {
        let title = titled(title);
        self.write(format_args!(
            r#"<circle cx="{x:.1}" cy="{y:.1}" r="{radius:.1}" {style}>{title}</circle>"#
        ));
    }

    /// Lines through points, closed into an area if `style` fills it.
    pub(crate) fn path(&mut self, points: &[(f64, f64)], style: &str, title: &str) {
        let mut path = String::new();
        for (place, (x, y)) in points.iter().enumerate() {
            let letter = if place == 0 { 'M' } else { 'L' };
            // Writing to a string cannot fail.
            let _ = write!(path, "{letter}{x:.1} {y:.1}");
        }
        let title = titled(title);
        self.write(format_args!(r#"<path d="{path}" {style}>{title}</path>"#));
    }

    pub(crate) fn text(&mut self, (x, y): (f64, f64), style: &str, text: &str) {
        let text = escaped(text);
        self.write(format_args!(r#"<text x="{x:.1}" y="{y:.1}" {style}>{text}</text>"#));
    }

    pub(crate) fn open(&mut self, style: &str) {
        self.write(format_args!("<g {style}>"));
    }

    pub(crate) fn close(&mut self) {
        self.write(format_args!("</g>"));
    }

    /// Defines the area outside of which `clip-path="url(#plot)"` cuts shapes off.
    pub(crate) fn clip(&mut self, (x, y): (f64, f64), (width, height): (f64, f64)) {
        self.write(format_args!(
            r#"<clipPath id="plot"><rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}"/></clipPath>"#
        ));
    }

    /// The whole file, on white so that it can be read in dark viewers too.
    pub(crate) fn finish(self, width: f64, height: f64, title: &str) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
             height=\"{height:.0}\" font-family=\"system-ui, 'Segoe UI', Helvetica, Arial, sans-serif\" \
             font-size=\"13\" fill=\"#222\">\n<title>{}</title>\n\
             <rect width=\"{width:.0}\" height=\"{height:.0}\" fill=\"#fff\"/>\n{}</svg>\n",
            escaped(title),
            self.text
        )
    }

    fn write(&mut self, arguments: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.text, "{arguments}");
    }
}

fn titled(title: &str) -> String {
    if title.is_empty() { String::new() } else { format!("<title>{}</title>", escaped(title)) }
}

/// Escapes text for XML 1.0 and replaces characters that it forbids.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_input_cannot_become_markup() {
        let mut svg = Svg::new();
        svg.text((1.0, 2.0), "", "</text><script>alert('&\u{0}\u{1b}')</script>");
        let file = svg.finish(10.0, 10.0, "a \"<b>\"");
        assert!(!file.contains("<script") && !file.contains('\u{0}') && !file.contains('\u{1b}'), "{file}");
        assert!(file.contains("&lt;/text&gt;&lt;script&gt;alert(&#39;&amp;\u{fffd}\u{fffd}&#39;)"), "{file}");
        assert!(file.contains("<title>a &quot;&lt;b&gt;&quot;</title>"), "{file}");
    }
}

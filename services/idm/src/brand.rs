//! How the platform calls itself on pages: name, colour, logo. Pure but for the logo's file.

use std::{fs, io, path::Path};

/// The platform's looks.
#[derive(Clone, PartialEq, Eq)]
pub struct Brand {
    pub name: String,
    pub colour: Colour,
    pub logo: Option<Logo>,
}

impl std::fmt::Debug for Brand {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let logo = self.logo.as_ref().map(|logo| logo.bytes.len());
        formatter
            .debug_struct("Brand")
            .field("name", &self.name)
            .field("colour", &self.colour)
            .field("logo_bytes", &logo)
            .finish()
    }
}

/// Red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour(pub [u8; 3]);

impl Colour {
    /// Reads `#2f6fed`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = |digits: &&str| {
            digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        let digits = text.strip_prefix('#').filter(is_hex)?;
        let part = |from: usize| u8::from_str_radix(digits.get(from..from + 2)?, 16).ok();
        Some(Self([part(0)?, part(2)?, part(4)?]))
    }

    /// As CSS has it.
    #[must_use]
    pub fn css(self) -> String {
        let [red, green, blue] = self.0;
        format!("#{red:02x}{green:02x}{blue:02x}")
    }

    /// Black or white, whichever is easier to read on it. One of the two always has the 4.5 : 1 that
    /// WCAG 2.2 (1.4.3) asks for.
    #[must_use]
    pub fn readable(self) -> Self {
        let (black, white) = (Self([0; 3]), Self([255; 3]));
        if self.contrast(black) >= self.contrast(white) {
            black
        } else {
            white
        }
    }

    /// WCAG's ratio, from 1 to 21.
    fn contrast(self, other: Self) -> f64 {
        let (one, other) = (self.luminance(), other.luminance());
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    fn luminance(self) -> f64 {
        let [red, green, blue] = self.0.map(|part| {
            let part = f64::from(part) / 255.0;
            if part <= 0.040_45 {
                part / 12.92
            } else {
                ((part + 0.055) / 1.055).powf(2.4)
            }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
}

/// A picture beside the name.
#[derive(Clone, PartialEq, Eq)]
pub struct Logo {
    pub bytes: Vec<u8>,
    pub content_type: &'static str,
}

impl Logo {
    /// Reads a file; its ending says what it is. `Ok(None)` when it is neither SVG, PNG nor WebP.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        let content_type = match path.extension().and_then(|ending| ending.to_str()) {
            Some("svg") => "image/svg+xml",
            Some("png") => "image/png",
            Some("webp") => "image/webp",
            _ => return Ok(None),
        };
        let bytes = fs::read(path)?;
        Ok(Some(Self {
            bytes,
            content_type,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_colour_has_six_digits() {
        assert_eq!(
            Colour::parse("#2F6fed").map(Colour::css),
            Some("#2f6fed".into())
        );
        for wrong in [
            "", "#fff", "2f6fed", "#2f6feg", "#2f6fedd", "#ää#ä", "#+f6fed",
        ] {
            assert_eq!(Colour::parse(wrong), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn what_stands_on_a_colour_can_be_read(colour: [u8; 3]) {
            let colour = Colour(colour);
            prop_assert!(colour.contrast(colour.readable()) >= 4.5);
        }
    }
}

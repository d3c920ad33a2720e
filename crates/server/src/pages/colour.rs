//! One colour of an operator's, made into the few that a page needs, each with enough contrast to what lies behind or on
//! it (WCAG 2.2 level AA). So whatever colour is configured, the page can be read.

use crate::config::Colour;

/// What lies behind everything: the same values as `--surface` in `assets/recovery.css`.
const LIGHT: Colour = Colour { red: 0xff, green: 0xff, blue: 0xff };
const DARK: Colour = Colour { red: 0x1a, green: 0x1c, blue: 0x20 };
const WHITE: Colour = LIGHT;
const BLACK: Colour = Colour { red: 0, green: 0, blue: 0 };

/// Least contrast of text (WCAG 1.4.3).
const OF_TEXT: f64 = 4.5;
/// Least contrast of what can be pressed to what is around it (WCAG 1.4.11).
const OF_PARTS: f64 = 3.0;
/// Steps from a colour to black or white.
const STEPS: u16 = 32;

/// The style sheet that gives the colours their values, light and dark.
pub fn style(colour: Colour) -> String {
    let of = |surface, towards| {
        let accent = reach(colour, towards, surface, OF_PARTS);
        let on = if contrast(accent, WHITE) >= contrast(accent, BLACK) { WHITE } else { BLACK };
        let text = reach(colour, towards, surface, OF_TEXT);
        format!("--accent: {accent}; --on-accent: {on}; --accent-text: {text};")
    };
    let (light, dark) = (of(LIGHT, BLACK), of(DARK, WHITE));
    format!(":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n")
}

/// `colour`, moved as little `towards` another as gives it this contrast to what it lies on.
fn reach(colour: Colour, towards: Colour, on: Colour, least: f64) -> Colour {
    (0..=STEPS).map(|step| mixed(colour, towards, step)).find(|mixed| contrast(*mixed, on) >= least).unwrap_or(towards)
}

fn mixed(from: Colour, to: Colour, step: u16) -> Colour {
    let mix = |from: u8, to: u8| {
        let sum = u16::from(from) * (STEPS - step) + u16::from(to) * step;
        u8::try_from(sum / STEPS).unwrap_or(to)
    };
    Colour { red: mix(from.red, to.red), green: mix(from.green, to.green), blue: mix(from.blue, to.blue) }
}

/// From 1 (the same) to 21 (black and white).
fn contrast(one: Colour, other: Colour) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

fn luminance(colour: Colour) -> f64 {
    let linear = |part: u8| {
        let part = f64::from(part) / 255.0;
        if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * linear(colour.red) + 0.7152 * linear(colour.green) + 0.0722 * linear(colour.blue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contrast_is_that_of_the_standard() {
        assert!((contrast(BLACK, WHITE) - 21.0).abs() < 0.001);
        let grey: Colour = "#767676".parse().unwrap();
        assert!((contrast(grey, WHITE) - 4.54).abs() < 0.01);
    }

    #[test]
    fn whatever_the_colour_everything_can_be_read() {
        let parts = [0, 0x33, 0x66, 0x99, 0xcc, 0xff];
        for number in 0..216 {
            let [red, green, blue] = [number / 36, number / 6 % 6, number % 6].map(|part| parts[part]);
            let sheet = style(Colour { red, green, blue });
            let values: Vec<Colour> =
                sheet.split(": #").skip(1).map(|rest| format!("#{}", &rest[..6]).parse().unwrap()).collect();
            for (surface, [accent, on, text]) in [(LIGHT, &values[..3]), (DARK, &values[3..])]
                .map(|(surface, three)| (surface, [three[0], three[1], three[2]]))
            {
                assert!(contrast(accent, surface) >= OF_PARTS, "{sheet}");
                assert!(contrast(accent, on) >= OF_TEXT, "{sheet}");
                assert!(contrast(text, surface) >= OF_TEXT, "{sheet}");
            }
        }
    }

    #[test]
    fn a_colour_that_is_good_is_left_alone() {
        assert!(
            style("#1f4fd8".parse().unwrap())
                .starts_with(":root { --accent: #1f4fd8; --on-accent: #ffffff; --accent-text: #1f4fd8;")
        );
    }

    #[test]
    fn the_style_sheet_has_the_same_surfaces() {
        let sheet = include_str!("assets/recovery.css");
        for surface in [LIGHT, DARK] {
            assert!(sheet.contains(&format!("--surface: {surface};")), "{surface}");
        }
    }
}

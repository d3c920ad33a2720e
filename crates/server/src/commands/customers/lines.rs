//! A file read line by line: every line bounded and numbered, so that a reader can go on later where it stopped.

use std::io::{self, BufRead, Read};

/// Longest line in bytes, without its end.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// A line as it was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Its text, without its end.
    Text(String),
    /// Longer than [`LINE_BYTES_MAX`]; skipped.
    TooLong,
    /// Not UTF-8.
    NotUtf8,
}

/// How far a file was read: whole lines only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Lines before it.
    pub(super) lines: u64,
    /// Bytes before it.
    pub(super) bytes: u64,
}

/// The lines of an input.
pub(super) struct Lines<R> {
    input: R,
    place: Place,
}

impl<R: BufRead> Lines<R> {
    /// The lines of an input that stands at `place`.
    pub(super) fn new(input: R, place: Place) -> Self {
        Self { input, place }
    }

    /// How far it was read.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// The next line. `None`: there is none.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        const BYTES_MAX: usize = LINE_BYTES_MAX + "\r\n".len();
        let mut bytes = Vec::new();
        let read = self.input.by_ref().take(wide(BYTES_MAX)).read_until(b'\n', &mut bytes)?;
        if read == 0 {
            return Ok(None);
        }
        let begins_file = self.place.bytes == 0;
        self.place.lines += 1;
        self.place.bytes += wide(read);
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        } else if read == BYTES_MAX {
            self.skip_rest()?;
        }
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        if bytes.len() > LINE_BYTES_MAX {
            return Ok(Some(Line::TooLong));
        }
        let Ok(text) = String::from_utf8(bytes) else { return Ok(Some(Line::NotUtf8)) };
        // Some programs begin every file with a mark that is no part of its text.
        Ok(Some(Line::Text(match text.strip_prefix('\u{feff}') {
            Some(rest) if begins_file => rest.to_owned(),
            _ => text,
        })))
    }

    fn skip_rest(&mut self) -> io::Result<()> {
        loop {
            let chunk = self.input.fill_buf()?;
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let skipped = end.map_or(chunk.len(), |end| end + 1);
            self.input.consume(skipped);
            self.place.bytes += wide(skipped);
            if end.is_some() || skipped == 0 {
                return Ok(());
            }
        }
    }
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &[u8]) -> Vec<Line> {
        let mut lines = Lines::new(io::BufReader::with_capacity(7, input), Place::default());
        let all: Vec<Line> = std::iter::from_fn(|| lines.next().unwrap()).collect();
        let place = Place { lines: u64::try_from(all.len()).unwrap(), bytes: u64::try_from(input.len()).unwrap() };
        assert_eq!(lines.place(), place);
        all
    }

    fn text(text: &str) -> Line {
        Line::Text(text.to_owned())
    }

    #[test]
    fn lines_come_without_their_ends_and_the_mark() {
        assert_eq!(all(b""), []);
        assert_eq!(all(b"\xef\xbb\xbfa\r\n\nb"), [text("a"), text(""), text("b")]);
        assert_eq!(all(b"a\xff\nb\n"), [Line::NotUtf8, text("b")]);
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_to_its_end() {
        for (bytes, fits) in [(LINE_BYTES_MAX, true), (LINE_BYTES_MAX + 1, false), (3 * LINE_BYTES_MAX, false)] {
            for end in ["\n", "\r\n", ""] {
                let input = format!("{}{end}", "x".repeat(bytes));
                let after = if end.is_empty() { "" } else { "next" };
                let found = all(format!("{input}{after}").as_bytes());
                assert_eq!(found[0], if fits { text(&"x".repeat(bytes)) } else { Line::TooLong }, "{bytes} {end:?}");
                assert_eq!(found.get(1), (!end.is_empty()).then(|| text("next")).as_ref());
            }
        }
    }
}

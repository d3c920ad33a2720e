//! One record of a CSV file (RFC 4180): fields between commas, in quotes if they hold commas, quotes or line ends.
//!
//! Taken line by line, so that what is wrong with one record ends at the end of its line and not at that of the file.

/// A record that is being read.
#[derive(Default)]
pub(super) struct Row {
    fields: Vec<String>,
    field: String,
    bytes: usize,
    state: State,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// At the beginning of a field.
    #[default]
    Start,
    /// In a field without quotes.
    Bare,
    /// Between quotes.
    Quoted,
    /// After a quote within quotes: they end here, or another one follows that stands for itself.
    Closed,
}

impl Row {
    /// Whether it waits for another line.
    pub(super) fn is_open(&self) -> bool {
        self.state == State::Quoted
    }

    /// Takes the next line of the record. `Some`: that was all. Otherwise a quoted field goes on in the next line.
    pub(super) fn take(&mut self, line: &str, bytes_max: usize) -> Result<Option<Vec<String>>, &'static str> {
        self.bytes += line.len();
        if self.bytes > bytes_max {
            return Err("a quoted field goes on for too long: is its closing quote missing?");
        }
        for character in line.chars() {
            self.state = match (self.state, character) {
                (State::Start, '"') => State::Quoted,
                (State::Start | State::Bare | State::Closed, ',') => {
                    self.end_field();
                    State::Start
                }
                (State::Bare, '"') => return Err("a quote within a field that does not begin with one"),
                (State::Closed, '"') => {
                    self.field.push('"');
                    State::Quoted
                }
                (State::Closed, _) => return Err("something between a closing quote and the next comma"),
                (State::Quoted, '"') => State::Closed,
                (State::Start | State::Bare, other) => {
                    self.field.push(other);
                    State::Bare
                }
                (State::Quoted, other) => {
                    self.field.push(other);
                    State::Quoted
                }
            };
        }
        if self.is_open() {
            self.field.push('\n');
            return Ok(None);
        }
        self.end_field();
        Ok(Some(std::mem::take(&mut self.fields)))
    }

    fn end_field(&mut self) {
        self.fields.push(std::mem::take(&mut self.field));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Option<Vec<String>>, &'static str> {
        let mut row = Row::default();
        let mut last = Ok(None);
        for line in text.split('\n') {
            last = row.take(line, 1000);
        }
        last
    }

    #[test]
    fn fields_end_at_commas_outside_quotes() {
        for (text, fields) in [
            ("a,b", vec!["a", "b"]),
            ("a,", vec!["a", ""]),
            ("", vec![""]),
            ("\"a,\"\"b\"\"\nc\",d", vec!["a,\"b\"\nc", "d"]),
            ("\"\",x", vec!["", "x"]),
            (" a ,b", vec![" a ", "b"]),
        ] {
            let fields: Vec<String> = fields.into_iter().map(str::to_owned).collect();
            assert_eq!(read(text), Ok(Some(fields)), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_record_is_told() {
        assert!(read("5\" disk,x").unwrap_err().contains("a quote within"));
        assert!(read("\"a\"b,x").unwrap_err().contains("between a closing quote"));
        assert_eq!(read("\"a"), Ok(None));
        assert!(read(&format!("\"a\n{}", "x".repeat(1000))).unwrap_err().contains("for too long"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_was_quoted_is_read_back(fields in prop::collection::vec("[a\",\n\u{e9}]{0,6}", 1..5)) {
            let quoted: Vec<String> = fields.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
            prop_assert_eq!(read(&quoted.join(",")), Ok(Some(fields)));
        }
    }
}

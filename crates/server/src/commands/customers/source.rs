//! The records of a file, one after the other, whatever its format.

use std::fs::File;
use std::io::{self, BufReader, Seek, SeekFrom};
use std::path::Path;

use keyherald_core::import::{Fields, Rejected};

use super::csv::Row;
use super::lines::{LINE_BYTES_MAX, Line, Lines, Place};
use super::record;
use crate::cli::FileFormat;

/// A file of records, open for reading.
pub(super) struct Source {
    lines: Lines<BufReader<File>>,
    /// The names of a CSV file's columns. `None`: JSON lines.
    columns: Option<Vec<String>>,
    /// Length when it was opened.
    pub(super) file_bytes: u64,
}

/// A record as it was found: the number of its first line, and its fields or what is wrong with them.
pub(super) struct Found {
    pub(super) line: u64,
    pub(super) fields: Result<Fields, Rejected>,
}

impl Source {
    /// Opens the file and goes to `from`, a place where another reader of it stood after a record.
    pub(super) fn open(path: &Path, format: FileFormat, from: Option<Place>) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let file_bytes = file.metadata()?.len();
        let mut lines = Lines::new(BufReader::new(file.try_clone()?), Place::default());
        let columns = match format {
            FileFormat::Jsonl => None,
            FileFormat::Csv => Some(header(&mut lines)?),
        };
        if let Some(place) = from {
            file.seek(SeekFrom::Start(place.bytes))?;
            lines = Lines::new(BufReader::new(file), place);
        }
        Ok(Self { lines, columns, file_bytes })
    }

    /// How far it was read.
    pub(super) fn place(&self) -> Place {
        self.lines.place()
    }

    /// The next record. `None`: there is none. Empty lines are none.
    pub(super) fn next(&mut self) -> io::Result<Option<Found>> {
        let mut row = Row::default();
        let mut first_line = None;
        loop {
            let line = self.lines.next()?;
            let number = *first_line.get_or_insert(self.lines.place().lines);
            let rejected = |reason: &str| Ok(Some(Found { line: number, fields: Err(Rejected(reason.to_owned())) }));
            let text = match line {
                None if row.is_open() => return rejected("the file ends within a quoted field"),
                None => return Ok(None),
                Some(Line::TooLong) => return rejected("the line is longer than 64 KiB"),
                Some(Line::NotUtf8) => return rejected("the line is not UTF-8"),
                Some(Line::Text(text)) => text,
            };
            if !row.is_open() && text.trim().is_empty() {
                first_line = None;
                continue;
            }
            let Some(columns) = &self.columns else {
                return Ok(Some(Found { line: number, fields: record::of_json(&text) }));
            };
            match row.take(&text, LINE_BYTES_MAX) {
                Ok(Some(fields)) => return Ok(Some(Found { line: number, fields: record::of_csv(columns, fields) })),
                Ok(None) => {}
                Err(reason) => return rejected(reason),
            }
        }
    }
}

fn header(lines: &mut Lines<BufReader<File>>) -> io::Result<Vec<String>> {
    let wrong = |reason: &str| io::Error::new(io::ErrorKind::InvalidData, format!("its first line: {reason}"));
    let Some(Line::Text(text)) = lines.next()? else { return Err(wrong("no names of columns")) };
    let columns = Row::default().take(&text, LINE_BYTES_MAX).map_err(wrong)?;
    let columns = columns.ok_or_else(|| wrong("a quoted name that does not end"))?;
    record::check_columns(&columns).map_err(|rejected| wrong(&rejected.0))?;
    Ok(columns)
}

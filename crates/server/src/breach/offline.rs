//! A copy of the data on disk: one sorted file, found in by bisection, or a folder with a file per prefix.
//!
//! The file has forty gigabytes, so it is never read as a whole: thirty looks of two hundred bytes each find a line. Old
//! copies are sorted by count, in which nothing would be found: samples are compared when it is opened.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{DIGITS, Digits, NoAnswer, PREFIX_DIGITS, line};

/// Longest line: forty digits, a colon, a number, and the line's end.
const LINE_BYTES_MAX: u64 = 64;
/// How many lines are compared when a file is opened.
const SAMPLES: u64 = 1000;
/// Largest file of a folder.
const PREFIX_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// A copy.
pub(super) enum Copy {
    File(Arc<Sorted>),
    Folder(PathBuf),
}

/// Why it is none.
#[derive(Debug, thiserror::Error)]
pub enum NotACopy {
    /// It cannot be read.
    #[error("{0} cannot be read")]
    Unreadable(PathBuf, #[source] io::Error),
    /// Lines that are none.
    #[error("{0} does not consist of lines such as 5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD8:3861493")]
    NoLines(PathBuf),
    /// In another order.
    #[error("{0} is not sorted by hash")]
    NotSorted(PathBuf),
    /// A folder without the files.
    #[error("{0} has no file 00000.txt, as the downloader makes them")]
    NoFiles(PathBuf),
}

impl Copy {
    /// Opens a file or folder.
    pub fn open(path: &Path) -> Result<Self, NotACopy> {
        let unreadable = |error| NotACopy::Unreadable(path.to_owned(), error);
        if path.is_dir() {
            let first = path.join("00000.txt");
            return if first.is_file() {
                Ok(Self::Folder(path.to_owned()))
            } else {
                Err(NotACopy::NoFiles(path.to_owned()))
            };
        }
        let file = File::open(path).map_err(unreadable)?;
        let bytes = file.metadata().map_err(unreadable)?.len();
        let sorted = Sorted { file, bytes };
        sorted.check(path)?;
        Ok(Self::File(Arc::new(sorted)))
    }

    /// How often the password was seen. The disk is read on a thread for that.
    pub async fn count(&self, digits: &Digits) -> Result<u64, NoAnswer> {
        let done = match self {
            Self::File(sorted) => {
                let (sorted, wanted) = (sorted.clone(), digits.0.clone());
                tokio::task::spawn_blocking(move || sorted.find(&wanted)).await
            }
            Self::Folder(folder) => {
                let (path, wanted) = (folder.join(format!("{}.txt", digits.prefix())), digits.suffix().to_owned());
                tokio::task::spawn_blocking(move || find_in_prefix(&path, &wanted)).await
            }
        };
        done.unwrap_or_else(|_| Err(io::Error::other("the search ended")))
            .map_err(|_| NoAnswer("the copy cannot be read"))
    }
}

fn find_in_prefix(path: &Path, suffix: &str) -> io::Result<u64> {
    if std::fs::metadata(path)?.len() > PREFIX_FILE_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    for text in std::fs::read(path)?.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end) {
        match line(text, DIGITS - PREFIX_DIGITS) {
            Some((digits, count)) if digits.eq_ignore_ascii_case(suffix.as_bytes()) => return Ok(count),
            None if !text.is_empty() => return Err(io::ErrorKind::InvalidData.into()),
            _ => {}
        }
    }
    Ok(0)
}

/// One file, sorted by hash.
pub(super) struct Sorted {
    file: File,
    bytes: u64,
}

/// A line, and where it begins and the next one does.
struct Found {
    digits: Vec<u8>,
    count: u64,
    begins: u64,
    ends: u64,
}

impl Sorted {
    fn check(&self, path: &Path) -> Result<(), NotACopy> {
        let mut last = Vec::new();
        for sample in 0..=SAMPLES {
            // As a product first, it would overflow for no file that exists.
            let place = (self.bytes.saturating_sub(1)).saturating_mul(sample) / SAMPLES;
            let found = self.line_at(place).map_err(|error| match error.kind() {
                io::ErrorKind::InvalidData => NotACopy::NoLines(path.to_owned()),
                _ => NotACopy::Unreadable(path.to_owned(), error),
            })?;
            let digits = found.digits.to_ascii_uppercase();
            if digits < last {
                return Err(NotACopy::NotSorted(path.to_owned()));
            }
            last = digits;
        }
        Ok(())
    }

    fn find(&self, wanted: &str) -> io::Result<u64> {
        let (mut low, mut high) = (0, self.bytes);
        while low < high {
            let found = self.line_at(low + (high - low) / 2)?;
            match found.digits.to_ascii_uppercase().as_slice().cmp(wanted.as_bytes()) {
                std::cmp::Ordering::Equal => return Ok(found.count),
                std::cmp::Ordering::Less => low = found.ends,
                std::cmp::Ordering::Greater => high = found.begins,
            }
        }
        Ok(0)
    }

    /// The line that this byte belongs to.
    fn line_at(&self, place: u64) -> io::Result<Found> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        let from = place.saturating_sub(LINE_BYTES_MAX);
        let length = (place + LINE_BYTES_MAX).min(self.bytes).saturating_sub(from);
        let mut window = vec![0; usize::try_from(length).map_err(|_| invalid())?];
        self.file.read_exact_at(&mut window, from)?;
        let at = usize::try_from(place - from).map_err(|_| invalid())?;
        let (before, after) = window.split_at_checked(at).ok_or_else(invalid)?;
        let begins = match before.iter().rposition(|byte| *byte == b'\n') {
            Some(newline) => newline + 1,
            None if from == 0 => 0,
            None => return Err(invalid()),
        };
        let ends = match after.iter().position(|byte| *byte == b'\n') {
            Some(newline) => at + newline + 1,
            None if from + length == self.bytes => window.len(),
            None => return Err(invalid()),
        };
        let text = window.get(begins..ends).ok_or_else(invalid)?.trim_ascii_end();
        let (digits, count) = line(text, DIGITS).ok_or_else(invalid)?;
        let offset = |at: usize| u64::try_from(at).map(|at| from + at).map_err(|_| invalid());
        Ok(Found { digits: digits.to_vec(), count, begins: offset(begins)?, ends: offset(ends)? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sorted(text: &str) -> Result<Arc<Sorted>, NotACopy> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hashes.txt");
        std::fs::write(&path, text).unwrap();
        match Copy::open(&path)? {
            Copy::File(sorted) => Ok(sorted),
            Copy::Folder(_) => panic!("a file is no folder"),
        }
    }

    fn hash(number: u64) -> String {
        format!("{:040X}", u128::from(number) * 0x9E37_79B9_7F4A_7C15)
    }

    proptest! {
        /// Bisection finds what is there, whatever the lengths of the lines, and nothing else.
        #[test]
        fn every_line_is_found(numbers in prop::collection::btree_map(0_u64..5000, 1_u64..100_000_000, 1..200),
                               crlf in any::<bool>(), last in any::<bool>()) {
            let end = if crlf { "\r\n" } else { "\n" };
            let lines: Vec<String> = numbers.iter().map(|(n, count)| format!("{}:{count}", hash(*n))).collect();
            let text = lines.join(end) + if last { end } else { "" };
            let file = sorted(&text).unwrap();
            for n in 0..200 {
                prop_assert_eq!(file.find(&hash(n)).unwrap(), numbers.get(&n).copied().unwrap_or(0));
            }
        }
    }

    #[test]
    fn another_order_or_another_file_is_no_copy() {
        let by_count = format!("{}:90\n{}:80\n{}:70\n", hash(7), hash(3), hash(5));
        assert!(matches!(sorted(&by_count), Err(NotACopy::NotSorted(_))));
        for other in ["", "password\nqwerty\n", &"x".repeat(1000)] {
            assert!(matches!(sorted(other), Err(NotACopy::NoLines(_))), "{other:?}");
        }
    }

    #[test]
    fn a_folder_has_a_file_per_prefix() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Copy::open(folder.path()), Err(NotACopy::NoFiles(_))));
        std::fs::write(folder.path().join("00000.txt"), "0005AD76BD555C1D6D771DE417A4B87E4B4:10\r\n").unwrap();
        let found = |suffix| find_in_prefix(&folder.path().join("00000.txt"), suffix).unwrap();
        assert!(Copy::open(folder.path()).is_ok());
        assert_eq!(found("0005AD76BD555C1D6D771DE417A4B87E4B4"), 10);
        assert_eq!(found("0005AD76BD555C1D6D771DE417A4B87E4B5"), 0);
        assert!(find_in_prefix(&folder.path().join("00001.txt"), "0").is_err());
    }
}

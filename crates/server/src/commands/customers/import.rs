//! An import: batch by batch from a file into the database.
//!
//! What if the process dies? A batch is one transaction, so that each record is there or not. After the commit come the
//! errors, and then the progress file (`FILE.progress`), each written through to the disk. Whoever goes on from an
//! older progress file reads a batch again: its records are recognised, and its errors replace those that were written.
//! The progress file goes when the import is through.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use keyherald_core::id::ProjectKey;
use keyherald_core::import::{Record, Rejected};
use serde::{Deserialize, Serialize};

use super::lines::Place;
use super::source::Source;
use crate::app::App;
use crate::app::import_customers::ImportOutcome;
use crate::cli::FileFormat;
use crate::complaint::Complaint;

/// What is imported, and where to.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// The project.
    pub project: ProjectKey,
    /// The file of records.
    pub file: PathBuf,
    /// Its format.
    pub format: FileFormat,
    /// Where to write what was rejected.
    pub errors: PathBuf,
    /// Go on where an earlier import of the file stopped.
    pub resume: bool,
    /// Tell every customer's creation.
    pub announce: bool,
    /// Records in one transaction, at least 1.
    pub batch: usize,
}

/// What became of the records so far, those of an earlier run that was gone on with included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// New customers.
    pub imported: u64,
    /// Of these, in Password mode and without a hash.
    pub without_password: u64,
    /// Records whose customer was there already.
    pub already_there: u64,
    /// Records that were not taken.
    pub rejected: u64,
}

impl Counts {
    /// All records.
    pub fn records(self) -> u64 {
        self.imported + self.already_there + self.rejected
    }
}

/// The progress file.
#[derive(Serialize, Deserialize)]
struct Progress {
    project: ProjectKey,
    /// Of the file of records: another length is another file.
    file_bytes: u64,
    lines: u64,
    bytes: u64,
    /// Of the errors file.
    errors_bytes: u64,
    counts: Counts,
}

/// What was read of the file in one go.
#[derive(Default)]
struct Batch {
    records: Vec<Record>,
    /// Where each record began.
    lines: Vec<u64>,
    rejected: Vec<(u64, Rejected)>,
}

/// An import that is under way.
pub struct Import<'a> {
    app: &'a App,
    options: ImportOptions,
    source: Source,
    errors: File,
    errors_bytes: u64,
    counts: Counts,
}

impl<'a> Import<'a> {
    /// Opens the files. With `resume` and a progress file, at the place where it says.
    pub fn open(app: &'a App, options: ImportOptions) -> Result<Self, Complaint> {
        let progress = if options.resume { read_progress(&options)? } else { None };
        let place = progress.as_ref().map(|progress| Place { lines: progress.lines, bytes: progress.bytes });
        let source = Source::open(&options.file, options.format, place)
            .map_err(|error| cannot("read", &options.file, &error))?;
        if progress.as_ref().is_some_and(|p| p.file_bytes != source.file_bytes || p.project != options.project) {
            return Err(Complaint::new(format!(
                "{} is of another file or another project",
                progress_path(&options.file).display()
            ))
            .hint("leave --resume out to begin anew: customers that are there already are recognised"));
        }
        let (errors, errors_bytes) = open_errors(&options, progress.as_ref())?;
        let counts = progress.map(|progress| progress.counts).unwrap_or_default();
        Ok(Self { app, options, source, errors, errors_bytes, counts })
    }

    /// Imports the next batch. False: there was none, everything is imported.
    pub async fn step(&mut self) -> Result<bool, Complaint> {
        let Batch { lines, records, mut rejected } =
            self.read_batch().map_err(|error| cannot("read", &self.options.file, &error))?;
        if records.is_empty() && rejected.is_empty() {
            return Ok(false);
        }
        let must_reset: Vec<bool> = records.iter().map(Record::must_reset).collect();
        let outcomes = self.app.import_customers(self.options.project.clone(), records, self.options.announce).await;
        let outcomes = outcomes.map_err(|failure| {
            Complaint::because("the database refused", &failure).hint("--resume goes on after the last whole batch")
        })?;
        for ((line, must_reset), outcome) in lines.into_iter().zip(must_reset).zip(outcomes) {
            match outcome {
                ImportOutcome::Imported => {
                    self.counts.imported += 1;
                    self.counts.without_password += u64::from(must_reset);
                }
                ImportOutcome::AlreadyThere => self.counts.already_there += 1,
                ImportOutcome::Rejected(reason) => rejected.push((line, reason)),
            }
        }
        rejected.sort_by_key(|(line, _)| *line);
        self.counts.rejected += u64::try_from(rejected.len()).unwrap_or(u64::MAX);
        self.write_errors(&rejected).map_err(|error| cannot("write", &self.options.errors, &error))?;
        let progress = progress_path(&self.options.file);
        self.write_progress(&progress).map_err(|error| cannot("write", &progress, &error))?;
        Ok(true)
    }

    /// Reads as many records as one transaction takes, and looks at their form.
    fn read_batch(&mut self) -> io::Result<Batch> {
        let mut batch = Batch::default();
        while batch.records.len() + batch.rejected.len() < self.options.batch.max(1) {
            let Some(found) = self.source.next()? else { break };
            match found.fields.and_then(|fields| self.app.check_import(fields)) {
                Ok(record) => {
                    batch.lines.push(found.line);
                    batch.records.push(record);
                }
                Err(reason) => batch.rejected.push((found.line, reason)),
            }
        }
        Ok(batch)
    }

    /// What became of the records so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How much of the file was read, of 100.
    pub fn percent(&self) -> u64 {
        (self.source.place().bytes * 100).checked_div(self.source.file_bytes).unwrap_or(100).min(100)
    }

    /// Ends an import that is through.
    pub fn finish(self) -> Result<Counts, Complaint> {
        let progress = progress_path(&self.options.file);
        match std::fs::remove_file(&progress) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot("remove", &progress, &error)),
            _ => Ok(self.counts),
        }
    }

    fn write_errors(&mut self, rejected: &[(u64, Rejected)]) -> io::Result<()> {
        if rejected.is_empty() {
            return Ok(());
        }
        let mut text = String::new();
        for (line, Rejected(reason)) in rejected {
            text.push_str(&serde_json::json!({ "line": line, "reason": reason }).to_string());
            text.push('\n');
        }
        self.errors.write_all(text.as_bytes())?;
        self.errors.sync_data()?;
        self.errors_bytes = self.errors.stream_position()?;
        Ok(())
    }

    /// Written aside and renamed: whoever reads it finds the old one or the new one.
    fn write_progress(&self, path: &Path) -> io::Result<()> {
        let Place { lines, bytes } = self.source.place();
        let progress = Progress {
            project: self.options.project.clone(),
            file_bytes: self.source.file_bytes,
            lines,
            bytes,
            errors_bytes: self.errors_bytes,
            counts: self.counts,
        };
        let mut aside = tempfile::NamedTempFile::new_in(folder(path))?;
        aside.write_all(serde_json::to_string(&progress)?.as_bytes())?;
        aside.as_file().sync_data()?;
        aside.persist(path)?;
        Ok(())
    }
}

/// The folder that a file is in.
pub(super) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// `FILE` with something behind its name.
pub(super) fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn progress_path(file: &Path) -> PathBuf {
    beside(file, ".progress")
}

fn read_progress(options: &ImportOptions) -> Result<Option<Progress>, Complaint> {
    let path = progress_path(&options.file);
    let read = match std::fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.and_then(|bytes| Ok(serde_json::from_slice(&bytes)?)),
    };
    read.map(Some).map_err(|error| cannot("read", &path, &error).hint("leave --resume out to begin anew"))
}

/// What was written after the place that is gone on from will be written again.
fn open_errors(options: &ImportOptions, progress: Option<&Progress>) -> Result<(File, u64), Complaint> {
    let path = &options.errors;
    // An errors file that is named like the input would be its end.
    if let (Ok(file), Ok(errors)) = (options.file.canonicalize(), path.canonicalize())
        && file == errors
    {
        return Err(Complaint::new("--errors names the file that is imported"));
    }
    let open = || {
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        let keep = progress.map_or(0, |progress| progress.errors_bytes).min(file.metadata()?.len());
        file.set_len(keep)?;
        file.seek(SeekFrom::Start(keep))?;
        Ok((file, keep))
    };
    open().map_err(|error: io::Error| cannot("write", path, &error))
}

pub(super) fn cannot(verb: &str, path: &Path, error: &io::Error) -> Complaint {
    Complaint::because(&format!("cannot {verb} {}", path.display()), error)
}

//! CDR files in a folder: `cdr-<sequence>.csv` (or `.jsonl`), each with its trailer; the one under way ends in `.part`.
//!
//! Records come from the store by sequence number. Where a file begins is written down when it begins, so after a
//! crash the whole lines of the part file are counted, and exactly that many records are skipped: none missing, none
//! twice. A finished file is never touched again.

use control::cdr::{Form, Sheet};
use control::record::Record;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The files of one form.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
    form: Form,
    rows_max: u64,
    sheet: Sheet,
    file: File,
    sequence: u64,
    /// Records up to this number are in files.
    cursor: u64,
    /// Rows that the part file had when it was opened: so many records are there already.
    skip: u64,
}

impl Files {
    /// Opens a folder, and takes up the file that was left under way. A file is closed after `rows_max` rows.
    ///
    /// # Errors
    /// The file system's.
    pub fn open(folder: &Path, form: Form, rows_max: u64) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let (sequence, cursor) = place(folder, form).unwrap_or((1, 0));
        let part = part(folder, form, sequence);
        // A crash between the new name and the note of the next file: it is under way again, and ends the same way.
        let done = whole(folder, form, sequence);
        if done.exists() && !part.exists() {
            std::fs::rename(&done, &part)?;
        }
        let left = std::fs::read_to_string(&part).unwrap_or_default();
        let lines = left.rfind('\n').map_or("", |end| &left[..=end]);
        let (mut sheet, head) = Sheet::begin(form, sequence);
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&part)?;
        // A crash between the last row and the new name leaves a trailer; it is written again.
        let rows: Vec<&str> = lines
            .strip_prefix(head.as_str())
            .unwrap_or("")
            .split_inclusive('\n')
            .filter(|l| is_row(l))
            .collect();
        rows.iter().for_each(|row| sheet.resume(row));
        let kept = if lines.starts_with(&head) {
            head.len() + rows.iter().map(|r| r.len()).sum::<usize>()
        } else {
            0
        };
        file.set_len(u64::try_from(kept).unwrap_or(u64::MAX))?;
        io::Seek::seek(&mut file, io::SeekFrom::End(0))?;
        if kept == 0 {
            file.write_all(head.as_bytes())?;
        }
        let skip = sheet.rows();
        Ok(Self { folder: folder.to_owned(), form, rows_max, sheet, file, sequence, cursor, skip })
    }

    /// Ask the store for records after this number.
    #[must_use]
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Writes a page of records as the store gave it.
    ///
    /// # Errors
    /// The file system's; the same page may be written again after [`Files::open`].
    pub fn write(&mut self, page: &[(u64, Record)]) -> io::Result<()> {
        for (seq, record) in page {
            if self.skip > 0 {
                self.skip -= 1;
            } else {
                let line = self.sheet.line(record);
                self.file.write_all(line.as_bytes())?;
            }
            self.cursor = *seq;
            if self.skip == 0 && self.sheet.rows() >= self.rows_max {
                self.rotate()?;
            }
        }
        self.file.sync_data()
    }

    /// Closes the file with its trailer, and begins the next; an empty one goes on.
    ///
    /// # Errors
    /// The file system's.
    pub fn rotate(&mut self) -> io::Result<()> {
        if self.sheet.rows() == 0 || self.skip > 0 {
            return Ok(());
        }
        self.file.write_all(self.sheet.trailer().as_bytes())?;
        self.file.sync_all()?;
        let next = self.sequence + 1;
        std::fs::rename(
            part(&self.folder, self.form, self.sequence),
            whole(&self.folder, self.form, self.sequence),
        )?;
        note(&self.folder, self.form, next, self.cursor)?;
        let (sheet, head) = Sheet::begin(self.form, next);
        self.file = File::create(part(&self.folder, self.form, next))?;
        self.file.write_all(head.as_bytes())?;
        (self.sheet, self.sequence) = (sheet, next);
        Ok(())
    }
}

fn ending(form: Form) -> &'static str {
    match form {
        Form::Csv => "csv",
        Form::Jsonl => "jsonl",
    }
}

fn whole(folder: &Path, form: Form, sequence: u64) -> PathBuf {
    folder.join(format!("cdr-{sequence:08}.{}", ending(form)))
}

fn part(folder: &Path, form: Form, sequence: u64) -> PathBuf {
    folder.join(format!("cdr-{sequence:08}.{}.part", ending(form)))
}

fn place_file(folder: &Path, form: Form) -> PathBuf {
    folder.join(format!(".{}-place", ending(form)))
}

/// Sequence number of the file under way, and the number after which its records begin.
fn place(folder: &Path, form: Form) -> Option<(u64, u64)> {
    let text = std::fs::read_to_string(place_file(folder, form)).ok()?;
    let (sequence, after) = text.trim().split_once(' ')?;
    let (sequence, after) = (sequence.parse().ok()?, after.parse().ok()?);
    Some((sequence, after))
}

/// Written beside and renamed, so that it is whole or the old one.
fn note(folder: &Path, form: Form, sequence: u64, after: u64) -> io::Result<()> {
    let (path, beside) = (place_file(folder, form), folder.join(format!(".{}-place.new", ending(form))));
    let mut file = File::create(&beside)?;
    file.write_all(format!("{sequence} {after}\n").as_bytes())?;
    file.sync_all()?;
    std::fs::rename(beside, path)?;
    File::open(folder)?.sync_all()
}

fn is_row(line: &str) -> bool {
    !line.starts_with("#trailer,") && !line.starts_with("{\"trailer\":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::suite::fixture::record;
    use control::cdr::check;

    fn page(range: std::ops::RangeInclusive<u32>) -> Vec<(u64, Record)> {
        range.map(|n| (u64::from(n) * 3, record(n, 1))).collect()
    }

    fn read(folder: &Path, form: Form, sequence: u64) -> (u64, u64) {
        check(&std::fs::read_to_string(whole(folder, form, sequence)).expect("it is there"))
            .expect("it is whole")
    }

    /// Goal: over crashes at awkward moments every record is in one file, once, and trailers hold.
    #[test]
    fn no_record_is_missing_or_twice_after_crashes() {
        for form in [Form::Csv, Form::Jsonl] {
            let folder = tempfile::tempdir().expect("a folder");
            let mut files = Files::open(folder.path(), form, 4).expect("it opens");
            files.write(&page(1..=6)).expect("room");
            assert_eq!((read(folder.path(), form, 1), files.cursor()), ((1, 4), 18));
            // A crash in the middle of a line, and after a trailer before the rename.
            for torn in ["att_00torn", &files.sheet.trailer()] {
                drop(files);
                let open = part(folder.path(), form, 2);
                let mut file = OpenOptions::new().append(true).open(&open).expect("it is under way");
                file.write_all(torn.as_bytes()).expect("room");
                files = Files::open(folder.path(), form, 4).expect("it opens again");
                assert_eq!(files.cursor(), 12, "where file 2 begins");
            }
            files.write(&page(5..=6)).expect("what is there already is skipped");
            files.write(&page(7..=9)).expect("room");
            files.rotate().expect("room");
            assert_eq!((read(folder.path(), form, 2), read(folder.path(), form, 3)), ((2, 4), (3, 1)));
            let all: String = (1..=3)
                .map(|n| std::fs::read_to_string(whole(folder.path(), form, n)).expect("whole"))
                .collect();
            for n in 1..=9 {
                assert_eq!(all.matches(&record(n, 1).attempt.to_string()).count(), 1, "record {n}");
            }
        }
    }
}

//! A file that is on its way: its bytes where they belong, and beside it the record of which ranges are here.
//!
//! The record is written after the bytes it speaks of, range by range, so that a process may be killed at any moment: what the
//! record has is in the file. Whether a whole machine that went down kept both is told by the digest in the end.
//!
//! Must not know where bytes come from.

use crate::{HubError, Result};
use ltx_files::sync_folder;
use parking_lot::{Mutex, MutexGuard};
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

const MAGIC: &[u8; 16] = b"ltxd ranges v1\n\0";
const HEADER: u64 = 32;
const MIB: u64 = 1 << 20;

/// A file of which ranges come one by one, in any order.
pub(crate) struct Partial {
    path: PathBuf,
    data: File,
    record: File,
    layout: Layout,
    ranges: Mutex<Vec<State>>,
}

/// How a file is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    total: u64,
    /// Bytes of every range but the last.
    range: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    done: u64,
    taken: bool,
}

/// A range that somebody has taken on.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    at: usize,
    /// What is still to come of it.
    pub(crate) rest: Range<u64>,
}

impl Layout {
    /// About sixty ranges, each of 4 to 64 MiB; one where the server has no ranges.
    fn of(total: u64, in_ranges: bool) -> Self {
        let range = if in_ranges { (total / 64).next_multiple_of(MIB).clamp(4 * MIB, 64 * MIB) } else { total.max(1) };
        Self { total, range }
    }

    fn count(self) -> u64 {
        self.total.div_ceil(self.range)
    }

    fn bytes(self, at: usize) -> Range<u64> {
        let start = at as u64 * self.range;
        start..(start + self.range).min(self.total)
    }

    fn record_bytes(self) -> u64 {
        HEADER + 8 * self.count()
    }
}

/// What is beside a blob's path while it comes.
fn named(blob: &Path, end: &str) -> PathBuf {
    let mut name: OsString = blob.as_os_str().to_owned();
    name.push(end);
    name.into()
}

impl Partial {
    /// Bytes that are here of a blob that is on its way, without touching it.
    pub(crate) fn here(blob: &Path, total: u64) -> u64 {
        let Ok(mut record) = File::open(named(blob, ".ltxd-ranges")) else { return 0 };
        let there = fs::metadata(named(blob, ".ltxd-part")).is_ok_and(|data| data.len() == total);
        if !there { 0 } else { read_record(&mut record, total).map_or(0, |(_, done)| done.iter().sum()) }
    }

    /// Goes on with what is there, or begins.
    pub(crate) fn open(blob: &Path, total: u64) -> Result<Self> {
        let (path, record) = (named(blob, ".ltxd-part"), named(blob, ".ltxd-ranges"));
        let open = |path: &Path| {
            let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path);
            file.map_err(HubError::io(path))
        };
        let (data, mut record_file) = (open(&path)?, open(&record)?);
        let same = data.metadata().is_ok_and(|data| data.len() == total);
        let known = if same { read_record(&mut record_file, total) } else { None };
        let fresh = known.is_none();
        let (layout, done) = known.unwrap_or_else(|| {
            let layout = Layout::of(total, true);
            (layout, vec![0; layout.count() as usize])
        });
        let ranges = done.into_iter().map(|done| State { done, taken: false }).collect();
        let partial = Self { path, data, record: record_file, layout, ranges: Mutex::new(ranges) };
        if fresh {
            partial.begin(&record)?;
        }
        Ok(partial)
    }

    /// An empty record first, then the file at its full length: the other way round, an old record could speak of new bytes.
    fn begin(&self, record: &Path) -> Result<()> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.layout.total.to_le_bytes());
        bytes.extend(self.layout.range.to_le_bytes());
        bytes.resize(self.layout.record_bytes() as usize, 0);
        let written = self.record.set_len(0).and_then(|()| self.record.write_all_at(&bytes, 0));
        written.map_err(HubError::io(record))?;
        let sized = self.data.set_len(0).and_then(|()| self.data.set_len(self.layout.total));
        sized.map_err(HubError::io(&self.path))
    }

    /// The same file in one range, from its beginning: for a server that has no ranges.
    pub(crate) fn in_one(self) -> Result<Self> {
        let layout = Layout::of(self.layout.total, false);
        let whole = Self { layout, ranges: Mutex::new(vec![State::default()]), ..self };
        whole.begin(&named(&whole.path, ""))?;
        Ok(whole)
    }

    pub(crate) fn is_in_one(&self) -> bool {
        self.layout.count() <= 1
    }

    pub(crate) fn total(&self) -> u64 {
        self.layout.total
    }

    fn states(&self) -> MutexGuard<'_, Vec<State>> {
        self.ranges.lock()
    }

    /// Bytes that are here.
    pub(crate) fn done(&self) -> u64 {
        self.states().iter().map(|range| range.done).sum()
    }

    /// The next range that nobody has taken on and that is not here.
    pub(crate) fn take(&self) -> Option<Taken> {
        let mut states = self.states();
        for (at, state) in states.iter_mut().enumerate() {
            let bytes = self.layout.bytes(at);
            let rest = bytes.start + state.done..bytes.end;
            if !state.taken && !rest.is_empty() {
                state.taken = true;
                return Some(Taken { at, rest });
            }
        }
        None
    }

    /// Keeps bytes that follow what is here of a range; what is more than the range is dropped. Says how many were kept.
    pub(crate) fn keep(&self, taken: &mut Taken, bytes: &[u8]) -> Result<u64> {
        let room = taken.rest.end - taken.rest.start;
        let bytes = &bytes[..bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX))];
        self.data.write_all_at(bytes, taken.rest.start).map_err(HubError::io(&self.path))?;
        taken.rest.start += bytes.len() as u64;
        let done = taken.rest.start - self.layout.bytes(taken.at).start;
        let place = HEADER + 8 * taken.at as u64;
        self.record.write_all_at(&done.to_le_bytes(), place).map_err(HubError::io(&self.path))?;
        self.states()[taken.at].done = done;
        Ok(bytes.len() as u64)
    }

    /// Forgets what is here of a range in one; the server sends it from the beginning.
    pub(crate) fn restarted(&self, taken: &mut Taken) -> u64 {
        let start = self.layout.bytes(taken.at).start;
        std::mem::replace(&mut taken.rest.start, start) - start
    }

    /// The file that it is until it is placed.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the whole file the blob, in one step.
    pub(crate) fn place(self, blob: &Path) -> Result<()> {
        self.data.sync_all().map_err(HubError::io(&self.path))?;
        fs::rename(&self.path, blob).map_err(HubError::io(blob))?;
        let _ = fs::remove_file(named(blob, ".ltxd-ranges"));
        blob.parent().into_iter().for_each(sync_folder);
        Ok(())
    }

    /// Removes everything of it.
    pub(crate) fn discard(self, blob: &Path) {
        let _ = fs::remove_file(named(blob, ".ltxd-ranges"));
        let _ = fs::remove_file(&self.path);
    }
}

/// What is left of a partial of a blob that is whole.
pub(crate) fn sweep(blob: &Path) {
    for end in [".ltxd-ranges", ".ltxd-part"] {
        let _ = fs::remove_file(named(blob, end));
    }
}

/// The layout and the bytes done of every range; nothing where the file is no record of a file of `total` bytes.
fn read_record(record: &mut File, total: u64) -> Option<(Layout, Vec<u64>)> {
    let length = record.metadata().ok()?.len();
    let mut header = [0; HEADER as usize];
    record.read_exact(&mut header).ok()?;
    let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).ok();
    let layout = Layout { total: number(&header[16..24])?, range: number(&header[24..32])? };
    let known = [Layout::of(total, true), Layout::of(total, false)];
    if header[..16] != MAGIC[..] || !known.contains(&layout) || length != layout.record_bytes() {
        return None;
    }
    let mut bytes = Vec::new();
    io::Read::by_ref(record).take(8 * layout.count()).read_to_end(&mut bytes).ok()?;
    let done: Vec<_> = bytes.chunks_exact(8).filter_map(number).collect();
    let legal = |(at, done): (usize, &u64)| *done <= layout.bytes(at).end - layout.bytes(at).start;
    (done.len() as u64 == layout.count() && done.iter().enumerate().all(legal)).then_some((layout, done))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that comes in two sittings: what the first kept, the second does not ask for again.
    #[test]
    fn what_was_kept_is_not_asked_for_again() {
        let folder = tempfile::tempdir().unwrap();
        let blob = folder.path().join("abc");
        let bytes: Vec<u8> = (0..9 * MIB as usize).map(|at| (at % 251) as u8).collect();
        let total = bytes.len() as u64;
        let first = Partial::open(&blob, total).unwrap();
        let (mut a, mut b) = (first.take().unwrap(), first.take().unwrap());
        assert_eq!((a.rest.clone(), b.rest.clone()), (0..4 * MIB, 4 * MIB..8 * MIB));
        assert_eq!(first.keep(&mut a, &bytes[..1000]).unwrap(), 1000);
        assert_eq!(
            first.keep(&mut b, &bytes[4 * MIB as usize..9 * MIB as usize]).unwrap(),
            4 * MIB,
            "no more than the range"
        );
        drop(first);
        assert_eq!(Partial::here(&blob, total), 1000 + 4 * MIB);
        assert_eq!(Partial::here(&blob, total + 1), 0, "of another size it is another file");
        let second = Partial::open(&blob, total).unwrap();
        assert_eq!(second.done(), 1000 + 4 * MIB);
        let mut asked = Vec::new();
        while let Some(mut taken) = second.take() {
            asked.push(taken.rest.clone());
            let (from, to) = (taken.rest.start as usize, taken.rest.end as usize);
            second.keep(&mut taken, &bytes[from..to]).unwrap();
        }
        assert_eq!(asked, [1000..4 * MIB, 8 * MIB..9 * MIB]);
        second.place(&blob).unwrap();
        assert!(fs::read(&blob).unwrap() == bytes);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    /// A record that is none, or of another file, begins anew; it never speaks of bytes that are not there.
    #[test]
    fn a_damaged_record_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let blob = folder.path().join("abc");
        let total = 9 * MIB;
        let record = named(&blob, ".ltxd-ranges");
        let partial = Partial::open(&blob, total).unwrap();
        let mut taken = partial.take().unwrap();
        partial.keep(&mut taken, &[1; 5000]).unwrap();
        let good = fs::read(&record).unwrap();
        let mut damaged = vec![good[..good.len() - 1].to_vec(), [&good[..], &[0]].concat(), vec![], good[..7].to_vec()];
        for (at, value) in
            [(0, b'x'), (16, 1), (24, 1), (31, 0xff), (HEADER as usize + 7, 1), (HEADER as usize + 3, 0xff)]
        {
            let mut bytes = good.clone();
            bytes[at] = value;
            damaged.push(bytes);
        }
        for bytes in damaged {
            fs::write(&record, &bytes).unwrap();
            assert_eq!(Partial::here(&blob, total), 0);
            assert_eq!(Partial::open(&blob, total).unwrap().done(), 0);
        }
        fs::write(&record, &good).unwrap();
        assert_eq!(Partial::open(&blob, total).unwrap().done(), 5000);
        // A file that was shortened is not what the record speaks of.
        File::options().write(true).open(named(&blob, ".ltxd-part")).unwrap().set_len(total - 1).unwrap();
        assert_eq!(Partial::open(&blob, total).unwrap().done(), 0);
    }

    #[test]
    fn ranges_cover_files_of_every_size() {
        for total in [0, 1, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 300_000_000, 46_149_345_334, u64::MAX / 2] {
            let layout = Layout::of(total, true);
            assert_eq!(layout.count(), total.div_ceil(layout.range));
            if layout.count() > 0 {
                assert_eq!(layout.bytes(layout.count() as usize - 1).end, total);
            }
            assert!(Layout::of(total, false).count() <= 1);
        }
        assert!(Layout::of(46_149_345_334, true).count() < 1000);
    }
}

//! The process' allocator: small blocks are the C library's; large ones, which hold weights and activations, come from the system
//! in huge pages and are used again.
//!
//! Must not know what is in them.
//!
//! A step frees and asks for the same sizes over and over. The C library gives large blocks back to the system at once and gets
//! them anew in pages of 4 KiB, cleared one fault at a time: a seventh of all the time of a clip at full width. Here a freed block
//! waits to be used again, but never so that the process holds more than it once had in use, and a little: what waits makes room first,
//! the oldest before others. So resident memory is that of the most that was in use at once, as the memory plan counts it.

#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    ptr,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Blocks from here on are large.
const LARGE: usize = 1 << 20;
const PAGE: usize = 4096;
/// A huge page.
const HUGE: usize = 2 << 20;
/// Blocks that can wait.
const WAITING: usize = 256;
/// Bytes that may wait above the most that was in use, so that sizes which take turns do not push each other out.
const SPARE: usize = 64 << 20;

#[global_allocator]
static BLOCKS: Blocks = Blocks::new();

/// Gives free memory back to the system, large blocks and what the C library holds between blocks that are in use. To be called
/// where what comes next has other sizes than what was before.
pub(crate) fn release() {
    BLOCKS.release();
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it may be called from any thread at any time, and touches no block that is in use; its result only says whether
    // anything was given back.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Tells the C library to keep little: small blocks all come from its heaps, none of which keeps more than a megabyte at its end. It
/// would come to keep twice the largest block it saw, on each of them. To be called before the work begins.
pub(crate) fn keep_little() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it takes the C library's own lock, touches no block that is in use, and says only whether it knew the parameter.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 1 << 20);
    }
}

/// The allocator.
struct Blocks {
    book: Mutex<Book>,
}

impl Blocks {
    const fn new() -> Self {
        Self { book: Mutex::new(Book::new()) }
    }

    /// Gives back what waits. From now on as much may wait as is in use.
    fn release(&self) {
        self.book().release();
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing in here panics; a panic elsewhere never holds the lock.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which blocks are whose.
struct Book {
    /// Blocks that wait, the oldest first.
    waiting: [Waiting; WAITING],
    count: usize,
    /// Bytes that wait, bytes in use, and the most that ever were in use.
    idle: usize,
    live: usize,
    most: usize,
}

#[derive(Clone, Copy)]
struct Waiting {
    /// A pointer's exposed address.
    address: usize,
    size: usize,
}

impl Book {
    const fn new() -> Self {
        Self { waiting: [Waiting { address: 0, size: 0 }; WAITING], count: 0, idle: 0, live: 0, most: 0 }
    }

    /// A block, and whether it is all zeros; null where there is no memory.
    fn take(&mut self, size: usize) -> (*mut u8, bool) {
        // The one that was freed last may still be in a cache.
        if let Some(found) = self.waiting[..self.count].iter().rposition(|waiting| waiting.size == size) {
            let waiting = self.remove(found);
            self.use_more(size);
            return (ptr::with_exposed_provenance_mut(waiting.address), false);
        }
        while self.count > 0 && self.live + self.idle + size > self.most.max(self.live + size) + SPARE {
            self.give_oldest_back();
        }
        let mut block = map(size);
        if block.is_null() {
            self.release();
            block = map(size);
        }
        if !block.is_null() {
            self.use_more(size);
        }
        (block, true)
    }

    fn put(&mut self, block: *mut u8, size: usize) {
        self.live = self.live.saturating_sub(size);
        if self.count == WAITING {
            self.give_oldest_back();
        }
        self.waiting[self.count] = Waiting { address: block.expose_provenance(), size };
        self.count += 1;
        self.idle += size;
    }

    fn use_more(&mut self, size: usize) {
        self.live += size;
        self.most = self.most.max(self.live);
    }

    fn give_oldest_back(&mut self) {
        let Waiting { address, size } = self.remove(0);
        unmap(ptr::with_exposed_provenance_mut(address), size);
    }

    fn release(&mut self) {
        while self.count > 0 {
            self.give_oldest_back();
        }
        self.most = self.live;
    }

    fn remove(&mut self, i: usize) -> Waiting {
        let waiting = self.waiting[i];
        self.waiting.copy_within(i + 1..self.count, i);
        self.count -= 1;
        self.idle -= waiting.size;
        waiting
    }
}

/// The size of the block that holds `size` bytes: eight sizes for each power of two, in whole pages, so that what is asked for a
/// little larger or smaller than before is found again. Pages that nobody touches take no memory.
fn rounded(size: usize) -> Option<usize> {
    let step = (1usize << (usize::BITS - 1 - size.leading_zeros())) / 8;
    size.checked_next_multiple_of(step.max(PAGE)).filter(|size| *size <= isize::MAX as usize)
}

/// Whether this allocator serves a layout itself.
fn is_large(layout: Layout) -> bool {
    cfg!(target_os = "linux") && layout.size() >= LARGE && layout.align() <= PAGE
}

// SAFETY: every block is either the C library's, as [`is_large`] decides from the layout alone, or a mapping of its own of at least
// the layout's size, aligned to a page, which nobody else has until it is put back under the same lock. Nothing here allocates or
// panics: the book is an array, and its lock a number that threads wait for.
unsafe impl GlobalAlloc for Blocks {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !is_large(layout) {
            // SAFETY: the caller's promise.
            return unsafe { System.alloc(layout) };
        }
        rounded(layout.size()).map_or(ptr::null_mut(), |size| self.book().take(size).0)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !is_large(layout) {
            // SAFETY: the caller's promise.
            return unsafe { System.alloc_zeroed(layout) };
        }
        let Some(size) = rounded(layout.size()) else { return ptr::null_mut() };
        let (block, zeros) = self.book().take(size);
        if !zeros && !block.is_null() {
            // SAFETY: the block is at least that large, and this thread's alone.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match rounded(layout.size()).filter(|_| is_large(layout)) {
            Some(size) => self.book().put(block, size),
            // SAFETY: the caller's promise; the C library's, as decided when it was asked for.
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the new size is a layout's.
        let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        match (is_large(layout), is_large(new)) {
            // SAFETY: the caller's promise.
            (false, false) => unsafe { System.realloc(block, layout, new_size) },
            (true, true) if rounded(layout.size()) == rounded(new_size) => block,
            _ => {
                // SAFETY: the caller's promise; both blocks hold the smaller of the sizes, and they are two.
                unsafe {
                    let moved = self.alloc(new);
                    if !moved.is_null() {
                        ptr::copy_nonoverlapping(block, moved, layout.size().min(new_size));
                        self.dealloc(block, layout);
                    }
                    moved
                }
            }
        }
    }
}

/// Zeros from the system, whole huge pages of them in huge pages; null where it has none.
#[cfg(target_os = "linux")]
fn map(size: usize) -> *mut u8 {
    let slack = if size >= HUGE { HUGE } else { 0 };
    let Some(length) = size.checked_add(slack) else { return ptr::null_mut() };
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping where the system likes; it overlaps no other.
    let mapped = unsafe { libc::mmap(ptr::null_mut(), length, access, kind, -1, 0) };
    if mapped == libc::MAP_FAILED {
        return ptr::null_mut();
    }
    let mapped = mapped.cast::<u8>();
    if slack == 0 {
        return mapped;
    }
    let before = mapped.align_offset(HUGE).min(slack);
    // SAFETY: both ends and the advised part lie inside the mapping, on page boundaries, and nobody has used them yet.
    unsafe {
        let block = mapped.add(before);
        unmap(mapped, before);
        unmap(block.add(size), slack - before);
        libc::madvise(block.cast(), size / HUGE * HUGE, libc::MADV_HUGEPAGE);
        block
    }
}

#[cfg(target_os = "linux")]
fn unmap(block: *mut u8, size: usize) {
    if size > 0 {
        // SAFETY: whole pages that [`map`] made, which nobody uses any more.
        unsafe { libc::munmap(block.cast(), size) };
    }
}

#[cfg(not(target_os = "linux"))]
fn map(_: usize) -> *mut u8 {
    ptr::null_mut()
}

#[cfg(not(target_os = "linux"))]
fn unmap(_: *mut u8, _: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(blocks: &Blocks) -> (usize, usize, usize) {
        let book = blocks.book();
        (book.live, book.idle, book.count)
    }

    #[test]
    fn sizes_go_up_in_eighths_and_whole_pages() {
        assert_eq!(rounded(LARGE), Some(LARGE));
        assert_eq!(rounded(LARGE + 1), Some(LARGE + LARGE / 8));
        assert_eq!(rounded(100 << 20), Some(104 << 20));
        assert_eq!(rounded(usize::MAX), None);
        for size in [LARGE, LARGE + 17, 3 << 20, (5 << 30) + 1] {
            let found = rounded(size).unwrap();
            assert!(found >= size && found - size <= size / 8 + PAGE && found.is_multiple_of(PAGE), "{size} {found}");
        }
    }

    #[test]
    fn a_freed_block_is_used_again_and_zeroed_when_asked() {
        let blocks = Blocks::new();
        let layout = Layout::from_size_align(5 << 20, 64).unwrap();
        // SAFETY: the layouts are valid, every block is used within its size, and freed once under the layout it has then.
        unsafe {
            let first = blocks.alloc(layout);
            first.write_bytes(7, layout.size());
            blocks.dealloc(first, layout);
            assert_eq!(state(&blocks), (0, 5 << 20, 1));
            let again = blocks.alloc_zeroed(layout);
            assert_eq!(again, first);
            assert!(std::slice::from_raw_parts(again, layout.size()).iter().all(|byte| *byte == 0));
            again.add(layout.size() - 1).write(9);
            let grown = blocks.realloc(again, layout, 50 << 20);
            assert_eq!(grown.add(layout.size() - 1).read(), 9);
            let large = Layout::from_size_align(50 << 20, 64).unwrap();
            let small = blocks.realloc(grown, large, 100);
            assert_eq!(small.read(), 0);
            blocks.dealloc(small, Layout::from_size_align(100, 64).unwrap());
        }
        blocks.release();
        assert_eq!(state(&blocks), (0, 0, 0));
    }

    #[test]
    fn what_waits_never_takes_much_more_than_was_once_in_use() {
        let blocks = Blocks::new();
        let layout = |mib: usize| Layout::from_size_align(mib << 20, 1).unwrap();
        let mib = |state: (usize, usize, usize)| (state.0 >> 20, state.1 >> 20, state.2);
        // SAFETY: as above.
        unsafe {
            let (a, b) = (blocks.alloc(layout(80)), blocks.alloc(layout(160)));
            blocks.dealloc(a, layout(80));
            blocks.dealloc(b, layout(160));
            assert_eq!(mib(state(&blocks)), (0, 240, 2));
            // 240 were in use, and 64 may wait above: beside 120, the 160 may, with the 80 they may not.
            let c = blocks.alloc(layout(120));
            assert_eq!(mib(state(&blocks)), (120, 160, 1));
            let d = blocks.alloc(layout(20));
            assert_eq!(mib(state(&blocks)), (140, 160, 1));
            let e = blocks.alloc(layout(10));
            assert_eq!(mib(state(&blocks)), (150, 0, 0));
            blocks.dealloc(c, layout(120));
            blocks.dealloc(d, layout(20));
            blocks.dealloc(e, layout(10));
        }
        blocks.release();
        assert_eq!(state(&blocks), (0, 0, 0));
    }

    #[test]
    fn more_blocks_than_can_wait_are_given_back_in_their_order() {
        let blocks = Blocks::new();
        let layout = Layout::from_size_align(LARGE, 8).unwrap();
        // SAFETY: as above.
        unsafe {
            let all: Vec<*mut u8> = (0..WAITING + 40).map(|_| blocks.alloc(layout)).collect();
            assert!(all.iter().all(|block| !block.is_null()));
            all.into_iter().for_each(|block| blocks.dealloc(block, layout));
        }
        assert_eq!(state(&blocks), (0, WAITING << 20, WAITING));
        blocks.release();
    }

    #[test]
    fn what_the_system_cannot_give_is_refused() {
        let blocks = Blocks::new();
        let layout = Layout::from_size_align(isize::MAX as usize / 2, 8).unwrap();
        // SAFETY: nothing is written to a block that was refused.
        assert!(unsafe { blocks.alloc(layout) }.is_null());
        assert_eq!(state(&blocks), (0, 0, 0));
    }
}

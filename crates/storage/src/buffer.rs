//! Memory that direct I/O can use.
//!
//! An acquire reads 1 MiB three times. Fresh memory for each read costs more processor time in page
//! faults than the read itself, so a buffer that is dropped is kept for the next one of its size, up to
//! a bound. What stands in a kept buffer is never shown: [`Buffer::zeroed`] clears it, and a read hands
//! a buffer out only after the kernel has overwritten all of it.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::{Mutex, PoisonError};

/// What `O_DIRECT` wants of an address on every device; also the smallest size handed out.
const PAGE: usize = 4096;
/// A transparent huge page. A read into one is a single segment to the device driver instead of 256.
const HUGE_PAGE: usize = 2 << 20;
/// The largest size that is kept: the largest lease area.
const LARGEST_KEPT: usize = 8 << 20;
/// 4 KiB, 8 KiB, ... 8 MiB.
const CLASSES: usize = 12;
/// How much memory of one size is kept, unless that would be more than [`MOST_KEPT`] buffers.
const BYTES_KEPT_PER_CLASS: usize = 16 << 20;
const MOST_KEPT: usize = 64;

/// Bytes in page-aligned memory, as direct I/O needs them.
///
/// At least as much memory as a power of two of pages is behind it; only `len` bytes are ever seen.
pub struct Buffer {
    block: Block,
    len: usize,
}

impl Buffer {
    /// `len` zero bytes.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        let mut buffer = Self::dirty(len);
        buffer.fill(0);
        buffer
    }

    /// A copy of `bytes`.
    #[must_use]
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut buffer = Self::dirty(bytes.len());
        buffer.copy_from_slice(bytes);
        buffer
    }

    /// `len` bytes with whatever an earlier user left in them: for those who overwrite all of it before
    /// anyone else sees it.
    pub(crate) fn dirty(len: usize) -> Self {
        Self {
            block: Block::of_at_least(len),
            len,
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the block is at least `len` bytes, was initialised when it was allocated, belongs to
        // this buffer alone, and the lifetime is that of the borrow of the buffer.
        unsafe { slice::from_raw_parts(self.block.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and the buffer is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.block.start.as_ptr(), self.len) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.block.give_back();
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes)", self.len)
    }
}

/// A piece of initialised memory and the size it was made with.
#[derive(Clone, Copy)]
struct Block {
    start: NonNull<u8>,
    size: usize,
    /// Half of a huge page: it can be kept but not freed on its own.
    half: bool,
}

// SAFETY: a block is plain memory that exactly one `Buffer` or the list of kept blocks refers to; it is
// not tied to the thread that allocated it.
unsafe impl Send for Block {}
// SAFETY: `&Block` gives no access to the memory; `&Buffer` gives shared, read-only access.
unsafe impl Sync for Block {}

impl Block {
    fn of_at_least(len: usize) -> Self {
        let Some(class) = class_of(len) else {
            return Self::allocate(len);
        };
        let mut kept = lock(&KEPT);
        if let Some(block) = kept.classes.get_mut(class).and_then(Vec::pop) {
            return block;
        }
        let size = PAGE << class;
        if size * 2 == HUGE_PAGE && kept.halves < BYTES_KEPT_PER_CLASS / size {
            kept.halves += 2;
            drop(kept);
            return Self::split_huge_page(class, size);
        }
        drop(kept);
        Self::allocate(size)
    }

    /// Allocates a huge page, keeps its second half and returns the first.
    fn split_huge_page(class: usize, size: usize) -> Self {
        let whole = Self::allocate(HUGE_PAGE);
        // SAFETY: `size` is half of the allocation, so the result points into it.
        let middle = unsafe { whole.start.add(size) };
        let second = Self {
            start: middle,
            size,
            half: true,
        };
        if let Some(list) = lock(&KEPT).classes.get_mut(class) {
            list.push(second);
        }
        Self {
            start: whole.start,
            size,
            half: true,
        }
    }

    fn allocate(len: usize) -> Self {
        let layout = layout_of(len);
        // SAFETY: the layout is not empty.
        let Some(start) = NonNull::new(unsafe { alloc(layout) }) else {
            handle_alloc_error(layout)
        };
        if layout.align() == HUGE_PAGE {
            // SAFETY: the range is exactly the allocation just made; the advice changes no contents,
            // and a kernel without huge pages refuses it without harm.
            unsafe { libc::madvise(start.as_ptr().cast(), layout.size(), libc::MADV_HUGEPAGE) };
        }
        // Bytes that Rust may read have to be initialised; it also faults the pages in, once.
        // SAFETY: the allocation is `layout.size()` bytes long and nobody else knows of it yet.
        unsafe { ptr::write_bytes(start.as_ptr(), 0, layout.size()) };
        Self {
            start,
            size: len,
            half: false,
        }
    }

    fn give_back(self) {
        if let Some(class) = class_of(self.size) {
            let mut kept = lock(&KEPT);
            let halves = if self.size * 2 == HUGE_PAGE {
                kept.halves
            } else {
                0
            };
            let room = (BYTES_KEPT_PER_CLASS / self.size)
                .clamp(1, MOST_KEPT)
                .saturating_sub(halves);
            if let Some(list) = kept.classes.get_mut(class) {
                if self.half || list.len() < room {
                    list.push(self);
                    return;
                }
            }
        }
        // SAFETY: the block came from `allocate` with this size (halves are always kept), and its only
        // owner has just given it up.
        unsafe { dealloc(self.start.as_ptr(), layout_of(self.size)) };
    }
}

/// Memory that waits for its next user.
struct Kept {
    classes: [Vec<Block>; CLASSES],
    /// Halves of huge pages in existence, kept or in use.
    halves: usize,
}

static KEPT: Mutex<Kept> = Mutex::new(Kept {
    classes: [const { Vec::new() }; CLASSES],
    halves: 0,
});

fn lock(kept: &Mutex<Kept>) -> std::sync::MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which list blocks for `len` bytes are kept in; none for those too large to keep.
fn class_of(len: usize) -> Option<usize> {
    if len > LARGEST_KEPT {
        return None;
    }
    let pages = len.div_ceil(PAGE).max(1).next_power_of_two();
    usize::try_from(pages.trailing_zeros()).ok()
}

fn layout_of(len: usize) -> Layout {
    let align = if len >= HUGE_PAGE { HUGE_PAGE } else { PAGE };
    let layout = Layout::from_size_align(len.max(PAGE), align);
    layout.unwrap_or_else(|_| handle_alloc_error(Layout::new::<[u8; PAGE]>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_is_page_aligned_and_exactly_as_long_as_asked() {
        for len in [
            0,
            1,
            512,
            4096,
            4097,
            16384,
            1 << 20,
            (1 << 20) + 512,
            8 << 20,
            9 << 20,
        ] {
            let buffer = Buffer::zeroed(len);
            assert_eq!(buffer.len(), len);
            assert_eq!(buffer.as_ptr() as usize % PAGE, 0, "{len}");
            assert!(buffer.iter().all(|byte| *byte == 0), "{len}");
        }
    }

    #[test]
    fn classes_cover_their_lengths_and_no_less() {
        for len in [
            0,
            1,
            PAGE,
            PAGE + 1,
            3 * PAGE,
            1 << 20,
            (4 << 20) + 1,
            LARGEST_KEPT,
        ] {
            let class = class_of(len).unwrap();
            assert!(class < CLASSES);
            assert!(PAGE << class >= len);
            assert!(class == 0 || PAGE << (class - 1) < len);
        }
        assert_eq!(class_of(LARGEST_KEPT + 1), None);
    }

    #[test]
    fn what_an_earlier_user_left_is_not_in_a_zeroed_buffer() {
        // A size that no other test uses, so that the same memory comes back.
        const LEN: usize = 32 * PAGE;
        let mut old = Buffer::zeroed(LEN);
        old.fill(0xa5);
        let address = old.as_ptr();
        drop(old);
        let new = Buffer::zeroed(LEN);
        assert_eq!(new.as_ptr(), address, "the memory should have been reused");
        assert!(new.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn memory_kept_is_bounded() {
        const LEN: usize = 64 * PAGE;
        let many: Vec<_> = (0..200).map(|_| Buffer::zeroed(LEN)).collect();
        drop(many);
        let kept = lock(&KEPT);
        let list = &kept.classes[class_of(LEN).unwrap()];
        assert_eq!(list.len(), BYTES_KEPT_PER_CLASS / LEN);
    }

    #[test]
    fn halves_of_huge_pages_do_not_overlap_and_are_bounded() {
        const LEN: usize = HUGE_PAGE / 2;
        let mut many: Vec<_> = (0..40).map(|_| Buffer::zeroed(LEN)).collect();
        for (number, buffer) in (0u8..).zip(&mut many) {
            buffer.fill(number);
        }
        for (number, buffer) in (0u8..).zip(&many) {
            assert!(buffer.iter().all(|byte| *byte == number));
        }
        drop(many);
        let kept = lock(&KEPT);
        assert!(kept.halves <= BYTES_KEPT_PER_CLASS / LEN);
        assert!(kept.classes[class_of(LEN).unwrap()].len() <= BYTES_KEPT_PER_CLASS / LEN);
    }
}

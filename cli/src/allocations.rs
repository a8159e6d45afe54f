//! How often this process has asked for memory, counted in debug builds only: the mesh's tests hold the figure per request
//! below a ceiling. `unsafe`, for the language asks for it of every allocator.
#![allow(unsafe_code)]

use mimalloc::MiMalloc;
use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicU64, Ordering};

/// mimalloc, with a count beside it.
pub struct Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);

/// Allocations since the start; one that is enlarged counts again.
pub fn count() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

fn one_more() {
    COUNT.fetch_add(1, Ordering::Relaxed);
}

// SAFETY: every call goes to mimalloc unchanged, which keeps the contract; the count touches no memory that is handed out.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        one_more();
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        one_more();
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        one_more();
        // SAFETY: `block` came from mimalloc through this wrapper; the caller's promises about the rest are passed on.
        unsafe { MiMalloc.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: `block` came from mimalloc through this wrapper; the caller's promise about `layout` is passed on.
        unsafe { MiMalloc.dealloc(block, layout) }
    }
}

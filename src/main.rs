//! The command line of moue.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    io::Write,
    process::ExitCode,
};

/// The system's memory. Where it is refused the program ends with a sentence, not with a trace of where it was.
struct Memory;

#[global_allocator]
static MEMORY: Memory = Memory;

/// Ends the program unless the refusal is an answer. Nothing here allocates.
#[cold]
fn refused(bytes: usize) {
    if !moue::exec::memory::is_asking() {
        let _ = writeln!(
            std::io::stderr(),
            "moue: device cpu: the system refuses {bytes} more bytes of memory; use a smaller batch, network or picture, or \
             end other programs"
        );
        std::process::exit(4);
    }
}

#[expect(unsafe_code, reason = "an allocator has no safe interface; each call goes to the system's as it is")]
// SAFETY: every method hands its arguments to `System` and returns what that returns.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that `System` asks for.
        let memory = unsafe { System.alloc(layout) };
        if memory.is_null() {
            refused(layout.size());
        }
        memory
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let memory = unsafe { System.alloc_zeroed(layout) };
        if memory.is_null() {
            refused(layout.size());
        }
        memory
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        let memory = unsafe { System.realloc(old, layout, size) };
        if memory.is_null() {
            refused(size);
        }
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

fn main() -> ExitCode {
    moue::cli::main()
}

//! Memory that the system refuses.
//!
//! Where a program has no memory left there is nothing to do but to end. Some allocations are so large that a refusal is
//! to be expected, and then it is an answer: those are asked for within [`asking`], and the program's allocator, which
//! ends it for any other, lets them fail.

use std::cell::Cell;

thread_local! {
    static ASKING: Cell<bool> = const { Cell::new(false) };
}

/// Makes allocations that may be refused, such as those of [`Vec::try_reserve_exact`].
pub fn asking<R>(allocate: impl FnOnce() -> R) -> R {
    let before = ASKING.replace(true);
    let result = allocate();
    ASKING.set(before);
    result
}

/// Does this thread ask for memory that it may be refused? For the allocator of a program.
#[must_use]
pub fn is_asking() -> bool {
    ASKING.get()
}

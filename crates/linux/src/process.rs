//! What a process does to itself if it is there for an interface and nothing else.

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

/// Has the kernel write no core file of this process, and lets no other process of the same user look into it, unless it has
/// `CAP_SYS_PTRACE`.
///
/// Keys that are kept lie in pages that no core file has (`wirewright_runtime::vault`). But those that pass, as text from or to
/// a client, on the stack of a handshake or in a register, are where no page can be left out.
///
/// A system that refuses this is done without it.
pub fn refuse_core_files() {
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

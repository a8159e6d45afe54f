//! What the process keeps in memory: whole huge pages are for those who fill them, and code that only the start needed need
//! not stay mapped.

use std::fs;
use std::ops::Range;

/// Takes memory in small pages from now on: where huge ones are on offer, an idle proxy would hold several of 2 MiB with
/// little in them. Without the right to ask, nothing but memory is lost.
pub fn in_small_pages() {
    let _ = nix::sys::prctl::set_thp_disable(true);
}

/// Unmaps the pages of the program's code; those that are needed again come back from the page cache at their next use.
pub fn forget_the_start() {
    let Ok(program) = std::env::current_exe() else { return };
    let Ok(maps) = fs::read_to_string("/proc/self/maps") else { return };
    for range in maps.lines().filter_map(|line| code(line, program.to_str()?)) {
        unmap(range);
    }
}

/// `7f00-7fff r-xp 00000000 fe:00 123 /path`: the addresses, if this is code of the program.
fn code(line: &str, program: &str) -> Option<Range<usize>> {
    let (head, path) = line.split_once('/')?;
    let mut words = head.split(' ');
    let (from, to) = words.next()?.split_once('-')?;
    if words.next()? != "r-xp" || path != program.strip_prefix('/')? {
        return None;
    }
    Some(usize::from_str_radix(from, 16).ok()?..usize::from_str_radix(to, 16).ok()?)
}

#[allow(unsafe_code)]
fn unmap(range: Range<usize>) {
    let Some(start) = std::ptr::NonNull::new(range.start as *mut std::ffi::c_void) else { return };
    // SAFETY: the range is a private mapping of a file that is never written (`r-xp`): its pages are as they are in the
    // file, and the kernel maps them anew from there, also while other threads run in them.
    let _ = unsafe { nix::sys::mman::madvise(start, range.len(), nix::sys::mman::MmapAdvise::MADV_DONTNEED) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_of_the_program_is_told_from_all_else() {
        let told = |line| code(line, "/bin/meltemi");
        assert_eq!(told("00400000-00402000 r-xp 00001000 fe:00 17   /bin/meltemi"), Some(0x40_0000..0x40_2000));
        assert_eq!(told("00400000-00402000 r--p 00001000 fe:00 17   /bin/meltemi"), None);
        assert_eq!(told("00400000-00402000 r-xp 00001000 fe:00 17   /lib/libc.so.6"), None);
        assert_eq!(told("00400000-00402000 rw-p 00000000 00:00 0"), None);
    }
}

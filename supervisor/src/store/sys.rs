//! Every `unsafe` line of the store role, behind safe functions: a file system for SQLite that has two files and opens
//! nothing, and a timer that ends the process when a function of SQLite looks at no clock.
//!
//! Called by `serve.rs` and `engine.rs` only. What SQLite passes here is its own; the content of pages is hostile and is
//! only moved.
#![expect(
    unsafe_code,
    reason = "with the crate's other files of this name the one place where it is allowed"
)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::ffi;
use rustix::fs::SeekFrom;

use fazt_ipc::store::EXIT_LATE;
use fazt_ipc::store::limits::WAL_BYTES_MORE;

/// The two files.
#[derive(Debug)]
pub(super) struct Files {
    database: OwnedFd,
    wal: OwnedFd,
    /// Neither can be written to.
    pub(super) read_only: bool,
    database_bytes_max: AtomicU64,
    wal_bytes_max: AtomicU64,
    /// The disk had no room, as against the quota.
    full: AtomicBool,
}

impl Files {
    /// Of these descriptors.
    pub(super) fn new(database: OwnedFd, wal: OwnedFd, read_only: bool) -> Self {
        let (database_bytes_max, wal_bytes_max) = (AtomicU64::new(0), AtomicU64::new(0));
        let full = AtomicBool::new(false);
        let files = Self { database, wal, read_only, database_bytes_max, wal_bytes_max, full };
        files.set_bounds(0);
        files
    }

    /// The second wall of the quota. What is there already may always be written, or a WAL could not be moved.
    pub(super) fn set_bounds(&self, bytes_max: u64) {
        let now = |fd| rustix::fs::seek(fd, SeekFrom::End(0)).unwrap_or(0);
        let most = bytes_max.max(now(&self.database)).max(now(&self.wal));
        self.database_bytes_max.store(most, Ordering::Relaxed);
        self.wal_bytes_max.store(most.saturating_mul(2).saturating_add(WAL_BYTES_MORE), Ordering::Relaxed);
    }

    /// Bytes of the WAL.
    pub(super) fn wal_bytes(&self) -> u64 {
        rustix::fs::seek(&self.wal, SeekFrom::End(0)).unwrap_or(0)
    }

    /// Whether the disk had no room since [`Self::forget_full`].
    pub(super) fn was_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// See [`Self::was_full`].
    pub(super) fn forget_full(&self) {
        self.full.store(false, Ordering::Relaxed);
    }
}

/// An open file as SQLite holds it, in memory of SQLite's own.
#[repr(C)]
struct Open {
    base: ffi::sqlite3_file,
    files: *const Files,
    wal: bool,
}

impl Open {
    /// # Safety
    /// `file` was opened by [`open`] and is not closed.
    unsafe fn of<'a>(file: *mut ffi::sqlite3_file) -> (&'a Files, bool) {
        // SAFETY: by this function's contract; `Open` starts with the `sqlite3_file`, and `files` is never freed.
        unsafe {
            let open = file.cast::<Self>();
            (&*(*open).files, (*open).wal)
        }
    }
}

const METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 1,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(lock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};
static IO: ffi::sqlite3_io_methods = METHODS;

/// Gives SQLite a file system of this name. Never taken back: once or twice in the life of a process.
pub(super) fn register(name: &'static CStr, files: Files) -> io::Result<&'static Files> {
    let files: &'static Files = Box::leak(Box::new(files));
    let vfs = Box::leak(Box::new(ffi::sqlite3_vfs {
        iVersion: 2,
        szOsFile: size_of::<Open>() as c_int,
        mxPathname: 64,
        pNext: std::ptr::null_mut(),
        zName: name.as_ptr(),
        pAppData: std::ptr::from_ref(files).cast_mut().cast(),
        xOpen: Some(open),
        xDelete: Some(delete),
        xAccess: Some(access),
        xFullPathname: Some(full_pathname),
        xDlOpen: None,
        xDlError: None,
        xDlSym: None,
        xDlClose: None,
        xRandomness: Some(randomness),
        xSleep: Some(sleep),
        xCurrentTime: Some(current_time),
        xGetLastError: Some(last_error),
        xCurrentTimeInt64: Some(current_time_ms),
        xSetSystemCall: None,
        xGetSystemCall: None,
        xNextSystemCall: None,
    }));
    // SAFETY: the structure, its name and its files live for ever, and its functions have SQLite's signatures.
    match unsafe { ffi::sqlite3_vfs_register(vfs, 1) } {
        ffi::SQLITE_OK => Ok(files),
        _ => Err(io::ErrorKind::OutOfMemory.into()),
    }
}

/// Keeps SQLite from files of its own: journals of statements stay in memory. Before its first use.
pub(super) fn no_files_of_its_own() -> io::Result<()> {
    // SAFETY: this option takes one `int`; SQLite has not been used by this process, which has one thread.
    let set = unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_STMTJRNL_SPILL, -1 as c_int) };
    // SAFETY: takes nothing.
    let begun = unsafe { ffi::sqlite3_initialize() };
    if set == ffi::SQLITE_OK && begun == ffi::SQLITE_OK { Ok(()) } else { Err(io::ErrorKind::Other.into()) }
}

/// Reads the time zone, of which the C library would open the file later.
pub(super) fn know_time_zone() {
    let now: libc::time_t = 0;
    // SAFETY: a `tm` is plain numbers and a pointer, for which zeros are values; both pointers live for the call.
    unsafe {
        let mut parts: libc::tm = std::mem::zeroed();
        libc::localtime_r(&raw const now, &raw mut parts);
    }
}

unsafe extern "C" fn late(_: c_int) {
    // SAFETY: may be called in a handler of signals: it takes a number and nothing is used after it.
    unsafe { libc::_exit(EXIT_LATE) }
}

/// Gives up the handlers of bad memory accesses that the runtime has put on: they would tell of a stack overflow on
/// standard error, which the lock forbids. The kernel's own answer to it is the end.
pub(super) fn no_handlers() {
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: takes numbers; the default action needs no function of this process.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Has the process end when a timer that [`arm`] set goes off. The first process of its namespace ignores what it
/// does not handle, so there is a handler.
pub(super) fn end_when_late() -> io::Result<()> {
    // SAFETY: a `sigaction` of zeros is a value: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = late as *const () as libc::sighandler_t;
    // SAFETY: the structure lives for the call, and the handler has the signature that it takes without SA_SIGINFO.
    match unsafe { libc::sigaction(libc::SIGPROF, &raw const action, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sets the timer of CPU time; zero: none.
pub(super) fn arm(after: Duration) -> io::Result<()> {
    let time = libc::timeval {
        tv_sec: libc::time_t::try_from(after.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_usec: libc::suseconds_t::from(after.subsec_micros().cast_signed()),
    };
    let none = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let timer = libc::itimerval { it_interval: none, it_value: time };
    // SAFETY: reads the structure, which lives for the call; the old one is not asked for.
    let set = unsafe { libc::syscall(libc::SYS_setitimer, libc::ITIMER_PROF, &raw const timer, 0usize) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

// ------------------------------------------------------------------------------------------- what SQLite calls

/// The database and its WAL, whatever they are called; nothing else can be opened.
unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    _: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let wal = flags & ffi::SQLITE_OPEN_WAL != 0;
    let known = wal || flags & ffi::SQLITE_OPEN_MAIN_DB != 0;
    // SAFETY: SQLite passes room of `szOsFile` bytes, the structure that was registered, and a place for the flags or
    // null. Without methods it does not close what was not opened.
    unsafe {
        (*file).pMethods = std::ptr::null();
        if !known {
            return ffi::SQLITE_CANTOPEN;
        }
        let files = (*vfs).pAppData.cast_const().cast::<Files>();
        file.cast::<Open>().write(Open { base: ffi::sqlite3_file { pMethods: &raw const IO }, files, wal });
        if !out_flags.is_null() {
            let writes = ffi::SQLITE_OPEN_READWRITE | ffi::SQLITE_OPEN_CREATE;
            let read_only = (*files).read_only;
            *out_flags = if read_only { flags & !writes | ffi::SQLITE_OPEN_READONLY } else { flags };
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(_: *mut ffi::sqlite3_file) -> c_int {
    // The descriptors stay: SQLite may open the WAL again.
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    buffer: *mut c_void,
    bytes: c_int,
    offset: i64,
) -> c_int {
    // SAFETY: SQLite calls methods with open files only, and with room for the bytes that it asks for.
    let ((files, wal), buffer) = unsafe {
        let buffer =
            std::slice::from_raw_parts_mut(buffer.cast::<u8>(), bytes.max(0).unsigned_abs() as usize);
        (Open::of(file), buffer)
    };
    let fd = if wal { &files.wal } else { &files.database };
    let (mut done, mut offset) = (0, offset.max(0).unsigned_abs());
    while done < buffer.len() {
        match rustix::io::pread(fd, &mut buffer[done..], offset) {
            Ok(0) => {
                // What lies beyond the end is zeros, SQLite says.
                buffer[done..].fill(0);
                return ffi::SQLITE_IOERR_SHORT_READ;
            }
            Ok(bytes) => {
                done += bytes;
                offset += bytes as u64;
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return ffi::SQLITE_IOERR_READ,
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    buffer: *const c_void,
    bytes: c_int,
    offset: i64,
) -> c_int {
    // SAFETY: SQLite calls methods with open files only, and with the bytes that it says.
    let ((files, wal), buffer) = unsafe {
        let buffer = std::slice::from_raw_parts(buffer.cast::<u8>(), bytes.max(0).unsigned_abs() as usize);
        (Open::of(file), buffer)
    };
    let (fd, most) =
        if wal { (&files.wal, &files.wal_bytes_max) } else { (&files.database, &files.database_bytes_max) };
    let (mut done, mut offset) = (0, offset.max(0).unsigned_abs());
    if offset.saturating_add(buffer.len() as u64) > most.load(Ordering::Relaxed) {
        return ffi::SQLITE_FULL;
    }
    while done < buffer.len() {
        match rustix::io::pwrite(fd, &buffer[done..], offset) {
            Ok(0) => return ffi::SQLITE_IOERR_WRITE,
            Ok(bytes) => {
                done += bytes;
                offset += bytes as u64;
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT) => {
                files.full.store(true, Ordering::Relaxed);
                return ffi::SQLITE_FULL;
            }
            Err(_) => return ffi::SQLITE_IOERR_WRITE,
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, bytes: i64) -> c_int {
    // SAFETY: SQLite calls methods with open files only.
    let (files, wal) = unsafe { Open::of(file) };
    let fd = if wal { &files.wal } else { &files.database };
    match rustix::fs::ftruncate(fd, bytes.max(0).unsigned_abs()) {
        Ok(()) => ffi::SQLITE_OK,
        Err(_) => ffi::SQLITE_IOERR_TRUNCATE,
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    // SAFETY: SQLite calls methods with open files only.
    let (files, wal) = unsafe { Open::of(file) };
    match rustix::fs::fdatasync(if wal { &files.wal } else { &files.database }) {
        Ok(()) => ffi::SQLITE_OK,
        Err(_) => ffi::SQLITE_IOERR_FSYNC,
    }
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, bytes: *mut i64) -> c_int {
    // SAFETY: SQLite calls methods with open files only.
    let (files, wal) = unsafe { Open::of(file) };
    match rustix::fs::seek(if wal { &files.wal } else { &files.database }, SeekFrom::End(0)) {
        Ok(size) => {
            // SAFETY: SQLite passes a place for the size.
            unsafe { *bytes = size.cast_signed() };
            ffi::SQLITE_OK
        }
        Err(_) => ffi::SQLITE_IOERR_FSTAT,
    }
}

/// Nobody else has the files: the kernel holds a lock on them as long as the process lives.
unsafe extern "C" fn lock(_: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(_: *mut ffi::sqlite3_file, held: *mut c_int) -> c_int {
    // SAFETY: SQLite passes a place for the answer.
    unsafe { *held = 0 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_control(_: *mut ffi::sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_: *mut ffi::sqlite3_file) -> c_int {
    4096
}

unsafe extern "C" fn device_characteristics(_: *mut ffi::sqlite3_file) -> c_int {
    // As SQLite assumes of every disk itself.
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

fn is_wal(name: *const c_char) -> bool {
    // SAFETY: SQLite passes null or a string that ends.
    !name.is_null() && unsafe { CStr::from_ptr(name) }.to_bytes().ends_with(b"-wal")
}

/// # Safety
/// `vfs` is the registered structure.
unsafe fn files_of<'a>(vfs: *mut ffi::sqlite3_vfs) -> &'a Files {
    // SAFETY: by this function's contract; the files live for ever.
    unsafe { &*(*vfs).pAppData.cast_const().cast::<Files>() }
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, _: c_int) -> c_int {
    if !is_wal(name) {
        return ffi::SQLITE_IOERR_DELETE_NOENT;
    }
    // SAFETY: SQLite passes the structure that was registered.
    match rustix::fs::ftruncate(&unsafe { files_of(vfs) }.wal, 0) {
        Ok(()) => ffi::SQLITE_OK,
        Err(_) => ffi::SQLITE_IOERR_DELETE,
    }
}

/// A WAL without bytes is none.
unsafe extern "C" fn access(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    _: c_int,
    answer: *mut c_int,
) -> c_int {
    // SAFETY: SQLite passes the structure that was registered, and a place for the answer.
    unsafe {
        let there = is_wal(name)
            && rustix::fs::seek(&files_of(vfs).wal, SeekFrom::End(0)).is_ok_and(|bytes| bytes > 0);
        *answer = c_int::from(there);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn full_pathname(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite passes a string that ends, and `room` bytes.
    unsafe {
        let bytes = CStr::from_ptr(name).to_bytes_with_nul();
        if bytes.len() > room.max(0).unsigned_abs() as usize {
            return ffi::SQLITE_CANTOPEN;
        }
        std::ptr::copy_nonoverlapping(bytes.as_ptr().cast(), out, bytes.len());
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn randomness(_: *mut ffi::sqlite3_vfs, room: c_int, out: *mut c_char) -> c_int {
    // SAFETY: SQLite passes `room` bytes.
    let buffer =
        unsafe { std::slice::from_raw_parts_mut(out.cast::<u8>(), room.max(0).unsigned_abs() as usize) };
    let flags = rustix::rand::GetRandomFlags::empty();
    rustix::rand::getrandom(buffer, flags).map_or(0, |bytes| c_int::try_from(bytes).unwrap_or(0))
}

/// Nobody is waited for.
unsafe extern "C" fn sleep(_: *mut ffi::sqlite3_vfs, us: c_int) -> c_int {
    us
}

/// Milliseconds of the Julian calendar, as SQLite counts.
fn julian_ms() -> i64 {
    const UNIX_EPOCH: i64 = 210_866_760_000_000;
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + i64::try_from(since.as_millis()).unwrap_or(0)
}

unsafe extern "C" fn current_time(_: *mut ffi::sqlite3_vfs, days: *mut f64) -> c_int {
    // SAFETY: SQLite passes a place for the time.
    unsafe { *days = julian_ms() as f64 / 86_400_000.0 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn current_time_ms(_: *mut ffi::sqlite3_vfs, ms: *mut i64) -> c_int {
    // SAFETY: SQLite passes a place for the time.
    unsafe { *ms = julian_ms() };
    ffi::SQLITE_OK
}

unsafe extern "C" fn last_error(_: *mut ffi::sqlite3_vfs, _: c_int, _: *mut c_char) -> c_int {
    0
}

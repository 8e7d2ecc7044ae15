//! The file system itself: a directory, seen through the rules.
//!
//! Each request that a rule can hold has a thread of its own, so that a held one blocks no other. The
//! kernel caches neither contents nor names.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt, FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown,
    lchown, symlink,
};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, InitFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request, TimeOrNow,
    WriteFlags,
};
use nix::fcntl::{FallocateFlags, fallocate};

use crate::faults::{Faults, Part};
use crate::inodes::Inodes;
use crate::rule::Kind;
use crate::workers::Workers;

/// Names and attributes are asked for anew each time.
const NOT_CACHED: Duration = Duration::ZERO;
/// A write may be torn between any of these.
const SECTOR: usize = 512;

thread_local! {
    /// What was read last in this thread: new memory for each read takes as long as the read.
    static READ: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

#[derive(Clone)]
pub(crate) struct Passthrough(Arc<Shared>);

struct Shared {
    backing: PathBuf,
    faults: Faults,
    workers: Workers,
    inodes: Mutex<Inodes>,
    open: Mutex<BTreeMap<u64, Arc<File>>>,
    last_handle: AtomicU64,
}

impl Passthrough {
    pub(crate) fn new(backing: PathBuf, faults: Faults) -> Self {
        Self(Arc::new(Shared {
            backing,
            faults,
            workers: Workers::default(),
            inodes: Mutex::new(Inodes::new()),
            open: Mutex::new(BTreeMap::new()),
            last_handle: AtomicU64::new(0),
        }))
    }

    fn inodes(&self) -> MutexGuard<'_, Inodes> {
        lock(&self.0.inodes)
    }

    fn full(&self, path: &Path) -> PathBuf {
        self.0.backing.join(path)
    }

    fn path(&self, number: INodeNo) -> io::Result<PathBuf> {
        self.inodes()
            .path(number)
            .map(Path::to_owned)
            .ok_or_else(no_such_file)
    }

    fn child(&self, parent: INodeNo, name: &OsStr) -> io::Result<PathBuf> {
        self.inodes().child(parent, name).ok_or_else(no_such_file)
    }

    fn attributes(&self, path: &Path) -> io::Result<FileAttr> {
        let found = fs::symlink_metadata(self.full(path))?;
        let number = self.inodes().number(path);
        Ok(attributes(number, &found))
    }

    fn file(&self, handle: FileHandle) -> io::Result<Arc<File>> {
        let found = lock(&self.0.open).get(&handle.0).cloned();
        found.ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))
    }

    fn opened(&self, file: File) -> FileHandle {
        let number = self.0.last_handle.fetch_add(1, Ordering::Relaxed) + 1;
        lock(&self.0.open).insert(number, Arc::new(file));
        FileHandle(number)
    }

    fn open_file(&self, path: &Path, flags: i32, create: Option<u32>) -> io::Result<FileHandle> {
        let access = flags & libc::O_ACCMODE;
        let mut options = OpenOptions::new();
        options
            .read(access != libc::O_WRONLY)
            .write(access != libc::O_RDONLY)
            // Direct I/O is between the caller and the kernel; the memory here is not aligned.
            .custom_flags(flags & (libc::O_SYNC | libc::O_DSYNC | libc::O_EXCL | libc::O_TRUNC));
        if let Some(mode) = create {
            options.create(true).mode(mode);
        }
        Ok(self.opened(options.open(self.full(path))?))
    }

    /// Does a request in a thread of its own, as the rules say.
    fn dispatch<T, R: Send + 'static>(
        &self,
        kind: Kind,
        path: io::Result<PathBuf>,
        reply: R,
        perform: impl FnOnce(&Self, &Path, Part) -> io::Result<T> + Send + 'static,
        answer: impl FnOnce(R, Result<T, Errno>) + Send + 'static,
    ) {
        let this = self.clone();
        let work = move || {
            let result = path.and_then(|path| {
                let name = path.to_string_lossy();
                this.0
                    .faults
                    .serve(kind, &name, |part| perform(&this, &path, part))
            });
            answer(reply, result.map_err(Errno::from));
        };
        // Without a thread the reply is dropped, which answers with an error.
        self.0.workers.run(work);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn no_such_file() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOENT)
}

fn whole_or_half(len: usize, part: Part) -> usize {
    match part {
        Part::All => len,
        Part::Half => len / SECTOR / 2 * SECTOR,
    }
}

fn attributes(number: INodeNo, found: &fs::Metadata) -> FileAttr {
    let time = |seconds: i64, nanoseconds: i64| {
        let seconds = u64::try_from(seconds).unwrap_or(0);
        let nanoseconds = u32::try_from(nanoseconds).unwrap_or(0);
        UNIX_EPOCH + Duration::new(seconds, nanoseconds)
    };
    FileAttr {
        ino: number,
        size: found.size(),
        blocks: found.blocks(),
        atime: time(found.atime(), found.atime_nsec()),
        mtime: time(found.mtime(), found.mtime_nsec()),
        ctime: time(found.ctime(), found.ctime_nsec()),
        crtime: UNIX_EPOCH,
        kind: file_type(found.file_type()),
        perm: u16::try_from(found.mode() & 0o7777).unwrap_or(0),
        nlink: u32::try_from(found.nlink()).unwrap_or(u32::MAX),
        uid: found.uid(),
        gid: found.gid(),
        rdev: u32::try_from(found.rdev()).unwrap_or(0),
        blksize: 4096,
        flags: 0,
    }
}

fn file_type(found: fs::FileType) -> FileType {
    match found {
        kind if kind.is_dir() => FileType::Directory,
        kind if kind.is_symlink() => FileType::Symlink,
        kind if kind.is_block_device() => FileType::BlockDevice,
        kind if kind.is_char_device() => FileType::CharDevice,
        kind if kind.is_fifo() => FileType::NamedPipe,
        kind if kind.is_socket() => FileType::Socket,
        _ => FileType::RegularFile,
    }
}

fn entry(reply: ReplyEntry, result: Result<FileAttr, Errno>) {
    match result {
        Ok(attributes) => reply.entry(&NOT_CACHED, &attributes, Generation(0)),
        Err(errno) => reply.error(errno),
    }
}

fn attribute(reply: ReplyAttr, result: Result<FileAttr, Errno>) {
    match result {
        Ok(attributes) => reply.attr(&NOT_CACHED, &attributes),
        Err(errno) => reply.error(errno),
    }
}

fn empty(reply: ReplyEmpty, result: Result<(), Errno>) {
    match result {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

/// Direct, and writes do not wait for each other in the kernel: a held one would block the rest.
fn open_flags() -> FopenFlags {
    FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES
}

impl Filesystem for Passthrough {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Without it a submission of asynchronous I/O would wait for its completion.
        let _ = config.add_capabilities(InitFlags::FUSE_ASYNC_DIO);
        // A large request stays in one piece, as on most disks, so that a delay counts once.
        let _ = config.add_capabilities(InitFlags::FUSE_MAX_PAGES);
        // Held asynchronous requests count as background ones and must not use these up.
        let _ = config.set_max_background(u16::MAX);
        let _ = config.set_congestion_threshold(u16::MAX);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let path = self.child(parent, name);
        self.dispatch(
            Kind::Stat,
            path,
            reply,
            |this, path, _| this.attributes(path),
            entry,
        );
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let path = self.path(number);
        let perform = move |this: &Self, path: &Path, _| {
            let found = fs::symlink_metadata(this.full(path))?;
            Ok(attributes(number, &found))
        };
        self.dispatch(Kind::Stat, path, reply, perform, attribute);
    }

    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        accessed: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let result = self.path(number).and_then(|path| {
            let full = self.full(&path);
            if let Some(mode) = mode {
                fs::set_permissions(&full, fs::Permissions::from_mode(mode & 0o7777))?;
            }
            if uid.is_some() || gid.is_some() {
                lchown(&full, uid, gid)?;
            }
            if let Some(size) = size {
                OpenOptions::new().write(true).open(&full)?.set_len(size)?;
            }
            let time = |time| match time {
                TimeOrNow::SpecificTime(time) => time,
                TimeOrNow::Now => SystemTime::now(),
            };
            let mut times = fs::FileTimes::new();
            if let Some(accessed) = accessed {
                times = times.set_accessed(time(accessed));
            }
            if let Some(modified) = modified {
                times = times.set_modified(time(modified));
            }
            if accessed.is_some() || modified.is_some() {
                File::open(&full)?.set_times(times)?;
            }
            self.attributes(&path)
        });
        attribute(reply, result.map_err(Errno::from));
    }

    fn readlink(&self, _: &Request, number: INodeNo, reply: ReplyData) {
        match self
            .path(number)
            .and_then(|path| fs::read_link(self.full(&path)))
        {
            Ok(target) => reply.data(target.as_os_str().as_encoded_bytes()),
            Err(error) => reply.error(error.into()),
        }
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let result = self.child(parent, name).and_then(|path| {
            let full = self.full(&path);
            fs::DirBuilder::new().mode(mode & !umask).create(&full)?;
            chown(&full, Some(request.uid()), Some(request.gid()))?;
            self.attributes(&path)
        });
        entry(reply, result.map_err(Errno::from));
    }

    fn symlink(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let result = self.child(parent, name).and_then(|path| {
            symlink(target, self.full(&path))?;
            self.attributes(&path)
        });
        entry(reply, result.map_err(Errno::from));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let result = self.child(parent, name).and_then(|path| {
            fs::remove_file(self.full(&path))?;
            self.inodes().removed(&path);
            Ok(())
        });
        empty(reply, result.map_err(Errno::from));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let result = self.child(parent, name).and_then(|path| {
            fs::remove_dir(self.full(&path))?;
            self.inodes().removed(&path);
            Ok(())
        });
        empty(reply, result.map_err(Errno::from));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !flags.is_empty() {
            return reply.error(Errno::EINVAL);
        }
        let result = self.child(parent, name).and_then(|from| {
            let to = self.child(new_parent, new_name)?;
            fs::rename(self.full(&from), self.full(&to))?;
            self.inodes().renamed(&from, &to);
            Ok(())
        });
        empty(reply, result.map_err(Errno::from));
    }

    fn open(&self, _: &Request, number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let perform = move |this: &Self, path: &Path, _| this.open_file(path, flags.0, None);
        self.dispatch(
            Kind::Open,
            self.path(number),
            reply,
            perform,
            |reply: ReplyOpen, result| match result {
                Ok(handle) => reply.opened(handle, open_flags()),
                Err(errno) => reply.error(errno),
            },
        );
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let (user, group) = (request.uid(), request.gid());
        let perform = move |this: &Self, path: &Path, _| {
            let handle = this.open_file(path, flags, Some(mode & !umask))?;
            chown(this.full(path), Some(user), Some(group))?;
            Ok((handle, this.attributes(path)?))
        };
        let path = self.child(parent, name);
        self.dispatch(
            Kind::Open,
            path,
            reply,
            perform,
            |reply: ReplyCreate, result| match result {
                Ok((handle, attributes)) => {
                    reply.created(
                        &NOT_CACHED,
                        &attributes,
                        Generation(0),
                        handle,
                        open_flags(),
                    );
                }
                Err(errno) => reply.error(errno),
            },
        );
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let perform = move |this: &Self, _: &Path, part| {
            let len = whole_or_half(usize::try_from(size).unwrap_or(0), part);
            let mut data = READ.take();
            data.resize(len.max(data.len()), 0);
            let mut done = 0;
            while let Some(rest) = data.get_mut(done..len).filter(|rest| !rest.is_empty()) {
                let at = offset.saturating_add(u64::try_from(done).unwrap_or(0));
                match this.file(handle)?.read_at(rest, at)? {
                    0 => break,
                    more => done += more,
                }
            }
            Ok((data, done))
        };
        self.dispatch(
            Kind::Read,
            self.path(number),
            reply,
            perform,
            |reply: ReplyData, result| match result {
                Ok((data, done)) => {
                    reply.data(data.get(..done).unwrap_or_default());
                    READ.set(data);
                }
                Err(errno) => reply.error(errno),
            },
        );
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let data = data.to_vec();
        let perform = move |this: &Self, _: &Path, part| {
            let data = data
                .get(..whole_or_half(data.len(), part))
                .unwrap_or_default();
            this.file(handle)?.write_all_at(data, offset)?;
            Ok(u32::try_from(data.len()).unwrap_or(0))
        };
        self.dispatch(
            Kind::Write,
            self.path(number),
            reply,
            perform,
            |reply: ReplyWrite, result| match result {
                Ok(written) => reply.written(written),
                Err(errno) => reply.error(errno),
            },
        );
    }

    fn flush(&self, _: &Request, number: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        self.dispatch(
            Kind::Close,
            self.path(number),
            reply,
            |_, _, _| Ok(()),
            empty,
        );
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        lock(&self.0.open).remove(&handle.0);
        reply.ok();
    }

    fn fsync(&self, _: &Request, number: INodeNo, handle: FileHandle, _: bool, reply: ReplyEmpty) {
        let perform = move |this: &Self, _: &Path, _| this.file(handle)?.sync_all();
        self.dispatch(Kind::Write, self.path(number), reply, perform, empty);
    }

    fn fallocate(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let result = self.file(handle).and_then(|file| {
            let too_large = |_| io::Error::from_raw_os_error(libc::EFBIG);
            let offset = offset.try_into().map_err(too_large)?;
            let length = length.try_into().map_err(too_large)?;
            let flags = FallocateFlags::from_bits_retain(mode);
            Ok(fallocate(&*file, flags, offset, length)?)
        });
        empty(reply, result.map_err(Errno::from));
    }

    fn readdir(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let listed = self.path(number).and_then(|path| {
            let mut entries = vec![
                (number, FileType::Directory, ".".into()),
                (INodeNo::ROOT, FileType::Directory, "..".into()),
            ];
            let mut found = fs::read_dir(self.full(&path))?.collect::<io::Result<Vec<_>>>()?;
            found.sort_by_key(fs::DirEntry::file_name);
            for entry in found {
                let name = entry.file_name();
                let number = self.inodes().number(&path.join(&name));
                entries.push((number, file_type(entry.file_type()?), name));
            }
            Ok(entries)
        });
        match listed {
            Ok(entries) => {
                let skip = usize::try_from(offset).unwrap_or(usize::MAX);
                for (next, (number, kind, name)) in (1..).zip(entries).skip(skip) {
                    if reply.add(number, next, kind, name) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(error) => reply.error(error.into()),
        }
    }
}

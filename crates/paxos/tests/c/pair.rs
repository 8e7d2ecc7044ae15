//! Two images, one for the C program and one for us, and what works on them.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use ondisk::{Geometry, HostId, IoTimeout, Leader, Name, Timestamp};
use paxos::delta::{DeltaArea, DeltaLease};
use paxos::{Area, Context, Env, ResourceLease, Timeouts};
use storage::{Buffer, Disk, IoError, Pending};

pub(crate) const SANLOCK: &str = "/usr/sbin/sanlock";
/// Room for a lockspace, an index with its lease and four resources.
const AREAS: u64 = 7;
pub(crate) const IO_TIMEOUT: IoTimeout = IoTimeout(1);

/// Runs a test at all five geometries, unless there is no C program.
pub(crate) fn at_all_geometries(test: &str, body: impl Fn(&Pair) + Sync) {
    if !Path::new(SANLOCK).exists() {
        println!("skipped: {test}: {SANLOCK} is not installed");
        return;
    }
    // C really waits when it takes a host id.
    std::thread::scope(|scope| {
        for geometry in Geometry::ALL {
            let body = &body;
            scope.spawn(move || {
                let pair = Pair::new(test, geometry);
                body(&pair);
                pair.remove();
            });
        }
    });
}

/// Two images that are to be alike.
pub(crate) struct Pair {
    pub(crate) geometry: Geometry,
    dir: PathBuf,
    pub(crate) theirs: PathBuf,
    ours: PathBuf,
}

impl Pair {
    pub(crate) fn new(test: &str, geometry: Geometry) -> Self {
        let sizes = geometry.to_string().replace('/', "-");
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}-{sizes}"));
        std::fs::create_dir_all(&dir).unwrap();
        let pair = Self {
            geometry,
            theirs: dir.join("c"),
            ours: dir.join("ours"),
            dir,
        };
        // Nothing of what was there before may shine through.
        let areas = usize::try_from(AREAS).unwrap();
        let junk = vec![b'x'; areas * geometry.align.bytes()];
        std::fs::write(&pair.theirs, &junk).unwrap();
        std::fs::write(&pair.ours, &junk).unwrap();
        pair
    }

    pub(crate) fn remove(&self) {
        std::fs::remove_dir_all(&self.dir).unwrap();
    }

    pub(crate) fn align(&self) -> u64 {
        self.geometry.align.bytes() as u64
    }

    /// Runs `sanlock direct`.
    pub(crate) fn c(&self, arguments: &[&str]) {
        let sector = self.geometry.sector.to_string();
        let align = self.geometry.align.to_string();
        let output = Command::new(SANLOCK)
            .arg("direct")
            .args(arguments)
            .args(["-Z", &sector, "-A", &align, "-o", &IO_TIMEOUT.to_string()])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "sanlock direct {arguments:?}: {text}"
        );
    }

    pub(crate) fn c_lockspace(&self, host: u64) -> String {
        format!("LS:{host}:{}:0", self.theirs.display())
    }

    pub(crate) fn c_resource(&self, name: &str, offset: u64) -> String {
        format!("LS:{name}:{}:{offset}", self.theirs.display())
    }

    pub(crate) fn area(&self, offset: u64) -> Area {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&self.ours)
            .unwrap();
        Area::new(
            Arc::new(FileDisk {
                path: self.ours.clone(),
                file: Arc::new(file),
            }),
            offset,
        )
    }

    pub(crate) fn delta_area(&self) -> DeltaArea {
        DeltaArea {
            area: self.area(0),
            geometry: self.geometry,
        }
    }

    pub(crate) fn delta_lease(&self, host: u64) -> DeltaLease {
        DeltaLease::new(self.delta_area(), name("LS"), HostId(host))
    }

    pub(crate) fn resource(&self, resource: &str, offset: u64) -> ResourceLease {
        ResourceLease {
            space: name("LS"),
            name: name(resource),
            areas: vec![self.area(offset)],
            geometry: self.geometry,
        }
    }

    /// Makes our image what theirs is.
    pub(crate) fn same_again(&self) {
        std::fs::copy(&self.theirs, &self.ours).unwrap();
    }

    /// A sector of their image.
    pub(crate) fn their_sector(&self, offset: u64) -> Vec<u8> {
        let mut sector = vec![0; self.geometry.sector.bytes()];
        File::open(&self.theirs)
            .unwrap()
            .read_exact_at(&mut sector, offset)
            .unwrap();
        sector
    }

    pub(crate) fn their_leader(&self, offset: u64) -> Leader {
        Leader::decode(&self.their_sector(offset)).unwrap().record
    }

    /// Fails with the place of the first difference; `ignored` are places with bytes that C does not
    /// initialise.
    pub(crate) fn must_be_alike(&self, what: &str, ignored: &[(u64, u64)]) {
        let theirs = std::fs::read(&self.theirs).unwrap();
        let ours = std::fs::read(&self.ours).unwrap();
        assert_eq!(theirs.len(), ours.len());
        if theirs == ours {
            return;
        }
        let differs = |at: &usize| {
            let at = *at as u64;
            !ignored
                .iter()
                .any(|(start, len)| (*start..start + len).contains(&at))
        };
        let first = (0..theirs.len())
            .filter(|at| theirs[*at] != ours[*at])
            .find(differs);
        if let Some(at) = first {
            let sector = self.geometry.sector.bytes();
            let (start, within) = (at / sector * sector, at % sector);
            panic!(
                "{} after {what}: byte {within} of the sector at {start} is {:#x} in C's and {:#x} in ours\nC    {:02x?}\nours {:02x?}",
                self.geometry,
                theirs[at],
                ours[at],
                &theirs[start..start + 208],
                &ours[start..start + 208],
            );
        }
    }

    /// The four bytes behind a request record, which C leaves as they were in memory.
    pub(crate) fn padding_of_request(&self, resource: u64) -> (u64, u64) {
        (resource + self.geometry.request_offset() + 0x14, 4)
    }
}

pub(crate) fn name(name: &str) -> Name {
    name.parse().unwrap()
}

/// A clock that shows given times, the last one for ever.
#[derive(Debug)]
struct Clock(Mutex<VecDeque<Timestamp>>);

impl Env for Clock {
    fn monotime(&self) -> Timestamp {
        let mut times = self.0.lock().unwrap();
        if times.len() > 1 {
            times.pop_front().unwrap()
        } else {
            times[0]
        }
    }

    fn random_below(&self, _bound: u64) -> u64 {
        0
    }
}

pub(crate) fn at_times(times: &[Timestamp]) -> Context {
    let clock = Clock(Mutex::new(times.iter().copied().collect()));
    Context::new(
        Arc::new(clock),
        Timeouts {
            io: IO_TIMEOUT,
            ..Timeouts::default()
        },
    )
}

/// Runs something with a clock that is not waited for.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(future)
}

#[derive(Debug)]
struct FileDisk {
    path: PathBuf,
    file: Arc<File>,
}

impl Disk for FileDisk {
    fn path(&self) -> &Path {
        &self.path
    }

    fn device_sector_size(&self) -> u32 {
        512
    }

    fn read(&self, offset: u64, len: usize) -> Pending<Buffer> {
        let file = Arc::clone(&self.file);
        Pending::new(async move {
            let mut buffer = Buffer::zeroed(len);
            match file.read_exact_at(&mut buffer, offset) {
                Ok(()) => Ok(buffer),
                Err(_) => Err(IoError::Short {
                    action: "read".to_owned(),
                    got: 0,
                    wanted: len,
                }),
            }
        })
    }

    fn write(&self, offset: u64, data: Buffer) -> Pending<()> {
        let file = Arc::clone(&self.file);
        Pending::new(async move {
            file.write_all_at(&data, offset).unwrap();
            Ok(())
        })
    }
}

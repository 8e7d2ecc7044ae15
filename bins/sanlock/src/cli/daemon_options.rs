//! What `sanlock daemon` was told on its command line.

/// The options of `sanlock daemon`; `None` where the letter was not given, so that sanlock.conf and the
/// built-in defaults stand. Numbers are as given: the original checks only what is noted here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DaemonOptions {
    /// `-D`: stay in the foreground and log everything to standard error.
    pub debug: bool,
    /// `-Q 0|1`: the common ways of not getting a lease are logged as debug messages only.
    pub quiet_fail: Option<i32>,
    /// `-R 0|1`: log renewals.
    pub debug_renew: Option<i32>,
    /// `-H`: renewals remembered per lockspace.
    pub renewal_history_size: Option<i32>,
    /// `-L`: syslog level up to which messages go to the log file; -1 for none.
    pub logfile_priority: Option<i32>,
    /// `-S`: syslog level up to which messages go to syslog; -1 for none.
    pub syslog_priority: Option<i32>,
    /// `-U`: user to run as, and to own the socket.
    pub user: Option<String>,
    /// `-G`: group to run as, and to own the socket.
    pub group: Option<String>,
    /// `-t`: most worker threads, at least 2.
    pub max_worker_threads: Option<i32>,
    /// `-g`: seconds that processes get to stop by themselves, 0 to 60; other values are not taken.
    pub kill_grace_seconds: Option<u32>,
    /// `-o`: seconds that one request on storage may take, above 0; other values are not taken.
    pub io_timeout: Option<u32>,
    /// `-w 0|1`: tie lockspaces to the watchdog.
    pub use_watchdog: Option<i32>,
    /// `-h 0|1`: run with a real-time priority.
    pub high_priority: Option<i32>,
    /// `-l`: lock memory: 0 none, 1 current, 2 current and future.
    pub mlock_level: Option<i32>,
    /// `-b`: seconds that a host's bit stays set in our delta lease.
    pub set_bitmap_seconds: Option<i32>,
    /// `-e`: this host's name in delta leases; only 48 bytes count.
    pub our_host_name: Option<Vec<u8>>,
    /// `-a 0|1`: asynchronous I/O in the original; without effect here, where every request may time out.
    pub use_aio: Option<i32>,
}

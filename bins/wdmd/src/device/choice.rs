//! Which device is used.

use super::{Close, Device, RealDevice};

/// Tried when no other path is given, in this order.
const USUAL: [&str; 3] = ["/dev/watchdog0", "/dev/watchdog1", "/dev/watchdog"];

/// The paths to try: the one that was in use when wdmd last ended uncleanly, the one that was asked for, and the
/// usual ones.
#[must_use]
pub fn candidates(saved: Option<&str>, asked: Option<&str>) -> Vec<String> {
    let mut paths: Vec<String> = Vec::new();
    for path in saved.into_iter().chain(asked).chain(USUAL) {
        if !path.is_empty() && !paths.iter().any(|known| known == path) {
            paths.push(path.to_owned());
        }
    }
    paths
}

/// The first device that tells its timeout. It is opened for this for a moment. What is wrong with the others goes
/// to `complain`.
pub fn choose(paths: &[String], mut complain: impl FnMut(String)) -> Option<RealDevice> {
    for path in paths {
        if !std::path::Path::new(path).exists() {
            continue;
        }
        let mut device = RealDevice::new(path);
        if let Err(error) = device.open() {
            complain(format!("open {path} error {}", super::errno(&error)));
            continue;
        }
        let timeout = device.timeout();
        if let Err(error) = device.close(Close::Disarmed) {
            complain(format!(
                "{path} disarm write error {}",
                super::errno(&error)
            ));
        }
        match timeout {
            Ok(_) => return Some(device),
            Err(_) => complain(format!("{path} failed to report timeout")),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_once_and_in_order() {
        assert_eq!(candidates(None, None), USUAL);
        assert_eq!(
            candidates(Some("/dev/watchdog1"), Some("/dev/x")),
            [
                "/dev/watchdog1",
                "/dev/x",
                "/dev/watchdog0",
                "/dev/watchdog"
            ]
        );
        assert_eq!(
            candidates(Some("/dev/x"), Some("/dev/x")),
            [
                "/dev/x",
                "/dev/watchdog0",
                "/dev/watchdog1",
                "/dev/watchdog"
            ]
        );
    }
}

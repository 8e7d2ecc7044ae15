//! The scenarios, a file for each subject.

mod activation;
mod administration;
mod cleanup;
mod crash;
mod dual_host;
mod explicit;
mod hand_over;
mod hot_plug;
mod lease_daemon;
mod lifecycle;
mod lock_failure;
mod migration;
mod session;
mod sharing;
mod single_host;
mod snapshots;
mod virtlockd;
mod volumes;

use super::scenario::Scenario;

/// All of them.
pub(crate) const SCENARIOS: &[&[Scenario]] = &[
    single_host::SCENARIOS,
    dual_host::SCENARIOS,
    migration::SCENARIOS,
    lifecycle::SCENARIOS,
    sharing::SCENARIOS,
    snapshots::SCENARIOS,
    hot_plug::SCENARIOS,
    explicit::SCENARIOS,
    lock_failure::SCENARIOS,
    crash::SCENARIOS,
    lease_daemon::SCENARIOS,
    cleanup::SCENARIOS,
    virtlockd::SCENARIOS,
    volumes::SCENARIOS,
    hand_over::SCENARIOS,
    activation::SCENARIOS,
    administration::SCENARIOS,
    session::SCENARIOS,
];

/// The scenario of this name.
pub(super) fn find(name: &str) -> Option<&'static Scenario> {
    SCENARIOS
        .iter()
        .flat_map(|group| group.iter())
        .find(|scenario| scenario.name == name)
}

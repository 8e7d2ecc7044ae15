//! Every schedule of two hosts and one lease: the shipping code, each disk request a scheduling point.
//!
//! What is printed at the end tells how much was seen. `EXPLORE=deep` looks at more, for minutes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod claims;
mod event;
mod host;
mod search;
mod sectors;
mod view;
mod world;

use event::Faults;
use host::Script;
use host::Step::{Downgrade, Exclusive, Shared, Upgrade};
use paxos::Context;
use search::{Plan, Report, explore, retell};

const NONE: Faults = Faults {
    timeouts: 0,
    errors: 0,
    crashes: 0,
    torn_reads: false,
    rejoin: false,
    late_leaders: false,
};

const PLAN: Plan = Plan {
    scripts: &[&[Exclusive], &[Exclusive]],
    faults: NONE,
    after_rejoin: &[Exclusive],
    configure: |_| (),
    back_offs: 2,
    limit: u64::MAX,
};

fn deep() -> bool {
    std::env::var("EXPLORE").is_ok_and(|how| how == "deep")
}

fn must_hold(name: &str, plan: Plan) -> Report {
    let report = explore(plan);
    println!("{name}: {report}");
    if let Some((violation, schedule)) = &report.violation {
        panic!("{name}: {violation}\n{}", retell(plan, schedule).join("\n"));
    }
    assert!(report.complete > 0, "{name}: no schedule came to its end");
    report
}

#[test]
fn two_ballots_each() {
    assert!(must_hold("exclusive against exclusive", PLAN).exhausted);
}

/// The first look of host 1 leaves host 2 out.
#[test]
fn with_hosts_that_the_first_look_leaves_out() {
    let configure = |ctx: &mut Context| ctx.first_look = 1;
    let plan = Plan { configure, ..PLAN };
    assert!(must_hold("host 2 unseen", plan).exhausted);
    let errors = Faults { errors: 1, ..NONE };
    let crashes = Faults { crashes: 1, ..NONE };
    let torn = Faults {
        torn_reads: true,
        ..NONE
    };
    for faults in [errors, crashes, torn] {
        let back_offs = 1;
        let plan = Plan {
            faults,
            back_offs,
            ..plan
        };
        assert!(must_hold(&format!("host 2 unseen, {faults:?}"), plan).exhausted);
    }
    let scripts: &[Script] = &[&[Exclusive, Exclusive], &[Exclusive, Exclusive]];
    let limit = if deep() { u64::MAX } else { 8_000 };
    let plan = Plan {
        scripts,
        limit,
        ..plan
    };
    must_hold("two against two, host 2 unseen", plan);
}

#[test]
fn two_acquisitions_against_one() {
    let scripts: &[Script] = &[&[Exclusive, Exclusive], &[Exclusive]];
    let report = must_hold(
        "two against one",
        Plan {
            scripts,
            back_offs: 1,
            ..PLAN
        },
    );
    assert!(report.exhausted);
    if deep() {
        let scripts: &[Script] = &[&[Exclusive, Exclusive], &[Exclusive, Exclusive]];
        assert!(must_hold("two against two", Plan { scripts, ..PLAN }).exhausted);
    }
}

#[test]
fn shared_and_converted() {
    let scripts: [&[Script]; 7] = [
        &[&[Shared], &[Exclusive]],
        &[&[Shared], &[Shared]],
        &[&[Downgrade], &[Exclusive]],
        &[&[Downgrade], &[Shared]],
        &[&[Upgrade], &[Exclusive]],
        &[&[Upgrade], &[Shared]],
        &[&[Upgrade], &[Upgrade]],
    ];
    let back_offs = if deep() { 2 } else { 1 };
    for scripts in scripts {
        let report = must_hold(
            &format!("{scripts:?}"),
            Plan {
                scripts,
                back_offs,
                ..PLAN
            },
        );
        assert!(report.exhausted);
    }
}

#[test]
fn with_one_fault() {
    let faults = [
        Faults {
            timeouts: 1,
            ..NONE
        },
        Faults { errors: 1, ..NONE },
        Faults { crashes: 1, ..NONE },
        Faults {
            torn_reads: true,
            ..NONE
        },
    ];
    let back_offs = if deep() { 2 } else { 1 };
    for faults in faults {
        assert!(
            must_hold(
                &format!("{faults:?}"),
                Plan {
                    faults,
                    back_offs,
                    ..PLAN
                }
            )
            .exhausted
        );
    }
    let scripts: &[Script] = &[&[Exclusive, Exclusive], &[Exclusive, Exclusive]];
    let limit = if deep() { u64::MAX } else { 5_000 };
    for faults in faults {
        let plan = Plan {
            scripts,
            faults,
            back_offs: 1,
            limit,
            ..PLAN
        };
        must_hold(&format!("two against two, {faults:?}"), plan);
    }
}

#[test]
fn with_hosts_that_come_back() {
    let limit = if deep() { u64::MAX } else { 8_000 };
    let faults = Faults {
        crashes: 1,
        rejoin: true,
        ..NONE
    };
    for faults in [
        faults,
        Faults {
            late_leaders: true,
            ..faults
        },
    ] {
        must_hold(
            &format!("{faults:?}"),
            Plan {
                faults,
                back_offs: 1,
                limit,
                ..PLAN
            },
        );
    }
}

#[cfg(feature = "hazards")]
mod hazards {
    use super::*;
    use paxos::Hazard;

    macro_rules! plant {
        ($($hazard:ident),*) => {
            |ctx: &mut Context| ctx.hazards = [$(Hazard::$hazard),*].into_iter().collect()
        };
    }

    fn must_be_found(name: &str, plan: Plan) {
        let report = explore(Plan {
            limit: 2_000_000,
            ..plan
        });
        println!("{name}: {report}");
        assert!(report.violation.is_some(), "{name}: not found");
    }

    #[test]
    fn planted_mistakes_are_found() {
        must_be_found(
            "phase 2 read",
            Plan {
                configure: plant!(SkipPhase2Read),
                ..PLAN
            },
        );
        must_be_found(
            "larger mbal",
            Plan {
                configure: plant!(IgnoreLargerMbal, IgnoreLeaderInBallot),
                ..PLAN
            },
        );
        must_be_found(
            "others' proposal",
            Plan {
                configure: plant!(IgnoreOthersProposal, IgnoreLeaderInBallot),
                ..PLAN
            },
        );
        let timeouts = Faults {
            timeouts: 1,
            ..NONE
        };
        let errors = Faults { errors: 1, ..NONE };
        must_be_found(
            "no retract",
            Plan {
                faults: errors,
                configure: plant!(NoRetract),
                ..PLAN
            },
        );
        must_be_found(
            "late write forgotten",
            Plan {
                faults: timeouts,
                configure: plant!(LateWriteForgotten),
                ..PLAN
            },
        );
        must_be_found(
            "release without dblock",
            Plan {
                configure: plant!(ReleaseWithoutDblock),
                ..PLAN
            },
        );
        must_be_found(
            "hosts that the first look leaves out",
            Plan {
                configure: |ctx| {
                    ctx.first_look = 1;
                    ctx.hazards = [Hazard::UnseenLeftOut].into_iter().collect();
                },
                ..PLAN
            },
        );
        must_be_found(
            "first look without us",
            Plan {
                scripts: &[&[Exclusive, Exclusive], &[Exclusive]],
                faults: errors,
                back_offs: 1,
                configure: plant!(FirstLookForgetsUs),
                ..PLAN
            },
        );
        let scripts: &[Script] = &[&[Shared], &[Exclusive]];
        must_be_found(
            "shared ignored",
            Plan {
                scripts,
                configure: plant!(IgnoreShared),
                ..PLAN
            },
        );
        let scripts: &[Script] = &[&[Upgrade], &[Exclusive]];
        must_be_found(
            "shared hold dropped by a conversion",
            Plan {
                scripts,
                configure: plant!(ConvertDropsShared),
                ..PLAN
            },
        );
    }

    /// Mistakes that show only in long or broken runs.
    #[test]
    fn rarer_planted_mistakes_are_found() {
        if !deep() {
            println!("skipped: EXPLORE=deep is not set");
            return;
        }
        let two: &[Script] = &[&[Exclusive, Exclusive], &[Exclusive, Exclusive]];
        let errors = Faults { errors: 1, ..NONE };
        let timeouts = Faults {
            timeouts: 1,
            ..NONE
        };
        let rejoin = Faults {
            crashes: 1,
            rejoin: true,
            ..NONE
        };
        let late = Faults {
            late_leaders: true,
            ..rejoin
        };
        let plans: [(&str, Plan); 10] = [
            (
                "own generation",
                Plan {
                    faults: rejoin,
                    configure: plant!(IgnoreOwnGeneration),
                    ..PLAN
                },
            ),
            (
                "own generation 2",
                Plan {
                    faults: rejoin,
                    scripts: two,
                    configure: plant!(IgnoreOwnGeneration),
                    back_offs: 1,
                    ..PLAN
                },
            ),
            (
                "old proposal",
                Plan {
                    faults: errors,
                    scripts: two,
                    configure: plant!(AcceptOldProposal),
                    back_offs: 1,
                    ..PLAN
                },
            ),
            (
                "forget own",
                Plan {
                    faults: late,
                    configure: plant!(ForgetOwnProposal),
                    back_offs: 1,
                    ..PLAN
                },
            ),
            (
                "wipe",
                Plan {
                    faults: timeouts,
                    configure: plant!(WipeOnRetract),
                    back_offs: 1,
                    ..PLAN
                },
            ),
            (
                "wipe, leader ignored",
                Plan {
                    faults: timeouts,
                    scripts: two,
                    configure: plant!(WipeOnRetract, IgnoreLeaderInBallot, ForgetOwnProposal),
                    back_offs: 1,
                    ..PLAN
                },
            ),
            (
                "leader in ballot",
                Plan {
                    configure: plant!(IgnoreLeaderInBallot),
                    ..PLAN
                },
            ),
            (
                "release clears others",
                Plan {
                    scripts: two,
                    configure: plant!(ReleaseClearsOthersLeader),
                    back_offs: 1,
                    ..PLAN
                },
            ),
            (
                "larger lver",
                Plan {
                    scripts: two,
                    configure: plant!(IgnoreLargerLver),
                    back_offs: 1,
                    ..PLAN
                },
            ),
            (
                "larger lver, leader ignored",
                Plan {
                    scripts: two,
                    configure: plant!(IgnoreLargerLver, IgnoreLeaderInBallot),
                    back_offs: 1,
                    ..PLAN
                },
            ),
        ];
        for (name, plan) in plans {
            let report = explore(Plan {
                limit: 150_000,
                ..plan
            });
            println!("{name}: {report}");
            if let Some((_, schedule)) = &report.violation {
                println!("{}", retell(plan, schedule).join("\n"));
            }
        }
    }
}

//! What the hosts of the explorer do.

use std::future::Future;
use std::pin::Pin;

use ondisk::Lver;
use paxos::{
    AcquireError, AcquireOptions, Cancel, Context, Held, Mode, SharedOptions, Timeouts,
    acquire_exclusive, acquire_shared, convert_to_exclusive, convert_to_shared, release, undo,
};

use crate::claims::{Hold, HoldMode};
use crate::search::Plan;
use crate::view::HostEnv;
use crate::world::World;

/// One operation on the lease.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Step {
    /// Acquire it for us alone, hold it for a while, release it.
    Exclusive,
    /// The same together with others.
    Shared,
    /// Acquire it shared, make it exclusive, release it.
    Upgrade,
    /// Acquire it exclusive, make it shared, release it.
    Downgrade,
}

/// What a host does, one after the other.
pub(crate) type Script = &'static [Step];

pub(crate) type HostFuture = Pin<Box<dyn Future<Output = ()>>>;

/// Runs a host's script.
pub(crate) fn run(world: &World, host: usize, script: Script, plan: &Plan) -> HostFuture {
    let env = world.env(host);
    let mut ctx = Context::new(env.clone(), Timeouts::default());
    (plan.configure)(&mut ctx);
    let back_offs = plan.back_offs;
    let world = world.clone();
    Box::pin(async move {
        for (number, step) in script.iter().enumerate() {
            world.state().begins(host, (number, 0, Lver(0)));
            let (world, ctx, env) = (&world, &ctx, &*env);
            let mut host = Host {
                world,
                host,
                number,
                ctx,
                env,
                back_offs,
            };
            host.step(*step).await;
        }
    })
}

struct Host<'a> {
    world: &'a World,
    host: usize,
    number: usize,
    ctx: &'a Context,
    env: &'a HostEnv,
    back_offs: u32,
}

impl Host<'_> {
    async fn step(&mut self, step: Step) {
        let (world, host, ctx) = (self.world, self.host, self.ctx);
        let us = world.state().member(host);
        let lease = world.lease(host);
        let shared = matches!(step, Step::Shared | Step::Upgrade);
        let acquired = self
            .cancelled_after_back_offs(async |cancel| {
                if shared {
                    let options = SharedOptions {
                        retries: 1,
                        ..SharedOptions::default()
                    };
                    acquire_shared(ctx, &lease, us, self.env, &options, cancel).await
                } else {
                    let options = AcquireOptions::default();
                    acquire_exclusive(ctx, &lease, us, self.env, &options, cancel).await
                }
            })
            .await;
        let mut held = match acquired {
            Ok(held) => held,
            Err(error) => return self.take_back(error).await,
        };
        self.granted(&held);
        self.hold(&held, 1).await;
        match step {
            Step::Upgrade => self.upgrade(&mut held).await,
            Step::Downgrade => self.downgrade(&mut held).await,
            Step::Exclusive | Step::Shared => {}
        }
        world.state().claims.released(host);
        self.release(held).await;
    }

    fn granted(&self, held: &Held) {
        let mut state = self.world.state();
        let us = state.member(self.host);
        state.claims.granted(us, held.leader.lver);
    }

    async fn hold(&mut self, held: &Held, phase: u32) {
        let hold = Hold {
            mode: held.mode.into(),
            lver: held.leader.lver,
        };
        {
            let mut state = self.world.state();
            state.note(|| format!("    host {} HOLDS {hold:?}", self.host));
            state.claims.acquired(self.host, hold);
            let known = format!("{:?} {:?}", held.leader, held.dblock);
            state.begins(self.host, (self.number, phase, known));
        }
        self.world.hold(self.host).await;
    }

    async fn upgrade(&mut self, held: &mut Held) {
        let (ctx, env) = (self.ctx, self.env);
        let result = self
            .cancelled_after_back_offs(async |cancel| {
                convert_to_exclusive(ctx, held, env, false, cancel).await
            })
            .await;
        match result {
            Ok(()) => {
                self.granted(held);
                self.hold(held, 2).await;
            }
            Err(error) => {
                self.take_back(error).await;
                self.hold(held, 3).await;
            }
        }
    }

    async fn downgrade(&mut self, held: &mut Held) {
        // Whoever asks for less does not rely on more any longer, whatever the answer.
        let shared = Hold {
            mode: HoldMode::Shared,
            lver: held.leader.lver,
        };
        self.world.state().claims.acquired(self.host, shared);
        let result = convert_to_shared(self.ctx, held).await;
        self.world
            .state()
            .note(|| format!("    host {}: downgrade {result:?}", self.host));
        if held.mode == Mode::Shared {
            self.hold(held, 4).await;
        }
    }

    async fn release(&mut self, mut held: Held) {
        loop {
            let result = release(self.ctx, &mut held, None).await;
            self.world.state().note(|| {
                format!(
                    "    host {}: release {:?}",
                    self.host,
                    result.as_ref().err()
                )
            });
            match result {
                Err(error) if error.is_timeout() || error.code() == -5 => {}
                _ => return,
            }
        }
    }

    async fn take_back(&mut self, error: AcquireError) {
        self.world
            .state()
            .note(|| format!("    host {}: {error}", self.host));
        let Some(mut what) = error.undo else { return };
        loop {
            // An attempt that fails may have taken back a part.
            let known = format!("{what:?}");
            self.world
                .state()
                .begins(self.host, (self.number, 9, known));
            let result = undo(self.ctx, &mut what).await;
            self.world
                .state()
                .note(|| format!("    host {}: undo {result:?}", self.host));
            if !result.is_err_and(|error| error.is_timeout() || error.code() == -5) {
                return;
            }
        }
    }

    /// Runs an operation that is cancelled when it has backed off too often.
    async fn cancelled_after_back_offs<T>(&self, operation: impl AsyncFnOnce(&Cancel) -> T) -> T {
        let cancel = Cancel::new();
        let mut operation = std::pin::pin!(operation(&cancel));
        std::future::poll_fn(|context| {
            if self.world.state().back_offs(self.host) >= self.back_offs {
                cancel.cancel();
            }
            operation.as_mut().poll(context)
        })
        .await
    }
}

//! `libvirt_sanlock_helper URI UUID ACTION`: the lease daemon starts it when a guest is about to lose its leases, and
//! libvirt's driver has named it to the daemon for that.
//!
//! The host's storage may hang at that moment. So nothing is opened but libvirt's socket, the log's, and, where the
//! socket asks for a password, the file that has it; the program is meant to be linked statically; and all of it
//! ends at a deadline. One thread, one connection, one call after the other.
//!
//! | module | what |
//! |---|---|
//! | `arguments` | the command line |
//! | `uri` | which socket serves a URI |
//! | `stream` | that socket, with a deadline |
//! | `login` | proving who one is |
//! | `credentials` | `auth.conf` |
//! | `action` | what is done to the guest |
//! | `journal` | the log |
//! | `hint` | what to do about a failure |

// Who reads no further must not make it panic.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod action;
mod arguments;
mod credentials;
mod hint;
mod journal;
mod login;
mod stream;
mod uri;
mod uuid;

use std::process::ExitCode;
use std::time::Duration;

use libvirt_rpc::blocking::{CallError, Client};
use libvirt_rpc::{ErrorCode, ErrorDomain, RemoteError, remote};

use action::Outcome;
use arguments::Order;
use stream::{Deadline, DeadlineStream};

/// Why it cannot be done, in libvirt's own form.
type Failure = Box<RemoteError>;

/// A connection to the daemon that has the guest.
type Libvirt = Client<DeadlineStream>;

/// How long all of it may take. The lease daemon kills the guest itself 40 s after it started this program, unless
/// it is told otherwise; libvirt takes up to 40 s to be sure that a killed guest is gone.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// The environment variable with another limit, in seconds.
const TIME_LIMIT_VARIABLE: &str = "LIBVIRT_SANLOCK_HELPER_TIMEOUT";

/// Runs the program with this process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os().map(|argument| argument.into_encoded_bytes());
    let program = arguments.next().unwrap_or_default();
    let order = match Order::read(&program, arguments) {
        Ok(order) => order,
        Err(wrong) => {
            say(format_args!("{}", wrong.text));
            hint::give(wrong.advice);
            return ExitCode::FAILURE;
        }
    };
    let limit = time_limit();
    // A read of the credentials that hangs has no time limit of its own.
    let after_all_else = u32::try_from(limit.as_secs()).unwrap_or(u32::MAX);
    nix::unistd::alarm::set(after_all_else.saturating_add(2));
    journal::notice(&format!("{order}: trying"));
    match carry_out(&order, Deadline::after(limit)) {
        Ok(Outcome::Done(what)) => {
            journal::notice(&format!("{order}: {what}"));
            ExitCode::SUCCESS
        }
        Ok(Outcome::Cannot(why)) => {
            say(format_args!("{why}"));
            hint::give(hint::ACTIONS);
            journal::error(&format!("{order}: {why}; {}", hint::ACTIONS));
            ExitCode::FAILURE
        }
        Err(failure) => {
            report(&failure);
            let advice = hint::about(&failure);
            advice.into_iter().for_each(hint::give);
            let advice = advice.map(|advice| format!("; {advice}"));
            let advice = advice.unwrap_or_default();
            journal::error(&format!("{order}: failed: {failure}{advice}"));
            ExitCode::FAILURE
        }
    }
}

fn time_limit() -> Duration {
    let set = std::env::var(TIME_LIMIT_VARIABLE).ok();
    set.and_then(|seconds| seconds.parse().ok())
        .filter(|seconds| (1..=86_400).contains(seconds))
        .map_or(TIME_LIMIT, Duration::from_secs)
}

fn carry_out(order: &Order, deadline: Deadline) -> Result<Outcome, Failure> {
    let target = uri::Target::of(&order.uri, &uri::Surroundings::of_this_process())?;
    let stream = DeadlineStream::connect(&target.socket, &target.shown_socket, deadline)?;
    let mut libvirt = Client::new(stream, remote::PROGRAM, remote::VERSION);
    login::log_in(&mut libvirt, &target)?;
    let open = remote::OpenArgs {
        name: Some(text(&target.name)?),
        flags: 0,
    };
    call::<()>(&mut libvirt, remote::CONNECT_OPEN, &open)?;
    let done = action::carry_out(&mut libvirt, order);
    // What has been done stays done, however the good-bye goes.
    let _ = libvirt.call::<()>(remote::CONNECT_CLOSE, &());
    done
}

/// Calls a procedure.
fn call<R: libvirt_rpc::xdr::Xdr>(
    libvirt: &mut Libvirt,
    procedure: libvirt_rpc::Procedure,
    arguments: &impl libvirt_rpc::xdr::Xdr,
) -> Result<R, Failure> {
    libvirt
        .call(procedure, arguments)
        .map_err(|error| match error {
            CallError::Refused(error) => error,
            CallError::Connection(error) => libvirt.stream().failure(&error),
            CallError::Closed => {
                let gone = std::io::Error::from_raw_os_error(nix::libc::EIO);
                let tried = "End of file while reading data";
                Box::new(RemoteError::system(ErrorDomain::RPC, tried, &gone))
            }
            CallError::Answer(error) => failure(
                ErrorCode::RPC,
                ErrorDomain::RPC,
                &format!("Unable to decode message payload: {error}"),
            ),
        })
}

fn failure(code: ErrorCode, domain: ErrorDomain, detail: &str) -> Failure {
    Box::new(RemoteError::new(code, domain, detail))
}

fn text(value: &str) -> Result<remote::RemoteText, Failure> {
    remote::RemoteText::new(value).map_err(|error| {
        let detail = format!("{value:.80}: {error}");
        failure(ErrorCode::INVALID_ARG, ErrorDomain::REMOTE, &detail)
    })
}

/// Says it to whoever reads standard error, as libvirt's programs do.
fn report(failure: &RemoteError) {
    say(format_args!(
        "libvirt: {} error : {failure}",
        failure.domain.name()
    ));
}

/// A line to standard error, or nothing if it cannot be written: that must not end the work.
fn say(line: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

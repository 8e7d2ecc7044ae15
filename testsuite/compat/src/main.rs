//! One test text for the C programs and for ours.
//!
//! Most tests are transcripts in `transcripts/`: what is said and what was answered, recorded from
//! the C program and checked by hand. `src/lab/script.rs` says how to read them.

mod background;
mod contest;
mod lab;
mod options;
mod runner;
mod table;
mod test;
mod upstream;
mod wire;

use std::process::ExitCode;

use options::{Options, USAGE};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "--relay") {
        let socket = arguments.get(1).map_or("", String::as_str);
        return match wire::relay(std::path::Path::new(socket)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let options = match Options::parse(&arguments) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(failure) => {
            eprint!("{failure}\n{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    match runner::run(&table::tests(), &options) {
        Ok(count) => {
            println!(
                "{} passed, {} failed, {} skipped",
                count.passed, count.failed, count.skipped
            );
            if count.failed == 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

//! `cargo xtask e2e`: builds the programs and has `testsuite/e2e` play its scenarios with them.

use std::ffi::OsString;

use anyhow::{Context, Result};

use crate::cleanup::{Action, later};
use crate::packages::{self, Purpose};
use crate::{cleanup, style, workspace};

/// `cargo xtask e2e`
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    /// Install nothing; what is missing is skipped
    #[arg(long)]
    no_install: bool,
    /// Those of `testsuite/e2e`; `--help` says which
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl Options {
    /// Whether something is only to be said.
    fn only_says(&self) -> bool {
        let mut arguments = self.arguments.iter();
        arguments.any(|argument| {
            ["--list", "--help", "-h"]
                .iter()
                .any(|word| argument == *word)
        })
    }
}

/// Runs it, and ends as it does.
pub(crate) fn run(options: &Options) -> Result<()> {
    cleanup::on_signals()?;
    if !options.only_says() {
        build()?;
        if !options.no_install {
            install();
        }
    }
    let program = workspace::build_release("e2e")?;
    let mut child = guard::command(&program)
        .args(&options.arguments)
        .spawn()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let end = later(Action::EndGroup(child.id()));
    let status = child.wait().context("cannot wait for the scenarios")?;
    drop(end);
    if !status.success() {
        // It has said why, and its last line is the count.
        std::process::exit(status.code().unwrap_or(1));
    }
    Ok(())
}

/// All programs of ours, and the storage that fails on command.
fn build() -> Result<()> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(workspace::root().join("bins"))? {
        names.push(entry?.file_name());
    }
    names.sort();
    for name in &names {
        let name = name.to_str().context("a program without a name")?;
        workspace::build_release(name)?;
    }
    workspace::build_release("faultfs").map(drop)
}

/// Not being able to install is no failure: what is missing is skipped by name.
fn install() {
    if let Err(error) = packages::install(&[Purpose::E2e]) {
        println!("{} {error:#}", style::notable("Going without:"));
    }
}

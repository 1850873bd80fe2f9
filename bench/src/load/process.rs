//! `lockstep run` as a process of its own, with requests for its status and its memory.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lockstep_actors::Stop;
use lockstep_assemble::Failure;
use lockstep_http::StatusDocument;
use lockstep_http::client::fetch_status;

use crate::memory::{self, Memory};

/// The longest that it may take to start, and to end.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A running pipeline. Killed when dropped.
pub(super) struct Process {
    child: Child,
    address: String,
}

/// A free address on the loopback interface.
pub(super) fn free_address() -> Result<String, Failure> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

impl Process {
    /// Starts it, with its status at that address and these variables in its environment, and waits until it runs.
    pub(super) fn start(
        config: &Path,
        address: String,
        environment: &[(&str, &str)],
    ) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("LOCKSTEP_") {
                command.env_remove(name);
            }
        }
        command.arg("run").arg(config).args(["--log-level", "warn"]).envs(environment.iter().copied());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let mut process = Self { child, address };
        process.wait_for("does not run", |status| status.shards.scaling.current > 0)?;
        Ok(process)
    }

    /// Requests its status.
    pub(super) fn ask(&self) -> Result<StatusDocument, Failure> {
        Ok(fetch_status(&self.address)?)
    }

    /// Asks until it says so.
    pub(super) fn wait_for(
        &mut self,
        else_it: &str,
        so: impl Fn(&StatusDocument) -> bool,
    ) -> Result<(), Failure> {
        for _ in 0..PATIENCE.as_millis() / LOOK_EVERY.as_millis() {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("the pipeline under load has ended: {status}").into());
            }
            if self.ask().is_ok_and(|status| so(&status)) {
                return Ok(());
            }
            Stop::default().wait(LOOK_EVERY);
        }
        Err(format!("the pipeline under load {else_it} within {} s", PATIENCE.as_secs()).into())
    }

    /// The memory that it takes. None where the system does not say.
    pub(super) fn memory(&self) -> Option<Memory> {
        memory::of_process(self.child.id())
    }

    /// Asks it to end in order, and waits until it has.
    pub(super) fn end(mut self) -> Result<(), Failure> {
        let id = self.child.id().to_string();
        let told = Command::new("sh").args(["-c", "kill -TERM \"$0\"", &id]).status()?;
        if !told.success() {
            return Err("the pipeline under load ended too early".into());
        }
        for _ in 0..PATIENCE.as_millis() / LOOK_EVERY.as_millis() {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    return Err(format!("the pipeline under load did not end in order: {status}").into());
                }
                None => Stop::default().wait(LOOK_EVERY),
            };
        }
        Err("the pipeline under load does not end".into())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended by itself cannot be killed, and need not.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

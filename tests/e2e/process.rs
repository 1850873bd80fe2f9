//! The binary under test as a child process.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};

/// Long enough for a busy machine: only reached when something is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A running `lockstep`. Killed when dropped.
pub(crate) struct Lockstep {
    child: Child,
    /// Disconnected when the process has closed both of its outputs, which is when it ends.
    lines: Receiver<Line>,
    out: String,
    err: String,
}

enum Line {
    Out(String),
    Err(String),
}

/// The output and the exit status of an ended process.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code; none after a signal.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl Lockstep {
    /// Starts it in the checkout's root, without any of this process' own settings.
    pub(crate) fn start(args: &[&str], variables: &[(&str, &str)], input: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LOCKSTEP_")) {
            command.env_remove(name);
        }
        command.args(args).envs(variables.iter().copied()).current_dir(env!("CARGO_MANIFEST_DIR"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let (sender, lines) = unbounded();
        pass_on(child.stdout.take().expect("piped"), sender.clone(), Line::Out);
        pass_on(child.stderr.take().expect("piped"), sender, Line::Err);
        child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it takes its input");
        Self { child, lines, out: String::new(), err: String::new() }
    }

    /// Runs it to its end.
    pub(crate) fn run(args: &[&str], variables: &[(&str, &str)]) -> Ended {
        Self::start(args, variables, "").wait()
    }

    fn take(&mut self, line: Line) {
        let (text, line) = match line {
            Line::Out(line) => (&mut self.out, line),
            Line::Err(line) => (&mut self.err, line),
        };
        text.push_str(&line);
        text.push('\n');
    }

    /// Waits until its log has these words, and returns the log so far.
    pub(crate) fn says(&mut self, words: &str) -> String {
        let until = Instant::now() + PATIENCE;
        while !self.err.contains(words) {
            match self.lines.recv_deadline(until) {
                Ok(line) => self.take(line),
                Err(error) => panic!("it never said {words:?}: {error}"),
            }
        }
        self.err.clone()
    }

    /// Panics when it has ended.
    pub(crate) fn assert_alive(&mut self) {
        while let Ok(line) = self.lines.try_recv() {
            self.take(line);
        }
        let ended = self.child.try_wait().expect("it can be asked");
        assert!(ended.is_none(), "it has ended by itself: {ended:?}");
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Ended {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_deadline(until) {
                Ok(line) => self.take(line),
                Err(error) if error.is_timeout() => panic!("it does not end"),
                Err(_) => break,
            }
        }
        let code = self.child.wait().expect("it has ended").code();
        Ended { code, out: std::mem::take(&mut self.out), err: std::mem::take(&mut self.err) }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id();
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {id}")]).status();
        assert!(sent.expect("sh runs").success(), "it ended too early");
    }

    /// Asks for an orderly stop and waits for it.
    pub(crate) fn terminate(self) -> Ended {
        self.signal("TERM");
        self.wait()
    }

    /// Returns true if its log has these words by now.
    pub(crate) fn has_said(&mut self, words: &str) -> bool {
        while let Ok(line) = self.lines.try_recv() {
            self.take(line);
        }
        self.err.contains(words)
    }

    /// Returns true if it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        while let Ok(line) = self.lines.try_recv() {
            self.take(line);
        }
        self.child.try_wait().expect("it can be asked").is_some()
    }

    /// Ends it as a power failure would.
    pub(crate) fn kill(mut self) -> Ended {
        self.child.kill().expect("it runs");
        self.wait()
    }

    /// The most memory that it has had resident, in bytes, where the system tells.
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
    }
}

fn pass_on(from: impl Read + Send + 'static, to: Sender<Line>, kind: fn(String) -> Line) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let _test_over = to.send(kind(line));
        }
    });
}

impl Drop for Lockstep {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
        if std::thread::panicking() {
            while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(1)) {
                self.take(line);
            }
            eprintln!("--- standard output\n{}--- standard error\n{}---", self.out, self.err);
        }
    }
}

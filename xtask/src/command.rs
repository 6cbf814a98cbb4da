//! Runs other programs, with a time limit, and keeps what they print.

use std::{
    ffi::{OsStr, OsString},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command as Process, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use crate::{Result, root};

/// A program to run in the repository's top folder.
#[derive(Debug)]
pub(crate) struct Command {
    process: Process,
    shown: String,
    limit: Duration,
    quiet: bool,
    echo: bool,
    memory: bool,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Output {
    /// The exit code; `None` where a signal or the time limit ended it.
    pub(crate) code: Option<i32>,
    /// All lines of the standard output.
    pub(crate) stdout: String,
    /// Whether it was stopped because it ran too long.
    pub(crate) timed_out: bool,
    /// How long it ran.
    pub(crate) seconds: f64,
    /// Its peak resident memory in bytes, where that was watched and the system tells it.
    pub(crate) peak_rss: Option<u64>,
}

impl Output {
    /// Whether the program said that all went well.
    pub(crate) fn success(&self) -> bool {
        self.code == Some(0)
    }

    /// How it ended, for a report.
    pub(crate) fn ending(&self) -> String {
        match self.code {
            Some(code) => format!("exit code {code}"),
            None if self.timed_out => format!("stopped after {:.0} s", self.seconds),
            None => "ended by a signal".to_owned(),
        }
    }

    /// The last line of the standard output as JSON: how every `moue … --json` ends.
    pub(crate) fn last_json(&self) -> Result<serde_json::Value> {
        let line = self.stdout.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        serde_json::from_str(line).map_err(|error| format!("expected a last line of JSON, found `{line}` ({error})"))
    }
}

impl Command {
    /// A program with its arguments.
    pub(crate) fn new<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: impl IntoIterator<Item = S>) -> Self {
        let mut process = Process::new(&program);
        let mut shown = Path::new(&program).strip_prefix(root()).map_or_else(
            |_| program.as_ref().to_string_lossy().into_owned(),
            |relative| relative.to_string_lossy().into_owned(),
        );
        for arg in args {
            shown = format!("{shown} {}", arg.as_ref().to_string_lossy());
            process.arg(arg);
        }
        process.current_dir(root()).stdin(Stdio::null()).stdout(Stdio::piped());
        Self { process, shown, limit: Duration::from_secs(3600), quiet: false, echo: true, memory: false }
    }

    /// Cargo, the one that runs this program.
    pub(crate) fn cargo<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Self {
        let mut command = Self::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), args);
        // What cargo told us about xtask would make nested builds look changed.
        for (name, _) in std::env::vars_os() {
            let name_text = name.to_string_lossy();
            if name_text.starts_with("CARGO_PKG_") || name_text.starts_with("CARGO_MANIFEST_") {
                command.process.env_remove(&name);
            }
        }
        if let Some(at) = command.shown.find(' ') {
            command.shown.replace_range(..at, "cargo");
        }
        command
    }

    /// Sets environment variables; `None` removes one.
    pub(crate) fn env<'a>(mut self, variables: impl IntoIterator<Item = &'a (String, Option<OsString>)>) -> Self {
        for (name, value) in variables {
            match value {
                Some(value) => self.process.env(name, value),
                None => self.process.env_remove(name),
            };
        }
        self
    }

    /// Stops the program when it runs longer.
    pub(crate) fn limit_minutes(mut self, minutes: u64) -> Self {
        self.limit = Duration::from_secs(60 * minutes);
        self
    }

    /// Does not show the standard output: it is for a program.
    pub(crate) fn silent(mut self) -> Self {
        self.echo = false;
        self
    }

    /// Shows neither the call nor the standard output, only what it complains of.
    pub(crate) fn hidden(mut self) -> Self {
        self.quiet = true;
        self.echo = false;
        self
    }

    /// Watches its resident memory while it runs (Linux).
    pub(crate) fn watch_memory(mut self) -> Self {
        self.memory = true;
        self
    }

    /// Shows nothing at all.
    pub(crate) fn quiet(mut self) -> Self {
        self.quiet = true;
        self.echo = false;
        self.process.stderr(Stdio::null());
        self
    }

    /// Runs it and waits.
    ///
    /// # Errors
    /// A sentence where the program could not be started.
    pub(crate) fn run(mut self) -> Result<Output> {
        if !self.quiet {
            println!("\n$ {}", self.shown);
        }
        let begin = Instant::now();
        let mut child =
            self.process.spawn().map_err(|error| format!("`{}` could not be started: {error}", self.shown))?;
        let stdout = child.stdout.take().expect("invariant: the standard output is piped");
        let (sender, lines) = mpsc::channel::<String>();
        let echo = self.echo;
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stdout);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                let text = String::from_utf8_lossy(&line).into_owned();
                line.clear();
                if echo {
                    print!("{text}");
                    // A closed terminal is no reason to stop reading.
                    let _ = std::io::stdout().flush();
                }
                if sender.send(text).is_err() {
                    return;
                }
            }
        });
        let mut timed_out = false;
        let mut peak_rss = None;
        let status = loop {
            if self.memory {
                // The peak only grows, so the last look before the end has it but for what happened since.
                peak_rss = peak_rss.max(peak_rss_of(child.id()));
            }
            if let Some(status) = child.try_wait().map_err(|error| format!("`{}`: {error}", self.shown))? {
                break status;
            }
            if begin.elapsed() > self.limit {
                timed_out = true;
                child.kill().map_err(|error| format!("`{}` could not be stopped: {error}", self.shown))?;
                break child.wait().map_err(|error| format!("`{}`: {error}", self.shown))?;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let mut stdout = String::new();
        // A grandchild may outlive a program that was stopped and keep the pipe open: wait for it only a little.
        while let Ok(line) = lines.recv_timeout(Duration::from_secs(if timed_out { 1 } else { 10 })) {
            stdout.push_str(&line);
        }
        let code = if timed_out { None } else { status.code() };
        Ok(Output { code, stdout, timed_out, seconds: begin.elapsed().as_secs_f64(), peak_rss })
    }
}

/// `VmHWM` of a running process, in bytes.
fn peak_rss_of(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Whether a program is found on the path.
pub(crate) fn on_path(program: &str) -> bool {
    let names = [program.to_owned(), format!("{program}.exe"), format!("{program}.cmd")];
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| names.iter().any(|name| dir.join(name).is_file())))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_output_and_the_exit_code_are_kept() {
        let output = Command::new("sh", ["-c", "echo one; printf '{\"a\":2}'; exit 3"]).quiet().run().unwrap();
        assert_eq!(output.stdout, "one\n{\"a\":2}");
        assert_eq!(output.code, Some(3));
        assert!(!output.success());
        assert_eq!(output.last_json().unwrap()["a"], 2);
    }

    #[test]
    fn a_program_past_its_limit_is_stopped_and_has_failed() {
        let mut command = Command::new("sleep", ["20"]).quiet();
        command.limit = Duration::from_millis(100);
        let output = command.run().unwrap();
        assert!(output.timed_out && !output.success() && output.seconds < 10.0);
        assert!(output.ending().starts_with("stopped after"));
    }

    #[test]
    fn a_program_that_does_not_exist_is_an_error() {
        assert!(Command::new("no-such-program-here", [""; 0]).quiet().run().is_err());
        assert!(!on_path("no-such-program-here") && on_path("sh"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_peak_memory_is_that_of_the_program() {
        // Holds 64 MiB for a while.
        let hold = "x=$(head -c 67108864 /dev/zero | tr '\\0' a); sleep 0.3; echo ${#x}";
        let output = Command::new("bash", ["-c", hold]).watch_memory().quiet().run().unwrap();
        assert_eq!(output.stdout.trim(), "67108864");
        assert!(output.peak_rss.is_some_and(|bytes| bytes > 64 << 20), "{:?}", output.peak_rss);
        assert_eq!(Command::new("true", [""; 0]).quiet().run().unwrap().peak_rss, None, "not watched");
    }
}

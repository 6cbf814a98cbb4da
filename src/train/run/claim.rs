//! Who works in a folder: one process at a time, on any machine that shares it.
//!
//! A claim is a file, `claim.json`, that names a process. It is made by `create_new`, so that of several processes one
//! succeeds, and written again every so often as a sign of life. A claim is *stale* where its process is on this machine
//! and has ended, or where the file has not been written for longer than a timeout, by the clock of the file system.
//!
//! A stale claim is not removed: two processes that both saw it would remove each other's. It gets a successor instead,
//! `claim-ID.json` with the stale claim's ID, again made by `create_new`: one process wins. The claim that holds is the
//! last of this chain. Who lets go removes the chain from its first file on; what then remains of it follows no claim.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process,
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use crate::{Error, Result, train::clock::now_utc};

/// The first file of the chain.
const FIRST: &str = "claim.json";

/// The ID of a claim whose process was killed between making its file and writing it.
const UNREADABLE: &str = "unreadable";

/// The longest time between two signs of life.
const SIGN_OF_LIFE: Duration = Duration::from_secs(60);

/// Who holds a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Different for every claim.
    pub id: String,
    /// The machine, with its space of process numbers where it has several.
    pub host: String,
    /// The process's number there.
    pub process: u32,
    /// When the process was started, in the system's own count; tells it from a later one of the same number.
    pub process_start: Option<u64>,
    /// Since when it holds the folder, UTC.
    pub since: String,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let machine = self.host.split(' ').next().unwrap_or_default();
        write!(f, "process {} on {machine} since {}", self.process, self.since)
    }
}

/// A folder held by this process, until it is dropped.
#[derive(Debug)]
pub struct Claim {
    folder: PathBuf,
    own: Holder,
    chain: Vec<PathBuf>,
    end: Option<Sender<()>>,
    signs: Option<JoinHandle<()>>,
}

/// What trying to claim a folder gives.
#[derive(Debug)]
pub enum Attempt {
    /// It is this process's now.
    Won(Claim),
    /// Another process holds it.
    Held(Holder),
}

impl Claim {
    /// Tries to claim `folder`, which exists; a claim without a sign of life for `timeout` is taken over.
    ///
    /// # Errors
    /// [`Error::Io`] where the folder cannot be written or read.
    pub fn attempt(folder: &Path, timeout: Duration) -> Result<Attempt> {
        let own = Holder::this();
        let mut chain = vec![folder.join(FIRST)];
        loop {
            let path = chain.last().expect("invariant: a chain has a first file").clone();
            match create(&path, &own) {
                Ok(()) if last(folder).is_none_or(|holder| holder != own) => {
                    // Whoever held it let go meanwhile and took the first file away: this one follows no claim.
                    fs::remove_file(&path).map_err(|error| failed(&path, error))?;
                    chain.truncate(1);
                    continue;
                }
                Ok(()) => return Ok(Attempt::Won(Self::hold(folder, chain, own, timeout))),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(&path, error)),
            }
            // A claim that has a successor holds no more, even if its process is still there.
            match state(folder, &path, timeout).map_err(|error| failed(&path, error))? {
                State::Gone => chain.truncate(1),
                State::Alive(holder) if !successor(folder, &holder.id).exists() => return Ok(Attempt::Held(holder)),
                State::Alive(Holder { id, .. }) | State::Stale(id) => chain.push(successor(folder, &id)),
            }
        }
    }

    /// Claims `folder`.
    ///
    /// # Errors
    /// As [`Claim::attempt`]; [`Error::Busy`] that names the other process where one holds it.
    pub fn take(folder: &Path, timeout: Duration) -> Result<Self> {
        match Self::attempt(folder, timeout)? {
            Attempt::Won(claim) => Ok(claim),
            Attempt::Held(holder) => Err(Error::Busy {
                path: folder.into(),
                holder: holder.to_string(),
                hint: format!(
                    "wait until it ends; if that machine is gone, its claim ends {} minutes after its last sign of life",
                    timeout.as_secs_f64() / 60.0
                ),
            }),
        }
    }

    /// Checks that the folder is still this process's: one that was stopped for longer than the timeout may have lost it.
    ///
    /// # Errors
    /// [`Error::Busy`] that names the other process.
    pub fn check(&self) -> Result<()> {
        match last(&self.folder) {
            Some(holder) if holder == self.own => Ok(()),
            other => Err(Error::Busy {
                path: self.folder.clone(),
                holder: other.map_or_else(|| "nobody: its claim was removed".into(), |holder| holder.to_string()),
                hint: "this process gave no sign of life for too long and lost the folder; go on with `--resume`"
                    .into(),
            }),
        }
    }

    /// Who holds `folder`; none where nobody does.
    ///
    /// # Errors
    /// [`Error::Io`] where the folder cannot be read.
    pub fn holder(folder: &Path, timeout: Duration) -> Result<Option<Holder>> {
        let mut path = folder.join(FIRST);
        loop {
            match state(folder, &path, timeout).map_err(|error| failed(&path, error))? {
                State::Gone => return Ok(None),
                State::Alive(holder) if !successor(folder, &holder.id).exists() => return Ok(Some(holder)),
                State::Alive(Holder { id, .. }) | State::Stale(id) => path = successor(folder, &id),
            }
        }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn hold(folder: &Path, chain: Vec<PathBuf>, own: Holder, timeout: Duration) -> Self {
        let path = chain.last().expect("invariant: a chain has a first file").clone();
        let (end, ended) = channel();
        let (every, bytes) = (SIGN_OF_LIFE.min(timeout / 4), own.bytes());
        let signs = std::thread::Builder::new().name("claim".into()).spawn(move || {
            // Written, not touched: the time is then the file system's. The bytes stay the same, so that no reader finds
            // half of them.
            while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                if let Ok(mut file) = File::options().write(true).open(&path) {
                    let _ = file.write_all(&bytes);
                }
            }
        });
        Self { folder: folder.into(), own, chain, end: Some(end), signs: signs.ok() }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(signs) = self.signs.take() {
            let _ = signs.join();
        }
        if self.check().is_ok() {
            for path in &self.chain {
                let _ = fs::remove_file(path);
            }
        }
    }
}

impl Holder {
    /// This process.
    fn this() -> Self {
        let process = process::id();
        let nanoseconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        // Two claims of one process differ by the count.
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let host = host();
        let id = crate::checkpoint::bytes_hash(format!("{host} {process} {count} {nanoseconds}").as_bytes());
        Self { id: id[..16].to_owned(), host, process, process_start: process_start(process), since: now_utc() }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).expect("invariant: a holder is plain data");
        text.push(b'\n');
        text
    }

    /// Whether the process is known to have ended: it was on this machine, and is no more.
    fn has_ended(&self) -> bool {
        self.host == host() && is_running(self.process, self.process_start) == Some(false)
    }
}

/// The last claim of a folder's chain; none where there is none, or nobody can tell whose it is.
fn last(folder: &Path) -> Option<Holder> {
    let mut path = folder.join(FIRST);
    loop {
        let holder: Option<Holder> = serde_json::from_slice(&fs::read(&path).ok()?).ok();
        path = successor(folder, holder.as_ref().map_or(UNREADABLE, |holder| &holder.id));
        if !path.exists() {
            return holder;
        }
    }
}

/// The file that takes over from a stale claim.
fn successor(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("claim-{id}.json"))
}

enum State {
    Gone,
    Alive(Holder),
    Stale(String),
}

/// How the claim in a file stands.
fn state(folder: &Path, path: &Path, timeout: Duration) -> std::io::Result<State> {
    let read = || -> std::io::Result<(Vec<u8>, SystemTime)> { Ok((fs::read(path)?, fs::metadata(path)?.modified()?)) };
    let (bytes, written) = match read() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(State::Gone),
        other => other?,
    };
    let holder: Option<Holder> = serde_json::from_slice(&bytes).ok();
    let id = holder.as_ref().map_or(UNREADABLE, |holder| &holder.id).to_owned();
    if holder.as_ref().is_some_and(Holder::has_ended) {
        return Ok(State::Stale(id));
    }
    let now = tempfile::Builder::new().prefix(".moue-").suffix(".partial").tempfile_in(folder)?;
    let now = now.as_file().metadata()?.modified()?;
    if now.duration_since(written).is_ok_and(|silent| silent > timeout) {
        return Ok(State::Stale(id));
    }
    let unreadable = || Holder {
        id,
        host: "a machine unknown".into(),
        process: 0,
        process_start: None,
        since: "a moment ago".into(),
    };
    Ok(State::Alive(holder.unwrap_or_else(unreadable)))
}

fn create(path: &Path, own: &Holder) -> std::io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(&own.bytes())
}

fn failed(path: &Path, source: std::io::Error) -> Error {
    Error::io(path, "claiming the folder", source, "check the folder's permissions and the space on the disk")
}

/// This machine's name, and its space of process numbers: a container has one of its own.
fn host() -> String {
    let file = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let name = file("/proc/sys/kernel/hostname")
        .or_else(|| variable("COMPUTERNAME"))
        .or_else(|| {
            let output = process::Command::new("hostname").output().ok()?;
            Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        })
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unnamed".into());
    match fs::read_link("/proc/self/ns/pid") {
        Ok(space) => format!("{name} {}", space.display()),
        Err(_) => name,
    }
}

/// When a process of this machine was started, in clock ticks since the system was; none where the system does not say.
fn process_start(process: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field, the program's name in parentheses, may hold spaces; the start is the 22nd field.
    text.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Whether a process of this machine is still that one; none where the system does not say.
fn is_running(process: u32, start: Option<u64>) -> Option<bool> {
    if Path::new("/proc/self/stat").exists() {
        let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // A zombie has ended, though its parent has not asked how.
        let zombie = text.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'));
        return Some(!text.is_empty() && !zombie && process_start(process) == start);
    }
    if cfg!(unix) {
        let output = process::Command::new("kill").args(["-0", &process.to_string()]).output().ok()?;
        return Some(output.status.success());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(1000);

    fn won(folder: &Path, timeout: Duration) -> Claim {
        match Claim::attempt(folder, timeout).expect("the folder is there") {
            Attempt::Won(claim) => claim,
            Attempt::Held(holder) => panic!("held by {holder}"),
        }
    }

    /// The claim of a process that has ended, or of one on another machine.
    fn leave(path: &Path, id: &str, host: String, process: u32) {
        let holder = Holder { id: id.into(), host, process, process_start: Some(1), since: "then".into() };
        fs::write(path, holder.bytes()).expect("written");
    }

    #[test]
    fn a_folder_has_one_holder_and_is_free_when_it_lets_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let claim = won(folder.path(), LONG);
        let error = Claim::take(folder.path(), LONG).expect_err("held");
        assert!(error.to_string().contains(&format!("process {}", process::id())), "{error}");
        assert_eq!(Claim::holder(folder.path(), LONG).expect("read").map(|holder| holder.process), Some(process::id()));
        drop(claim);
        assert_eq!(Claim::holder(folder.path(), LONG).expect("read"), None);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
        drop(won(folder.path(), LONG));
    }

    #[test]
    fn a_claim_whose_process_on_this_machine_has_ended_is_taken_over_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        // Of this number there is a process, but it was started at another time.
        leave(&folder.path().join(FIRST), "old", host(), process::id());
        let claim = won(folder.path(), LONG);
        assert_eq!(claim.chain.len(), 2);
        assert!(matches!(Claim::attempt(folder.path(), LONG), Ok(Attempt::Held(_))));
        drop(claim);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }

    #[test]
    fn a_claim_of_another_machine_holds_until_its_signs_of_life_are_older_than_the_timeout() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(FIRST);
        leave(&path, "far", "elsewhere".into(), 1);
        assert!(matches!(Claim::attempt(folder.path(), LONG), Ok(Attempt::Held(_))));
        let file = File::options().write(true).open(&path).expect("opened");
        file.set_modified(SystemTime::now() - 2 * LONG).expect("set back");
        drop(won(folder.path(), LONG));
    }

    #[test]
    fn who_lost_its_folder_is_told_and_removes_nothing_of_the_next_holders() {
        let folder = tempfile::tempdir().expect("a folder");
        let claim = won(folder.path(), LONG);
        claim.check().expect("it holds the folder");
        leave(&folder.path().join(format!("claim-{}.json", claim.own.id)), "next", "elsewhere".into(), 7);
        let error = claim.check().expect_err("lost").to_string();
        assert!(error.contains("process 7 on elsewhere"), "{error}");
        drop(claim);
        assert_eq!(Claim::holder(folder.path(), LONG).expect("read").map(|holder| holder.process), Some(7));
    }

    #[test]
    fn who_holds_a_folder_gives_signs_of_life() {
        let folder = tempfile::tempdir().expect("a folder");
        let claim = won(folder.path(), Duration::from_millis(200));
        std::thread::sleep(Duration::from_millis(600));
        assert!(matches!(Claim::attempt(folder.path(), Duration::from_millis(200)), Ok(Attempt::Held(_))));
        drop(claim);
    }

    #[test]
    fn a_file_without_a_holder_is_a_claim_until_the_timeout() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(FIRST), "{\"id\":").expect("written");
        assert!(matches!(Claim::attempt(folder.path(), LONG), Ok(Attempt::Held(_))));
        std::thread::sleep(Duration::from_millis(50));
        drop(won(folder.path(), Duration::from_millis(20)));
    }

    #[test]
    fn of_many_that_find_a_stale_claim_one_wins_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, holders) = (folder.path(), std::sync::atomic::AtomicUsize::new(0));
        let wins = std::sync::atomic::AtomicUsize::new(0);
        let order = std::sync::atomic::Ordering::SeqCst;
        for round in 0..20 {
            leave(&path.join(FIRST), &format!("old{round}"), host(), process::id());
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        for _ in 0..20 {
                            if let Ok(Attempt::Won(claim)) = Claim::attempt(path, LONG) {
                                assert_eq!(holders.fetch_add(1, order), 0, "two hold the folder");
                                wins.fetch_add(1, order);
                                std::thread::yield_now();
                                holders.fetch_sub(1, order);
                                drop(claim);
                            }
                        }
                    });
                }
            });
        }
        assert!(wins.load(order) >= 20, "{wins:?}");
    }
}

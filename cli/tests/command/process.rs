//! Processes that cannot hang a test: every wait for one has a limit, and none outlives its value.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, Read};
use std::path::Path;
#[cfg(not(windows))]
use std::process::Child;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

#[cfg(windows)]
use send_ctrlc::{Interruptible as _, InterruptibleChild as Child, InterruptibleCommand as _};
use serde_json::Value;
use tempfile::TempDir;

/// The longest that a test waits for a line, or for the end of a process.
const LIMIT: Duration = Duration::from_secs(120);

/// A command that is about to be run. What it prints is collected, unless it is sent elsewhere.
pub(crate) struct Program {
    command: Command,
    limit: Duration,
    data: Option<Arc<TempDir>>,
}

impl Program {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, limit: LIMIT, data: None }
    }

    /// With data and configuration directories of its own: nothing is taken from, or left with, the user who runs the tests.
    pub(crate) fn with_data_of_its_own(mut self) -> Self {
        let data = tempfile::tempdir().unwrap();
        for directory in ["XDG_DATA_HOME", "XDG_CONFIG_HOME", "LOCALAPPDATA", "APPDATA"] {
            self.command.env(directory, data.path());
        }
        self.data = Some(Arc::new(data));
        self
    }

    pub(crate) fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn args<S: AsRef<OsStr>>(&mut self, args: impl IntoIterator<Item = S>) -> &mut Self {
        self.command.args(args);
        self
    }

    pub(crate) fn current_dir(&mut self, directory: impl AsRef<Path>) -> &mut Self {
        self.command.current_dir(directory);
        self
    }

    #[cfg(unix)]
    pub(crate) fn stdin(&mut self, stdin: impl Into<Stdio>) -> &mut Self {
        self.command.stdin(stdin);
        self
    }

    pub(crate) fn stdout(&mut self, stdout: impl Into<Stdio>) -> &mut Self {
        self.command.stdout(stdout);
        self
    }

    pub(crate) fn stderr(&mut self, stderr: impl Into<Stdio>) -> &mut Self {
        self.command.stderr(stderr);
        self
    }

    pub(crate) fn spawn(&mut self) -> io::Result<Running> {
        // On Windows in a group of its own, which can be interrupted.
        #[cfg(windows)]
        let mut child = self.command.spawn_interruptible()?;
        #[cfg(not(windows))]
        let mut child = self.command.spawn()?;
        let stdout = child.stdout.take().map(Pipe::of);
        let stderr = child.stderr.take().map(Pipe::of);
        let name = format!("{:?}", self.command);
        let (limit, data) = (self.limit, self.data.clone());
        Ok(Running { child, name, stdout, stderr, read: 0, limit, _data: data })
    }

    /// Runs it to its end.
    pub(crate) fn output(&mut self) -> io::Result<Output> {
        self.spawn()?.output()
    }
}

/// A running process, which is killed with its value.
pub(crate) struct Running {
    child: Child,
    name: String,
    stdout: Option<Pipe>,
    stderr: Option<Pipe>,
    /// Bytes of standard output that were given out as lines.
    read: usize,
    limit: Duration,
    _data: Option<Arc<TempDir>>,
}

impl Running {
    #[cfg(target_os = "linux")]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn kill(&mut self) -> io::Result<()> {
        self.child.kill()
    }

    /// Sends a signal.
    #[cfg(unix)]
    pub(crate) fn signal(&self, name: &str) {
        let (signal, pid) = (format!("-{name}"), self.child.id().to_string());
        let sent = Program::new("kill").args([&signal, &pid]).output();
        assert!(sent.unwrap().status.success());
    }

    /// Interrupts it again and again, as somebody does who waits for its end.
    #[cfg(target_os = "linux")]
    pub(crate) fn interrupt_until_it_ends(&mut self) -> ExitStatus {
        let end = Instant::now() + self.limit;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            if Instant::now() >= end {
                self.stuck("ended, however often it was interrupted,");
            }
            self.interrupt();
        }
    }

    /// Sends what Ctrl-C sends; on Windows what Ctrl-Break sends, because no program in a group of its own is told
    /// of Ctrl-C. Where programs cannot tell each other of either it is killed, and this is false.
    #[cfg_attr(
        not(windows),
        expect(clippy::needless_pass_by_ref_mut, reason = "Windows looks first")
    )]
    pub(crate) fn interrupt(&mut self) -> bool {
        #[cfg(windows)]
        if std::env::var_os("BITSWAP_TEST_NO_CONSOLE").is_some() {
            self.kill().unwrap();
            return false;
        }
        #[cfg(windows)]
        self.child.terminate().unwrap();
        #[cfg(not(windows))]
        self.signal("INT");
        true
    }

    /// Waits until its standard output has this text in it, and gives all of it.
    pub(crate) fn until(&self, text: &str) -> String {
        self.stdout.as_ref().expect("its standard output is collected").until(text)
    }

    /// The same, of its standard error.
    pub(crate) fn until_error(&self, text: &str) -> String {
        self.stderr.as_ref().expect("its standard error is collected").until(text)
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> io::Result<ExitStatus> {
        let end = Instant::now() + self.limit;
        let is_closed =
            |pipe: &Pipe| pipe.wait(end, |_, is_closed| is_closed.then_some(())).is_some();
        // They close when it ends.
        let has_ended = [&self.stdout, &self.stderr].into_iter().flatten().all(is_closed);
        if !has_ended {
            self.stuck("ended");
        }
        self.child.wait()
    }

    /// Waits for its end, and gives what it printed.
    pub(crate) fn output(mut self) -> io::Result<Output> {
        let status = self.wait()?;
        let bytes = |pipe: &Option<Pipe>| pipe.as_ref().map(Pipe::bytes).unwrap_or_default();
        Ok(Output { status, stdout: bytes(&self.stdout), stderr: bytes(&self.stderr) })
    }

    /// The next line of its standard output; `None` once it is closed.
    fn line(&mut self) -> Option<String> {
        let end = Instant::now() + self.limit;
        let read = self.read;
        let stdout = self.stdout.as_ref().expect("its standard output is collected");
        let line = stdout.wait(end, |bytes, is_closed| {
            let rest = &bytes[read..];
            match rest.iter().position(|byte| *byte == b'\n') {
                Some(at) => Some(Some(rest[..=at].to_vec())),
                None => (is_closed && rest.is_empty()).then_some(None),
            }
        });
        let line = line.unwrap_or_else(|| self.stuck("printed another line"))?;
        self.read += line.len();
        Some(String::from_utf8(line).unwrap())
    }

    fn stuck(&mut self, what: &str) -> ! {
        // It may end just now.
        let _ = self.child.kill();
        panic!("{} had not {what} after {:?}; it was killed. {self}", self.name, self.limit);
    }
}

/// What it printed so far.
impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, pipe) in [("output", &self.stdout), ("errors", &self.stderr)] {
            let bytes = pipe.as_ref().map(Pipe::bytes).unwrap_or_default();
            write!(f, "\n{name}: {}", String::from_utf8_lossy(&bytes))?;
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The JSON lines that a process prints.
pub(crate) fn lines(running: &mut Running) -> impl Iterator<Item = Value> + use<'_> {
    std::iter::from_fn(|| running.line()).map(|line| serde_json::from_str(&line).expect(&line))
}

/// What comes out of a pipe, or of anything that is read.
pub(crate) struct Pipe(Arc<Collected>);

#[derive(Default)]
struct Collected {
    state: Mutex<State>,
    more: Condvar,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    is_closed: bool,
}

impl Collected {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pipe {
    pub(crate) fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let collected = Arc::<Collected>::default();
        let reader = collected.clone();
        thread::spawn(move || {
            let mut piece = vec![0; 64 << 10];
            loop {
                let read = pipe.read(&mut piece).unwrap_or(0);
                let mut state = reader.lock();
                state.bytes.extend_from_slice(&piece[..read]);
                state.is_closed = read == 0;
                reader.more.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        Self(collected)
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.lock().bytes.clone()
    }

    /// Waits until what came has this text in it.
    pub(crate) fn until(&self, text: &str) -> String {
        let as_text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let has = |bytes: &[u8], _| Some(as_text(bytes)).filter(|all| all.contains(text));
        let found = self.wait(Instant::now() + LIMIT, has);
        found.unwrap_or_else(|| panic!("no {text:?} in {:?}", as_text(&self.bytes())))
    }

    /// Waits until what came satisfies somebody; `None` when the time is over.
    fn wait<T>(&self, end: Instant, mut look: impl FnMut(&[u8], bool) -> Option<T>) -> Option<T> {
        let mut state = self.0.lock();
        loop {
            if let Some(found) = look(&state.bytes, state.is_closed) {
                return Some(found);
            }
            let left = end.checked_duration_since(Instant::now())?;
            let waited = self.0.more.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(unix)]
#[test]
fn a_process_that_hangs_is_killed_and_fails_its_test() {
    let waits: [fn(&mut Running); 2] =
        [|running| _ = running.wait().unwrap(), |running| _ = running.line()];
    for wait in waits {
        let mut program = Program::new("sh");
        program.args(["-c", "echo started >&2; exec sleep 600"]).limit = Duration::from_millis(200);
        let mut running = program.spawn().unwrap();
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| wait(&mut running)));
        let said = *waited.unwrap_err().downcast::<String>().unwrap();
        assert!(said.contains("it was killed"), "{said}");
        let status = running.child.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    }
}

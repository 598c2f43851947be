//! The thread that writes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rustc_hash::FxHashMap;

/// Jobs that may wait: with the pieces that sessions hand over, 16 MiB at most.
const MAX_WAITING: usize = 512;

/// What the thread is asked to do. Files are numbered by whoever opens them.
pub(super) enum Job {
    /// Make a file of this name in the folder.
    Open { file: u64, name: String },
    /// Write to its end.
    Append { file: u64, text: String },
    /// Nothing more will come.
    Close(u64),
    /// A line for the key log.
    Key(String),
}

/// The way to the thread. Never blocks.
#[derive(Clone)]
pub(super) struct Outbox(SyncSender<Job>);

impl Outbox {
    /// False when too much waits already, and the job is forgotten.
    pub(super) fn send(&self, job: Job) -> bool {
        self.0.try_send(job).is_ok()
    }

    #[cfg(test)]
    pub(super) fn of(sender: SyncSender<Job>) -> Self {
        Self(sender)
    }
}

/// The thread. Dropping it waits until all outboxes are gone and everything is written.
pub(super) struct Writer {
    outbox: Option<Outbox>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(dir: Option<&Path>, key_log: Option<&Path>) -> io::Result<Self> {
        if let Some(dir) = dir {
            fs::create_dir_all(dir)?;
        }
        let keys = key_log.map(open_key_log).transpose()?;
        let (sender, jobs) = sync_channel(MAX_WAITING);
        let dir = dir.map(Path::to_owned).unwrap_or_default();
        let thread = std::thread::Builder::new()
            .name("stt-log".to_owned())
            .spawn(move || write(&jobs, &dir, keys))?;
        Ok(Self { outbox: Some(Outbox(sender)), thread: Some(thread) })
    }

    /// # Panics
    /// Not before it is dropped.
    #[expect(clippy::expect_used, reason = "only `drop` takes it")]
    pub(super) fn outbox(&self) -> Outbox {
        self.outbox.clone().expect("not dropped")
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.outbox = None;
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has nothing more to say.
            let _ = thread.join();
        }
    }
}

/// Only its owner may read what is in it.
fn open_key_log(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)
}

/// A file that fails is given up: a full disk must not end sessions, and there is nobody to tell.
fn write(jobs: &Receiver<Job>, dir: &Path, mut keys: Option<File>) {
    let mut files: FxHashMap<u64, File> = FxHashMap::default();
    while let Ok(job) = jobs.recv() {
        match job {
            Job::Open { file, name } => {
                if let Ok(opened) = File::create(dir.join(name)) {
                    files.insert(file, opened);
                }
            }
            Job::Append { file, text } => {
                let failed =
                    files.get_mut(&file).is_some_and(|to| to.write_all(text.as_bytes()).is_err());
                if failed {
                    files.remove(&file);
                }
            }
            Job::Close(file) => drop(files.remove(&file)),
            Job::Key(line) => {
                if keys.as_mut().is_some_and(|to| to.write_all(line.as_bytes()).is_err()) {
                    keys = None;
                }
            }
        }
    }
}

//! A real PostgreSQL cluster for a run or a test: made in a folder, started on a free loopback port
//! with logical replication switched on, gone when it is dropped or when we are killed.
//!
//! Browsers have their temporary files in a [`Temporary`] folder too.
//!
//! What is deliberately not here: pools, schemas, users. A cluster is a URL.
//!
//! The server is our direct child. If we are killed the kernel kills it too, and PostgreSQL's own
//! processes end by themselves when they lose their parent; a temporary folder that is then left
//! behind is removed by the next cluster that is started.

mod error;
mod host;
mod temporary;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub use error::Error;

/// Whether the server's programs are there.
pub fn is_installed() -> bool {
    host::find_programs().is_ok()
}

use host::User;
use squall_owned_process::OwnedProcess;
pub use temporary::Temporary;

/// How a cluster shall be. [`Options::default`] is a fast one in a temporary folder.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the cluster shall live; made if missing, used again if it holds a cluster already, and
    /// kept. None means a temporary folder that is removed with the cluster. When we are root and
    /// the user `postgres` cannot reach this folder, a temporary one is used instead; see
    /// [`Cluster::folder`].
    pub folder: Option<PathBuf>,
    /// Whether commits are flushed to disk. Without it a crash of the machine can corrupt the
    /// cluster, a crash of the server cannot.
    pub fsync: bool,
    /// Further server settings (`name`, `value`), which win over ours.
    pub settings: Vec<(String, String)>,
    /// How long the server may take until it answers a query. Making the cluster is not included.
    pub start_deadline: Duration,
    /// How long an orderly shutdown may take before the server is killed.
    pub stop_deadline: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            folder: None,
            fsync: false,
            settings: Vec::new(),
            start_deadline: Duration::from_secs(60),
            stop_deadline: Duration::from_secs(10),
        }
    }
}

/// How a server is stopped, by PostgreSQL's own names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Open transactions are rolled back, connections closed, and what is in memory is written.
    Fast,
    /// As in a crash: without a checkpoint, so that the next start recovers from the write-ahead log.
    Immediate,
}

/// A running PostgreSQL server with its data. Dropping it ends the server at once.
#[derive(Debug)]
pub struct Cluster {
    options: Options,
    programs: PathBuf,
    user: Option<User>,
    // Before `_temporary`: the server must be gone before its folder is removed.
    server: Server,
    folder: PathBuf,
    port: u16,
    _temporary: Option<Temporary>,
}

impl Cluster {
    /// Makes a cluster in the folder if it holds none, starts the server and waits until it answers.
    pub async fn start(options: Options) -> Result<Cluster, Error> {
        let programs = host::find_programs()?;
        let user = host::server_user()?;
        let (folder, temporary) = make_folder(options.folder.as_deref(), user)?;
        if !folder.join("data/PG_VERSION").exists() {
            initdb(&programs, &folder, user).await?;
        }
        // A port can be taken by someone else between our choice and the server's bind.
        let mut attempts = 0;
        let (server, port) = loop {
            attempts += 1;
            let port = host::free_port()?;
            match start_server(&programs, &folder, user, port, &options).await {
                Err(Error::PortTaken { .. }) if attempts < 10 => continue,
                other => break (other?, port),
            }
        };
        Ok(Cluster {
            options,
            programs,
            user,
            server,
            folder,
            port,
            _temporary: temporary,
        })
    }

    /// The URL of the database `postgres`, as its superuser, without a password.
    pub fn url(&self) -> String {
        url(self.port)
    }

    /// The TCP port on 127.0.0.1, the same after a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the server (the postmaster); another one after a restart.
    pub fn pid(&self) -> u32 {
        self.server.0.pid() as u32
    }

    /// Where the cluster lives: the data in `data/`, the server's log in `postgres.log`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether the server process is there.
    pub fn is_running(&self) -> bool {
        self.server.0.ended().is_none()
    }

    /// Stops the server in an orderly way if it is running, and starts it again on the same data and
    /// port.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.stop().await;
        self.server = start_server(
            &self.programs,
            &self.folder,
            self.user,
            self.port,
            &self.options,
        )
        .await?;
        Ok(())
    }

    /// Stops the server in an orderly way, as [`Shutdown::Fast`].
    pub async fn stop(&mut self) {
        self.shut_down(Shutdown::Fast).await;
    }

    /// Stops the server; if that takes longer than the deadline, it is killed. The data stays for
    /// [`Cluster::restart`].
    pub async fn shut_down(&mut self, shutdown: Shutdown) {
        self.server.0.signal_leader(match shutdown {
            Shutdown::Fast => libc::SIGINT,
            Shutdown::Immediate => libc::SIGQUIT,
        });
        let deadline = Instant::now() + self.options.stop_deadline;
        while self.is_running() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if self.is_running() {
            tracing::warn!(
                pid = self.pid(),
                "PostgreSQL did not stop in time and is killed"
            );
            self.server.kill();
        }
    }
}

/// The server process, ended when dropped.
#[derive(Debug)]
struct Server(OwnedProcess);

impl Server {
    /// Ends the server without a checkpoint, as a crash would, and waits for it.
    fn kill(&self) {
        // SIGQUIT lets the postmaster end its children and free its shared memory, which SIGKILL does
        // not; a stopped postmaster would not hear it, hence SIGCONT.
        self.0.signal_leader(libc::SIGQUIT);
        self.0.signal_leader(libc::SIGCONT);
        if self.0.wait(Duration::from_secs(2)).is_none() {
            self.0.signal(libc::SIGKILL);
            self.0.wait(Duration::from_secs(2));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts a program of PostgreSQL's, as the given user if there is one.
fn spawn(mut command: Command, user: Option<User>) -> Result<Server, Error> {
    let program = PathBuf::from(command.get_program());
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
    let (process, _) =
        OwnedProcess::spawn(command).map_err(|source| Error::Spawn { program, source })?;
    Ok(Server(process))
}

fn url(port: u16) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/postgres")
}

/// Makes the folder, reachable for and owned by the user.
fn make_folder(
    wanted: Option<&Path>,
    user: Option<User>,
) -> Result<(PathBuf, Option<Temporary>), Error> {
    let reachable = |folder: &Path| user.is_none_or(|user| host::can_traverse(user, folder));
    let own = |folder: &Path| match user {
        Some(user) => {
            std::os::unix::fs::chown(folder, Some(user.uid), Some(user.gid)).map_err(|source| {
                Error::File {
                    what: "give to the user postgres",
                    path: folder.into(),
                    source,
                }
            })
        }
        None => Ok(()),
    };
    if let Some(wanted) = wanted {
        let file_error = |what, source| Error::File {
            what,
            path: wanted.into(),
            source,
        };
        fs::create_dir_all(wanted).map_err(|source| file_error("make the folder", source))?;
        let folder = fs::canonicalize(wanted).map_err(|source| file_error("resolve", source))?;
        if folder.parent().is_none_or(reachable) {
            own(&folder)?;
            return Ok((folder, None));
        }
        tracing::warn!(
            folder = %folder.display(),
            "the user postgres cannot reach this folder, the cluster goes to a temporary one"
        );
    }
    let parent = Some(std::env::temp_dir())
        .filter(|folder| reachable(folder))
        .unwrap_or_else(|| PathBuf::from("/tmp"));
    let temporary = Temporary::make(&parent, "squall-postgres-").map_err(|source| Error::File {
        what: "make a temporary folder in",
        path: parent,
        source,
    })?;
    own(temporary.path())?;
    Ok((temporary.path().to_owned(), Some(temporary)))
}

/// A command with its output appended to the file, and without the variables that would lead
/// PostgreSQL's programs astray.
fn command(program: PathBuf, folder: &Path, log: &Path) -> Result<Command, Error> {
    let file_error = |source| Error::File {
        what: "open the log",
        path: log.to_owned(),
        source,
    };
    let output = fs::File::options()
        .create(true)
        .append(true)
        .open(log)
        .map_err(file_error)?;
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(output.try_clone().map_err(file_error)?)
        .stderr(output)
        .env("LC_ALL", "C");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    Ok(command)
}

async fn initdb(programs: &Path, folder: &Path, user: Option<User>) -> Result<(), Error> {
    let log = folder.join("initdb.log");
    let mut command = command(programs.join("initdb"), folder, &log)?;
    command
        .args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ])
        .arg("--pgdata")
        .arg(folder.join("data"));
    let process = spawn(command, user)?;
    loop {
        match process.0.ended() {
            Some(status) if status.success() => return Ok(()),
            Some(status) => {
                return Err(Error::Initdb {
                    folder: folder.into(),
                    status: status.to_string(),
                    log: tail(&log, 0),
                });
            }
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

async fn start_server(
    programs: &Path,
    folder: &Path,
    user: Option<User>,
    port: u16,
    options: &Options,
) -> Result<Server, Error> {
    let log = folder.join("postgres.log");
    let log_begin = fs::metadata(&log).map_or(0, |data| data.len());
    let mut command = command(programs.join("postgres"), folder, &log)?;
    command.arg("-D").arg(folder.join("data"));
    for (name, value) in settings(port, options) {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    let server = spawn(command, user)?;
    let deadline = Instant::now() + options.start_deadline;
    loop {
        if let Some(status) = server.0.ended() {
            let log = tail(&log, log_begin);
            return Err(if log.contains("Address already in use") {
                Error::PortTaken { port }
            } else {
                Error::Ended {
                    status: status.to_string(),
                    log,
                }
            });
        }
        let remaining = deadline.saturating_duration_since(Instant::now());
        let last_error = match tokio::time::timeout(remaining, answers(port, folder)).await {
            Ok(Ok(())) => return Ok(server),
            Ok(Err(error)) => error,
            Err(_) => "no answer".into(),
        };
        if Instant::now() >= deadline {
            return Err(Error::NotReady {
                deadline: options.start_deadline,
                last_error,
                log: tail(&log, log_begin),
            });
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn settings(port: u16, options: &Options) -> Vec<(String, String)> {
    let on_off = |on| if on { "on" } else { "off" }.to_string();
    let ours = [
        ("listen_addresses", "127.0.0.1".into()),
        ("port", port.to_string()),
        // A cluster is a URL. A socket would need a path of at most 107 bytes, and without commas.
        ("unix_socket_directories", String::new()),
        ("wal_level", "logical".into()),
        ("max_replication_slots", "32".into()),
        ("max_wal_senders", "32".into()),
        ("max_connections", "100".into()),
        ("shared_buffers", "32MB".into()),
        ("fsync", on_off(options.fsync)),
        ("full_page_writes", on_off(options.fsync)),
        ("jit", "off".into()),
    ];
    ours.into_iter()
        .map(|(name, value)| (name.to_string(), value))
        .chain(options.settings.iter().cloned())
        .collect()
}

/// Whether the server on that port is this folder's (another one may have taken the port) and
/// answers a query.
async fn answers(port: u16, folder: &Path) -> Result<(), String> {
    let (client, connection) = tokio_postgres::connect(&url(port), tokio_postgres::NoTls)
        .await
        .map_err(|error| error.to_string())?;
    let connection = tokio::spawn(connection);
    let answer = client.query_one("SHOW data_directory", &[]).await;
    connection.abort();
    let data: String = answer.map_err(|error| error.to_string())?.get(0);
    if Path::new(&data) == folder.join("data") {
        Ok(())
    } else {
        Err(format!(
            "port {port} is answered by another cluster, {data}"
        ))
    }
}

/// The last 30 lines that were written to the file after the first `begin` bytes.
fn tail(file: &Path, begin: u64) -> String {
    let bytes = fs::read(file).unwrap_or_default();
    let bytes = bytes.get(begin as usize..).unwrap_or_default();
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

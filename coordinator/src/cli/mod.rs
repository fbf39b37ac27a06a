//! The command line: what can be asked of squall, and in which words.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::Resettable;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use squall_backend::token::Secret;
use squall_models::formats::Format;
use squall_models::formats::export::Target;
use squall_models::registers::Model;
use squall_protocol::plan::{
    CheckpointMode, ClientKind, ClientSpec, Isolation, KeyChoice, Length, PlanOptions, Role, Roles,
    SdkOptions, Store, Uploader, Workload,
};
use squall_workloads::Probe;

use crate::cli::case::Case;
use crate::cli::shard::Shard;
use crate::exit::Failure;
use crate::plan::{self, MOST_KEYS};
use crate::system::options::{BackendChoice, ServiceChoice};
use values::{ClientArg, FaultsArg, ReadsArg, UploaderArg, duration};

pub use values::{FleetArg, ProcessKind};

pub mod case;
pub mod command_line;
pub mod shard;
pub(crate) mod values;

/// Puts local-first sync through a storm and says whether it held.
///
/// Exit codes: 0 ok · 1 a safety property was violated · 2 unknown · 3 a liveness property was
/// violated · 64 usage · 65 malformed input · 69 something needed is missing or would not start ·
/// 70 a bug in squall.
#[derive(Parser)]
#[command(name = "squall", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// Reads a command line, program name first. An environment variable that is set to nothing counts as
/// not set.
///
/// # Errors
///
/// When it makes no sense, or asks for help.
pub fn parse<I, T>(words: I) -> Result<Cli, clap::Error>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let matches = without_empty_variables(Cli::command()).try_get_matches_from(words)?;
    Cli::from_arg_matches(&matches)
}

fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    command
        .mut_args(|arg| match arg.get_env() {
            Some(name) if is_empty(name) => arg.env(Resettable::Reset),
            _ => arg,
        })
        .mut_subcommands(without_empty_variables)
}

#[derive(Subcommand)]
pub enum Command {
    /// Run a storm and print its verdict.
    Run(Box<RunArgs>),
    /// Judge a history: a run folder, such as runs/latest, or a history file, of squall or of another
    /// checker.
    Check(CheckArgs),
    /// Write the history of a run in the format of another checker.
    Export(ExportArgs),
    /// Run many storms, one after another: the product of lists of options.
    Matrix(MatrixArgs),
    /// Climb from one client on plain SQLite to a whole fleet: a short storm on each of seven rungs,
    /// up to the first surprise.
    Ladder(LadderArgs),
    /// Measure squall itself.
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Check that a client program does what the client contract (docs/clients.md) says.
    Conform(ConformArgs),
    /// Print what squall speaks, as JSON Schema.
    Schema(SchemaArgs),
    /// Start everything with two browser clients to play with by hand.
    Demo(DemoArgs),
    /// Look for everything that squall needs, and try it.
    Doctor,
    /// Print the packages that a command line needs and that are missing.
    #[command(hide = true)]
    Needs(NeedsArgs),
    /// Run the embedded sync service (a run starts it by itself).
    #[command(hide = true)]
    Serve(ServeArgs),
    /// Run a client (a run starts them by itself).
    #[command(hide = true)]
    Client(ClientArgs),
}

impl Command {
    /// Whether what it finds is kept in files, or is not what it is started for, so that its work is done
    /// though its standard output could not be written.
    pub fn keeps_what_it_finds(&self) -> bool {
        match self {
            Command::Run(_) | Command::Ladder(_) => true,
            Command::Matrix(args) => !args.list,
            Command::Demo(_) | Command::Serve(_) | Command::Client(_) => true,
            Command::Check(_) | Command::Export(_) | Command::Bench(_) | Command::Doctor => false,
            Command::Conform(_) | Command::Schema(_) | Command::Needs(_) => false,
        }
    }
}

/// The fleet of a run that names none.
pub const DEFAULT_FLEET: &str = "native=3,wasm=2,postgres=1";

#[derive(Args)]
pub struct RunArgs {
    /// The seed of the plan; without it a random one, which is printed.
    #[arg(long)]
    pub seed: Option<u64>,
    /// How long the storm lasts, such as 30s or 2m.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub time: Duration,
    /// What clients do: mww (maximum write wins), ledger, which also keeps a book of every
    /// transaction and so sees every loss, list-append, or gset (sets that only grow).
    #[arg(long, value_name = "WORKLOAD", default_value = "ledger", value_parser = values::workload)]
    pub workload: Workload,
    /// In the workload ledger, every transaction also inserts, changes or deletes a row with nulls,
    /// any Unicode, or 100 KB of text.
    #[arg(long)]
    pub payload: bool,
    /// How many clients of which kind; the kinds are native, wasm (in Chromium), wasm@firefox, powersync-node,
    /// powersync-web, powersync-web@firefox, powersync-rust and postgres; powersync-web=2x3 is two browsers of three
    /// tabs each, all of a browser on one database. Or, without any of those and without PostgreSQL: sqlite, sqlite3
    /// and better-sqlite3, which share one file, or one local.
    #[arg(
        long,
        value_name = "KIND=N,…",
        default_value = DEFAULT_FLEET
    )]
    pub fleet: FleetArg,
    /// The command of a kind of client of somebody's own, such as mine='node my-client.mjs'; it speaks the
    /// client contract (docs/clients.md). May be there more than once.
    #[arg(long, value_name = "NAME=COMMAND")]
    pub client: Vec<ClientArg>,
    #[arg(long, value_name = "FAULT,…", default_value = "all", help = values::faults_help())]
    pub faults: FaultsArg,
    /// Transactions per second, over all clients.
    #[arg(long, default_value_t = 20.0)]
    pub rate: f64,
    /// The number of rows; in list-append and gset of lists or sets. Without it 100, or so many
    /// that a list or a set gets about 32 elements.
    #[arg(long, value_name = "N")]
    pub keys: Option<u32>,
    /// How many rows a transaction writes: N, or from A to B. A range from 0 has transactions that
    /// only read.
    #[arg(long, value_name = "N|A..B", default_value = "4", value_parser = values::length)]
    pub writes: Length,
    /// How rows are chosen: uniform, zipf, or zipf:EXPONENT (some more often than others; 1 is
    /// usual).
    #[arg(long, value_name = "CHOICE", default_value = "uniform", value_parser = values::key_choice)]
    pub key_choice: KeyChoice,
    /// Every transaction either only reads or only writes.
    #[arg(long)]
    pub homogeneous: bool,
    /// What clients may do: ps are those with SQLite, pg those on PostgreSQL; rw, ro or wo. Such as
    /// ps-ro-pg-rw, or pg-ro alone.
    #[arg(long, value_name = "ROLES", default_value = "ps-rw-pg-rw", value_parser = values::roles)]
    pub roles: Roles,
    /// How transactions that only read are done: in write transactions, in read transactions, or
    /// some in each. With watch, clients also keep a live query open, and all it emits is checked.
    #[arg(
        long,
        value_name = "write-transaction,read-transaction,watch",
        default_value = "write-transaction"
    )]
    pub reads: ReadsArg,
    /// The isolation level of clients on PostgreSQL: read-committed, repeatable-read or serializable.
    #[arg(long, value_name = "LEVEL", default_value = "repeatable-read", value_parser = values::isolation)]
    pub isolation: Isolation,
    /// The mean pause between faults of one kind, and their mean duration.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub fault_interval: Duration,
    /// How clients upload: transaction keeps transactions whole, batch splits them (a negative
    /// control: squall must find the torn transactions).
    #[arg(long, value_enum, default_value_t = UploaderArg::Transaction)]
    pub uploader: UploaderArg,
    /// Rows of the upload queue in one batch; fewer than --writes tears every full transaction.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub batch_size: u32,
    /// The pause between two batches, as SDKs throttle their uploads; a transaction stays torn at
    /// least for so long.
    #[arg(long, value_name = "DURATION", default_value = "20ms", value_parser = duration)]
    pub batch_pause: Duration,
    /// The file system of SQLite in powersync-web clients: IDBBatchAtomicVFS, OPFSCoopSyncVFS,
    /// AccessHandlePoolVFS or OPFSWriteAheadVFS; without it the SDK's default.
    #[arg(long, value_name = "VFS", value_parser = values::VFS)]
    pub vfs: Option<String>,
    /// How long clients on PowerSync's SDKs gather changes before they upload; without it as the SDK
    /// does.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub sdk_upload_throttle: Option<Duration>,
    /// The pause of clients on PowerSync's SDKs after a failed upload or a lost stream; without it as
    /// the SDK has it.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub sdk_retry_delay: Option<Duration>,
    /// How clients on PowerSync's SDKs ask for the write checkpoint after their uploads: legacy or requests
    /// (checkpointMode); without it as the SDK does.
    #[arg(long, value_name = "MODE", value_parser = values::checkpoint_mode)]
    pub sdk_checkpoint_mode: Option<CheckpointMode>,
    /// How long a client may go without progress while it recovers, after the faults have ended.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub recovery_deadline: Duration,
    /// End the storm as soon as a violation of a safety property is certain. Everything is healed
    /// and judged as always. Judging as it happens takes some KB of memory per operation.
    #[arg(long)]
    pub stop_on_violation: bool,
    /// Repeat the plan of this file instead of making one; the options above are ignored.
    #[arg(long, value_name = "FILE", conflicts_with = "seed")]
    pub plan: Option<PathBuf>,
    /// The folder that run folders are made in.
    #[arg(long, value_name = "FOLDER", default_value = "runs")]
    pub output: PathBuf,
    /// Show the browsers' windows.
    #[arg(long)]
    pub headed: bool,
    #[command(flatten)]
    pub system: SystemArgs,
}

/// The system under test.
#[derive(Args)]
pub struct SystemArgs {
    /// A PostgreSQL that is already there (with wal_level=logical), instead of a throw-away one.
    #[arg(long, value_name = "URL", env = "SQUALL_DATABASE_URL", hide_env = true)]
    pub database_url: Option<String>,
    /// A real PowerSync service that replicates from --database-url, instead of the embedded one.
    #[arg(long, value_name = "URL", requires_all = ["database_url", "service_key"])]
    pub service_url: Option<String>,
    /// A backend of your own that clients upload to, instead of squall's. It serves the API of
    /// docs/backend.md, and passes requests for credentials on to squall's (see --backend-port).
    #[arg(long, value_name = "URL")]
    pub backend_url: Option<String>,
    /// The port of squall's own backend; without it a free one.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub backend_port: u16,
    /// How long the first sync may go without progress: first for a PowerSync service that is not
    /// ready yet, then for every client. A service's history grows with every run.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub first_sync_deadline: Duration,
    /// The service's HS256 key in base64url.
    #[arg(
        long,
        value_name = "KEY",
        env = "SQUALL_SERVICE_KEY",
        hide_env_values = true
    )]
    pub service_key: Option<String>,
    /// The key's id.
    #[arg(long, value_name = "KID", default_value = "squall")]
    pub service_kid: String,
    /// The audience that the service expects in tokens.
    #[arg(long, value_name = "AUDIENCE", default_value = "squall")]
    pub service_audience: String,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// A run folder, a history file or a pipe, - for the standard input, or a folder of Cobra's logs; also
    /// compressed by gzip.
    #[arg(default_value = "runs/latest")]
    pub path: PathBuf,
    /// The history's format: squall, plume, awdit, dbcop-text, dbcop-json, dbcop-bincode, cobra, or
    /// jepsen (also called edn or json). Without it, what the file's name and content look like.
    #[arg(long, value_parser = values::format)]
    pub format: Option<Format>,
    /// Check against these consistency models: read-committed, read-atomic, read-your-writes,
    /// monotonic-reads, monotonic-writes, writes-follow-reads, causal, causal-per-key
    /// (the higher value wins, key by key), prefix-consistency, snapshot-isolation,
    /// serializability, strict-serializability (begin and end times needed), weak-causal,
    /// causal-convergence. Without it,
    /// squall's own histories are judged by the properties of their workload, and others by all models.
    #[arg(long, value_name = "MODEL,…", value_delimiter = ',', value_parser = values::model)]
    pub model: Vec<Model>,
    /// Print the verdict as JSON, as in verdict.json.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// A run folder, a history file or a pipe, or - for the standard input; also compressed by gzip.
    #[arg(default_value = "runs/latest")]
    pub path: PathBuf,
    /// The format: plume, dbcop-json, elle-edn or jepsen-json.
    #[arg(long, value_parser = values::target)]
    pub format: Target,
    /// The file to write; without it the standard output.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct MatrixArgs {
    /// A TOML file whose table [run] has lists of options of `squall run`; see matrices/.
    pub file: PathBuf,
    /// Run only one share of the runs, such as 2/8 for the second of eight.
    #[arg(long, value_name = "N/M")]
    pub shard: Option<Shard>,
    /// The folder for results and run folders. A matrix that is started again on the same folder
    /// goes on where it was cut.
    #[arg(long, value_name = "FOLDER", default_value = "runs/matrix")]
    pub output: PathBuf,
    /// Print the command lines of the runs and do nothing.
    #[arg(long)]
    pub list: bool,
}

#[derive(Debug, Args)]
pub struct LadderArgs {
    /// The seed of every rung's plan; without it a random one, which is printed.
    #[arg(long)]
    pub seed: Option<u64>,
    /// How long the storm of each rung lasts.
    #[arg(long, value_name = "DURATION", default_value = "8s", value_parser = duration)]
    pub time: Duration,
    /// Begin at this rung.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub from: usize,
    /// The folder for ladder.json and the run folders.
    #[arg(long, value_name = "FOLDER", default_value = "runs/ladder")]
    pub output: PathBuf,
    /// Print what came of every rung as JSON, as in ladder.json.
    #[arg(long)]
    pub json: bool,
    /// Climb the rungs of this file instead: TOML as in docs/ladder.md.
    #[arg(long, value_name = "FILE")]
    pub rungs: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Time and memory of the checker on generated histories, and of another checker on the same.
    Checker(BenchCheckerArgs),
    /// Write one such history.
    Generate(BenchGenerateArgs),
}

#[derive(Debug, Args)]
pub struct BenchGenerateArgs {
    /// As for `bench checker`.
    pub case: Case,
    /// The file to write.
    pub file: PathBuf,
    /// The seed of the history.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Plant one violation near the end.
    #[arg(long)]
    pub planted: bool,
}

#[derive(Debug, Args)]
pub struct BenchCheckerArgs {
    /// Histories: transactions x operations x sessions, with `known:` before it if the version order
    /// is known; or `mww:` and a number of transactions.
    #[arg(
        value_name = "CASE",
        default_values = [
            "100000x8x10", "100000x8x100", "100000x20x100", "100000x8x1000", "1000000x8x10",
            "1000000x8x100", "known:1000000x8x10", "known:1000000x8x100", "mww:10000",
        ]
    )]
    pub cases: Vec<Case>,
    /// The seed of the generated histories.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Plant one violation near the end of each history.
    #[arg(long)]
    pub planted: bool,
    /// Check against this model instead of causal consistency, as `squall check` names it.
    #[arg(long, value_name = "MODEL", value_parser = values::model)]
    pub model: Option<Model>,
    /// How often each is measured; the median counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub runs: u32,
    /// The program of another checker that reads Plume's text.
    #[arg(long, value_name = "PROGRAM")]
    pub against: Option<PathBuf>,
    /// Its arguments; {file} stands for the history. AWDIT needs a larger stack from a million
    /// transactions on: "check -i causal -s 4096 {file}".
    #[arg(
        long,
        value_name = "ARGUMENTS",
        default_value = "check -i causal {file}",
        requires = "against"
    )]
    pub against_arguments: String,
    /// What it says of a history with a violation. Its exit code 1 says the same.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "Inconsistent",
        requires = "against"
    )]
    pub against_violation: String,
    /// Keep the histories in this folder.
    #[arg(long, value_name = "FOLDER")]
    pub keep: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct NeedsArgs {
    /// The folders of clients/ instead.
    #[arg(long)]
    pub clients: bool,
    /// The words of the command line.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// What of.
    #[arg(value_enum)]
    pub of: SchemaOf,
}

/// What there is a schema of.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum SchemaOf {
    /// The messages between the coordinator and a client (docs/clients.md).
    Contract,
}

#[derive(Debug, Args)]
pub struct ConformArgs {
    /// Check squall's own browser client, in a page, or the kind that is named.
    #[arg(
        long,
        value_name = "KIND",
        conflicts_with = "command",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "wasm",
        value_parser = values::tab_kind
    )]
    pub browser: Option<ClientKind>,
    /// How long the client may take for each answer.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub deadline: Duration,
    /// Do these checks alone.
    #[arg(long, value_name = "CHECK,…", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Write every message here, a line each: {"to": CLIENT, "message": …} or {"from": …}.
    #[arg(long, value_name = "FILE")]
    pub messages: Option<PathBuf>,
    /// Print what came of each check as JSON.
    #[arg(long)]
    pub json: bool,
    /// The client program and its arguments.
    #[arg(
        last = true,
        required_unless_present = "browser",
        value_name = "COMMAND"
    )]
    pub command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// The number of rows.
    #[arg(long, default_value_t = 20)]
    pub keys: u32,
    /// The port of the demo page; without it a free one.
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// The folder that the demo's files go to; without it a temporary one.
    #[arg(long, value_name = "FOLDER")]
    pub output: Option<PathBuf>,
}

#[derive(Args)]
pub struct ServeArgs {
    /// The source database.
    #[arg(long, value_name = "URL", env = "SQUALL_DATABASE_URL", hide_env = true)]
    pub database_url: String,
    /// The file that the op log is kept in.
    #[arg(long, value_name = "FILE")]
    pub storage: PathBuf,
    /// Where to listen; port 0 means a free one, which is printed.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: std::net::SocketAddr,
    /// The tables to sync; those of the default workload, unless said otherwise.
    #[arg(long, value_delimiter = ',', default_value = "mww,ledger")]
    pub tables: Vec<String>,
    /// The name of the publication; made if it is missing.
    #[arg(long, default_value = "squall")]
    pub publication: String,
    /// The name of the replication slot; made if it is missing.
    #[arg(long, default_value = "squall")]
    pub slot: String,
    /// The HS256 key of tokens, in base64url.
    #[arg(
        long,
        value_name = "KEY",
        env = "SQUALL_SERVICE_KEY",
        hide_env_values = true
    )]
    pub key: String,
    /// The key's id.
    #[arg(long, default_value = "squall")]
    pub kid: String,
    /// The audience of tokens.
    #[arg(long, default_value = "squall")]
    pub audience: String,
}

#[derive(Args)]
pub struct ClientArgs {
    #[arg(long, value_enum)]
    pub kind: ProcessKind,
    /// The client's name in the plan.
    #[arg(long, env = "SQUALL_CLIENT")]
    pub client: String,
    /// Where the coordinator takes this client's control connection.
    #[arg(
        long,
        value_name = "URL",
        env = "SQUALL_CONTROL_URL",
        hide_env_values = true
    )]
    pub control_url: String,
    /// The database file of a client that has one.
    #[arg(long, value_name = "FILE", env = "SQUALL_DATABASE", required_if_eq_any([("kind", "native"), ("kind", "local"), ("kind", "sqlite"), ("kind", "sqlite3"), ("kind", "better-sqlite3"), ("kind", "powersync-node"), ("kind", "powersync-rust")]))]
    pub database: Option<PathBuf>,
    /// The command-line shell of a sqlite3 client.
    #[arg(long, value_name = "PROGRAM", default_value = "sqlite3")]
    pub shell: PathBuf,
    /// The database of a postgres client.
    #[arg(long, value_name = "URL", env = "SQUALL_DATABASE_URL", hide_env = true)]
    pub database_url: Option<String>,
}

fn milliseconds(duration: Option<Duration>) -> Option<u64> {
    duration.map(|duration| duration.as_millis() as u64)
}

impl RunArgs {
    /// The clients of the fleet. Of somebody's kinds, `stores` says where their rows live; those that it does
    /// not have are taken to sync.
    ///
    /// # Errors
    ///
    /// When there is no such kind, or the clients do not go together.
    pub fn clients(&self, stores: &BTreeMap<String, Store>) -> Result<Vec<ClientSpec>, Failure> {
        let mut clients = Vec::new();
        for (name, count) in &self.fleet.0 {
            let mut own = ClientKind::ALL.into_iter();
            let kind = match own.find(|kind| kind.name() == name) {
                Some(own) => own,
                None if self.client.iter().any(|arg| arg.kind == *name) => {
                    ClientKind::External(stores.get(name).copied().unwrap_or(Store::Synced))
                }
                None => {
                    let known = ClientKind::ALL.map(ClientKind::name);
                    let others = self.client.iter().map(|arg| &arg.kind[..]);
                    let known: Vec<_> = known.into_iter().chain(others).collect();
                    return Err(Failure::Usage(format!(
                        "--fleet: there is no kind `{name}`; there are {}; a client of your own has a \
                         command: --client {name}='COMMAND'",
                        known.join(", ")
                    )));
                }
            };
            clients.extend(plan::clients_of(name, kind, *count));
        }
        for (index, arg) in self.client.iter().enumerate() {
            let name = &arg.kind;
            if self.client[..index].iter().any(|other| other.kind == *name) {
                return Err(Failure::Usage(format!(
                    "--client {name}: it is there twice"
                )));
            }
            if !self.fleet.0.iter().any(|(of_fleet, _)| of_fleet == name) {
                return Err(Failure::Usage(format!(
                    "--client {name}: the fleet has none; add {name}=1 to --fleet"
                )));
            }
        }
        plan::kinds::check(&clients)
            .map_err(|error| Failure::Usage(format!("--fleet: {error}")))?;
        Ok(clients)
    }

    /// The part of the options that determines the plan.
    ///
    /// # Errors
    ///
    /// When the options do not fit together.
    pub fn plan_options(&self, clients: &[ClientSpec]) -> Result<PlanOptions, Failure> {
        let usage = |text: String| Err(Failure::Usage(text));
        if !(self.rate.is_finite() && self.rate > 0.0 && self.rate <= 100_000.0) {
            return usage(format!(
                "--rate {}: must be above 0 and at most 100000",
                self.rate
            ));
        }
        if self.batch_size == 0 {
            return usage("--batch-size 0: must be at least 1".to_owned());
        }
        if self.time < Duration::from_secs(1) || self.time > Duration::from_secs(86_400) {
            return usage("--time: must be from 1s to 24h".to_owned());
        }
        if !self.faults.0.is_empty() && self.fault_interval < Duration::from_millis(100) {
            return usage("--fault-interval: must be at least 100ms".to_owned());
        }
        if self.payload && !squall_workloads::has_payload(self.workload) {
            let mut all = Workload::ALL.iter();
            let with = all.find(|&&workload| squall_workloads::has_payload(workload));
            let with = with.map_or("none", |workload| workload.name());
            return usage(format!("--payload: only the workload {with} has it"));
        }
        let duration_ms = self.time.as_millis() as u64;
        let keys = self.keys(duration_ms, clients.len() as u32)?;
        let options = PlanOptions {
            workload: self.workload,
            keys,
            payload: self.payload,
            writes_per_transaction: self.writes,
            key_choice: self.key_choice,
            homogeneous: self.homogeneous,
            roles: self.roles,
            reads_through: self.reads.0.clone(),
            isolation: self.isolation,
            rate: self.rate,
            duration_ms,
            fault_interval_ms: self.fault_interval.as_millis() as u64,
            faults: self.faults.0.clone(),
            uploader: match self.uploader {
                UploaderArg::Transaction => Uploader::Transaction,
                UploaderArg::Batch => Uploader::Batch {
                    size: self.batch_size,
                    pause_ms: self.batch_pause.as_millis().try_into().unwrap_or(u32::MAX),
                },
            },
            sdk: SdkOptions {
                vfs: self.vfs.clone(),
                upload_throttle_ms: milliseconds(self.sdk_upload_throttle),
                retry_delay_ms: milliseconds(self.sdk_retry_delay),
                checkpoint_mode: self.sdk_checkpoint_mode,
            },
            recovery_deadline_ms: self.recovery_deadline.as_millis() as u64,
        };
        let mut kinds = clients.iter().map(|client| client.kind);
        if kinds.all(|kind| plan::role(&options, kind) == Role::ReadOnly) {
            return usage(
                "--roles: nobody writes: every client of this fleet only reads; give some of them rw or wo, or add others to --fleet"
                    .to_owned(),
            );
        }
        Ok(options)
    }

    /// The number of rows, as asked for or as the workload needs.
    fn keys(&self, duration_ms: u64, clients: u32) -> Result<u32, Failure> {
        let usage = |text: String| Err(Failure::Usage(text));
        let (workload, writes) = (self.workload, self.writes);
        let keys = self.keys.unwrap_or_else(|| {
            plan::default_keys(workload, self.rate, duration_ms, writes, clients)
        });
        if keys == 0 || keys > MOST_KEYS {
            return usage(format!("--keys {keys}: must be from 1 to {MOST_KEYS}"));
        }
        if writes.max > keys {
            return usage(format!(
                "--writes: {} must be at most the number of rows, {keys} (--keys)",
                writes.max
            ));
        }
        let shape = squall_workloads::workload(workload, self.payload).shape();
        let (least, what) = match shape.probe {
            Probe::Any | Probe::OwnIfPossible => (0, ""),
            Probe::Own => (clients, ""),
            Probe::Reserved => (clients + writes.max, ", beside those for a transaction"),
        };
        if keys < least {
            return usage(format!(
                "--keys {keys}: {} needs at least {least}: one for each of the {clients} clients, for its probe{what}",
                workload.name()
            ));
        }
        Ok(keys)
    }
}

impl SystemArgs {
    /// Which sync service clients are pointed at.
    ///
    /// # Errors
    ///
    /// When the service's address is not one that the fault proxies can stand in front of.
    pub fn service(&self) -> Result<ServiceChoice, Failure> {
        let (Some(url), Some(key)) = (&self.service_url, &self.service_key) else {
            return Ok(ServiceChoice::Embedded);
        };
        let address = proxied_address("--service-url", url)?;
        Ok(ServiceChoice::Remote {
            address,
            secret: Secret {
                key: key.clone(),
                kid: self.service_kid.clone(),
                audience: self.service_audience.clone(),
            },
        })
    }
}

impl SystemArgs {
    /// Which backend clients upload to.
    ///
    /// # Errors
    ///
    /// When its address is not one that the fault proxies can stand in front of.
    pub fn backend(&self) -> Result<BackendChoice, Failure> {
        let address = self.backend_url.as_deref();
        Ok(BackendChoice {
            port: self.backend_port,
            address: address
                .map(|url| proxied_address("--backend-url", url))
                .transpose()?,
        })
    }
}

/// The `host:port` of an address that the fault proxies are to stand in front of.
fn proxied_address(option: &str, url: &str) -> Result<String, Failure> {
    // The address is not repeated: it may hold what is nobody's business.
    let refuse = |what: &str| {
        Err(Failure::Usage(format!(
            "{option} must be http://HOST:PORT: {what}"
        )))
    };
    if url.starts_with("https://") {
        return refuse(
            "the fault proxies work on plain TCP, so https is not possible; name the port of the service itself, behind whatever ends TLS",
        );
    }
    if !url.starts_with("http://") {
        return refuse("it does not begin with http://");
    }
    let parsed = match reqwest::Url::parse(url) {
        Ok(parsed) => parsed,
        Err(error) => return refuse(&error.to_string()),
    };
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return refuse("a user or a password has no place in it");
    }
    if parsed.path() != "/" || parsed.query().is_some() || parsed.fragment().is_some() {
        return refuse(
            "nothing may follow the port: clients ask for paths of their own, and the fault proxies add none",
        );
    }
    let port = parsed.port_or_known_default().unwrap_or(80);
    Ok(format!("{}:{port}", parsed.host_str().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_address_is_taken_or_refused_with_what_is_wrong_with_it() {
        let address = |url| proxied_address("--service-url", url);
        for (url, expected) in [
            ("http://localhost:8080", "localhost:8080"),
            ("http://localhost:8080/", "localhost:8080"),
            ("http://powersync.example", "powersync.example:80"),
            ("http://[::1]:8080", "[::1]:8080"),
            ("http://[::1]", "[::1]:80"),
        ] {
            assert_eq!(address(url).unwrap(), expected);
        }
        for (url, expected) in [
            ("https://localhost:8080", "https is not possible"),
            ("http://localhost:8080/sync", "nothing may follow the port"),
            ("http://localhost:8080?a=b", "nothing may follow the port"),
            ("http://me:secret@localhost:8080", "a user or a password"),
            ("localhost:8080", "does not begin with http://"),
            ("127.0.0.1:8080", "does not begin with http://"),
            ("ftp://localhost", "does not begin with http://"),
            ("http://localhost:99999", "invalid port"),
            ("http://", "empty host"),
            ("", "does not begin with http://"),
        ] {
            let error = address(url).unwrap_err();
            assert_eq!(error.exit(), crate::exit::Exit::Usage);
            let error = error.to_string();
            assert!(error.contains(expected), "{expected}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}

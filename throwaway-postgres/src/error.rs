use std::path::PathBuf;
use std::time::Duration;

/// Why a cluster could not be started, stopped or restarted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "found no PostgreSQL server (initdb and postgres) in /usr/lib/postgresql/*/bin or PATH: \
         install the Debian package `postgresql` (apt-get install postgresql), or give a database URL instead"
    )]
    NotInstalled,
    #[error(
        "PostgreSQL refuses to run as root, and there is no user `postgres` to run it as: \
         install the Debian package `postgresql-common`, or run this as another user"
    )]
    NoUser,
    #[error("cannot {what} {}: {source}", path.display())]
    File {
        what: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("cannot run {}: {source}", program.display())]
    Spawn {
        program: PathBuf,
        source: std::io::Error,
    },
    #[error("initdb failed ({status}) for {}; its output ends:\n{log}", folder.display())]
    Initdb {
        folder: PathBuf,
        status: String,
        log: String,
    },
    #[error("PostgreSQL ended while it was starting ({status}); its log ends:\n{log}")]
    Ended { status: String, log: String },
    #[error(
        "PostgreSQL accepted no connection within {deadline:?} (last error: {last_error}); its log ends:\n{log}"
    )]
    NotReady {
        deadline: Duration,
        last_error: String,
        log: String,
    },
    #[error(
        "port {port} on 127.0.0.1 was free when the cluster was made and is taken now: end what listens there"
    )]
    PortTaken { port: u16 },
    #[error("found no free port on 127.0.0.1: {0}")]
    NoPort(std::io::Error),
}

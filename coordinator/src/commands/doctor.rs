//! `squall doctor`: what a storm needs, looked up and tried out.
//!
//! Finding a program says little, so each one has to do here what a storm will ask of it: PostgreSQL
//! decodes its log, a browser under chromedriver opens an OPFS file in a worker. Installing is not
//! done here; the launcher does that.

use std::ffi::CString;
use std::fmt::Write as _;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use squall_throwaway_postgres::{Cluster, Options};
use tokio::process::Command;

use crate::environment_variable::environment_variable;
use crate::fleet::browser::{Browser, BrowserError, BrowserOptions, Driver};
use crate::output;
use crate::plan::kinds::BrowserName;
use crate::system::javascript;
use crate::system::options::own_program;
use crate::system::port;
use crate::system::programs;

/// A check that takes longer than this hangs.
const DEADLINE: Duration = Duration::from_secs(120);
/// A default storm leaves some 200 MB behind, two browser profiles and PostgreSQL included.
const WANTED_DISK_BYTES: u64 = 1 << 30;
/// Every client takes a handful of sockets, and the coordinator holds the other ends.
const WANTED_OPEN_FILES: u64 = 1024;

/// What was found, or what is wrong and how to get it right.
type Finding = Result<String, String>;

/// Looks at and tries everything, prints a line for each, and says whether all of it is well.
pub async fn run() -> bool {
    let mut well = true;
    let mut report = |name: &str, finding: Finding| {
        let (mark, text) = match finding {
            Ok(found) => ('✓', found),
            Err(problem) => ('✗', problem),
        };
        well &= mark == '✓';
        output::println(format_args!(
            "{mark} {name:<14} {}",
            text.trim().replace('\n', "\n  ")
        ));
    };
    report("PostgreSQL", tried(postgres()).await);
    report("Chromium", tried(version_of(&programs::CHROMIUM)).await);
    report("chromedriver", tried(matching_driver()).await);
    report("OPFS in worker", tried(opfs(BrowserName::Chromium)).await);
    report("Firefox", tried(firefox()).await);
    report("browser client", bundle());
    report("wasm-bindgen", tried(wasm_bindgen()).await);
    report("SQLite shell", tried(sqlite_shell()).await);
    report("JavaScript", tried(javascript()).await);
    report("disk", disk());
    report("open files", open_files());
    well
}

async fn tried(check: impl Future<Output = Finding>) -> Finding {
    tokio::time::timeout(DEADLINE, check)
        .await
        .unwrap_or_else(|_| Err(format!("it hangs: nothing came of it within {DEADLINE:?}")))
}

/// Starts a throw-away server and lets it decode a change with the plugin that the service uses.
async fn postgres() -> Finding {
    let mut cluster = Cluster::start(Options::default())
        .await
        .map_err(|error| error.to_string())?;
    let query = async {
        let (client, connection) =
            tokio_postgres::connect(&cluster.url(), tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        let row = client
            .query_one(
                "SELECT current_setting('server_version'), current_setting('wal_level'),
                        (pg_create_logical_replication_slot('doctor', 'pgoutput')).slot_name::text",
                &[],
            )
            .await?;
        Ok::<_, tokio_postgres::Error>((row.get::<_, String>(0), row.get::<_, String>(1)))
    };
    let answer = query.await;
    cluster.stop().await;
    match answer {
        Ok((version, level)) if level == "logical" => Ok(format!(
            "{version}; a throw-away server started and made a logical replication slot"
        )),
        Ok((version, level)) => Err(format!(
            "{version} has wal_level {level}, and logical replication needs \"logical\""
        )),
        Err(error) => Err(format!(
            "the server started, but no logical replication slot could be made: {error}"
        )),
    }
}

/// `Chromium 156.0.8078.79 built on …, /usr/lib/chromium/chromium`.
async fn version_of(program: &programs::Program) -> Finding {
    let path = program.find().map_err(|error| error.to_string())?;
    let version = version_line(&path).await?;
    Ok(format!("{version}, {}", path.display()))
}

/// What `program --version` says first, without a build's hash in brackets.
async fn version_line(program: &Path) -> Finding {
    let failed = |reason: String| Err(format!("{} --version: {reason}", program.display()));
    let output = Command::new(program)
        .arg("--version")
        .kill_on_drop(true)
        .output()
        .await;
    match output {
        Err(error) => failed(error.to_string()),
        Ok(output) if !output.status.success() => failed(output.status.to_string()),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            let line = text.lines().next().unwrap_or_default();
            Ok(line
                .split(" (")
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned())
        }
    }
}

/// chromedriver only drives browsers of its own major version.
async fn matching_driver() -> Finding {
    let driver = version_of(&programs::CHROMEDRIVER).await?;
    let Ok(browser) = version_of(&programs::CHROMIUM).await else {
        return Ok(driver);
    };
    if major(&driver) == major(&browser) {
        Ok(driver)
    } else {
        Err(format!(
            "{driver} does not fit {browser}: install both from one source \
             (Debian: apt-get install chromium chromium-driver)"
        ))
    }
}

/// The first number of the first word that begins with a digit: 156 in `Chromium 156.0.8078.79`.
fn major(version: &str) -> Option<u32> {
    version
        .split_whitespace()
        .find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?
        .split('.')
        .next()?
        .parse()
        .ok()
}

const OPFS_PAGE: &str = r"<!doctype html><title>squall doctor</title><p id=answer></p><script>
const code = `(async () => {
    const root = await navigator.storage.getDirectory();
    const file = await root.getFileHandle('doctor', {create: true});
    const handle = await file.createSyncAccessHandle();
    handle.write(new Uint8Array(4096), {at: 0});
    handle.flush();
    const size = handle.getSize();
    handle.close();
    return size === 4096 ? 'written' : 'the file has ' + size + ' bytes instead of 4096';
})().then(postMessage, error => postMessage('' + error))`;
const worker = new Worker(URL.createObjectURL(new Blob([code], {type: 'text/javascript'})));
worker.onmessage = ({data}) => { document.getElementById('answer').textContent = data; };
worker.onerror = ({message}) => { document.getElementById('answer').textContent = message; };
</script>";

/// Opens, writes and flushes a file of the origin-private file system in a dedicated worker.
async fn opfs(browser: BrowserName) -> Finding {
    let text = |error: &dyn std::error::Error| error.to_string();
    let folder = tempfile::tempdir().map_err(|error| text(&error))?;
    let listeners = port::listen(0).map_err(|error| text(&error))?;
    let port = listeners[0]
        .local_addr()
        .map_err(|error| text(&error))?
        .port();
    let page = Router::new().route("/", get(|| async { Html(OPFS_PAGE) }));
    let mut servers = tokio::task::JoinSet::new();
    for listener in listeners {
        servers.spawn(axum::serve(listener, page.clone()).into_future());
    }

    let answer = async {
        let driver = Driver::new(folder.path())?;
        let options = BrowserOptions {
            browser,
            profile: folder.path().join("profile"),
            headed: false,
            offline: true,
            log: folder.path().join("browser.log"),
        };
        let mut browser = Browser::start(&driver, options).await?;
        // The kind of origin that browser clients get.
        let url = format!("http://doctor.localhost:{port}/");
        browser.open_tab(&url).await?;
        let answer = loop {
            let answer = browser.text("#answer").await?;
            if !answer.is_empty() {
                break answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        browser.stop().await?;
        driver.stop().await?;
        Ok(answer)
    }
    .await;
    drop(servers);
    match answer {
        Ok(answer) if answer == "written" => {
            Ok("a headless browser wrote and flushed a file".to_owned())
        }
        Ok(answer) => Err(format!("the browser says: {answer}")),
        Err(error) => Err(explain(&error)),
    }
}

/// Only clients in Firefox need it, so that it may be missing.
async fn firefox() -> Finding {
    if programs::FIREFOX.find().is_err() && programs::GECKODRIVER.find().is_err() {
        return Ok(
            "not installed; only clients in Firefox need it, and ./squall run gets it then"
                .to_owned(),
        );
    }
    let browser = version_of(&programs::FIREFOX).await?;
    let driver = version_of(&programs::GECKODRIVER).await?;
    let opfs = opfs(BrowserName::Firefox).await?;
    Ok(format!("{browser}\n{driver}\n{opfs}"))
}

/// The error, and what the program that did not come up said last: its log is in a folder that goes
/// away.
fn explain(error: &BrowserError) -> String {
    let mut text = error.to_string();
    if let BrowserError::Start { log, .. } = error {
        let log = std::fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        for line in &lines[lines.len().saturating_sub(10)..] {
            let _ = write!(text, "\n  {line}");
        }
    }
    text
}

/// The pages and the WebAssembly module that `./squall` builds.
fn bundle() -> Finding {
    let module = crate::fleet::pages::bundle().join("pkg/client_wasm_bg.wasm");
    match std::fs::metadata(&module) {
        Ok(data) => Ok(format!("{} ({} kB)", module.display(), data.len() / 1000)),
        Err(error) => Err(format!(
            "{}: {error}; start squall through ./squall, which builds it",
            module.display()
        )),
    }
}

/// Only needed to build the browser client; the launcher names the one that it builds with.
async fn wasm_bindgen() -> Finding {
    match environment_variable("SQUALL_WASM_BINDGEN") {
        Some(path) => Ok(format!(
            "{}, {}",
            version_line(Path::new(&path)).await?,
            Path::new(&path).display()
        )),
        None => Ok("not looked at: ./squall knows which one it builds with".to_owned()),
    }
}

/// Only clients of the kind `sqlite3` need it, so that it may be missing; but one that is there must
/// write JSON, which it does since version 3.33.
async fn sqlite_shell() -> Finding {
    let Ok(path) = programs::SQLITE3.find() else {
        let package = programs::SQLITE3.package;
        return Ok(format!(
            "not installed; only clients of the kind sqlite3 need it (Debian: apt-get install {package})"
        ));
    };
    let output = Command::new(&path)
        .args(["-batch", "-init", "/dev/null", "-json", ":memory:"])
        .arg("SELECT sqlite_version() AS version")
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| format!("{}: {error}", path.display()))?;
    let rows: Result<Vec<serde_json::Value>, _> = serde_json::from_slice(&output.stdout);
    match rows.as_deref() {
        Ok([row]) => Ok(format!(
            "{}, {}",
            row["version"].as_str().unwrap_or_default(),
            path.display()
        )),
        _ => Err(format!(
            "{} does not write JSON, which it does since version 3.33: {}",
            path.display(),
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

/// Only clients in JavaScript need it, and the launcher sets it up for them.
async fn javascript() -> Finding {
    let program = own_program().map_err(|failure| failure.to_string())?;
    let Ok(node) = javascript::node(&program) else {
        return Ok(
            "not set up; only clients in JavaScript need it, and ./squall does it then".to_owned(),
        );
    };
    // What the kit needs, and the client in its README.
    let script = "require('node:sqlite'), WebSocket.name, console.log(process.version)";
    let output = Command::new(&node)
        .args(["--eval", script])
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| format!("{}: {error}", node.display()))?;
    match output.status.success() {
        true => Ok(format!(
            "Node {}, {}",
            String::from_utf8_lossy(&output.stdout).trim(),
            node.display()
        )),
        false => Err(format!(
            "{} does not work: {}",
            node.display(),
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

/// Free space where run folders are made and where throw-away clusters live.
fn disk() -> Finding {
    let mut found = Vec::new();
    for folder in [
        std::env::current_dir().unwrap_or_default(),
        std::env::temp_dir(),
    ] {
        let free = free_bytes(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let line = format!("{} MB free in {}", free / 1_000_000, folder.display());
        if free < WANTED_DISK_BYTES {
            return Err(format!(
                "only {line}: make room for {} MB, or set TMPDIR",
                WANTED_DISK_BYTES / 1_000_000
            ));
        }
        found.push(line);
    }
    Ok(found.join(", "))
}

fn free_bytes(folder: &Path) -> io::Result<u64> {
    let path = CString::new(folder.as_os_str().as_bytes())?;
    // SAFETY: all-zero is a valid `statvfs`, which has only numbers.
    let mut data: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid for the call, and the path ends with a NUL.
    if unsafe { libc::statvfs(path.as_ptr(), &mut data) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(data.f_bavail * data.f_frsize)
}

fn open_files() -> Finding {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is valid for the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error().to_string());
    }
    if limit.rlim_cur < WANTED_OPEN_FILES {
        return Err(format!(
            "at most {} per process: run `ulimit -n {WANTED_OPEN_FILES}` first",
            limit.rlim_cur
        ));
    }
    Ok(format!("up to {} per process", limit.rlim_cur))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_found_behind_the_name() {
        let chromium = "Chromium 156.0.8078.79 built on Debian GNU/Linux 12 (bookworm)";
        assert_eq!(major(chromium), Some(156));
        assert_eq!(major("ChromeDriver 99.1 (abc)"), Some(99));
        assert_eq!(major("something else"), None);
    }

    #[tokio::test]
    async fn a_program_that_fails_is_reported() {
        let finding = version_line(Path::new("/bin/false")).await;
        assert!(finding.is_err_and(|problem| problem.contains("/bin/false --version")));
    }

    #[tokio::test]
    async fn postgres_and_a_browser_do_what_a_storm_asks_of_them() {
        assert_eq!(postgres().await.err(), None);
        assert_eq!(opfs(BrowserName::Chromium).await.err(), None);
        assert_eq!(matching_driver().await.err(), None);
        assert_eq!(sqlite_shell().await.err(), None);
    }
}

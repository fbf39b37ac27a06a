//! These drive a real Chromium through a real chromedriver, and a real Firefox where that is asked for, on a page
//! that keeps a counter in OPFS.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;

use squall_owned_process::living_members;

use super::chromium::{Chromedriver, Startup, startup};
use super::*;
use crate::system::{port, programs};

const PAGE: &str = r#"<!doctype html><title>counter</title><p id=shown>fresh</p>
<button onclick="shown.textContent = 'clicked'">click</button>
<script>
  console.warn('the page has loaded');
  const worker = new Worker('/worker.js');
  window.ask = what => new Promise(answer => {
    worker.onmessage = ({data}) => answer(data);
    worker.postMessage(what);
  });
</script>"#;

const WORKER: &str = r"
  const tasks = {
    async increment() {
      const root = await navigator.storage.getDirectory();
      const file = await root.getFileHandle('counter', {create: true});
      const handle = await file.createSyncAccessHandle();
      const cell = new Uint8Array(1);
      handle.read(cell, {at: 0});
      cell[0] += 1;
      handle.write(cell, {at: 0});
      handle.flush();
      handle.close();
      console.info('the worker counted to ' + cell[0]);
      return cell[0];
    },
    async ping() {
      return fetch('/ping?' + Math.random()).then(answer => answer.text(), () => 'failed');
    },
  };
  onmessage = ({data}) => tasks[data]().then(postMessage, error => postMessage('' + error));
";

struct Setup {
    browser: BrowserName,
    folder: tempfile::TempDir,
    origin: String,
    driver: Driver,
}

impl Setup {
    async fn new(browser: BrowserName) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        // The way browser clients get an origin of their own.
        let origin = format!(
            "http://c1.localhost:{}/",
            listener.local_addr().unwrap().port()
        );
        let pages = Router::new()
            .route("/", get(|| async { ([(CONTENT_TYPE, "text/html")], PAGE) }))
            .route(
                "/worker.js",
                get(|| async { ([(CONTENT_TYPE, "text/javascript")], WORKER) }),
            )
            .route("/ping", get(|| async { "pong" }));
        tokio::spawn(async move { axum::serve(listener, pages).await.unwrap() });
        let driver = Driver::new(folder.path()).unwrap();
        Self {
            browser,
            folder,
            origin,
            driver,
        }
    }

    fn console(&self) -> PathBuf {
        self.folder.path().join("c1.log")
    }

    async fn browser(&self) -> Browser {
        let options = BrowserOptions {
            browser: self.browser,
            profile: self.folder.path().join("profile"),
            headed: false,
            offline: true,
            log: self.console(),
        };
        Browser::start(&self.driver, options).await.unwrap()
    }

    async fn browser_with_tab(&self) -> Browser {
        let mut browser = self.browser().await;
        browser.open_tab(&self.origin).await.unwrap();
        browser
    }
}

async fn ask(browser: &mut Browser, what: &str) -> Value {
    answer(browser, &format!("ask('{what}')")).await
}

/// What a promise in the page comes to, which may take longer than a script may.
async fn answer(browser: &mut Browser, promise: &str) -> Value {
    let begin =
        format!("window.answer = undefined; {promise}.then(it => {{ window.answer = it }})");
    browser.evaluate(&begin).await.unwrap();
    let answered = async {
        loop {
            let answer = browser.evaluate("return window.answer").await.unwrap();
            if answer != Value::Null {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), answered)
        .await
        .unwrap_or_else(|_| panic!("{promise} was not answered"))
}

async fn wait_for_line(path: &Path, line: &str) {
    let found = async {
        while !std::fs::read_to_string(path).unwrap().contains(line) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), found)
        .await
        .unwrap_or_else(|_| panic!("{line:?} did not appear in {path:?}"));
}

macro_rules! in_every_browser {
    ($($test:ident),* $(,)?) => {
        mod in_chromium {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::BrowserName::Chromium).await;
            })*
        }

        mod in_firefox {
            $(#[tokio::test]
            #[ignore = "needs Firefox: ./squall self-test --firefox"]
            async fn $test() {
                super::$test(super::BrowserName::Firefox).await;
            })*
        }
    };
}

in_every_browser!(
    storage_outlives_reloads_tabs_and_kills,
    offline_holds_for_page_and_worker_until_it_is_taken_back,
    a_kill_leaves_nothing_and_a_death_is_noticed,
    a_stopped_browser_stands_still,
    only_the_addresses_of_squall_are_reachable,
);

async fn storage_outlives_reloads_tabs_and_kills(browser: BrowserName) {
    let setup = Setup::new(browser).await;
    let mut browser = setup.browser_with_tab().await;
    assert_eq!(ask(&mut browser, "increment").await, 1);
    wait_for_line(&setup.console(), "the page has loaded").await;
    wait_for_line(&setup.console(), "the worker counted to 1").await;

    browser.click("button").await.unwrap();
    assert_eq!(browser.text("#shown").await.unwrap(), "clicked");
    let picture = browser.screenshot().await.unwrap();
    assert!(picture.starts_with(b"\x89PNG"), "not a PNG");

    browser.reload_tab().await.unwrap();
    assert_eq!(browser.text("#shown").await.unwrap(), "fresh");
    assert_eq!(ask(&mut browser, "increment").await, 2);

    assert!(matches!(
        browser.open_tab(&setup.origin).await,
        Err(BrowserError::TabIsOpen)
    ));
    browser.close_tab().await.unwrap();
    assert!(matches!(
        browser.evaluate("return 1").await,
        Err(BrowserError::NoTab { .. })
    ));
    browser.open_tab(&setup.origin).await.unwrap();
    assert_eq!(ask(&mut browser, "increment").await, 3);

    browser.kill().await.unwrap();
    let mut browser = setup.browser_with_tab().await;
    assert_eq!(ask(&mut browser, "increment").await, 4);
    browser.stop().await.unwrap();
    setup.driver.stop().await.unwrap();
}

async fn offline_holds_for_page_and_worker_until_it_is_taken_back(browser: BrowserName) {
    let setup = Setup::new(browser).await;
    let mut browser = setup.browser_with_tab().await;
    let page_ping = "fetch('/ping').then(a => a.text(), () => 'failed')";
    assert_eq!(ask(&mut browser, "ping").await, "pong");

    browser.set_offline(true).await.unwrap();
    assert_eq!(ask(&mut browser, "ping").await, "failed");
    assert_eq!(answer(&mut browser, page_ping).await, "failed");
    let online = browser.evaluate("return navigator.onLine").await.unwrap();
    assert_eq!(online, false);

    browser.set_offline(false).await.unwrap();
    assert_eq!(ask(&mut browser, "ping").await, "pong");
    assert_eq!(answer(&mut browser, page_ping).await, "pong");
    browser.stop().await.unwrap();
}

async fn a_kill_leaves_nothing_and_a_death_is_noticed(browser: BrowserName) {
    let setup = Setup::new(browser).await;
    let mut browser = setup.browser_with_tab().await;
    let version = browser.version().unwrap().version.unwrap();
    let agent = browser
        .evaluate("return navigator.userAgent")
        .await
        .unwrap();
    let major = version.split('.').next().unwrap();
    // A page is told no more of it.
    let told = format!("/{major}.0");
    assert!(version.len() > major.len(), "{version}");
    assert!(
        agent.as_str().unwrap().contains(&told),
        "{version}: {agent}"
    );
    let group = browser.pid();
    assert!(living_members(group).len() > 3, "it has helpers");
    browser.kill().await.unwrap();
    assert_eq!(living_members(group), Vec::<i32>::new());
    assert!(!browser.is_alive());

    // From outside, while a command is under way.
    let mut browser = setup.browser_with_tab().await;
    let group = browser.pid();
    let (outcome, ()) = tokio::join!(browser.evaluate("return new Promise(() => {})"), async {
        // SAFETY: kill(2) has no memory effects; the pid is our own child's.
        unsafe { libc::kill(group, libc::SIGKILL) };
    });
    assert!(
        matches!(outcome, Err(BrowserError::Ended { .. })),
        "{outcome:?}"
    );
    browser.exited().await;
    browser.kill().await.unwrap();
    assert_eq!(living_members(group), Vec::<i32>::new());

    // Stopped processes die too, and dropping is enough.
    let browser = setup.browser_with_tab().await;
    let group = browser.pid();
    // SAFETY: as above.
    unsafe { libc::kill(-group, libc::SIGSTOP) };
    drop(browser);
    let gone = async {
        while !living_members(group).is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone)
        .await
        .expect("a dropped browser's processes are gone");
}

async fn a_stopped_browser_stands_still(browser: BrowserName) {
    let setup = Setup::new(browser).await;
    let mut browser = setup.browser_with_tab().await;
    let group = browser.pid();
    browser.signal(libc::SIGSTOP);
    let states = || -> Vec<String> {
        let members = living_members(group).into_iter();
        let stats = members.map(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")));
        let state = |stat: String| {
            let rest = stat.rsplit_once(") ").unwrap().1;
            rest.split(' ').next().unwrap().to_owned()
        };
        stats.flatten().map(state).collect()
    };
    let stopped = async {
        while states().iter().any(|state| state != "T") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), stopped)
        .await
        .unwrap_or_else(|_| panic!("{:?}", states()));
    browser.signal(libc::SIGCONT);
    assert_eq!(ask(&mut browser, "increment").await, 1);
    browser.stop().await.unwrap();
}

/// This machine's address in the network that it would use to reach others. (Nothing is sent.)
fn own_address() -> std::io::Result<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    socket.connect("192.0.2.1:9")?;
    Ok(socket.local_addr()?.ip())
}

/// A server answers somewhere else, and the browser must not ask it. Chromium reaches but one address of loopback, so
/// that another one is outside; Firefox reaches all of loopback.
async fn only_the_addresses_of_squall_are_reachable(browser: BrowserName) {
    let setup = Setup::new(browser).await;
    let outside = match browser {
        BrowserName::Chromium => "127.0.0.2".parse().unwrap(),
        BrowserName::Firefox => own_address().expect("the machine has an address of a network"),
    };
    let outside = tokio::net::TcpListener::bind((outside, 0)).await.unwrap();
    let address = outside.local_addr().unwrap();
    let pages = Router::new().route("/", get(|| async { "the world" }));
    tokio::spawn(async move { axum::serve(outside, pages).await.unwrap() });
    let mut browser = setup.browser_with_tab().await;
    let script = format!(
        "fetch('http://{address}/', {{mode: 'no-cors'}}).then(() => 'reached', () => 'failed')"
    );
    assert_eq!(answer(&mut browser, &script).await, "failed");
    browser.stop().await.unwrap();
}

/// A port may be taken on either address between its choice and its use, so that another one is tried.
#[tokio::test]
async fn ports_that_are_taken_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let holders = ["127.0.0.1:0", "[::1]:0"].map(std::net::TcpListener::bind);
    let taken: Vec<u16> = holders
        .iter()
        .flatten()
        .map(|holder| holder.local_addr().unwrap().port())
        .collect();
    // Several, since somebody else may take one before the driver does.
    let free: Vec<u16> = (0..5).map(|_| port::free().unwrap()).collect();
    let mut ports = taken.iter().chain(&free).copied().map(Ok);
    let driver = Chromedriver::start_on(&mut ports, folder.path(), folder.path())
        .await
        .unwrap();
    let is_at = |port: &u16| driver.url == format!("http://127.0.0.1:{port}/");
    assert!(free.iter().any(is_at), "{} of {free:?}", driver.url);
    driver.stop().await.unwrap();

    let mut ports = taken.iter().copied().map(Ok);
    let refused = Chromedriver::start_on(&mut ports, folder.path(), folder.path()).await;
    assert!(matches!(refused, Err(BrowserError::PortsTaken)));
}

#[test]
fn only_the_port_that_was_asked_for_is_accepted() {
    let started = "ChromeDriver was started successfully";
    for (line, is) in [
        ("Starting ChromeDriver 148.0 (65db) on port 4000", None),
        (&format!("{started} on port 4000."), Some(Startup::Started)),
        (&format!("{started}."), Some(Startup::Started)),
        (&format!("{started} on port 0."), None),
        (
            "IPv4 port not available. Exiting...",
            Some(Startup::PortIsTaken),
        ),
        (
            "IPv6 port not available. Exiting...",
            Some(Startup::PortIsTaken),
        ),
    ] {
        assert_eq!(startup(line, 4000), is, "{line}");
    }
}

#[test]
fn a_missing_program_is_named_with_its_package() {
    let program = programs::Program {
        variable: "SQUALL_TEST_NO_SUCH_VARIABLE",
        candidates: &["squall-test-no-such-program"],
        ..programs::CHROMEDRIVER
    };
    let message = program.find().unwrap_err().to_string();
    assert!(
        message.contains("apt-get install chromium-driver"),
        "{message}"
    );
    assert!(
        message.contains("SQUALL_TEST_NO_SUCH_VARIABLE"),
        "{message}"
    );
}

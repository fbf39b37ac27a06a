//! Firefox: its settings, its driver, and how to attach to it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use axum::http::Method;
use fantoccini::Client;
use fantoccini::error::CmdError;
use fantoccini::wd::WebDriverCompatibleCommand;
use serde_json::{Value, json};
use squall_owned_process::OwnedProcess;
use url::{ParseError, Url};

use super::BrowserError;
use super::start::{BrowserOptions, attach, remove_files, spawn, start_driver, started_port};
use crate::system::programs;

/// Settings, with their values as JSON.
const SETTINGS: &[(&str, &str)] = &[
    // The port for geckodriver: a free one, which is then written to a file in the profile.
    ("marionette.port", "0"),
    // To fade the colours of changed rows costs a tenth of a processor a tab.
    ("ui.prefersReducedMotion", "1"),
    // Nothing may reach beyond loopback: everything else goes to a proxy that there is not. (Firefox asks none for
    // loopback, and would not take it for a secure context if it did.)
    ("network.proxy.type", "1"),
    ("network.proxy.socks", "\"127.0.0.1\""),
    ("network.proxy.socks_port", "1"),
    ("network.proxy.socks_remote_dns", "true"),
    ("network.proxy.failover_direct", "false"),
    ("network.captive-portal-service.enabled", "false"),
    ("network.connectivity-service.enabled", "false"),
    ("network.dns.disablePrefetch", "true"),
    ("app.normandy.enabled", "false"),
    ("app.update.enabled", "false"),
    ("browser.safebrowsing.update.enabled", "false"),
    ("extensions.update.enabled", "false"),
    // Mends pages of others, and fills the log with that.
    ("extensions.webcompat.enable_shims", "false"),
    ("extensions.webcompat.perform_injections", "false"),
    ("extensions.webcompat.perform_ua_overrides", "false"),
    ("toolkit.telemetry.enabled", "false"),
    // Only the faults take it offline, and then from squall's servers too.
    ("network.manage-offline-status", "false"),
    ("network.disable-localhost-when-offline", "true"),
    // No questions, no pages of its own, and none that a killed browser had open.
    ("browser.aboutwelcome.enabled", "false"),
    ("browser.sessionstore.resume_from_crash", "false"),
    ("browser.shell.checkDefaultBrowser", "false"),
    ("browser.startup.homepage_override.mstone", "\"ignore\""),
    ("browser.startup.page", "0"),
    ("datareporting.policy.dataSubmissionEnabled", "false"),
    ("network.lna.blocking", "false"),
    ("termsofuse.bypassNotification", "true"),
    ("toolkit.startup.max_resumed_crashes", "-1"),
    // A tab in the background goes on at full speed, and one that is busy is left alone.
    ("dom.ipc.processHangMonitor", "false"),
    ("dom.ipc.processPriorityManager.enabled", "false"),
    ("dom.min_background_timeout_value", "4"),
    ("dom.timeout.enable_budget_timer_throttling", "false"),
    // Console lines go to the log too.
    ("browser.dom.window.dump.enabled", "true"),
    ("devtools.console.stdout.content", "true"),
    // Every client has a browser of its own, which needs no reserve of processes.
    ("dom.ipc.processCount", "2"),
    ("dom.ipc.processPrelaunch.enabled", "false"),
];

/// Starts Firefox, and a geckodriver that is attached to it and whose log is in `logs`.
pub(super) async fn start(
    logs: &Path,
    temporary: &Path,
    options: &BrowserOptions,
) -> Result<(OwnedProcess, Client, OwnedProcess), BrowserError> {
    let program = programs::FIREFOX.find()?;
    let geckodriver = programs::GECKODRIVER.find()?;
    // What a killed browser left behind: the port that it listened on, and a lock that names its pid, which may be
    // somebody else's by now.
    remove_files(&options.profile, &["MarionetteActivePort", "lock"])?;
    let settings = options.profile.join("user.js");
    std::fs::write(&settings, settings_file()).map_err(|source| BrowserError::Profile {
        path: settings,
        source,
    })?;
    let mut command = Command::new(&program);
    command
        .args(["--marionette", "--remote-allow-system-access"])
        .args(["--no-remote", "--new-instance", "--profile"])
        .arg(&options.profile)
        .arg("about:blank")
        .env("TMPDIR", temporary)
        // It leaves folders there, even with a profile elsewhere.
        .env("HOME", temporary)
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("XDG_CACHE_HOME")
        // Its reporter of crashes is no member of the process group.
        .env("MOZ_CRASHREPORTER_DISABLE", "1");
    match options.headed {
        true => {
            command.env("XAUTHORITY", display_authority());
        }
        false => {
            command.arg("--headless");
        }
    }
    let process = spawn(program, command, &options.log)?;
    let file = options.profile.join("MarionetteActivePort");
    let port = started_port("Firefox", &process, options, &file, |text| {
        text.trim().parse().ok().filter(|port| *port != 0)
    });
    let port = port.await?;

    let mut command = Command::new(&geckodriver);
    command
        .args(["--connect-existing", "--host", "127.0.0.1", "--port", "0"])
        .arg(format!("--marionette-port={port}"))
        .env("TMPDIR", temporary);
    let log = logs.join("geckodriver.log");
    let started = start_driver("geckodriver", geckodriver, command, &log, address);
    let (geckodriver, address) = started.await?;
    let Value::Object(capabilities) = json!({"browserName": "firefox"}) else {
        unreachable!("the literal is an object")
    };
    let client = attach(&process, &format!("http://{address}/"), capabilities).await?;
    Ok((process, client, geckodriver))
}

/// What a file `user.js` in the profile says.
fn settings_file() -> String {
    SETTINGS
        .iter()
        .fold(String::new(), |mut text, (name, value)| {
            let _ = writeln!(text, "user_pref(\"{name}\", {value});");
            text
        })
}

/// The file without which an X server lets nobody in: it is looked for in the home folder.
fn display_authority() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let named = std::env::var_os("XAUTHORITY").map(PathBuf::from);
    named.unwrap_or_else(|| home().join(".Xauthority"))
}

/// It says `… geckodriver INFO Listening on 127.0.0.1:40123`.
fn address(line: &str) -> Option<String> {
    let (_, address) = line.split_once("Listening on ")?;
    Some(address.trim().to_owned())
}

/// See [`super::Browser::set_offline`]. There is no command for it, so that it is done as the browser's own menu
/// does it: by a script with the browser's rights.
pub(super) async fn set_offline(client: &Client, offline: bool) -> Result<(), CmdError> {
    client.issue_cmd(Context("chrome")).await?;
    // Connections that are idle would still be used: offline, it only makes no new ones to loopback.
    let script = "Services.io.offline = arguments[0];
        Services.obs.notifyObservers(null, 'net:prune-all-connections');";
    client.execute(script, vec![offline.into()]).await?;
    client.issue_cmd(Context("content")).await?;
    Ok(())
}

/// Whether the commands that follow are for the browser itself (`chrome`) or for its tab (`content`).
#[derive(Debug)]
struct Context(&'static str);

impl WebDriverCompatibleCommand for Context {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!(
            "session/{}/moz/context",
            session.unwrap_or_default()
        ))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(json!({"context": self.0}).to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_geckodriver_is_read() {
        let line = "1764336000000\tgeckodriver\tINFO\tListening on 127.0.0.1:40123";
        assert_eq!(address(line).as_deref(), Some("127.0.0.1:40123"));
        assert_eq!(address("1764336000000\tgeckodriver\tINFO\tStarting"), None);
    }
}

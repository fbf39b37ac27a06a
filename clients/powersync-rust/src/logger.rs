//! What the SDK logs goes into the client's log, by way of the coordinator.

use log::{Level, LevelFilter, Log, Metadata, Record};
use squall_protocol::contract::{FromClient, LogLevel};
use tokio::sync::mpsc::{UnboundedSender, WeakUnboundedSender};

/// It does not keep the connection open.
struct Logger(WeakUnboundedSender<FromClient>);

/// Sends what is logged from now on.
pub fn install(outgoing: &UnboundedSender<FromClient>) {
    let logger = Box::new(Logger(outgoing.downgrade()));
    // Only a second one would be refused.
    if log::set_boxed_logger(logger).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata) -> bool {
        // Libraries for HTTP and WebSockets log too.
        let target = metadata.target();
        metadata.level() <= Level::Info
            && (target.starts_with("powersync") || target.starts_with("squall"))
    }

    fn log(&self, record: &Record) {
        let (true, Some(outgoing)) = (self.enabled(record.metadata()), self.0.upgrade()) else {
            return;
        };
        let level = match record.level() {
            Level::Error => LogLevel::Error,
            Level::Warn => LogLevel::Warn,
            Level::Info => LogLevel::Info,
            Level::Debug | Level::Trace => LogLevel::Debug,
        };
        let line = format!("{}: {}", record.target(), record.args());
        // The connection may be over.
        let _ = outgoing.send(FromClient::Log { level, line });
    }

    fn flush(&self) {}
}

//! The agent: what the coordinator says is done and answered.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use squall_client_core::agent::{AgentEnd, Mode, run_agent};
use squall_protocol::contract::{CONTRACT_VERSION, Execution, FromClient, ToClient};
use squall_protocol::sql::Dialect;
use squall_protocol::transaction::{Effects, Transaction};
use squall_workloads::{Compiler, Known};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::Instant;
use tokio_stream::wrappers::UnboundedReceiverStream;

use crate::server::{Device, KEYS, Server, connection, story};

/// The coordinator's end of a control connection.
pub struct Control {
    to: UnboundedSender<ToClient>,
    pub from: Rc<RefCell<Vec<FromClient>>>,
    pub agent: tokio::task::JoinHandle<Result<AgentEnd, String>>,
}

pub fn start(server: &Server, open: Result<&Device, &'static str>) -> Control {
    let (to, incoming) = unbounded_channel();
    let from = Rc::new(RefCell::new(Vec::new()));
    let outgoing = from.clone();
    let server = server.clone();
    let opened = open.map(|device| device.look().path().unwrap().to_owned());
    let agent = tokio::task::spawn_local(async move {
        run_agent(
            "native-1",
            Mode::Syncing,
            server,
            async |_| {
                opened
                    .map(|file| connection(file.as_ref()))
                    .map_err(str::to_owned)
            },
            |_| (),
            UnboundedReceiverStream::new(incoming),
            move |message| outgoing.borrow_mut().push(message),
        )
        .await
    });
    Control { to, from, agent }
}

impl Control {
    /// Waits for a message, for at most ten minutes of paused time.
    pub async fn find<T>(&self, what: &str, find: impl Fn(&FromClient) -> Option<T>) -> T {
        let since = Instant::now();
        loop {
            if let Some(found) = self.from.borrow().iter().find_map(&find) {
                return found;
            }
            assert!(
                since.elapsed() < Duration::from_secs(600),
                "waited in vain for {what}: {:?}",
                self.from.borrow()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub fn tell(&self, message: ToClient) {
        self.to.send(message).unwrap();
    }

    async fn transact(
        &self,
        compiler: &Compiler,
        operation: u64,
        transaction: Transaction,
    ) -> Result<Effects, Execution> {
        self.tell(ToClient::Execute {
            operation,
            access: transaction.through.access(),
            calls: compiler.compile(&transaction, &Known::default()),
        });
        match self.execution(operation).await {
            Execution::Committed(results) => Ok(compiler.interpret(&transaction, results).unwrap()),
            other => Err(other),
        }
    }

    pub async fn execution(&self, operation: u64) -> Execution {
        self.find("the outcome", |message| match message {
            FromClient::Completed {
                operation: of,
                outcome,
            } if *of == operation => Some(outcome.clone()),
            _ => None,
        })
        .await
    }
}

#[test]
fn a_life_under_the_coordinator() {
    story(async || {
        let server = Server::new();
        let device = Device::new(&server);
        server.set_down(true);
        let control = start(&server, Ok(&device));
        control
            .find("hello", |message| {
                let FromClient::Hello(hello) = message else {
                    return None;
                };
                let engine = hello.engine.as_ref()?.to_string();
                assert_eq!(hello.contract, CONTRACT_VERSION);
                let words: Vec<&str> = engine.split(' ').collect();
                let ["powersync_core", core, "on", "SQLite", sqlite] = words[..] else {
                    panic!("{engine}");
                };
                for version in [core, sqlite] {
                    let is_number = |part: &str| part.parse::<u32>().is_ok();
                    assert!(version.split('.').all(is_number), "{engine}");
                }
                let can = hello.capabilities;
                assert!(can.syncs && can.watches && can.disconnects && can.checks_integrity);
                (hello.client == "native-1" && hello.dialect == Dialect::Sqlite).then_some(())
            })
            .await;
        control.tell(ToClient::Configure(Box::new(device.config())));
        let new = control
            .find("ready", |message| match message {
                FromClient::Ready { new_session, .. } => Some(*new_session),
                _ => None,
            })
            .await;
        assert!(new);
        let compiler = device.compiler();
        let early = control.transact(&compiler, 1, Transaction::new(1, vec![0]));
        let early = early.await;
        assert!(matches!(early, Err(Execution::Failed(_))), "{early:?}");
        server.set_down(false);
        control
            .find("the first sync", |message| match message {
                FromClient::Status(status) => status.last_synced_at_ms,
                _ => None,
            })
            .await;
        let effects = control.transact(&compiler, 2, Transaction::new(2, vec![4, 0]));
        let effects = effects.await.unwrap();
        assert_eq!(effects.reads.len(), KEYS as usize);
        assert_eq!(effects.writes, [(0, 2), (4, 2)]);
        let drained = |message: &FromClient| match message {
            FromClient::Status(status) => (status.acknowledged && status.connected).then_some(()),
            _ => None,
        };
        control.from.borrow_mut().clear();
        control.find("the acknowledgement", drained).await;
        assert_eq!(server.rows()[4], (4, 2));

        control.from.borrow_mut().clear();
        control.tell(ToClient::Disconnect);
        control
            .find("the disconnect", |message| match message {
                FromClient::Status(status) => (!status.connected).then_some(()),
                _ => None,
            })
            .await;
        let third = control.transact(&compiler, 3, Transaction::new(3, vec![1]));
        third.await.unwrap();
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(
            server.rows()[1],
            (1, -1),
            "a disconnected client uploads nothing"
        );
        assert!(!server.has_stream());
        control.tell(ToClient::Connect);
        control.from.borrow_mut().clear();
        control.find("the acknowledgement", drained).await;
        assert_eq!(server.rows()[1], (1, 3));

        control.tell(ToClient::CheckIntegrity);
        let report = control
            .find("the report", |message| match message {
                FromClient::Integrity { report } => Some(report.clone()),
                _ => None,
            })
            .await;
        assert_eq!(report, ["ok"]);

        // A client that is at rest sends a status a second, no more and no less.
        control.from.borrow_mut().clear();
        tokio::time::sleep(Duration::from_secs(10)).await;
        let sent = control.from.borrow().len();
        assert!((9..=11).contains(&sent), "{sent}");

        control.tell(ToClient::Stop);
        assert_eq!(control.agent.await.unwrap(), Ok(AgentEnd::Stopped));
    });
}

#[test]
fn a_lost_control_connection_ends_the_client() {
    story(async || {
        let server = Server::new();
        let device = Device::new(&server);
        let control = start(&server, Ok(&device));
        control.tell(ToClient::Configure(Box::new(device.config())));
        drop(control.to);
        assert_eq!(control.agent.await.unwrap(), Ok(AgentEnd::Disconnected));
    });
}

#[test]
fn a_database_that_can_not_be_opened_is_fatal() {
    story(async || {
        let server = Server::new();
        let device = Device::new(&server);
        let control = start(&server, Err("no room"));
        control.tell(ToClient::Configure(Box::new(device.config())));
        let error = control
            .find("the end", |message| match message {
                FromClient::Fatal { error } => Some(error.clone()),
                _ => None,
            })
            .await;
        assert!(error.contains("no room"), "{error}");
        assert_eq!(control.agent.await.unwrap(), Err(error));
    });
}

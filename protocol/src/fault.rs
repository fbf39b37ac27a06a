//! The faults that the nemesis can cause. Only their names and parameters: how a fault is caused is
//! the coordinator's business, and no client or service contains any code for it.

use serde::{Deserialize, Serialize};

/// The kinds of faults, by the names used on the command line and in every file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FaultKind {
    /// The tab is reloaded.
    #[serde(rename = "tab.reload")]
    TabReload,
    /// The tab is closed, and reopened when the fault ends.
    #[serde(rename = "tab.close")]
    TabClose,
    /// The browser tells the page that it is offline, and the client's connections are cut.
    #[serde(rename = "tab.offline")]
    TabOffline,
    /// SIGKILL to the client's process, which is started anew when the fault ends.
    #[serde(rename = "client.kill")]
    ClientKill,
    /// SIGSTOP to the client's process, SIGCONT when the fault ends.
    #[serde(rename = "client.pause")]
    ClientPause,
    /// The client is asked to disconnect from the service, and to connect when the fault ends.
    #[serde(rename = "client.disconnect")]
    ClientDisconnect,
    /// The client's connections through its fault proxies are partitioned.
    #[serde(rename = "net.partition")]
    NetPartition,
}

impl FaultKind {
    /// Every kind, in the order in which they are documented.
    pub const ALL: [FaultKind; 7] = [
        FaultKind::TabReload,
        FaultKind::TabClose,
        FaultKind::TabOffline,
        FaultKind::ClientKill,
        FaultKind::ClientPause,
        FaultKind::ClientDisconnect,
        FaultKind::NetPartition,
    ];

    /// The kind's name, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            FaultKind::TabReload => "tab.reload",
            FaultKind::TabClose => "tab.close",
            FaultKind::TabOffline => "tab.offline",
            FaultKind::ClientKill => "client.kill",
            FaultKind::ClientPause => "client.pause",
            FaultKind::ClientDisconnect => "client.disconnect",
            FaultKind::NetPartition => "net.partition",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<FaultKind> {
        FaultKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Which of a client's connections a partition hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartitionTarget {
    /// The connections to the sync service.
    Service,
    /// The connections to the backend.
    Backend,
    /// Both.
    Both,
}

/// Which direction of traffic a partition stops, as seen from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartitionDirection {
    /// What the servers send does not arrive.
    In,
    /// What the client sends does not arrive.
    Out,
    /// Neither.
    Both,
}

/// What a partition does to the traffic that it stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartitionManner {
    /// Bytes are held back silently; nobody is told. When the partition heals, connections that
    /// lost nothing go on, as TCP would after a retransmission.
    Drop,
    /// Open connections are reset and new ones refused.
    Reset,
}

/// A fault with its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    #[serde(rename = "tab.reload")]
    TabReload,
    #[serde(rename = "tab.close")]
    TabClose,
    #[serde(rename = "tab.offline")]
    TabOffline,
    #[serde(rename = "client.kill")]
    ClientKill,
    #[serde(rename = "client.pause")]
    ClientPause,
    #[serde(rename = "client.disconnect")]
    ClientDisconnect,
    #[serde(rename = "net.partition")]
    NetPartition {
        target: PartitionTarget,
        direction: PartitionDirection,
        manner: PartitionManner,
    },
}

impl Fault {
    /// The fault's kind.
    pub fn kind(&self) -> FaultKind {
        match self {
            Fault::TabReload => FaultKind::TabReload,
            Fault::TabClose => FaultKind::TabClose,
            Fault::TabOffline => FaultKind::TabOffline,
            Fault::ClientKill => FaultKind::ClientKill,
            Fault::ClientPause => FaultKind::ClientPause,
            Fault::ClientDisconnect => FaultKind::ClientDisconnect,
            Fault::NetPartition { .. } => FaultKind::NetPartition,
        }
    }
}

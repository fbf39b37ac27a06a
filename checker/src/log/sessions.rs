//! Clients and their sessions, along with a run. A session is a database: a client whose database is a
//! new one begins another session, and whoever has none is in one session all the time. PostgreSQL's
//! final read is in a session that no client has.
//!
//! What has a number here is the part of a session that one client does, one operation after the other. Where several
//! tabs work on one database at the same time, each has such a part, and the parts are *siblings*: operations of
//! siblings are in session order if one had ended before the other began, and in none if they overlap.

use std::collections::HashMap;

use squall_protocol::history::Header;

/// What a history has told of clients so far. Both clients and sessions are numbered as they come.
#[derive(Clone)]
pub(crate) struct Clients {
    clients: Vec<Client>,
    by_name: HashMap<String, usize>,
    devices: Vec<Device>,
    sessions: Vec<Session>,
    /// The sessions of each database.
    databases: Vec<Vec<usize>>,
}

#[derive(Clone)]
struct Client {
    name: String,
    has_database: bool,
    device: usize,
    /// Its latest session.
    session: usize,
    database: Option<String>,
    /// The place where the latest of its transactions was invoked that committed.
    transacted: usize,
}

/// A browser with its tabs, or a client that has its database for itself.
#[derive(Clone, Default)]
struct Device {
    clients: Vec<usize>,
    /// The identity of the database that one of them named last.
    database: Option<String>,
}

#[derive(Clone, Copy)]
struct Session {
    /// None for PostgreSQL's final read.
    client: Option<usize>,
    database: usize,
}

impl Clients {
    pub fn new(header: &Header) -> Self {
        let mut clients = Clients {
            clients: Vec::new(),
            by_name: HashMap::new(),
            devices: Vec::new(),
            sessions: Vec::new(),
            databases: Vec::new(),
        };
        let mut browsers: HashMap<&str, usize> = HashMap::new();
        for spec in &header.clients {
            let device = spec
                .browser
                .as_deref()
                .and_then(|browser| browsers.get(browser));
            let client = match device {
                _ if clients.by_name.contains_key(&spec.name) => clients.named(&spec.name),
                Some(device) => clients.add(&spec.name, *device),
                None => clients.named(&spec.name),
            };
            if let Some(browser) = &spec.browser {
                let device = clients.clients[client].device;
                browsers.entry(browser).or_insert(device);
            }
            clients.clients[client].has_database = spec.kind.has_database();
        }
        clients
    }

    /// The client of that name. One that the header does not name exists from its first mention on.
    pub fn named(&mut self, name: &str) -> usize {
        if let Some(client) = self.by_name.get(name) {
            return *client;
        }
        self.devices.push(Device::default());
        self.add(name, self.devices.len() - 1)
    }

    fn add(&mut self, name: &str, device: usize) -> usize {
        let client = self.clients.len();
        let members = &mut self.devices[device].clients;
        let first = members.first().map(|first| self.clients[*first].session);
        members.push(client);
        let database = match first {
            Some(session) => self.sessions[session].database,
            None => self.new_database(),
        };
        let session = self.add_session(Some(client), database);
        self.by_name.insert(name.to_owned(), client);
        self.clients.push(Client {
            name: name.to_owned(),
            has_database: false,
            device,
            session,
            database: None,
            transacted: 0,
        });
        client
    }

    pub fn name(&self, client: usize) -> &str {
        &self.clients[client].name
    }

    /// All by their numbers, with the sessions that they are in.
    pub fn all(&self) -> impl Iterator<Item = (&str, usize)> {
        let clients = self.clients.iter();
        clients.map(|client| (client.name.as_str(), client.session))
    }

    /// The session that a client is in.
    pub fn session(&self, client: usize) -> usize {
        self.clients[client].session
    }

    /// Takes the identity of the database that a client has now. Answers that of the one that it, or another tab of
    /// its browser, had before and that is lost.
    pub fn start_incarnation(&mut self, client: usize, database: &str) -> Option<String> {
        let of = &mut self.clients[client];
        let own = of.database.replace(database.to_owned());
        let (has_database, session) = (of.has_database, of.session);
        let device = &mut self.devices[of.device];
        let before = device.database.replace(database.to_owned());
        if !has_database || own.as_deref() == Some(database) {
            return before.filter(|before| has_database && before != database);
        }
        let others = device
            .clients
            .iter()
            .map(|other| (*other, &self.clients[*other]));
        let mut others = others.filter(|(other, _)| *other != client);
        let shares = others.find(|(_, other)| other.database.as_deref() == Some(database));
        let shares = shares.map(|(_, other)| self.sessions[other.session].database);
        let present = self.sessions[session].database;
        let number = match (shares, &before) {
            (Some(number), _) => number,
            (None, None) => present,
            (None, Some(_)) => self.new_database(),
        };
        if number != present {
            self.clients[client].session = self.add_session(Some(client), number);
        }
        before.filter(|before| before != database)
    }

    /// Begins a session of nobody's.
    pub fn new_session(&mut self) -> usize {
        let database = self.new_database();
        self.add_session(None, database)
    }

    fn add_session(&mut self, client: Option<usize>, database: usize) -> usize {
        let session = self.sessions.len();
        self.sessions.push(Session { client, database });
        self.databases[database].push(session);
        session
    }

    fn new_database(&mut self) -> usize {
        self.databases.push(Vec::new());
        self.databases.len() - 1
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// The client of a session; none for PostgreSQL's final read.
    pub fn client_of(&self, session: usize) -> Option<usize> {
        self.sessions[session].client
    }

    /// What other clients do on the same database.
    pub fn siblings(&self, session: usize) -> impl Iterator<Item = usize> + '_ {
        let all = self.databases[self.sessions[session].database].iter();
        all.copied().filter(move |other| *other != session)
    }

    /// A number for the database of a session.
    pub fn database(&self, session: usize) -> usize {
        self.sessions[session].database
    }

    /// A transaction of that client committed, which was invoked at that place.
    pub fn transacted(&mut self, client: usize, place: usize) {
        let of = &mut self.clients[client];
        of.transacted = of.transacted.max(place);
    }

    /// A place after which an emission of a live query began that comes now: where the client's last transaction was
    /// invoked that committed, since the client does one after the other.
    pub fn emission_began(&self, client: usize) -> usize {
        self.clients[client].transacted
    }
}

#[cfg(test)]
mod tests {
    use squall_protocol::history::HISTORY_VERSION;
    use squall_protocol::plan::{ClientKind, ClientSpec, Isolation, Workload};

    use super::*;

    /// Two tabs of one browser, and one of another.
    fn clients() -> Clients {
        let tab = |name: &str, browser: &str| ClientSpec {
            browser: Some(browser.to_owned()),
            ..ClientSpec::new(name, ClientKind::PowersyncWeb)
        };
        Clients::new(&Header {
            squall_history: HISTORY_VERSION,
            seed: 0,
            workload: Workload::Mww,
            keys: 1,
            payload: false,
            isolation: Isolation::default(),
            clients: vec![tab("1.1", "1"), tab("1.2", "1"), tab("2.1", "2")],
            recovery_deadline_ms: 0,
            started_at_ms: 0,
        })
    }

    fn siblings(clients: &mut Clients, name: &str) -> Vec<usize> {
        let client = clients.named(name);
        clients.siblings(clients.session(client)).collect()
    }

    #[test]
    fn tabs_of_a_browser_are_siblings_as_long_as_they_have_one_database() {
        let mut clients = clients();
        assert_eq!(siblings(&mut clients, "1.1"), [1]);
        assert_eq!(siblings(&mut clients, "1.2"), [0]);
        assert!(siblings(&mut clients, "2.1").is_empty());
        assert!(siblings(&mut clients, "stranger").is_empty());
        for client in [0, 1, 0] {
            assert_eq!(clients.start_incarnation(client, "a"), None);
        }
        assert_eq!(clients.sessions(), 4);
        // The database is lost: that is told once, and the other tab is on the old one until it says otherwise.
        assert_eq!(clients.start_incarnation(0, "b").as_deref(), Some("a"));
        assert!(siblings(&mut clients, "1.1").is_empty());
        assert_eq!(siblings(&mut clients, "1.2"), [0]);
        assert_eq!(clients.start_incarnation(1, "b"), None);
        assert_eq!(siblings(&mut clients, "1.1"), [5]);
        assert_eq!(siblings(&mut clients, "1.2"), [4]);
    }

    #[test]
    fn tabs_of_a_browser_that_have_different_databases_have_lost_one() {
        let mut clients = clients();
        assert_eq!(clients.start_incarnation(0, "a"), None);
        assert_eq!(clients.start_incarnation(2, "c"), None);
        assert_eq!(clients.start_incarnation(1, "b").as_deref(), Some("a"));
        assert_eq!(siblings(&mut clients, "1.1"), [1]);
        assert!(siblings(&mut clients, "1.2").is_empty());
        // And again, when the first is seen to be still there.
        assert_eq!(clients.start_incarnation(0, "a").as_deref(), Some("b"));
    }

    #[test]
    fn a_client_that_goes_from_one_database_to_another_and_back_is_in_another_session_each_time() {
        let mut clients = clients();
        for (database, lost) in [("a", None), ("b", Some("a")), ("a", Some("b"))] {
            assert_eq!(clients.start_incarnation(2, database).as_deref(), lost);
        }
        assert_eq!(clients.sessions(), 5);
        assert!(siblings(&mut clients, "2.1").is_empty());
    }
}

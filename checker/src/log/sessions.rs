//! Clients and their sessions, along with a run. A session is a database: a client whose database is a
//! new one begins another session, and whoever has none is in one session all the time. PostgreSQL's
//! final read is in a session that no client has.

use std::collections::HashMap;

use squall_protocol::history::Header;

/// What a history has told of clients so far. Both clients and sessions are numbered as they come.
#[derive(Clone)]
pub(crate) struct Clients {
    clients: Vec<Client>,
    by_name: HashMap<String, usize>,
    /// The client of each session.
    sessions: Vec<Option<usize>>,
}

#[derive(Clone)]
struct Client {
    name: String,
    has_database: bool,
    /// Its latest session.
    session: usize,
    database: Option<String>,
}

impl Clients {
    pub fn new(header: &Header) -> Self {
        let mut clients = Clients {
            clients: Vec::new(),
            by_name: HashMap::new(),
            sessions: Vec::new(),
        };
        for spec in &header.clients {
            let client = clients.named(&spec.name);
            clients.clients[client].has_database = spec.kind.has_database();
        }
        clients
    }

    /// The client of that name. One that the header does not name exists from its first mention on.
    pub fn named(&mut self, name: &str) -> usize {
        if let Some(client) = self.by_name.get(name) {
            return *client;
        }
        let client = self.clients.len();
        let session = self.new_session(Some(client));
        self.by_name.insert(name.to_owned(), client);
        self.clients.push(Client {
            name: name.to_owned(),
            has_database: false,
            session,
            database: None,
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

    /// Takes the identity of the database that a client has now. Answers that of the one it has lost.
    pub fn start_incarnation(&mut self, client: usize, database: &str) -> Option<String> {
        let of = &mut self.clients[client];
        let before = of.database.replace(database.to_owned())?;
        if before == database || !of.has_database {
            return None;
        }
        let session = self.new_session(Some(client));
        self.clients[client].session = session;
        Some(before)
    }

    /// Begins a session of that client, or of nobody's.
    pub fn new_session(&mut self, client: Option<usize>) -> usize {
        self.sessions.push(client);
        self.sessions.len() - 1
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// The client of a session; none for PostgreSQL's final read.
    pub fn client_of(&self, session: usize) -> Option<usize> {
        self.sessions[session]
    }
}

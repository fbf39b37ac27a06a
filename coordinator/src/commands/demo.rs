//! The demo: the ground of a storm with two browser clients that a person opens by hand, side by
//! side in the very browser that shows the demo page, and one native client beside them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::middleware::from_fn;
use axum::response::Redirect;
use axum::routing::{get, post};
use axum::{Json, Router};
use rand::seq::index;
use serde::Serialize;
use squall_backend::same_origin;
use squall_protocol::contract::ClientStatus;
use squall_protocol::history::{HISTORY_VERSION, Header};
use squall_protocol::plan::{ClientKind, ClientSpec, Isolation, PlanOptions, Workload};
use squall_protocol::transaction::{Rows, Transaction, Value};
use tower_http::services::ServeDir;

use crate::cli::DemoArgs;
use crate::exit::{Exit, Failure};
use crate::fleet::Fleet;
use crate::fleet::environment::Environment;
use crate::fleet::link::Link;
use crate::fleet::pages;
use crate::output;
use crate::plan;
use crate::plan::kinds::manifest;
use crate::recorder::Recorder;
use crate::run::interruption;
use crate::run::judge;
use crate::system::database;
use crate::system::options::{
    BackendChoice, EnvironmentOptions, FIRST_SYNC_DEADLINE, ServiceChoice, own_program,
};
use crate::system::port;
use crate::system::proxy::NetworkCondition;

/// How many rows a write of the demo writes.
const WRITES: usize = 4;

/// Starts the demo, prints its address and goes on until it is interrupted.
///
/// # Errors
///
/// When something that the demo needs is missing or does not start.
pub async fn run(args: DemoArgs) -> Result<Exit, Failure> {
    let interrupted = interruption::listen();
    if args.keys == 0 || args.keys > 10_000 {
        return Err(Failure::Usage("--keys: must be from 1 to 10000".to_owned()));
    }
    let no_folder = |error| Failure::unavailable("cannot make a folder for the demo", error);
    let temporary = tempfile::tempdir().map_err(no_folder)?;
    let folder = args.output.unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&folder).map_err(no_folder)?;

    // The panes come first, so that their origins are those of c1 and c2.
    let clients = plan::clients(&vec![(ClientKind::Wasm, 2), (ClientKind::Native, 1)]);
    let header = Header {
        squall_history: HISTORY_VERSION,
        seed: 0,
        workload: Workload::Mww,
        keys: args.keys,
        payload: false,
        isolation: Isolation::default(),
        clients: clients.clone(),
        recovery_deadline_ms: 0,
        started_at_ms: now_ms(),
    };
    let recorder = Recorder::create(&folder.join(judge::HISTORY), &header, false)
        .map_err(|error| Failure::unavailable("cannot write the history", error))?;
    let plan = plan::default_options(Workload::Mww, args.keys);
    let options = EnvironmentOptions {
        plan: plan.clone(),
        clients: clients.clone(),
        database_url: None,
        service: ServiceChoice::Embedded,
        backend: BackendChoice::default(),
        first_sync_deadline: FIRST_SYNC_DEADLINE,
        folder,
        program: own_program()?,
        programs: BTreeMap::new(),
    };
    output::eprintln("starting PostgreSQL, the sync service and a native client");
    let environment = Environment::start(options, &recorder, &interrupted).await?;
    let Some(environment) = environment.map(Arc::new) else {
        return Ok(Exit::Ok);
    };
    environment.pages().check_bundle()?;
    let native = &clients[2..];
    let fleet = Fleet::start(&environment, native, &recorder, false, &interrupted).await?;
    let Some(fleet) = fleet else {
        return Ok(Exit::Ok);
    };

    let url = environment.database_url().expect("the demo's clients sync");
    let database = database::connect(url).await?;
    let demo = Arc::new(Demo {
        environment: Arc::clone(&environment),
        clients,
        plan,
        offline: Mutex::default(),
        database,
    });
    for pane in &demo.clients[..2] {
        tokio::spawn(write_when_asked(
            environment.client(&pane.name).link.clone(),
            args.keys,
        ));
    }
    let listeners = port::listen(args.port).map_err(|error| {
        Failure::unavailable(format!("cannot listen on port {}", args.port), error)
    })?;
    let address = listeners[0]
        .local_addr()
        .map_err(|error| Failure::unavailable("cannot listen", error))?;
    let router = router(demo);
    for listener in listeners {
        tokio::spawn(axum::serve(listener, router.clone()).into_future());
    }
    announce(address);

    let collapsed = tokio::select! {
        what = environment.collapsed() => Some(what),
        () = interrupted.cancelled() => None,
    };
    fleet.stop().await;
    if let Some(environment) = Arc::into_inner(environment) {
        environment.stop().await;
    }
    collapsed.map_or(Ok(Exit::Ok), |what| Err(Failure::Unavailable(what)))
}

/// Does a write whenever a person at that client asks for one.
async fn write_when_asked(link: Link, keys: u32) {
    loop {
        link.transaction_wanted().await;
        link.operate(random_write(keys)).await;
    }
}

fn announce(address: SocketAddr) {
    output::println(format_args!(
        "open http://localhost:{}/demo/ in a browser (Ctrl-C ends the demo)",
        address.port()
    ));
}

/// What the demo page's requests need.
struct Demo {
    environment: Arc<Environment>,
    clients: Vec<ClientSpec>,
    plan: PlanOptions,
    offline: Mutex<BTreeMap<String, bool>>,
    database: tokio_postgres::Client,
}

impl Demo {
    fn is_offline(&self, client: &str) -> bool {
        let states = self.offline.lock().expect("no one panics here");
        states.get(client).copied().unwrap_or_default()
    }
}

fn router(demo: Arc<Demo>) -> Router {
    let bundle: PathBuf = pages::bundle();
    Router::new()
        .route("/", get(async || Redirect::temporary("/demo/")))
        .route("/api/state", get(state))
        .route("/api/clients/{name}/{action}", post(act))
        .with_state(demo)
        .fallback_service(ServeDir::new(bundle))
        .layer(from_fn(same_origin::require))
}

/// What the page shows.
#[derive(Serialize)]
struct DemoState {
    clients: Vec<ClientState>,
    /// PostgreSQL's rows; none while it does not answer.
    postgres: Option<Rows>,
}

#[derive(Serialize)]
struct ClientState {
    name: String,
    kind: ClientKind,
    /// The address of a browser client's page.
    page: Option<String>,
    /// Whether its connections are cut.
    offline: bool,
    status: Option<ClientStatus>,
    /// The client's rows; none while it is not there.
    rows: Option<Rows>,
}

async fn state(State(demo): State<Arc<Demo>>) -> Json<DemoState> {
    let mut clients = Vec::new();
    for (index, spec) in demo.clients.iter().enumerate() {
        let link = &demo.environment.client(&spec.name).link;
        let offline = demo.is_offline(&spec.name);
        clients.push(ClientState {
            name: spec.name.clone(),
            kind: spec.kind,
            page: manifest(spec.kind).page().map(|page| {
                let pages = demo.environment.pages();
                pages.client_url(page, index + 1, &spec.name)
            }),
            offline,
            status: link.status().filter(|_| link.is_ready()),
            rows: link.peek().await.map(|effects| effects.reads),
        });
    }
    let postgres = database::read(&demo.database, &demo.plan).await;
    Json(DemoState {
        clients,
        postgres: postgres.ok().map(|effects| effects.reads),
    })
}

async fn act(
    State(demo): State<Arc<Demo>>,
    Path((name, action)): Path<(String, String)>,
) -> Result<StatusCode, (StatusCode, String)> {
    if !demo.clients.iter().any(|spec| spec.name == name) {
        return Err((StatusCode::NOT_FOUND, format!("there is no client {name}")));
    }
    let client = demo.environment.client(&name);
    match action.as_str() {
        "offline" | "online" => {
            let offline = action == "offline";
            let condition = match offline {
                true => NetworkCondition::CUT,
                false => NetworkCondition::OPEN,
            };
            client.set_network(condition, condition);
            let mut states = demo.offline.lock().expect("no one panics here");
            states.insert(name, offline);
            Ok(StatusCode::NO_CONTENT)
        }
        "write" => match client.link.operate(random_write(demo.plan.keys)).await {
            Some(_) => Ok(StatusCode::NO_CONTENT),
            None => Err((
                StatusCode::CONFLICT,
                format!("{name} did not do the write; see its log"),
            )),
        },
        _ => Err((
            StatusCode::NOT_FOUND,
            format!("there is no action {action}; there are offline, online and write"),
        )),
    }
}

/// A transaction on random keys, with the time as its value: later writes win.
fn random_write(keys: u32) -> Transaction {
    let count = WRITES.min(keys as usize);
    let keys = index::sample(&mut rand::rng(), keys as usize, count);
    Transaction::new(
        now_ms() as Value,
        keys.into_iter().map(|key| key as u32).collect(),
    )
}

fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_millis() as u64)
}

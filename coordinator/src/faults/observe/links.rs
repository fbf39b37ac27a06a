//! What becomes of requests on the way from a client to the servers, by requests of our own through the client's
//! proxies. Of an upload it can be seen in PostgreSQL whether it arrived.

use std::fmt;
use std::time::Duration;

use squall_protocol::backend::{Credentials, Upload};

use crate::faults::{FaultError, Sighting};
use crate::fleet::Client;
use crate::system::database;
use crate::system::environment::Environment;

/// How long no answer is silence. Whoever waits for a state looks again.
const SILENCE: Duration = Duration::from_millis(400);

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Answers,
    /// The connection was reset, or there was none.
    Reset,
    /// As that, but the request took effect.
    ResetAfterwards,
    /// Nothing came back.
    Silent {
        arrives: bool,
    },
}

impl fmt::Display for Link {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Link::Answers => "answers",
            Link::Reset => "resets",
            Link::ResetAfterwards => "does what was asked and resets",
            Link::Silent { arrives: false } => "is silent",
            Link::Silent { arrives: true } => "does what was asked and is silent",
        })
    }
}

/// The links to the service and to the backend, in words. Whether a request arrived at the service can not be
/// seen.
pub fn state(service: Link, backend: Link) -> String {
    let service = match service {
        Link::Silent { .. } => Link::Silent { arrives: false },
        link => link,
    };
    format!("the service {service}, the backend {backend}")
}

/// Looks at both links of a client.
pub async fn observe(environment: &Environment, client: &Client) -> Result<Sighting, FaultError> {
    let unseen = |error: &dyn fmt::Display| FaultError::Unseen(error.to_string());
    let (Some(proxies), Some(database_url), Some(backend)) = (
        client.place().proxies(),
        environment.database_url(),
        environment.backend(),
    ) else {
        return Err(FaultError::Unseen("the client has no connections".into()));
    };
    let http = reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0)
        .build()
        .map_err(|error| unseen(&error))?;
    let service = http.get(proxies.service.url()).timeout(SILENCE);
    let service = became(service.send().await);

    let address = format!("http://{backend}/credentials?client={}", client.name());
    let credentials = http.get(address).send().await;
    let credentials = credentials.map_err(|error| unseen(&error))?.json();
    let credentials: Credentials = credentials.await.map_err(|error| unseen(&error))?;
    let id = uuid::Uuid::new_v4().simple().to_string();
    let upload = http
        .post(format!("{}/upload", proxies.backend.url()))
        .bearer_auth(credentials.token)
        .json(&Upload {
            client_id: "observer".to_owned(),
            upload_id: id.clone(),
            crud: Vec::new(),
        })
        .timeout(SILENCE);
    let backend = became(upload.send().await);
    let backend = match backend {
        Link::Answers => backend,
        _ => {
            let database = database::connect(database_url).await?;
            let arrived =
                "SELECT FROM squall_uploads WHERE client_id = 'observer' AND upload_id::text = $1";
            let arrived = database.query_opt(arrived, &[&id]).await;
            let arrived = arrived.map_err(|error| unseen(&error))?.is_some();
            match backend {
                Link::Reset if arrived => Link::ResetAfterwards,
                Link::Silent { .. } => Link::Silent { arrives: arrived },
                link => link,
            }
        }
    };
    Ok(Sighting {
        state: state(service, backend),
        life: None,
        kept: client.link.session().unwrap_or_default(),
    })
}

fn became(answer: Result<reqwest::Response, reqwest::Error>) -> Link {
    match answer {
        Ok(_) => Link::Answers,
        Err(error) if error.is_timeout() => Link::Silent { arrives: false },
        Err(_) => Link::Reset,
    }
}

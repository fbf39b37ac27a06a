//! What becomes of requests on the way from a client to the servers, by requests of our own through the client's
//! proxies. Of an upload it can be seen in PostgreSQL whether it arrived.

use std::fmt;
use std::time::Duration;

use reqwest::Response;
use squall_protocol::backend::{Credentials, Upload};

use crate::faults::{FaultError, Sighting};
use crate::fleet::Client;
use crate::fleet::environment::Environment;
use crate::system::database;

/// How much later than the answer to the same request without the proxies no answer is silence.
const SILENCE: Duration = Duration::from_millis(300);
/// The deadline of every request.
const DEADLINE: Duration = Duration::from_secs(10);

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
    let (Some(proxies), Some(database_url), Some(service), Some(backend)) = (
        client.environment().proxies(),
        environment.database_url(),
        environment.service(),
        environment.backend(),
    ) else {
        return Err(FaultError::Unseen("the client has no connections".into()));
    };
    let (service, backend) = (format!("http://{service}"), format!("http://{backend}"));
    let http = reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0)
        .timeout(DEADLINE)
        .build()
        .map_err(|error| unseen(&error))?;
    let to_service = became(
        http.get(proxies.service.url()).send(),
        http.get(service).send(),
    );

    let address = format!("{backend}/credentials?client={}", client.name());
    let credentials = http.get(address).send().await;
    let credentials = credentials.map_err(|error| unseen(&error))?.json();
    let credentials: Credentials = credentials.await.map_err(|error| unseen(&error))?;
    let upload = |to: String, id: &str| {
        let upload = Upload {
            client_id: "observer".to_owned(),
            upload_id: id.to_owned(),
            crud: Vec::new(),
        };
        let upload = http.post(format!("{to}/upload")).json(&upload);
        upload.bearer_auth(&credentials.token).send()
    };
    let id = uuid::Uuid::new_v4().simple().to_string();
    let to_backend = became(
        upload(proxies.backend.url(), &id),
        upload(backend, &format!("{id}-directly")),
    );
    let (service, backend) = tokio::join!(to_service, to_backend);
    let backend = match backend {
        Link::Answers => backend,
        _ => {
            let database = database::connect(database_url).await?;
            let arrived =
                "SELECT FROM squall_uploads WHERE client_id = 'observer' AND upload_id = $1";
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

/// What became of a request, when the same has been answered past the proxies: on a busy machine both take long.
async fn became(
    request: impl Future<Output = Result<Response, reqwest::Error>>,
    directly: impl Future<Output = Result<Response, reqwest::Error>>,
) -> Link {
    let patience = async {
        let _ = directly.await;
        tokio::time::sleep(SILENCE).await;
    };
    tokio::select! {
        answer = request => match answer {
            Ok(_) => Link::Answers,
            Err(error) if error.is_timeout() => Link::Silent { arrives: false },
            Err(_) => Link::Reset,
        },
        () = patience => Link::Silent { arrives: false },
    }
}

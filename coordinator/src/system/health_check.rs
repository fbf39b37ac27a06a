//! The health check of a sync service: whether it is one, whether it takes squall's tokens, and
//! whether it is ready. Whatever is wrong is better reported now than by every client. What passes by
//! itself, as when a service has just been started, is waited for.

use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;
use squall_backend::token::Signer;
use squall_client_native::NoAnswer;
use tokio::time::Instant;

use crate::exit::Failure;

/// How long a service may take to answer one request.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// The pause between two requests.
const PAUSE: Duration = Duration::from_millis(250);

/// What an answer of a service, or none, says about it.
#[derive(Debug, PartialEq, Eq)]
enum Judgement {
    Ready,
    /// This may pass.
    NotYet(String),
    /// This does not pass by itself.
    Never(String),
}

/// Waits until the service gives out something that only a good token gets.
///
/// `report` is called with what is waited for, once for every reason.
///
/// # Errors
///
/// What is wrong with the service, or with what squall was told about it. When it is not ready by the
/// deadline, what it lacked.
pub async fn wait_until_ready(
    address: &str,
    signer: &Signer,
    deadline: Duration,
    report: impl Fn(&str),
) -> Result<(), Failure> {
    let client = client(ANSWER_DEADLINE.min(deadline))
        .map_err(|error| Failure::unavailable("cannot make requests", error))?;
    let began = Instant::now();
    let mut reported = String::new();
    loop {
        let lacking = match ask(&client, address, signer).await {
            Judgement::Ready => return Ok(()),
            Judgement::Never(what) => {
                return Err(Failure::Unavailable(format!(
                    "the sync service at {address}: {what}"
                )));
            }
            Judgement::NotYet(what) => what,
        };
        if began.elapsed() + PAUSE > deadline {
            return Err(Failure::Unavailable(format!(
                "the sync service at {address} was not ready within {deadline:?}: {lacking}; see its log, or raise --first-sync-deadline"
            )));
        }
        if reported != lacking {
            report(&format!(
                "waiting up to {deadline:?} for the sync service at {address}: {lacking}"
            ));
            reported = lacking;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Why a service that was there does not answer at all, whatever it might say; none if it answers.
pub async fn silence(address: &str) -> Option<NoAnswer> {
    let request = async {
        let request = client(ANSWER_DEADLINE)?.get(format!("http://{address}/"));
        request.send().await.map_err(NoAnswer::from)
    };
    request.await.err()
}

fn client(deadline: Duration) -> Result<reqwest::Client, NoAnswer> {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(deadline)
        .build()
        .map_err(NoAnswer::from)
}

async fn ask(client: &reqwest::Client, address: &str, signer: &Signer) -> Judgement {
    let (token, _) = signer.token("squall");
    let request = client
        .get(format!(
            "http://{address}/write-checkpoint2.json?client_id=squall"
        ))
        .header("Authorization", format!("Token {token}"));
    let answer = async {
        let answer = request.send().await?;
        let (status, location) = (answer.status(), location(&answer));
        Ok((status, location, answer.text().await?))
    };
    match answer.await.map_err(|error: reqwest::Error| error.into()) {
        Ok((status, Some(location), _)) if status.is_redirection() => Judgement::Never(format!(
            "it redirects to {location}; --service-url must be the PowerSync service itself, in plain http"
        )),
        Ok((status, _, body)) => judge(status, &body),
        Err(error @ (NoAnswer::NotHttp(_) | NoAnswer::UnknownHost(_))) => {
            Judgement::Never(format!("{error}; check --service-url"))
        }
        // Whatever stands before a service that is being started may take connections and drop them.
        Err(error) => Judgement::NotYet(error.to_string()),
    }
}

fn location(answer: &reqwest::Response) -> Option<String> {
    let location = answer.headers().get(reqwest::header::LOCATION)?;
    Some(location.to_str().ok()?.to_owned())
}

/// PowerSync's errors, and those of our own service.
#[derive(Deserialize)]
struct ErrorAnswer {
    error: ServiceError,
}

#[derive(Deserialize)]
struct ServiceError {
    code: String,
    #[serde(default)]
    description: String,
}

fn judge(status: StatusCode, body: &str) -> Judgement {
    let error = serde_json::from_str::<ErrorAnswer>(body)
        .ok()
        .map(|answer| answer.error)
        .filter(|error| error.code.starts_with("PSYNC_"));
    let said = match &error {
        Some(error) => format!("{}: {}", error.code, error.description),
        None => format!("status {status}"),
    };
    let code = error.map(|error| error.code).unwrap_or_default();
    let stranger = |what: &str| {
        Judgement::Never(format!(
            "{what}, which is not what a PowerSync service says; check that --service-url is one and not another program"
        ))
    };
    match status {
        StatusCode::OK => match serde_json::from_str::<serde_json::Value>(body) {
            Ok(answer) if answer["data"]["write_checkpoint"].is_string() => Judgement::Ready,
            _ => stranger("it answers, but without a write checkpoint"),
        },
        StatusCode::UNAUTHORIZED if code == "PSYNC_S2105" => Judgement::Never(format!(
            "it refuses squall's token ({said}); check --service-audience"
        )),
        StatusCode::UNAUTHORIZED if !code.is_empty() => Judgement::Never(format!(
            "it refuses squall's token ({said}); check the service's key (--service-key or SQUALL_SERVICE_KEY) and --service-kid"
        )),
        _ if code == "PSYNC_S2302" => Judgement::NotYet(format!(
            "it has no active sync config ({said}): its first snapshot is not complete, or its sync config has an error"
        )),
        StatusCode::TOO_MANY_REQUESTS => Judgement::NotYet(format!("it is busy ({said})")),
        _ if status.is_server_error() => Judgement::NotYet(format!("it cannot serve now ({said})")),
        _ if !code.is_empty() => {
            Judgement::Never(format!("it refuses a write checkpoint ({said})"))
        }
        _ => stranger(&format!("it answers with status {status}")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::Router;
    use axum::response::{IntoResponse, Redirect};
    use axum::routing::get;

    use super::*;
    use squall_backend::token::Secret;

    const ACTIVE: &str = r#"{"data":{"write_checkpoint":"7"}}"#;
    /// As service 1.25.0 says it before its first snapshot is complete.
    const NO_CONFIG: &str = r#"{"error":{"code":"PSYNC_S2302","status":500,"description":"Cannot create Write Checkpoint since no sync config is active.","name":"ServiceError"}}"#;
    const BAD_KEY: &str = r#"{"error":{"code":"PSYNC_S2101","status":401,"description":"signature verification failed","name":"AuthorizationError"}}"#;
    const BAD_AUDIENCE: &str = r#"{"error":{"code":"PSYNC_S2105","status":401,"description":"Unexpected \"aud\" claim value: \"squall\"","name":"AuthorizationError"}}"#;

    /// A server that gives these answers, one after the other and the last for ever.
    async fn server(answers: Vec<(u16, &'static str)>) -> String {
        let answers = std::sync::Arc::new(Mutex::new(answers));
        let answer = async move || {
            let mut answers = answers.lock().unwrap();
            let (status, body) = answers[0];
            if answers.len() > 1 {
                answers.remove(0);
            }
            (StatusCode::from_u16(status).unwrap(), body).into_response()
        };
        serve(Router::new().route("/write-checkpoint2.json", get(answer))).await
    }

    async fn serve(router: Router) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    /// What is reported while `wait_until_ready` waits, and how it ends.
    async fn waited(address: &str, deadline: Duration) -> (Vec<String>, Result<(), String>) {
        let reported = Mutex::new(Vec::new());
        let signer = Signer::new(Secret::random()).unwrap();
        let report = |what: &str| reported.lock().unwrap().push(what.to_owned());
        let end = wait_until_ready(address, &signer, deadline, report).await;
        (
            reported.into_inner().unwrap(),
            end.map_err(|failure| failure.to_string()),
        )
    }

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(600);

    #[tokio::test]
    async fn a_service_that_has_just_started_is_waited_for() {
        let address = server(vec![
            (503, "starting"),
            (500, NO_CONFIG),
            (500, NO_CONFIG),
            (200, ACTIVE),
        ])
        .await;
        let (reported, end) = waited(&address, LONG).await;
        assert_eq!(end, Ok(()));
        assert_eq!(reported.len(), 2, "{reported:?}");
        assert!(reported[0].contains("503"), "{reported:?}");
        assert!(
            reported[1].contains("no active sync config (PSYNC_S2302"),
            "{reported:?}"
        );
    }

    #[tokio::test]
    async fn what_a_service_lacked_at_the_deadline_is_told_and_no_key_is_blamed() {
        let address = server(vec![(500, NO_CONFIG)]).await;
        let error = waited(&address, SHORT).await.1.unwrap_err();
        assert!(error.contains("PSYNC_S2302"), "{error}");
        assert!(error.contains("not ready within 600ms"), "{error}");
        assert!(!error.contains("key"), "{error}");

        // Bound but not listening: refused, and nobody else can be given the port meanwhile.
        let held = tokio::net::TcpSocket::new_v4().unwrap();
        held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = held.local_addr().unwrap().to_string();
        let (reported, end) = waited(&address, SHORT).await;
        let error = end.unwrap_err();
        assert!(error.contains("connection refused"), "{error}");
        assert!(reported[0].contains("connection refused"), "{reported:?}");
    }

    #[tokio::test]
    async fn what_does_not_pass_is_told_at_once() {
        let mut cases = Vec::new();
        for (answer, expected) in [
            ((401, BAD_KEY), "PSYNC_S2101: signature verification failed"),
            ((401, BAD_AUDIENCE), "--service-audience"),
            ((401, "who are you"), "another program"),
            ((404, "no such page"), "another program"),
            ((200, "<html>welcome</html>"), "another program"),
        ] {
            cases.push((server(vec![answer]).await, expected));
        }
        cases.push((serve(Router::new()).await, "404"));
        let secure = || async { Redirect::permanent("https://elsewhere.example/") };
        let redirecting = Router::new().fallback(get(secure));
        cases.push((serve(redirecting).await, "https://elsewhere.example/"));
        cases.push(("no-such-host.invalid:80".to_owned(), "cannot be resolved"));
        for (address, expected) in cases {
            let (reported, end) = waited(&address, LONG).await;
            let error = end.unwrap_err();
            assert!(error.contains(expected), "{expected}: {error}");
            assert_eq!(reported, Vec::<String>::new());
        }
    }
}

//! Requests that are refused, and how.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::harness::{
    AUDIENCE, Fixture, KEY, KEY_ID, OTHER_KEY, Service, claims, now_s, sign, token, within,
};

/// What a page of another origin must be allowed.
fn assert_cors(response: &Response) {
    assert_eq!(
        response.headers()["access-control-allow-origin"],
        "*",
        "{response:?}"
    );
}

async fn refused(response: Response) -> (u16, Value) {
    assert_cors(&response);
    let status = response.status().as_u16();
    let body: Value = within("the body", response.json()).await.expect("JSON");
    assert_eq!(body["error"]["status"], status, "{body}");
    (status, body["error"].clone())
}

#[tokio::test]
async fn every_wrong_token_is_told_apart() {
    let fixture = Fixture::new(1).await;
    let service = fixture.serve().await;
    let with = |key: &str, value: Value| {
        let mut claims = claims("user");
        claims[key] = value;
        format!("Token {}", sign(&claims, KEY, Some(KEY_ID)))
    };
    let without = |key: &str| {
        let mut claims = claims("user");
        claims.as_object_mut().expect("an object").remove(key);
        format!("Token {}", sign(&claims, KEY, Some(KEY_ID)))
    };
    let unsigned = {
        use base64::Engine as _;
        let encode = |value: Value| {
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string())
        };
        format!(
            "Token {}.{}.",
            encode(json!({ "alg": "none", "kid": KEY_ID })),
            encode(claims("user"))
        )
    };
    let good = token("user");
    let cases = [
        ("no header", None),
        ("Basic", Some("Basic abc".to_owned())),
        ("lower-case scheme", Some(format!("token {good}"))),
        ("no token", Some("Token ".to_owned())),
        ("garbage", Some("Token garbage".to_owned())),
        ("garbage in three parts", Some("Token a.b.c".to_owned())),
        (
            "bad signature",
            Some(format!(
                "Token {}",
                sign(&claims("user"), OTHER_KEY, Some(KEY_ID))
            )),
        ),
        (
            "unknown kid",
            Some(format!(
                "Token {}",
                sign(&claims("user"), KEY, Some("unknown"))
            )),
        ),
        (
            "no kid",
            Some(format!("Token {}", sign(&claims("user"), KEY, None))),
        ),
        ("alg none", Some(unsigned)),
        ("no exp", Some(without("exp"))),
        ("no iat", Some(without("iat"))),
        ("no sub", Some(without("sub"))),
        ("exp is no number", Some(with("exp", json!("soon")))),
        ("no aud", Some(without("aud"))),
        ("wrong aud", Some(with("aud", json!("someone-else")))),
        (
            "wrong auds",
            Some(with("aud", json!(["someone-else", "another"]))),
        ),
        ("expired", Some(with("exp", json!(now_s() - 120)))),
        (
            "lives too long",
            Some({
                let mut claims = claims("user");
                claims["iat"] = json!(1_000_000_000);
                claims["exp"] = json!(1_000_000_000_u64 + 3_000_000_000);
                format!("Token {}", sign(&claims, KEY, Some(KEY_ID)))
            }),
        ),
    ];
    let mut answers = Vec::new();
    for (case, authorization) in cases {
        for (method, path) in [
            (Method::POST, "/sync/stream"),
            (Method::GET, "/write-checkpoint2.json"),
            (Method::POST, "/sync/checkpoint-request"),
        ] {
            let mut request = fixture
                .http
                .request(method.clone(), format!("{}{path}", service.url));
            if let Some(authorization) = &authorization {
                request = request.header("Authorization", authorization);
            }
            if method == Method::POST {
                request = request.json(&json!({ "client_id": "a", "checkpoint_request_id": 1 }));
            }
            let (status, error) =
                refused(within("an answer", request.send()).await.expect("sent")).await;
            assert_eq!(
                (status, &error["name"]),
                (401, &json!("AuthorizationError")),
                "{case}"
            );
            if path == "/sync/stream" {
                answers.push(format!(
                    "{case}: {} {}",
                    error["code"].as_str().unwrap(),
                    error["description"].as_str().unwrap()
                ));
            }
        }
    }
    insta::assert_snapshot!(answers.join("\n"));
    let accepted = [
        format!("Token {good}"),
        format!("Bearer {good}"),
        with("aud", json!(["another", AUDIENCE])),
        with("iat", json!(now_s() + 3600)),
        with("exp", json!(now_s() - 30)),
        with("sub", json!(7)),
    ];
    for authorization in accepted {
        let request = fixture
            .http
            .post(format!("{}/sync/stream", service.url))
            .header("Authorization", &authorization)
            .json(&json!({}));
        let response = within("an answer", request.send()).await.expect("sent");
        assert_eq!(response.status(), 200, "{authorization}");
        assert_cors(&response);
        assert_eq!(response.headers()["content-type"], "application/x-ndjson");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
    }
}

async fn post(fixture: &Fixture, service: &Service, content_type: &str, body: &str) -> Response {
    post_to("/sync/stream", fixture, service, content_type, body).await
}

async fn post_to(
    path: &str,
    fixture: &Fixture,
    service: &Service,
    content_type: &str,
    body: &str,
) -> Response {
    let request = fixture
        .http
        .post(format!("{}{path}", service.url))
        .header("Authorization", format!("Token {}", token("user")))
        .header("Content-Type", content_type)
        .body(body.to_owned());
    within("an answer", request.send()).await.expect("sent")
}

#[tokio::test]
async fn bad_requests_are_told_what_is_wrong() {
    let fixture = Fixture::new(1).await;
    let service = fixture.serve().await;
    let mut answers = Vec::new();
    for body in [
        "{nope",
        "",
        "[]",
        r#"{"buckets":"x"}"#,
        r#"{"buckets":null}"#,
        r#"{"buckets":[5]}"#,
        r#"{"buckets":[{"name":"a"}]}"#,
        r#"{"buckets":[{"name":"a","after":5}]}"#,
        r#"{"buckets":[{"name":"a","after":"abc"},{"name":5,"after":"1"}]}"#,
        r#"{"client_id":5}"#,
        r#"{"raw_data":"yes","parameters":[]}"#,
        r#"{"streams":[]}"#,
        r#"{"streams":{"include_defaults":0}}"#,
        r#"{"streams":{"subscriptions":{}}}"#,
        r#"{"streams":{"subscriptions":[5,{}]}}"#,
        r#"{"streams":{"subscriptions":[{"stream":5,"parameters":7,"override_priority":4}]}}"#,
        r#"{"streams":{"subscriptions":[{"stream":"mww","parameters":{},"override_priority":1.5}]}}"#,
    ] {
        let (status, error) =
            refused(post(&fixture, &service, "application/json", body).await).await;
        answers.push(format!("{body}\n  {status} {error}"));
    }
    for body in [
        "{}",
        r#"{"client_id":"a"}"#,
        r#"{"client_id":5,"checkpoint_request_id":true}"#,
        r#"{"client_id":"a","checkpoint_request_id":0}"#,
        r#"{"client_id":"a","checkpoint_request_id":-1}"#,
        r#"{"client_id":"a","checkpoint_request_id":1.5}"#,
        r#"{"client_id":"a","checkpoint_request_id":9007199254740992}"#,
        r#"{"client_id":"a","checkpoint_request_id":"9223372036854775808"}"#,
        r#"{"client_id":"a","checkpoint_request_id":"x"}"#,
    ] {
        let path = "/sync/checkpoint-request";
        let answer = post_to(path, &fixture, &service, "application/json", body).await;
        let (status, error) = refused(answer).await;
        answers.push(format!("{path} {body}\n  {status} {error}"));
    }
    let (status, _) = refused(
        post(
            &fixture,
            &service,
            "application/json",
            &"x".repeat(2_000_000),
        )
        .await,
    )
    .await;
    assert_eq!(status, 413);
    for (method, path) in [
        (Method::GET, "/sync/stream"),
        (Method::GET, "/nope"),
        (Method::POST, "/write-checkpoint2.json"),
    ] {
        let request = fixture
            .http
            .request(method.clone(), format!("{}{path}", service.url));
        let (status, error) =
            refused(within("an answer", request.send()).await.expect("sent")).await;
        answers.push(format!("{method} {path}\n  {status} {error}"));
    }
    insta::assert_snapshot!(answers.join("\n"));
}

#[tokio::test]
async fn unusual_requests_are_accepted() {
    let fixture = Fixture::new(1).await;
    let service = fixture.serve().await;
    for (content_type, body) in [
        ("application/json", "{}"),
        (
            "application/json; charset=utf-8",
            r#"{"only":["x"],"binary_data":true,"app_metadata":{"a":"b"}}"#,
        ),
        (
            "application/json",
            r#"{"parameters":null,"streams":{"include_defaults":true,"subscriptions":[]}}"#,
        ),
        (
            "application/json",
            r#"{"buckets":[{"name":"unknown","after":"999999999999"}]}"#,
        ),
        ("text/plain", "whatever"),
    ] {
        assert_eq!(
            post(&fixture, &service, content_type, body).await.status(),
            200,
            "{body}"
        );
    }
    for (id, body) in [
        (7, r#"{"client_id":"a","checkpoint_request_id":7,"more":1}"#),
        (
            i64::MAX,
            r#"{"client_id":"b","checkpoint_request_id":"9223372036854775807"}"#,
        ),
    ] {
        let path = "/sync/checkpoint-request";
        let answer = post_to(path, &fixture, &service, "application/json", body).await;
        assert_eq!(answer.status(), 200, "{body}");
        let answer: Value = answer.json().await.expect("JSON");
        let given = answer["data"]["checkpoint_request_id"].as_str();
        let given: i64 = given.expect("text").parse().expect("a number");
        assert!(given >= id, "{answer}");
    }
    // Some clients send a content type without content.
    let request = fixture
        .http
        .get(format!("{}/write-checkpoint2.json", service.url))
        .header("Authorization", format!("Token {}", token("user")))
        .header("Content-Type", "application/json");
    assert_eq!(
        within("an answer", request.send())
            .await
            .expect("sent")
            .status(),
        200
    );
}

#[tokio::test]
async fn browsers_may_ask_first() {
    let fixture = Fixture::new(1).await;
    let service = fixture.serve().await;
    for path in [
        "/sync/stream",
        "/sync/checkpoint-request",
        "/write-checkpoint2.json",
    ] {
        let request = fixture
            .http
            .request(Method::OPTIONS, format!("{}{path}", service.url))
            .header("Origin", "http://c1.localhost:1234")
            .header("Access-Control-Request-Method", "POST")
            .header(
                "Access-Control-Request-Headers",
                "authorization,content-type,x-user-agent",
            );
        let response = within("an answer", request.send()).await.expect("sent");
        assert_eq!(response.status(), 204);
        assert_cors(&response);
        let allowed = response.headers()["access-control-allow-headers"]
            .to_str()
            .expect("text")
            .to_lowercase();
        for header in ["authorization", "content-type", "x-user-agent"] {
            assert!(
                allowed.split(',').any(|one| one.trim() == header),
                "{header} in {allowed}"
            );
        }
        assert!(
            response.headers()["access-control-allow-methods"]
                .to_str()
                .expect("text")
                .contains("POST")
        );
    }
}

#[tokio::test]
async fn probes_answer() {
    let fixture = Fixture::new(1).await;
    let service = fixture.serve().await;
    for probe in ["startup", "liveness", "readiness"] {
        let request = fixture.http.get(format!("{}/probes/{probe}", service.url));
        let response = within("an answer", request.send()).await.expect("sent");
        assert_eq!(response.status(), 200);
        let body: Value = within("the body", response.json()).await.expect("JSON");
        assert_eq!(
            (&body["ready"], &body["started"]),
            (&json!(true), &json!(true))
        );
        let year = body["touched_at"].as_str().expect("text")[..4]
            .parse::<u32>()
            .expect("a year");
        assert!((2025..2200).contains(&year), "{body}");
    }
}

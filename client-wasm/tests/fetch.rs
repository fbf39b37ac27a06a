#![cfg(target_family = "wasm")]
//! `fetch` in a dedicated worker of a real browser. The addresses are `blob:` ones, which the
//! browser serves itself: no server is needed, and the bodies stream like any other.

use std::pin::pin;

use futures_util::poll;
use js_sys::{Array, Function, Promise, Reflect, Uint8Array};
use squall_client_core::Platform;
use squall_client_core::platform::{Body, HttpError, HttpRequest, HttpResponse, Method};
use squall_client_wasm::platform::{Browser, FetchBody};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};
use web_sys::{Blob, Url};

wasm_bindgen_test_configure!(run_in_dedicated_worker);

/// More than a browser reads ahead of a body that nobody reads.
const LARGE: u32 = 64 << 20;

/// An address that answers with `length` bytes.
fn address(length: u32) -> String {
    let parts = Array::of1(&Uint8Array::new_with_length(length));
    let blob = Blob::new_with_u8_array_sequence(&parts).unwrap();
    Url::create_object_url_with_blob(&blob).unwrap()
}

async fn get(url: &str) -> Result<HttpResponse<FetchBody>, HttpError> {
    Browser
        .send(HttpRequest {
            method: Method::Get,
            url: url.to_owned(),
            headers: Vec::new(),
            body: None,
        })
        .await
}

/// Watches the worker's `fetch` while it lives: the requests are made all the same.
struct Watch {
    original: JsValue,
}

impl Watch {
    fn start() -> Watch {
        let global = js_sys::global();
        let original = Reflect::get(&global, &"fetch".into()).unwrap();
        let watching = Function::new_with_args(
            "original",
            "return request => {
                const answer = original(request);
                self.watched = answer.then(response => response.clone());
                self.watched.catch(() => {});
                return answer;
            }",
        );
        let replacement = watching.call1(&JsValue::UNDEFINED, &original).unwrap();
        Reflect::set(&global, &"fetch".into(), &replacement).unwrap();
        Watch { original }
    }

    /// The promise of a copy of the last request's answer.
    fn answer(&self) -> Promise<JsValue> {
        Reflect::get(&js_sys::global(), &"watched".into())
            .unwrap()
            .unchecked_into()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        Reflect::set(&js_sys::global(), &"fetch".into(), &self.original).unwrap();
    }
}

fn name_of(thrown: &JsValue) -> String {
    Reflect::get(thrown, &"name".into())
        .unwrap()
        .as_string()
        .unwrap()
}

#[wasm_bindgen_test]
async fn a_body_is_read_in_pieces_to_its_end() {
    let mut answer = get(&address(LARGE)).await.unwrap();
    assert_eq!(answer.status, 200);
    let (mut pieces, mut bytes) = (0, 0);
    while let Some(piece) = answer.body.chunk().await.unwrap() {
        pieces += 1;
        bytes += piece.len();
    }
    assert_eq!(bytes, LARGE as usize);
    assert!(pieces > 1, "{LARGE} bytes came in one piece");
    assert!(answer.body.chunk().await.unwrap().is_none());
}

#[wasm_bindgen_test]
async fn a_request_that_is_dropped_is_aborted() {
    let address = address(LARGE);
    let watch = Watch::start();
    {
        let mut request = pin!(get(&address));
        assert!(poll!(request.as_mut()).is_pending());
    }
    let error = JsFuture::from(watch.answer()).await.err().unwrap();
    assert_eq!(name_of(&error), "AbortError");
}

#[wasm_bindgen_test]
async fn a_body_that_is_dropped_is_aborted() {
    let address = address(LARGE);
    let watch = Watch::start();
    let mut answer = get(&address).await.unwrap();
    assert!(answer.body.chunk().await.unwrap().is_some());
    drop(answer);

    let copy: web_sys::Response = JsFuture::from(watch.answer())
        .await
        .unwrap()
        .unchecked_into();
    let error = JsFuture::from(copy.array_buffer().unwrap())
        .await
        .expect_err("the whole body arrived although it was dropped");
    assert_eq!(name_of(&error), "AbortError");
}

#[wasm_bindgen_test]
async fn an_address_that_does_not_answer_is_named() {
    let address = address(1);
    Url::revoke_object_url(&address).unwrap();
    let error = get(&address).await.err().unwrap();
    assert!(error.to_string().contains(&address), "{error}");
}

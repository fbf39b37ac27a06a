//! Faults as data: a name, parameters, and a victim. What a name means, and how a fault is caused, is the
//! coordinator's business (its `faults/`); no client or service contains any code for it.

use indexmap::IndexMap;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use strum::IntoStaticStr;

/// A fault with its parameters. In files it is its name, such as `"tab.reload"`, or, if it has parameters,
/// an object of the one field `{"net.partition": {"target": "service", …}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Form", try_from = "Form")]
pub struct Fault {
    kind: String,
    parameters: Parameters,
}

/// In the order in which they are written.
type Parameters = IndexMap<String, Value>;

impl Fault {
    /// A fault without parameters.
    pub fn plain(kind: &str) -> Fault {
        Fault {
            kind: kind.to_owned(),
            parameters: Parameters::new(),
        }
    }

    /// A fault with the fields of a struct as its parameters.
    ///
    /// # Panics
    ///
    /// If that is no struct of what JSON has.
    pub fn with(kind: &str, parameters: &impl Serialize) -> Fault {
        // By way of the text, which keeps the order of the fields.
        let text = serde_json::to_string(parameters).expect("parameters are JSON");
        Fault {
            kind: kind.to_owned(),
            parameters: serde_json::from_str(&text).expect("parameters are an object"),
        }
    }

    /// The name of its kind, such as `net.partition`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The parameters as a struct.
    ///
    /// # Errors
    ///
    /// When they are not what that kind of fault has.
    pub fn parameters<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        let parameters = self.parameters.clone();
        serde_json::from_value(Value::Object(parameters.into_iter().collect()))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "a fault must be its name, or an object of its name and its parameters"
)]
enum Form {
    Plain(String),
    With(IndexMap<String, Parameters>),
}

impl From<Fault> for Form {
    fn from(fault: Fault) -> Form {
        match fault.parameters.is_empty() {
            true => Form::Plain(fault.kind),
            false => Form::With(IndexMap::from([(fault.kind, fault.parameters)])),
        }
    }
}

impl TryFrom<Form> for Fault {
    type Error = &'static str;

    fn try_from(form: Form) -> Result<Fault, Self::Error> {
        let (kind, parameters) = match form {
            Form::Plain(kind) => (kind, Parameters::new()),
            Form::With(map) if map.len() == 1 => map.into_iter().next().expect("there is one"),
            Form::With(_) => return Err("a fault has one name"),
        };
        Ok(Fault { kind, parameters })
    }
}

/// Whom a fault of a plan hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Victim {
    /// An index into [`crate::plan::Plan::clients`].
    Client(usize),
    /// A browser with several tabs: the index of the first of them.
    Browser(usize),
    Server(Server),
}

/// The servers of a run. Their names are in the history where a fault hits one, as clients' names are.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Server {
    /// The sync service.
    Service,
    /// What clients upload to.
    Backend,
    /// The source database.
    Postgres,
}

impl Server {
    /// The server's name, as in every file. No client has such a name: theirs end with a number.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_its_name_or_its_name_and_its_parameters_in_their_order() {
        for text in [
            r#""tab.reload""#,
            r#"{"net.partition":{"target":"both","direction":"out","manner":"reset"}}"#,
        ] {
            let fault: Fault = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&fault).unwrap(), text);
        }
        for text in ["1", "{}", r#"{"a":{},"b":{}}"#, r#"{"a":1}"#, "[]", "null"] {
            assert!(serde_json::from_str::<Fault>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn parameters_are_those_of_a_struct() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Slow {
            latency_ms: u64,
            bytes: u64,
        }
        let slow = Slow {
            latency_ms: 9,
            bytes: 7,
        };
        let fault = Fault::with("net.slow", &slow);
        let text = r#"{"net.slow":{"latency_ms":9,"bytes":7}}"#;
        assert_eq!(serde_json::to_string(&fault).unwrap(), text);
        assert_eq!(fault.parameters::<Slow>().unwrap(), slow);
        assert!(Fault::plain("net.slow").parameters::<Slow>().is_err());
    }
}

//! The two forms in which lines are sent.

use bytes::Bytes;
use serde::{Serialize, Serializer};

const BSON: &str = "application/vnd.powersync.bson-stream";
const JSON: &str = "application/x-ndjson";

/// How lines are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// JSON objects, each with a line feed after it.
    #[default]
    Json,
    /// BSON documents, one after the other. Each begins with its length.
    Bson,
}

impl Encoding {
    /// The encoding that a client prefers by its `Accept` header; JSON unless it prefers BSON.
    pub fn accepted(accept: Option<&str>) -> Encoding {
        let ranges: Vec<Range> = accept
            .unwrap_or_default()
            .split(',')
            .enumerate()
            .filter_map(|(position, range)| Range::parse(range, position))
            .collect();
        let preference = |media_type| {
            ranges
                .iter()
                .filter_map(|range| range.preference_for(media_type))
                .max_by_key(|preference| preference.specificity)
                .filter(|preference| preference.thousandths > 0)
        };
        match (preference(BSON), preference(JSON)) {
            (Some(bson), Some(json)) if bson > json => Encoding::Bson,
            (Some(_), None) => Encoding::Bson,
            _ => Encoding::Json,
        }
    }

    /// The media type of a body of lines.
    pub fn media_type(self) -> &'static str {
        match self {
            Encoding::Json => JSON,
            Encoding::Bson => BSON,
        }
    }

    /// Writes a line.
    pub fn encode(self, line: &impl Serialize) -> Bytes {
        // All keys are strings without NUL, all numbers fit and all values are finite, so this cannot
        // fail.
        match self {
            Encoding::Json => {
                let mut json = serde_json::to_vec(line).unwrap_or_default();
                json.push(b'\n');
                json.into()
            }
            Encoding::Bson => bson::serialize_to_vec(line).unwrap_or_default().into(),
        }
    }
}

/// JavaScript's numbers in BSON: of 32 bits if they fit, else floats. A bare number in JSON.
pub fn as_number<N, S>(number: &N, serializer: S) -> Result<S::Ok, S::Error>
where
    N: Copy + Into<u64>,
    S: Serializer,
{
    let number = (*number).into();
    if serializer.is_human_readable() {
        return serializer.serialize_u64(number);
    }
    match i32::try_from(number) {
        Ok(number) => serializer.serialize_i32(number),
        Err(_) => serializer.serialize_f64(number as f64),
    }
}

/// A media range of an `Accept` header.
struct Range<'a> {
    media_range: &'a str,
    thousandths: u16,
    position: usize,
}

/// How much a client likes a media type, the more the greater: by its own number first, then by how
/// exactly and then by how early it named the type.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Preference {
    thousandths: u16,
    specificity: u8,
    position: std::cmp::Reverse<usize>,
}

impl<'a> Range<'a> {
    fn parse(range: &'a str, position: usize) -> Option<Range<'a>> {
        let mut parts = range.split(';').map(str::trim);
        let media_range = parts.next()?;
        let mut thousandths = 1000;
        for parameter in parts {
            // Our types have no parameters, so a range with some is of another type.
            let quality = parameter.strip_prefix("q=")?;
            let quality: f32 = quality.parse().ok()?;
            thousandths = (quality.clamp(0.0, 1.0) * 1000.0) as u16;
        }
        Some(Range {
            media_range,
            thousandths,
            position,
        })
    }

    fn preference_for(&self, media_type: &str) -> Option<Preference> {
        let specificity = match self.media_range {
            "*/*" => 0,
            "application/*" => 1,
            range if range.eq_ignore_ascii_case(media_type) => 2,
            _ => return None,
        };
        Some(Preference {
            thousandths: self.thousandths,
            specificity,
            position: std::cmp::Reverse(self.position),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bson_is_sent_to_those_who_prefer_it() {
        for (accept, expected) in [
            (None, Encoding::Json),
            (Some(""), Encoding::Json),
            (Some("*/*"), Encoding::Json),
            (Some("text/html"), Encoding::Json),
            (Some("application/*, */*;q=0.1"), Encoding::Json),
            (Some("application/x-ndjson"), Encoding::Json),
            (
                Some("application/vnd.powersync.bson-stream"),
                Encoding::Bson,
            ),
            // What the SDKs send.
            (
                Some("application/vnd.powersync.bson-stream;q=0.9,application/x-ndjson;q=0.8"),
                Encoding::Bson,
            ),
            (
                Some("application/vnd.powersync.bson-stream;q=0.8, application/x-ndjson;q=0.9"),
                Encoding::Json,
            ),
            (
                Some("application/x-ndjson, application/vnd.powersync.bson-stream"),
                Encoding::Json,
            ),
            (
                Some("application/vnd.powersync.bson-stream, application/x-ndjson"),
                Encoding::Bson,
            ),
            (
                Some("*/*;q=0.5, application/vnd.powersync.bson-stream"),
                Encoding::Bson,
            ),
            (
                Some("application/vnd.powersync.bson-stream;q=0"),
                Encoding::Json,
            ),
        ] {
            assert_eq!(Encoding::accepted(accept), expected, "{accept:?}");
        }
    }
}

//! Points in time as people write them in a plan file. Must not know a clock.

use std::{borrow::Cow, str::FromStr};

use serde::{Deserialize, Deserializer};

use crate::Timestamp;

/// A day (its start, in UTC) or a time with its zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) Timestamp);

/// The text is neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a point in time: write 2027-12-31 or 2027-12-31T18:00:00Z")]
pub(crate) struct MomentError;

impl FromStr for Moment {
    type Err = MomentError;
    fn from_str(text: &str) -> Result<Self, MomentError> {
        if let Ok(time) = text.parse::<jiff::Timestamp>() {
            return Ok(Self(Timestamp(time.as_microsecond())));
        }
        // The library would take a time without a zone for its day.
        if text.len() != "2027-12-31".len() {
            return Err(MomentError);
        }
        let day: jiff::civil::Date = text.parse().map_err(|_| MomentError)?;
        let start = jiff::tz::TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0));
        let time = start.map_err(|_| MomentError)?;
        Ok(Self(Timestamp(time.as_microsecond())))
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Moment {
    fn schema_name() -> Cow<'static, str> {
        "Moment".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "format": "moment",
            "description": "a day such as 2027-12-31 (its start, in UTC), or a time such as 2027-12-31T18:00:00Z"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_its_start() {
        let day: Moment = "2027-12-31".parse().unwrap();
        assert_eq!(day, "2027-12-31T00:00:00Z".parse().unwrap());
        assert_eq!(day, "2027-12-31T01:00:00+01:00".parse().unwrap());
        for text in [
            "",
            "tomorrow",
            "2027-02-30",
            "2027-12-31T18:00:00",
            "99999-01-01",
        ] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }
}

//! The words for what clients do: workloads, lengths, choices of keys, roles, ways to read, isolation
//! levels. Every one that is not known is answered with those that are.

use std::str::FromStr;

use squall_protocol::plan::{Isolation, KeyChoice, Length, ReadsThrough, Role, Roles, Workload};

/// The name of a workload.
#[derive(Clone, Copy, Debug)]
pub struct WorkloadArg(pub Workload);

impl FromStr for WorkloadArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Workload::ALL.map(|workload| (workload.name(), workload));
        one_of("workload", text, &named).map(WorkloadArg)
    }
}

/// The name of one of PostgreSQL's isolation levels.
#[derive(Clone, Copy, Debug)]
pub struct IsolationArg(pub Isolation);

impl FromStr for IsolationArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = [
            ("read-committed", Isolation::ReadCommitted),
            ("repeatable-read", Isolation::RepeatableRead),
            ("serializable", Isolation::Serializable),
        ];
        one_of("isolation level", text, &named).map(IsolationArg)
    }
}

/// `4`, or a range with both ends such as `1..8`.
#[derive(Clone, Copy, Debug)]
pub struct LengthArg(pub Length);

impl FromStr for LengthArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse::<u32>().ok();
        let length = match text.split_once("..") {
            None => number(text).map(|number| (number, number)),
            Some((min, max)) => number(min).zip(number(max)),
        };
        match length {
            Some((min, max)) if min <= max && max > 0 => Ok(LengthArg(Length { min, max })),
            Some((min, max)) if min > max => {
                Err(format!("{min} is more than {max}; write {max}..{min}"))
            }
            Some(_) => Err("must be at least 1, or a range up to 1 or more".to_owned()),
            None => Err("write a number such as 4, or a range such as 1..8".to_owned()),
        }
    }
}

/// `uniform`, or `zipf` with an exponent or without.
#[derive(Clone, Copy, Debug)]
pub struct KeyChoiceArg(pub KeyChoice);

impl FromStr for KeyChoiceArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, exponent) = match text.split_once(':') {
            Some((name, exponent)) => (name, Some(exponent)),
            None => (text, None),
        };
        match (name, exponent) {
            ("uniform", None) => Ok(KeyChoiceArg(KeyChoice::Uniform)),
            ("zipf", None) => Ok(KeyChoiceArg(KeyChoice::Zipf { exponent: 1.0 })),
            ("zipf", Some(text)) => match text.parse::<f64>() {
                Ok(exponent) if exponent > 0.0 && exponent <= 10.0 => {
                    Ok(KeyChoiceArg(KeyChoice::Zipf { exponent }))
                }
                _ => Err(format!(
                    "the exponent `{text}` is not a number above 0 and at most 10"
                )),
            },
            _ => Err(format!(
                "there is no choice of keys `{text}`; there are uniform, zipf and zipf:EXPONENT such as zipf:1.5"
            )),
        }
    }
}

/// The roles of both kinds of clients, such as `ps-ro-pg-rw`, or of one, such as `pg-ro`.
#[derive(Clone, Copy, Debug)]
pub struct RolesArg(pub Roles);

impl FromStr for RolesArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = || {
            format!(
                "`{text}` is not like ps-rw-pg-ro: ps for clients with SQLite, pg for clients on PostgreSQL, each with rw (reads and writes), ro (only reads) or wo (only writes); one of the two may be left out"
            )
        };
        let words: Vec<&str> = text.split('-').collect();
        let (mut powersync, mut postgres) = (None, None);
        for word in words.chunks(2) {
            let (kind, role) = match word {
                ["ps", role] => (&mut powersync, role),
                ["pg", role] => (&mut postgres, role),
                _ => return Err(malformed()),
            };
            let role = match *role {
                "rw" => Role::ReadWrite,
                "ro" => Role::ReadOnly,
                "wo" => Role::WriteOnly,
                _ => return Err(malformed()),
            };
            if kind.replace(role).is_some() {
                return Err(malformed());
            }
        }
        Ok(RolesArg(Roles {
            powersync: powersync.unwrap_or_default(),
            postgres: postgres.unwrap_or_default(),
        }))
    }
}

/// How transactions that only read are done: a list.
#[derive(Clone, Debug)]
pub struct ReadsArg(pub Vec<ReadsThrough>);

impl FromStr for ReadsArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = [
            ("write-transaction", ReadsThrough::WriteTransaction),
            ("read-transaction", ReadsThrough::ReadTransaction),
            ("watch", ReadsThrough::Watch),
        ];
        let read = |name: &str| one_of("way to read", name.trim(), &named);
        let mut chosen: Vec<_> = text.split(',').map(read).collect::<Result<_, _>>()?;
        // The plan depends on the set, not on the order in which they were named.
        chosen.sort();
        chosen.dedup();
        Ok(ReadsArg(chosen))
    }
}

fn one_of<T: Copy>(what: &str, text: &str, named: &[(&str, T)]) -> Result<T, String> {
    let found = named.iter().find(|(name, _)| *name == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = named.iter().map(|(name, _)| *name).collect();
        format!(
            "there is no {what} `{text}`; there are {}",
            names.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_have_the_names_of_the_older_suites() {
        use Role::{ReadOnly as Ro, ReadWrite as Rw, WriteOnly as Wo};
        for (name, powersync, postgres) in [
            ("ps-rw-pg-rw", Rw, Rw),
            ("ps-ro-pg-rw", Ro, Rw),
            ("ps-rw-pg-ro", Rw, Ro),
            ("ps-wo-pg-rw", Wo, Rw),
            ("ps-wo-pg-ro", Wo, Ro),
            ("ps-ro-pg-wo", Ro, Wo),
            ("ps-ro", Ro, Rw),
            ("pg-ro", Rw, Ro),
            ("pg-wo-ps-ro", Ro, Wo),
        ] {
            let roles = Roles {
                powersync,
                postgres,
            };
            assert_eq!(name.parse::<RolesArg>().unwrap().0, roles, "{name}");
        }
        for bad in ["", "rw", "ps", "ps-", "ps-xx", "ps-rw-ps-ro", "ps-rw-pg"] {
            assert!(bad.parse::<RolesArg>().is_err(), "{bad}");
        }
    }

    #[test]
    fn lengths_choices_and_ways_to_read() {
        let length = |text: &str| text.parse::<LengthArg>().map(|length| length.0);
        assert_eq!(length("4"), Ok(Length { min: 4, max: 4 }));
        assert_eq!(length("0..8"), Ok(Length { min: 0, max: 8 }));
        for bad in ["", "0", "0..0", "3..1", "1..", "-1", "1-3"] {
            assert!(length(bad).is_err(), "{bad}");
        }
        let choice = |text: &str| text.parse::<KeyChoiceArg>().map(|choice| choice.0);
        assert_eq!(choice("uniform"), Ok(KeyChoice::Uniform));
        assert_eq!(choice("zipf"), Ok(KeyChoice::Zipf { exponent: 1.0 }));
        assert_eq!(choice("zipf:0.7"), Ok(KeyChoice::Zipf { exponent: 0.7 }));
        for bad in [
            "",
            "uniform:1",
            "zipf:",
            "zipf:0",
            "zipf:-1",
            "zipf:nan",
            "zipf:inf",
            "power",
        ] {
            assert!(choice(bad).is_err(), "{bad}");
        }
        let reads = |text: &str| text.parse::<ReadsArg>().map(|reads| reads.0);
        assert_eq!(
            reads("watch,read-transaction,watch"),
            Ok(vec![ReadsThrough::ReadTransaction, ReadsThrough::Watch])
        );
        assert!(reads("").is_err());
        assert!(reads("watch,").is_err());
    }
}

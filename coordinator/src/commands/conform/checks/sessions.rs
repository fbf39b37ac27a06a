//! The database and its identity.

use futures_util::FutureExt;
use squall_protocol::contract::{Access, ToClient};
use squall_protocol::sql::{Dialect, SqlValue};

use super::check::{Check, never};
use crate::commands::conform::statements::{connection_mark, insert, rows_of};
use crate::commands::conform::subject::Client;

pub(super) const NEW: Check = Check {
    name: "new-database",
    what: "every new database is a new session of its own",
    skipped: |surroundings| {
        (!surroundings.own_databases()).then_some("its database is one that others made")
    },
    run: |surroundings| {
        async {
            let mut one = Client::new(surroundings);
            let first = one.open().await?;
            let mut other = Client::new(surroundings);
            let second = other.open().await?;
            for (client, session) in [(&one, &first), (&other, &second)] {
                if !session.is_new {
                    let expected = "ready with new_session true, as there was no database";
                    return Err(client.wrong(expected, "false".to_owned()));
                }
            }
            if first.identity == second.identity || first.identity.is_empty() {
                let expected = "a session that no other database has";
                return Err(other.wrong(expected, format!("{:?} twice", first.identity)));
            }
            Ok(())
        }
        .boxed_local()
    },
};

pub(super) const KEPT: Check = Check {
    name: "kept-database",
    what: "a database that is there is opened again: the same session, with its rows",
    skipped: never,
    run: |surroundings| {
        async {
            let mut client = Client::new(surroundings);
            let before = client.open().await?;
            let insert = insert("kept", client.number, "kept");
            client.committed(Access::Write, vec![insert]).await?;
            client.send(&ToClient::Stop).await?;
            client.ends("an orderly end").await?;
            let after = client.open().await?;
            if after.is_new {
                let expected = "ready with new_session false, as the database was there";
                return Err(client.wrong(expected, "true".to_owned()));
            }
            if after.identity != before.identity {
                let expected = format!("the session {:?} as before", before.identity);
                return Err(client.wrong(&expected, format!("{:?}", after.identity)));
            }
            client
                .has_ids(&["kept"], "which were written before the restart")
                .await
        }
        .boxed_local()
    },
};

pub(super) const FIRST_ROWS: Check = Check {
    name: "first-rows",
    what: "a new database that syncs with nobody is filled once, as `new_database` says",
    skipped: |surroundings| match surroundings.own_databases() {
        true if surroundings.hello().capabilities.syncs => Some("its rows come from the service"),
        true => None,
        false => Some("its database is one that others made"),
    },
    run: |surroundings| {
        async {
            let mut client = Client::ready(surroundings).await?;
            client.send(&ToClient::Stop).await?;
            client.ends("an orderly end").await?;
            client.open().await?;
            let found = client.committed(Access::Read, vec![rows_of(0)]).await?;
            match &found[0][..] {
                [row] if row[0] == SqlValue::from("first") => Ok(()),
                rows => Err(client.wrong("the one row `first`", format!("{rows:?}"))),
            }
        }
        .boxed_local()
    },
};

pub(super) const NEW_CONNECTION: Check = Check {
    name: "new-connection",
    what: "on every connection to PostgreSQL, `new_connection` comes first",
    skipped: |surroundings| {
        let on_postgres = surroundings.hello().dialect == Dialect::Postgres;
        (!on_postgres).then_some("it is not on PostgreSQL")
    },
    run: |surroundings| {
        async {
            let mut client = Client::ready(surroundings).await?;
            let calls = vec![connection_mark()];
            let found = client.committed(Access::Read, calls).await?;
            match found[0] == [[SqlValue::from("was here")]] {
                true => Ok(()),
                false => Err(client.wrong("the mark that it leaves", format!("{:?}", found[0]))),
            }
        }
        .boxed_local()
    },
};

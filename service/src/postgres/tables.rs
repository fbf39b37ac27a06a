//! The tables as the publication has them, asked of PostgreSQL's catalogue.
//!
//! What the publication has is PostgreSQL's own answer, and the index of the replica identity is found
//! as PostgreSQL finds it (`RelationGetIndexList`); its function for that would wait for locks. What it does not say of itself on the replication stream, a change of the
//! publication for example, is found by comparing [`SnapshotTable::definition`]s.

use tokio_postgres::Client;

use super::names::{TableName, quote};
use crate::core::source::{Column, Relation, RowIdentity, SnapshotTable};
use crate::core::values::type_oid;
use crate::error::SourceError;

/// A table, and what is needed to read it as the publication has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedTable {
    pub table: SnapshotTable,
    /// An SQL expression that is true for the rows that are published; none if all are.
    pub row_filter: Option<String>,
}

/// From this version on the publication itself says which generated columns it has.
const PUBLISHES_GENERATED_COLUMNS: i32 = 180_000;
/// From this version on a publication may be of whole schemas.
const PUBLISHES_SCHEMAS: i32 = 150_000;

/// Whether there is such a table, and it is one whose changes can be replicated.
///
/// # Errors
///
/// What it is instead, and what to do about it.
pub async fn check_kind(client: &Client, name: &TableName) -> Result<(), SourceError> {
    let found = client
        .query_opt(
            "SELECT c.relkind::text, c.relpersistence::text,
                    CASE relkind WHEN 'p'
                        THEN ARRAY(SELECT p.relid::regclass::text FROM pg_partition_tree(c.oid) p WHERE isleaf)
                    END
             FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
             WHERE nspname = $1 AND relname = $2",
            &[&name.schema, &name.name],
        )
        .await?;
    let Some(found) = found else {
        let similar = client
            .query_opt(
                "SELECT format('%I.%I', nspname, relname)
                 FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
                 WHERE lower(relname) = lower($1) AND relkind = 'r'
                   AND nspname NOT IN ('pg_catalog', 'information_schema')
                 ORDER BY nspname = $2 DESC, nspname, relname LIMIT 1",
                &[&name.name, &name.schema],
            )
            .await?;
        return Err(SourceError::NoTable(match similar {
            Some(similar) => format!("{name}, only {}", similar.get::<_, String>(0)),
            None => name.to_string(),
        }));
    };
    let (kind, persistence): (String, String) = (found.get(0), found.get(1));
    let problem = match (kind.as_str(), persistence.as_str()) {
        ("r", "p") => return Ok(()),
        ("r", "u") => format!(
            "it is unlogged, and PostgreSQL replicates no changes of it; run ALTER TABLE {name} SET LOGGED"
        ),
        ("r", _) => "it is temporary, and PostgreSQL replicates no changes of it; \
                     make it an ordinary table"
            .to_owned(),
        ("p", _) => format!(
            "it is partitioned; list its partitions instead ({}), each with a name of its own",
            found
                .get::<_, Option<Vec<String>>>(2)
                .unwrap_or_default()
                .join(", ")
        ),
        (kind, _) => {
            let what = match kind {
                "v" => "a view",
                "m" => "a materialized view",
                "f" => "a foreign table",
                "S" => "a sequence",
                "i" | "I" => "an index",
                _ => "no table",
            };
            format!(
                "it is {what}, and PostgreSQL replicates only ordinary tables; list those that it is made of"
            )
        }
    };
    Err(refuse(name, problem))
}

fn refuse(name: &TableName, problem: String) -> SourceError {
    SourceError::Table {
        table: name.to_string(),
        problem,
    }
}

/// Describes a table as the replication will.
///
/// # Errors
///
/// When the publication has it in a way, or the database has it in a way, that cannot be served.
pub async fn describe(
    client: &Client,
    publication: &str,
    name: &TableName,
) -> Result<PublishedTable, SourceError> {
    check_kind(client, name).await?;
    let version: i32 = client
        .query_one("SELECT current_setting('server_version_num')::int", &[])
        .await?
        .get(0);
    let schemas = if version >= PUBLISHES_SCHEMAS {
        "(SELECT string_agg(s.oid || ':' || s.xmin, ',') FROM pg_publication_namespace s
          WHERE s.pnpubid = p.oid AND s.pnnspid = n.oid)"
    } else {
        "''"
    };
    // Through JSON, since older versions have neither column lists nor row filters. A row's xmin is
    // another one after every change of it, also one that was taken back.
    let row = client
        .query_opt(
            &format!(
                "SELECT c.oid, c.relreplident::text, t.tablename IS NOT NULL, to_jsonb(t) ->> 'rowfilter',
                        has_schema_privilege(n.oid, 'USAGE'), row_security_active(c.oid), current_user::text,
                        coalesce(p.pubviaroot, false) AND c.relispartition,
                        concat_ws(' ', p.oid, p.xmin, {schemas},
                            (SELECT string_agg(r.oid || ':' || r.xmin, ',' ORDER BY r.oid)
                             FROM pg_publication_rel r
                             WHERE r.prpubid = p.oid
                               AND r.prrelid IN (SELECT c.oid UNION SELECT pg_partition_ancestors(c.oid))))
                 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 LEFT JOIN pg_publication p ON p.pubname = $3
                 LEFT JOIN pg_publication_tables t
                     ON t.pubname = $3 AND t.schemaname = n.nspname AND t.tablename = c.relname
                 WHERE n.nspname = $1 AND c.relname = $2"
            ),
            &[&name.schema, &name.name, &publication],
        )
        .await?;
    let Some(row) = row else {
        return Err(SourceError::NoTable(name.to_string()));
    };
    let (oid, replica_identity): (u32, String) = (row.get(0), row.get(1));
    let (published, usable_schema, hidden): (bool, bool, bool) =
        (row.get(2), row.get(4), row.get(5));
    let user: String = quote(row.get(6));
    if !published {
        let publication_name = quote(publication);
        let remedy = if row.get(7) {
            format!(
                "it publishes the table's partitions as their root; \
                 run ALTER PUBLICATION {publication_name} SET (publish_via_partition_root = false)"
            )
        } else {
            format!(
                "it has no table {name}; run ALTER PUBLICATION {publication_name} ADD TABLE {name}"
            )
        };
        return Err(SourceError::Publication {
            publication: publication.to_owned(),
            problem: remedy,
        });
    }
    if !usable_schema {
        return Err(refuse(
            name,
            format!(
                "the user {user} may not use its schema; run GRANT USAGE ON SCHEMA {} TO {user}",
                quote(&name.schema)
            ),
        ));
    }
    if hidden {
        return Err(refuse(
            name,
            format!(
                "its row level security may hide rows from the user {user}; \
                 run ALTER ROLE {user} BYPASSRLS, or replicate as the table's owner"
            ),
        ));
    }
    let row_filter: Option<String> = row.get(3);
    let membership: String = row.get(8);

    let rows = client
        .query(
            "SELECT a.attname::text, a.atttypid, a.attgenerated::text <> '',
                    has_column_privilege(a.attrelid, a.attnum, 'SELECT'),
                    coalesce(to_jsonb(t) -> 'attnames' ? a.attname::text, true),
                    coalesce(a.attnum = ANY ((r.indkey::int2[])[0:r.indnkeyatts - 1]), false),
                    coalesce(a.attnum = ANY ((k.indkey::int2[])[0:k.indnkeyatts - 1]), false),
                    a.attnum || ':' || a.xmin
             FROM pg_attribute a
             JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
             LEFT JOIN pg_index k
                 ON k.indrelid = c.oid AND k.indisprimary AND k.indimmediate AND k.indisvalid
             LEFT JOIN pg_index r
                 ON r.indrelid = c.oid AND r.indimmediate AND r.indisvalid AND r.indisunique AND r.indpred IS NULL
                AND CASE c.relreplident WHEN 'd' THEN r.indisprimary WHEN 'i' THEN r.indisreplident ELSE false END
             LEFT JOIN pg_publication_tables t
                 ON t.pubname = $2 AND t.schemaname = n.nspname AND t.tablename = c.relname
             WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
             ORDER BY a.attnum",
            &[&oid, &publication],
        )
        .await?;
    let full = replica_identity == "f";
    let mut columns = Vec::new();
    let mut key = Vec::new();
    let mut key_is_published = true;
    let mut versions = Vec::new();
    for row in &rows {
        let column = Column {
            name: row.get(0),
            type_oid: row.get(1),
            in_replica_identity: full || row.get(5),
        };
        let (generated, readable, listed): (bool, bool, bool) =
            (row.get(2), row.get(3), row.get(4));
        let in_key: bool = row.get(if full { 6 } else { 5 });
        versions.push(row.get::<_, &str>(7));
        if !listed || generated && version < PUBLISHES_GENERATED_COLUMNS {
            key_is_published &= !in_key;
            continue;
        }
        if !readable {
            return Err(refuse(
                name,
                format!(
                    "the user {user} may not read its column {}; run GRANT SELECT ON {name} TO {user}",
                    quote(&column.name)
                ),
            ));
        }
        if in_key {
            key.push(columns.len());
        }
        columns.push(column);
    }
    match columns.iter().find(|column| column.name == "id") {
        None => {
            return Err(refuse(
                name,
                "it publishes no column id, by which clients know rows; add one, \
                 or add it to the publication's columns of the table"
                    .to_owned(),
            ));
        }
        Some(id) if id.type_oid == type_oid::BYTEA => {
            return Err(refuse(
                name,
                "its column id is binary, and clients know rows by text; give it another type"
                    .to_owned(),
            ));
        }
        Some(_) => {}
    }
    let unique = !key.is_empty() && key_is_published;
    let definition = format!(
        "{membership} {oid} {replica_identity} {} {}",
        versions.join(","),
        row_filter.as_deref().unwrap_or_default()
    );
    Ok(PublishedTable {
        table: SnapshotTable {
            row_identity: RowIdentity {
                columns: if unique {
                    key
                } else {
                    (0..columns.len()).collect()
                },
                unique,
            },
            relation: Relation {
                oid,
                schema: name.schema.clone(),
                name: name.name.clone(),
                replica_identity: replica_identity.chars().next().unwrap_or('d'),
                columns,
            },
            definition,
        },
        row_filter,
    })
}

impl PublishedTable {
    /// The query for the rows that are published; as many values as columns, as text.
    pub fn rows(&self) -> String {
        let relation = &self.table.relation;
        let names: Vec<String> = relation
            .columns
            .iter()
            .map(|column| quote(&column.name))
            .collect();
        // The rows of tables that inherit from this one are published as theirs.
        let mut query = format!(
            "SELECT {} FROM ONLY {}.{}",
            names.join(", "),
            quote(&relation.schema),
            quote(&relation.name)
        );
        if let Some(filter) = &self.row_filter {
            query.push_str(&format!(" WHERE ({filter})"));
        }
        // For the sake of the storage only; what is no key may have no order.
        let identity = &self.table.row_identity;
        if identity.unique {
            let order: Vec<&str> = identity
                .columns
                .iter()
                .map(|index| names[*index].as_str())
                .collect();
            query.push_str(&format!(" ORDER BY {}", order.join(", ")));
        }
        query
    }
}

-- What squall and a PowerSync service need in the source database, before the service starts.
-- To be run as the role of squall's --database-url: squall may only empty tables that it owns.

CREATE TABLE IF NOT EXISTS mww (
    id text PRIMARY KEY,
    k integer NOT NULL UNIQUE,
    v bigint NOT NULL
);

CREATE TABLE IF NOT EXISTS ledger (
    id text PRIMARY KEY,
    client text NOT NULL,
    seq bigint NOT NULL,
    writes text NOT NULL,
    copies bigint NOT NULL DEFAULT 1,
    position bigserial
);
CREATE INDEX IF NOT EXISTS ledger_client_seq ON ledger (client, seq);

CREATE TABLE IF NOT EXISTS payload (
    id text PRIMARY KEY,
    version bigint NOT NULL,
    body text
);

CREATE TABLE IF NOT EXISTS lists (
    id text PRIMARY KEY,
    k integer NOT NULL UNIQUE,
    v text NOT NULL
);

CREATE TABLE IF NOT EXISTS gset (
    id text PRIMARY KEY,
    k bigint NOT NULL,
    v bigint NOT NULL
);
CREATE INDEX IF NOT EXISTS gset_k_v ON gset (k, v);

CREATE TABLE IF NOT EXISTS counter (
    id text PRIMARY KEY,
    k integer NOT NULL UNIQUE,
    v bigint NOT NULL
);

-- Which uploads squall's backend has applied. Not published: no client sees it.
CREATE TABLE IF NOT EXISTS squall_uploads (
    client_id text NOT NULL,
    upload_id text NOT NULL,
    PRIMARY KEY (client_id, upload_id)
);

-- The name is PowerSync's: its service reads this publication and no other.
CREATE PUBLICATION powersync FOR TABLE mww, ledger, payload, lists, gset, counter;

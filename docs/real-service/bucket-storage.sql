-- Where the PowerSync service keeps its history; a database of its own, on any PostgreSQL server.
CREATE DATABASE powersync_storage;

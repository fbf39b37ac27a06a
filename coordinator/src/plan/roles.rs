//! What clients may do.

use squall_protocol::plan::{ClientKind, PlanOptions, Role, Store};

/// What clients of that kind may do.
pub fn role(options: &PlanOptions, kind: ClientKind) -> Role {
    match kind.store() {
        Store::Postgres => options.roles.postgres,
        _ => options.roles.powersync,
    }
}

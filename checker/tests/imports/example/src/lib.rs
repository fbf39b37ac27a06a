//! Nothing but declarations and re-exports: imported by nobody, whoever names it.

mod apart;
mod below;
mod cycle;
mod other;

pub use below::Shared;

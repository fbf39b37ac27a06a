//! Imports its parent, which does not import it: to declare a module is no import.

use super::Shared;

//! What cycles are made of, and how they are called.

/// What a cycle is made of, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    G0,
    G1c,
    Single,
    Nonadjacent,
    Item,
}

pub(super) const CLASSES: [Class; 5] = [
    Class::G0,
    Class::G1c,
    Class::Single,
    Class::Nonadjacent,
    Class::Item,
];

/// What counts besides dependencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    None,
    Process,
    RealTime,
}

/// The name of a cycle, as in Elle.
pub(super) fn name(class: Class, order: Order) -> &'static str {
    match (class, order) {
        (Class::G0, Order::None) => "G0",
        (Class::G1c, Order::None) => "G1c",
        (Class::Single, Order::None) => "G-single",
        (Class::Nonadjacent, Order::None) => "G-nonadjacent",
        (Class::Item, Order::None) => "G2-item",
        (Class::G0, Order::Process) => "G0-process",
        (Class::G1c, Order::Process) => "G1c-process",
        (Class::Single, Order::Process) => "G-single-process",
        (Class::Nonadjacent, Order::Process) => "G-nonadjacent-process",
        (Class::Item, Order::Process) => "G2-item-process",
        (Class::G0, Order::RealTime) => "G0-realtime",
        (Class::G1c, Order::RealTime) => "G1c-realtime",
        (Class::Single, Order::RealTime) => "G-single-realtime",
        (Class::Nonadjacent, Order::RealTime) => "G-nonadjacent-realtime",
        (Class::Item, Order::RealTime) => "G2-item-realtime",
    }
}

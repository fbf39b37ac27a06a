//! Arranging transactions under constraints, or finding a cycle.
//!
//! Every model demands that a commit order contains session order and reads-from, and some further
//! edges that it derives from reads: when *reader* must see *from* and reads a key that both *from*
//! and *to* write from *to*, then *from* commits before *to*. Such an order exists if and only if
//! all these edges together have no cycle.

use super::constraints::{Constraint, Cycle, Derived, Step};
use super::{INITIAL, NONE, Node, Registers};

/// The derived edges, by the transaction that they lead to.
pub(super) struct Incoming {
    starts: Vec<u32>,
    from: Vec<Node>,
}

impl Incoming {
    pub fn new(nodes: usize, edges: &[Derived]) -> Self {
        let mut starts = vec![0; nodes + 1];
        for edge in edges {
            starts[edge.to as usize + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut next = starts.clone();
        let mut from = vec![0; edges.len()];
        for edge in edges {
            let at = &mut next[edge.to as usize];
            from[*at as usize] = edge.from;
            *at += 1;
        }
        Incoming { starts, from }
    }

    fn of(&self, node: Node) -> &[Node] {
        let at = node as usize;
        &self.from[self.starts[at] as usize..self.starts[at + 1] as usize]
    }
}

/// The number of predecessors of a transaction, counted with repetitions.
pub(super) fn degree(registers: &Registers, incoming: &Incoming, node: Node) -> u32 {
    1 + registers.reads(node).len() as u32 + incoming.of(node).len() as u32
}

/// The predecessor with that number, if there is one.
pub(super) fn predecessor(
    registers: &Registers,
    incoming: &Incoming,
    node: Node,
    number: u32,
) -> Option<Node> {
    let reads = registers.reads(node);
    let predecessor = match number.checked_sub(1) {
        None => registers.previous[node as usize],
        Some(read) => match reads.get(read as usize) {
            Some(read) => read.writer,
            None => incoming.of(node)[read as usize - reads.len()],
        },
    };
    (predecessor != NONE && predecessor != INITIAL).then_some(predecessor)
}

/// Arranges the transactions: in the order of `wish` as far as possible, but every predecessor
/// first. An error is a cycle, as the transactions on it: each is a predecessor of the next, and the
/// last one of the first.
pub(super) fn arrange(
    registers: &Registers,
    edges: &[Derived],
    wish: impl Iterator<Item = Node>,
) -> Result<Vec<Node>, Vec<Node>> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        Open,
        Placed,
    }
    let count = registers.transactions();
    let incoming = Incoming::new(count, edges);
    let mut state = vec![State::New; count];
    let mut order = Vec::with_capacity(count);
    // A depth-first search with its own stack: the transaction, and its next predecessor.
    let mut stack: Vec<(Node, u32)> = Vec::new();
    for root in wish {
        if state[root as usize] != State::New {
            continue;
        }
        state[root as usize] = State::Open;
        stack.push((root, 0));
        while let Some((node, next)) = stack.last_mut() {
            let node = *node;
            if *next == degree(registers, &incoming, node) {
                stack.pop();
                state[node as usize] = State::Placed;
                order.push(node);
                continue;
            }
            let number = *next;
            *next += 1;
            let Some(before) = predecessor(registers, &incoming, node, number) else {
                continue;
            };
            match state[before as usize] {
                State::Placed => {}
                State::New => {
                    state[before as usize] = State::Open;
                    stack.push((before, 0));
                }
                State::Open => {
                    let mut cycle: Vec<Node> = stack.iter().rev().map(|(node, _)| *node).collect();
                    let end = cycle.iter().position(|node| *node == before);
                    cycle.truncate(end.map_or(cycle.len(), |end| end + 1));
                    return Err(cycle);
                }
            }
        }
    }
    Ok(order)
}

/// The shortest way along session order and reads-from, from the write that was missed to the read
/// that should have seen it.
pub(super) fn way(registers: &Registers, missed: Node, reader: Node) -> Cycle {
    let mut came_from = vec![NONE; registers.transactions()];
    let mut queue = std::collections::VecDeque::from([reader]);
    while let Some(node) = queue.pop_front() {
        if node == missed {
            break;
        }
        let previous = registers.previous[node as usize];
        for before in std::iter::once(previous).chain(registers.sources(node)) {
            if before < NONE && before != reader && came_from[before as usize] == NONE {
                came_from[before as usize] = node;
                queue.push_back(before);
            }
        }
    }
    let mut steps = Vec::new();
    let mut from = missed;
    while from != reader && came_from[from as usize] != NONE {
        let to = came_from[from as usize];
        let mut reads = registers.reads(to).iter();
        let read = reads.find(|read| registers.shows(read, from));
        steps.push(Step {
            from,
            to,
            constraint: match read {
                _ if registers.previous[to as usize] == from => Constraint::Session,
                Some(read) => Constraint::ReadsFrom(read.key),
                None => Constraint::Session,
            },
        });
        from = to;
    }
    Cycle {
        steps: join_sessions(steps),
    }
}

/// Makes one step of several along the same session.
pub(super) fn join_sessions(steps: Vec<Step>) -> Vec<Step> {
    let mut joined: Vec<Step> = Vec::new();
    for step in steps {
        match joined.last_mut() {
            Some(last)
                if last.constraint == Constraint::Session
                    && step.constraint == Constraint::Session =>
            {
                last.to = step.to;
            }
            _ => joined.push(step),
        }
    }
    joined
}

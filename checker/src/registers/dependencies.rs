//! The cycles of dependencies between transactions, by the names of Adya.
//!
//! Where the order of the versions of a key is known (lists that were read, or values that are versions),
//! transactions depend on one another directly (Adya, Weak Consistency: A Generalized Theory and
//! Optimistic Implementations for Distributed Transactions, MIT 1999):
//!
//! - *ww*: the other one writes the next version (in a list: what nobody has read comes after all that
//!   was read, in any order);
//! - *wr*: the other one reads what it wrote (in a list: the last element);
//! - *rw*: the other one writes the version after the one that it reads.
//!
//! A cycle is named by what it is made of, the strongest name first:
//!
//! | name | edges |
//! | --- | --- |
//! | G0 | ww |
//! | G1c | ww, wr |
//! | G-single | the same, and one rw |
//! | G-nonadjacent | the same, and several rw, of which no two follow one another |
//! | G2-item | the same, and several rw |
//!
//! A cycle that needs the order of a session has the suffix `-process`, and one that needs that of real
//! time `-realtime`, as in Elle (Kingsbury and Alvaro, VLDB 2020); in the latter sessions count too.
//!
//! This is a list of what happened, beside the verdicts of the models and not instead of them: weaker
//! models allow many of these, and where rows are merged one by one even G0 is no violation.
//!
//! # Algorithm
//!
//! The strongly connected components of the graph without sessions and real time, then with sessions,
//! then with both (Tarjan 1972, without recursion: linear). Each component is told once, by the strongest
//! name of a cycle in it, and again in a larger graph only if it, or what it has grown into, has a
//! stronger one there. The example is the smallest cycle of that name that breadth-first searches find.
//! Those for G0, G1c and G2-item always find one. G-single and G-nonadjacent need a search from every rw
//! edge, which gives up after [`STEPS`] edges; a component may have a stronger name than the one it is
//! given then, and the answer says so.
//!
//! Sets of edges with a common end are led through *gates*, vertices that are no transactions, to keep
//! their number linear: a gate for every moment at which something ended, and two for every unread append.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::order::{Constraint, Cycle, Step, join_sessions};
use super::report::{Edge, TransactionName, explain};
use super::{INITIAL, NONE, Node, Registers};

/// Edges that the searches look at altogether: some seconds.
pub const STEPS: u64 = 20_000_000;
/// How many cycles of a name are told; all components are counted.
const EXAMPLES: usize = 5;
/// From how many transactions of a component the smallest cycle is searched.
const ATTEMPTS: usize = 64;

/// What a cycle is made of, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    G0,
    G1c,
    Single,
    Nonadjacent,
    Item,
}

const CLASSES: [Class; 5] = [
    Class::G0,
    Class::G1c,
    Class::Single,
    Class::Nonadjacent,
    Class::Item,
];

/// What counts besides dependencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    None,
    Process,
    RealTime,
}

/// The name of a cycle, as in Elle.
fn name(class: Class, order: Order) -> &'static str {
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

/// Every component of transactions that depend on one another in a circle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependencies {
    /// How many components have which name.
    pub components: BTreeMap<String, u64>,
    /// A smallest cycle of the first few components of each name.
    pub cycles: Vec<DependencyCycle>,
    /// Whether a search gave up, so that names may be weaker than they should be.
    pub gave_up: bool,
}

/// A cycle of dependencies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DependencyCycle {
    /// `G0`, `G1c`, `G-single`, `G-nonadjacent` or `G2-item`, with `-process` or `-realtime`.
    pub name: String,
    /// How many transactions the component has.
    pub component: u64,
    pub transactions: Vec<TransactionName>,
    pub edges: Vec<Edge>,
    /// The edges in words.
    pub summary: String,
}

impl Dependencies {
    /// As text for a person; empty if there is no cycle.
    pub fn render(&self) -> String {
        if self.components.is_empty() {
            return String::new();
        }
        let mut lines = vec![
            "cycles of dependencies, whether a model allows them or not; components by name:"
                .to_owned(),
        ];
        for (name, count) in &self.components {
            lines.push(format!("{name}: {count}"));
            let cycles = self.cycles.iter().filter(|cycle| cycle.name == *name);
            lines.extend(cycles.map(|cycle| {
                let size = cycle.component;
                format!("- in a component of {size} transactions: {}", cycle.summary)
            }));
        }
        if self.gave_up {
            lines.push("The search for smaller names was given up.".to_owned());
        }
        lines.join("\n") + "\n"
    }
}

impl Registers {
    /// The cycles of dependencies. None if the order of the versions is not known.
    pub fn dependencies(&self) -> Option<Dependencies> {
        (!self.lists.is_empty() || self.versions.is_some()).then(|| list(self))
    }
}

fn list(registers: &Registers) -> Dependencies {
    let graph = Graph::new(registers);
    let mut search = Search::new(&graph);
    let mut found = Dependencies::default();
    // For each transaction the strongest name of its component so far.
    let mut names: Vec<Option<Class>> = vec![None; registers.transactions()];
    for order in [Order::None, Order::Process, Order::RealTime] {
        if order == Order::RealTime && registers.times.is_none() {
            continue;
        }
        let all: Vec<u32> = (0..graph.len() as u32).collect();
        let allowed = |edge: &GraphEdge| edge.is_allowed(Class::Item, order);
        for component in graph.components(&all, allowed) {
            let transactions = |vertex: &&u32| (**vertex as usize) < registers.transactions();
            let members = || component.iter().filter(transactions);
            let known = members().filter_map(|node| names[*node as usize]).min();
            let stronger = CLASSES
                .iter()
                .filter(|class| known.is_none_or(|k| **class < k));
            let cycle = stronger
                .copied()
                .find_map(|class| Some((class, search.smallest(&component, class, order)?)));
            let Some((class, steps)) = cycle else {
                continue;
            };
            for node in members() {
                names[*node as usize] = Some(class);
            }
            let name = name(class, order).to_owned();
            let count = found.components.entry(name.clone()).or_default();
            *count += 1;
            if *count <= EXAMPLES as u64 {
                let cycle = Cycle {
                    steps: join_sessions(steps),
                };
                let explained = explain(registers, &cycle);
                found.cycles.push(DependencyCycle {
                    name,
                    component: members().count() as u64,
                    transactions: explained.transactions,
                    edges: explained.cycle,
                    summary: explained.summary,
                });
            }
        }
    }
    found.gave_up = search.steps == 0;
    found
}

#[derive(Clone, Copy, Debug)]
struct GraphEdge {
    from: u32,
    to: u32,
    /// None if it goes on from a gate: then it is whatever led there.
    why: Option<Constraint>,
}

impl GraphEdge {
    fn is_allowed(&self, class: Class, order: Order) -> bool {
        match self.why {
            None | Some(Constraint::VersionOrder(_)) => true,
            Some(Constraint::ReadsFrom(_)) => class >= Class::G1c,
            Some(Constraint::AntiDependency(_)) => class >= Class::Single,
            Some(Constraint::Session) => order >= Order::Process,
            _ => order == Order::RealTime,
        }
    }

    fn is_anti_dependency(&self) -> bool {
        matches!(self.why, Some(Constraint::AntiDependency(_)))
    }
}

/// Transactions, then gates.
struct Graph {
    transactions: usize,
    /// Where each vertex's edges begin; one more than there are vertices.
    starts: Vec<u32>,
    edges: Vec<GraphEdge>,
}

impl Graph {
    fn new(registers: &Registers) -> Self {
        let mut building = Building {
            vertices: registers.transactions() as u32,
            edges: Vec::new(),
        };
        building.sessions_and_reads(registers);
        if registers.versions.is_some() {
            let mut writers: Vec<Vec<(u64, Node)>> = vec![Vec::new(); registers.key_count];
            for node in registers.nodes() {
                for key in registers.writes(node) {
                    let version = registers.version_written(node, *key);
                    writers[*key as usize].push((version, node));
                }
            }
            let orders = writers.into_iter().map(|mut writers| {
                writers.sort_unstable();
                let writers = writers.into_iter().map(|(_, node)| node);
                Some((writers.collect(), Vec::new()))
            });
            building.versions(registers, orders.collect());
        } else {
            let mut orders = vec![None; registers.key_count];
            for list in registers
                .lists
                .iter()
                .flatten()
                .filter(|list| !list.contradicted)
            {
                let unread = list.unread.iter().map(|(node, _)| *node);
                orders[list.key as usize] = Some((list.writers.clone(), unread.collect()));
            }
            building.versions(registers, orders);
        }
        if let Some(times) = &registers.times {
            building.real_time(times);
        }
        let Building {
            vertices,
            mut edges,
        } = building;
        edges.sort_by_key(|edge| edge.from);
        let mut starts = vec![0; vertices as usize + 1];
        for edge in &edges {
            starts[edge.from as usize + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        Graph {
            transactions: registers.transactions(),
            starts,
            edges,
        }
    }

    fn len(&self) -> usize {
        self.starts.len() - 1
    }

    fn of(&self, vertex: u32) -> std::ops::Range<u32> {
        self.starts[vertex as usize]..self.starts[vertex as usize + 1]
    }

    /// The strongly connected components of more than one vertex in the part of the graph that has only
    /// these vertices and the allowed edges, each ascending, by their first vertex.
    fn components(&self, vertices: &[u32], allowed: impl Fn(&GraphEdge) -> bool) -> Vec<Vec<u32>> {
        const NEW: u32 = u32::MAX;
        const DONE: u32 = u32::MAX - 1;
        // By place in `vertices`: the number in order of discovery, and the lowest number that is reached.
        let mut numbers = vec![NEW; vertices.len()];
        let mut lowest = vec![0; vertices.len()];
        let whole = vertices.len() == self.len();
        let place = |vertex: u32| {
            if whole {
                Some(vertex as usize)
            } else {
                vertices.binary_search(&vertex).ok()
            }
        };
        let mut count = 0;
        let mut open: Vec<usize> = Vec::new();
        let mut stack: Vec<(usize, u32)> = Vec::new();
        let mut components = Vec::new();
        for root in 0..vertices.len() {
            if numbers[root] != NEW {
                continue;
            }
            stack.push((root, self.of(vertices[root]).start));
            while let Some((at, next)) = stack.last_mut() {
                let (at, edge) = (*at, *next);
                if numbers[at] == NEW {
                    (numbers[at], lowest[at]) = (count, count);
                    count += 1;
                    open.push(at);
                }
                if edge < self.of(vertices[at]).end {
                    *next += 1;
                    let edge = &self.edges[edge as usize];
                    let Some(to) = place(edge.to).filter(|_| allowed(edge)) else {
                        continue;
                    };
                    match numbers[to] {
                        NEW => stack.push((to, self.of(vertices[to]).start)),
                        DONE => {}
                        number => lowest[at] = lowest[at].min(number),
                    }
                    continue;
                }
                stack.pop();
                if let Some((before, _)) = stack.last() {
                    lowest[*before] = lowest[*before].min(lowest[at]);
                }
                if lowest[at] == numbers[at] {
                    let begin = open.iter().rposition(|other| *other == at).unwrap_or(0);
                    let component = open.split_off(begin);
                    for member in &component {
                        numbers[*member] = DONE;
                    }
                    if component.len() > 1 {
                        let mut members: Vec<u32> =
                            component.into_iter().map(|at| vertices[at]).collect();
                        members.sort_unstable();
                        components.push(members);
                    }
                }
            }
        }
        components.sort_unstable();
        components
    }
}

/// A graph in the making.
struct Building {
    vertices: u32,
    edges: Vec<GraphEdge>,
}

impl Building {
    fn edge(&mut self, from: u32, to: u32, why: Option<Constraint>) {
        if from != to {
            self.edges.push(GraphEdge { from, to, why });
        }
    }

    /// So many new gates: the first of them.
    fn gates(&mut self, count: usize) -> u32 {
        let first = self.vertices;
        self.vertices += count as u32;
        first
    }

    fn sessions_and_reads(&mut self, registers: &Registers) {
        for node in registers.nodes() {
            let previous = registers.previous[node as usize];
            if previous != NONE {
                self.edge(previous, node, Some(Constraint::Session));
            }
            for read in registers.reads(node) {
                if read.writer != INITIAL {
                    self.edge(read.writer, node, Some(Constraint::ReadsFrom(read.key)));
                }
            }
        }
    }

    /// For each key whose order is known: its writers, and who wrote after them in any order, ascending.
    fn versions(&mut self, registers: &Registers, orders: Vec<Option<(Vec<Node>, Vec<Node>)>>) {
        // For each key what follows its last version.
        let mut ends: Vec<Option<End>> = Vec::with_capacity(orders.len());
        // For each version of a key its place there.
        let mut places: std::collections::HashMap<(u32, Node), usize> = Default::default();
        for (key, order) in (0..).zip(&orders) {
            let Some((writers, unread)) = order else {
                ends.push(None);
                continue;
            };
            for (place, writer) in writers.iter().enumerate() {
                places.insert((key, *writer), place);
            }
            let why = Some(Constraint::VersionOrder(key));
            for pair in writers.windows(2) {
                self.edge(pair[0], pair[1], why);
            }
            let end = self.end(unread);
            if let Some(last) = writers.last() {
                self.lead(*last, &end, unread, why);
            }
            ends.push(Some(end));
        }
        for node in registers.nodes() {
            for read in registers.reads(node) {
                let (Some((writers, unread)), Some(end)) =
                    (&orders[read.key as usize], &ends[read.key as usize])
                else {
                    continue;
                };
                let why = Some(Constraint::AntiDependency(read.key));
                let next = match places.get(&(read.key, read.writer)) {
                    Some(place) => place + 1,
                    None if read.writer == INITIAL => 0,
                    // It reads what the order does not tell.
                    None => continue,
                };
                match writers.get(next) {
                    Some(writer) => self.edge(node, *writer, why),
                    None => self.lead(node, end, unread, why),
                }
            }
        }
    }

    /// Gates to those that wrote last: two for each, of which one leads to all from there on, and the
    /// other one to all up to there.
    fn end(&mut self, unread: &[Node]) -> End {
        let end = End {
            onwards: self.gates(unread.len()),
            backwards: self.gates(unread.len()),
        };
        for (at, node) in (0..).zip(unread) {
            self.edge(end.onwards + at, *node, None);
            self.edge(end.backwards + at, *node, None);
            if at > 0 {
                self.edge(end.onwards + at - 1, end.onwards + at, None);
                self.edge(end.backwards + at, end.backwards + at - 1, None);
            }
        }
        end
    }

    /// Edges to all that wrote last, but not to itself.
    fn lead(&mut self, from: Node, end: &End, unread: &[Node], why: Option<Constraint>) {
        let (before, after) = match unread.binary_search(&from) {
            Ok(own) => (own, own + 1),
            Err(_) => (0, 0),
        };
        if before > 0 {
            self.edge(from, end.backwards + before as u32 - 1, why);
        }
        if after < unread.len() {
            self.edge(from, end.onwards + after as u32, why);
        }
    }

    fn real_time(&mut self, times: &[(u64, u64)]) {
        let end = |(begin, end): (u64, u64)| end.max(begin);
        let mut ends: Vec<u64> = times.iter().map(|time| end(*time)).collect();
        ends.retain(|end| *end != u64::MAX);
        ends.sort_unstable();
        ends.dedup();
        let first = self.gates(ends.len());
        for gate in 1..ends.len() as u32 {
            self.edge(first + gate - 1, first + gate, None);
        }
        for (node, time) in (0..).zip(times) {
            if let Ok(gate) = ends.binary_search(&end(*time)) {
                self.edge(node, first + gate as u32, Some(Constraint::RealTime));
            }
            let ended = ends.partition_point(|end| *end < time.0) as u32;
            if ended > 0 {
                self.edge(first + ended - 1, node, None);
            }
        }
    }
}

/// The first gates to those that wrote a key last.
struct End {
    onwards: u32,
    backwards: u32,
}

/// Breadth-first searches for small cycles.
struct Search<'g> {
    graph: &'g Graph,
    /// How many edges may still be looked at.
    steps: u64,
    /// For each vertex, and for whether an anti-dependency has led there, the edge and the state before.
    came_from: Vec<(u32, u32)>,
    touched: Vec<u32>,
}

impl<'g> Search<'g> {
    fn new(graph: &'g Graph) -> Self {
        Search {
            graph,
            steps: STEPS,
            came_from: vec![(NONE, NONE); 2 * graph.len()],
            touched: Vec::new(),
        }
    }

    /// A smallest cycle of this class, if no stronger class has one.
    fn smallest(&mut self, component: &[u32], class: Class, order: Order) -> Option<Vec<Step>> {
        let mut best: Option<Vec<u32>> = None;
        let mut keep = |found: Option<Vec<u32>>| {
            if let Some(found) = found
                && best.as_ref().is_none_or(|best| found.len() < best.len())
            {
                best = Some(found);
            }
        };
        match class {
            Class::G0 | Class::G1c | Class::Item => {
                let allowed = |edge: &GraphEdge| edge.is_allowed(class, order);
                for part in self.graph.components(component, allowed) {
                    let transactions = part.iter();
                    let transactions =
                        transactions.filter(|vertex| (**vertex as usize) < self.graph.transactions);
                    for start in transactions.take(ATTEMPTS) {
                        keep(self.cycle(&part, None, *start, class, order));
                    }
                }
            }
            Class::Single | Class::Nonadjacent => {
                let mut attempts = 0;
                for vertex in component {
                    for edge in self.graph.of(*vertex) {
                        let GraphEdge { to, .. } = self.graph.edges[edge as usize];
                        if !self.graph.edges[edge as usize].is_anti_dependency()
                            || component.binary_search(&to).is_err()
                            || attempts >= ATTEMPTS
                            || self.steps == 0
                        {
                            continue;
                        }
                        let found = self.cycle(component, Some(edge), *vertex, class, order);
                        attempts += usize::from(found.is_some());
                        keep(found);
                    }
                }
            }
        }
        best.map(|edges| self.steps_of(&edges))
    }

    /// A smallest cycle through a transaction, and through that edge of it if one is given.
    fn cycle(
        &mut self,
        component: &[u32],
        first: Option<u32>,
        start: u32,
        class: Class,
        order: Order,
    ) -> Option<Vec<u32>> {
        let graph = self.graph;
        let begin = match first {
            // After an anti-dependency.
            Some(edge) => 2 * graph.edges[edge as usize].to + 1,
            None => 2 * start,
        };
        let mut queue = VecDeque::from([begin]);
        let mut closed = None;
        'search: while let Some(state) = queue.pop_front() {
            for at in graph.of(state / 2) {
                let edge = &graph.edges[at as usize];
                let anti = edge.is_anti_dependency();
                let follows = match class {
                    Class::Single => !anti,
                    Class::Nonadjacent => !anti || state % 2 == 0,
                    _ => true,
                };
                if !follows || !edge.is_allowed(class, order) {
                    continue;
                }
                if first.is_some() {
                    self.steps = self.steps.saturating_sub(1);
                    if self.steps == 0 {
                        break 'search;
                    }
                }
                // In a gate it is still undecided what is adjacent to what led there.
                let goes_on = edge.why.is_none();
                let after = match class {
                    Class::Nonadjacent if goes_on => state % 2,
                    Class::Nonadjacent => u32::from(anti),
                    _ => 0,
                };
                if edge.to == start && after == 0 {
                    closed = Some((at, state));
                    break 'search;
                }
                let next = 2 * edge.to + after;
                if self.came_from[next as usize].0 == NONE
                    && next != begin
                    && component.binary_search(&edge.to).is_ok()
                {
                    self.came_from[next as usize] = (at, state);
                    self.touched.push(next);
                    // Going on from a gate is no step of its own.
                    if goes_on {
                        queue.push_front(next);
                    } else {
                        queue.push_back(next);
                    }
                }
            }
        }
        let cycle = closed.map(|(last, mut state)| {
            let mut edges = vec![last];
            while state != begin {
                let (edge, before) = self.came_from[state as usize];
                edges.push(edge);
                state = before;
            }
            edges.extend(first);
            edges.reverse();
            edges
        });
        for state in self.touched.drain(..) {
            self.came_from[state as usize] = (NONE, NONE);
        }
        cycle
    }

    /// The steps from transaction to transaction.
    fn steps_of(&self, edges: &[u32]) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        for edge in edges.iter().map(|at| &self.graph.edges[*at as usize]) {
            match (edge.why, steps.last_mut()) {
                (Some(constraint), _) => steps.push(Step {
                    from: edge.from,
                    to: edge.to,
                    constraint,
                }),
                (None, Some(last)) => last.to = edge.to,
                (None, None) => {}
            }
        }
        steps
    }
}

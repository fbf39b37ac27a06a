//! The graph of direct dependencies, sessions and real time.
//!
//! Sets of edges with a common end are led through *gates*, vertices that are no transactions, to keep
//! their number linear: a gate for every moment at which something ended, and two for every unread append.

use super::class::{Class, Order};
use crate::registers::components::{self, Components};
use crate::registers::constraints::Constraint;
use crate::registers::{INITIAL, NONE, Node, Registers};

#[derive(Clone, Copy, Debug)]
pub(super) struct GraphEdge {
    pub from: u32,
    pub to: u32,
    /// None if it goes on from a gate: then it is whatever led there.
    pub why: Option<Constraint>,
}

impl GraphEdge {
    pub fn is_allowed(&self, class: Class, order: Order) -> bool {
        match self.why {
            None | Some(Constraint::VersionOrder(_)) => true,
            Some(Constraint::ReadsFrom(_)) => class >= Class::G1c,
            Some(Constraint::AntiDependency(_)) => class >= Class::Single,
            Some(Constraint::Session) => order >= Order::Process,
            _ => order == Order::RealTime,
        }
    }

    pub fn is_anti_dependency(&self) -> bool {
        matches!(self.why, Some(Constraint::AntiDependency(_)))
    }
}

/// Transactions, then gates.
pub(super) struct Graph {
    pub transactions: usize,
    /// Where each vertex's edges begin; one more than there are vertices.
    starts: Vec<u32>,
    pub edges: Vec<GraphEdge>,
}

impl Graph {
    pub fn new(registers: &Registers) -> Self {
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

    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    pub fn of(&self, vertex: u32) -> std::ops::Range<u32> {
        self.starts[vertex as usize]..self.starts[vertex as usize + 1]
    }

    /// The strongly connected components of more than one vertex in the part of the graph that has only
    /// these vertices, ascending, and the allowed edges; each ascending, by their first vertex.
    pub fn components(
        &self,
        vertices: &[u32],
        allowed: impl Fn(&GraphEdge) -> bool,
    ) -> Vec<Vec<u32>> {
        let found = Components::find(&Part {
            graph: self,
            vertices,
            allowed,
        });
        let mut members: Vec<(u32, u32)> =
            found.of.into_iter().zip(vertices.iter().copied()).collect();
        members.sort_unstable();
        let of_one = members.chunk_by(|one, other| one.0 == other.0);
        let several = of_one.filter(|component| component.len() > 1);
        let mut components: Vec<Vec<u32>> = several
            .map(|component| component.iter().map(|(_, vertex)| *vertex).collect())
            .collect();
        components.sort_unstable();
        components
    }
}

/// Some vertices of a graph, by their places, and the edges among them that are allowed.
struct Part<'g, A> {
    graph: &'g Graph,
    vertices: &'g [u32],
    allowed: A,
}

impl<A: Fn(&GraphEdge) -> bool> components::Graph for Part<'_, A> {
    fn vertices(&self) -> u32 {
        self.vertices.len() as u32
    }

    fn degree(&self, place: u32) -> u32 {
        self.graph.of(self.vertices[place as usize]).len() as u32
    }

    fn neighbour(&self, place: u32, number: u32) -> Option<u32> {
        let edges = self.graph.of(self.vertices[place as usize]);
        let edge = &self.graph.edges[(edges.start + number) as usize];
        if !(self.allowed)(edge) {
            None
        } else if self.vertices.len() == self.graph.len() {
            Some(edge.to)
        } else {
            let place = self.vertices.binary_search(&edge.to).ok()?;
            Some(place as u32)
        }
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

//! Strongly connected components, by Tarjan's algorithm (Depth-First Search and Linear Graph Algorithms, SIAM
//! J. Comput. 1972), without recursion.

/// A graph whose vertices are numbered from 0.
pub(super) trait Graph {
    fn vertices(&self) -> u32;

    /// How many edges begin at a vertex.
    fn degree(&self, vertex: u32) -> u32;

    /// Where the edge with that number leads to, if it counts.
    fn neighbour(&self, vertex: u32, number: u32) -> Option<u32>;
}

pub(super) struct Components {
    /// For each vertex its component. Those that are on no cycle have one of their own. What can be reached
    /// from a component has a lower number.
    pub of: Vec<u32>,
    /// The vertices with an edge that the depth-first search found to lead back: every cycle has one.
    pub back: Vec<u32>,
}

impl Components {
    pub fn find(graph: &impl Graph) -> Self {
        const NONE: u32 = u32::MAX;
        let count = graph.vertices() as usize;
        let mut of = vec![NONE; count];
        let mut components = 0;
        // When a vertex was met, and the earliest one on the stack that can be reached from it.
        let mut met = vec![NONE; count];
        let mut reaches = vec![NONE; count];
        let mut time = 0;
        let mut open: Vec<u32> = Vec::new();
        let mut stack: Vec<(u32, u32)> = Vec::new();
        let mut is_on_path = vec![false; count];
        let mut back = Vec::new();
        for root in 0..graph.vertices() {
            if met[root as usize] != NONE {
                continue;
            }
            stack.push((root, 0));
            while let Some((vertex, next)) = stack.last_mut() {
                let (vertex, number) = (*vertex, *next);
                let at = vertex as usize;
                *next += 1;
                if number == 0 {
                    (met[at], reaches[at]) = (time, time);
                    time += 1;
                    open.push(vertex);
                    is_on_path[at] = true;
                }
                if number < graph.degree(vertex) {
                    let Some(other) = graph.neighbour(vertex, number) else {
                        continue;
                    };
                    if met[other as usize] == NONE {
                        stack.push((other, 0));
                    } else if of[other as usize] == NONE {
                        reaches[at] = reaches[at].min(met[other as usize]);
                        if is_on_path[other as usize] {
                            back.push(vertex);
                        }
                    }
                    continue;
                }
                stack.pop();
                is_on_path[at] = false;
                if let Some((parent, _)) = stack.last() {
                    let parent = *parent as usize;
                    reaches[parent] = reaches[parent].min(reaches[at]);
                }
                if reaches[at] == met[at] {
                    while let Some(member) = open.pop() {
                        of[member as usize] = components;
                        if member == vertex {
                            break;
                        }
                    }
                    components += 1;
                }
            }
        }
        Components { of, back }
    }
}

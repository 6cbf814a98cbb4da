//! A k-d tree (Bentley 1975) over descriptors: what lies near a point is found without looking at all others.

use super::grey::{Descriptor, LENGTH};

/// Points that are looked at one after the other.
const LEAF: usize = 16;

/// Points in the order of their leaves, halved again and again along the axis in which they differ most.
pub(super) struct Tree {
    points: Vec<Descriptor>,
    /// Where each point stood in what the tree was built of.
    origin: Vec<usize>,
    /// In the order in which they are made: a node, all below its first half, all below its second half.
    nodes: Vec<Node>,
}

enum Node {
    Leaf,
    /// The largest value of the first half along the axis, the smallest of the second, and where that half's node is.
    Split {
        axis: usize,
        first_end: f32,
        second_start: f32,
        second: usize,
    },
}

/// A search under way.
struct Search<'a, F> {
    tree: &'a Tree,
    query: &'a Descriptor,
    /// How far the query is from the box of the present node, along each axis.
    apart: Descriptor,
    /// The largest squared distance of interest.
    reach: f32,
    meet: F,
}

impl Tree {
    pub(super) fn new(points: &[Descriptor]) -> Self {
        let mut origin: Vec<usize> = (0..points.len()).collect();
        let mut nodes = Vec::new();
        divide(points, &mut origin, &mut nodes);
        Self { points: origin.iter().map(|&index| points[index]).collect(), origin, nodes }
    }

    /// Calls `meet` with each point whose squared distance from the query is at most `reach`, given by its place in
    /// what the tree was built of; `meet` answers with a new reach, which may be smaller.
    pub(super) fn visit(&self, query: &Descriptor, reach: f32, meet: impl FnMut(usize) -> f32) {
        if !self.points.is_empty() {
            let mut search = Search { tree: self, query, apart: [0.0; LENGTH], reach, meet };
            search.descend(0, 0..self.points.len(), 0.0);
        }
    }
}

/// Where a range of points is halved.
fn middle(start: usize, end: usize) -> usize {
    start + (end - start) / 2
}

fn divide(points: &[Descriptor], part: &mut [usize], nodes: &mut Vec<Node>) {
    let here = nodes.len();
    nodes.push(Node::Leaf);
    if part.len() <= LEAF {
        return;
    }
    let axis = widest(points, part);
    let half = middle(0, part.len());
    part.select_nth_unstable_by(half, |&a, &b| points[a][axis].total_cmp(&points[b][axis]).then(a.cmp(&b)));
    let (first, second) = part.split_at_mut(half);
    let along = |index: &usize| points[*index][axis];
    let first_end = first.iter().map(along).fold(f32::NEG_INFINITY, f32::max);
    let second_start = along(&second[0]);
    divide(points, first, nodes);
    nodes[here] = Node::Split { axis, first_end, second_start, second: nodes.len() };
    divide(points, second, nodes);
}

/// The axis with the largest variance.
fn widest(points: &[Descriptor], part: &[usize]) -> usize {
    let (mut sums, mut squares) = ([0.0; LENGTH], [0.0; LENGTH]);
    for &index in part {
        for (axis, &value) in points[index].iter().enumerate() {
            sums[axis] += f64::from(value);
            squares[axis] += f64::from(value).powi(2);
        }
    }
    let variance = |axis: usize| squares[axis] - sums[axis].powi(2) / part.len() as f64;
    (0..LENGTH).max_by(|&a, &b| variance(a).total_cmp(&variance(b))).unwrap_or(0)
}

impl<F: FnMut(usize) -> f32> Search<'_, F> {
    /// `distance` is the squared distance of the query from the node's box.
    fn descend(&mut self, node: usize, range: std::ops::Range<usize>, distance: f32) {
        let Node::Split { axis, first_end, second_start, second } = self.tree.nodes[node] else {
            for (point, &origin) in self.tree.points[range.clone()].iter().zip(&self.tree.origin[range]) {
                if within(self.query, point, self.reach) {
                    self.reach = (self.meet)(origin);
                }
            }
            return;
        };
        let half = middle(range.start, range.end);
        let at = self.query[axis];
        let mut halves = [
            (node + 1, range.start..half, (at - first_end).max(0.0)),
            (second, half..range.end, (second_start - at).max(0.0)),
        ];
        if halves[1].2 < halves[0].2 {
            halves.reverse();
        }
        let before = self.apart[axis];
        for (node, range, apart) in halves {
            // A gap to a part of the box is never smaller than one to the whole box.
            let apart = apart.max(before);
            let distance = distance - before * before + apart * apart;
            if distance <= self.reach {
                self.apart[axis] = apart;
                self.descend(node, range, distance);
            }
        }
        self.apart[axis] = before;
    }
}

/// Is the squared distance at most `reach`? Mostly the first 16 numbers, the widest waves, say no.
fn within(a: &Descriptor, b: &Descriptor, reach: f32) -> bool {
    let mut sum = 0.0;
    a.chunks_exact(16).zip(b.chunks_exact(16)).all(|(a, b)| {
        sum += a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
        sum <= reach
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn a_visit_meets_the_points_in_reach_and_no_others() {
        // Gathered about few centres, as pictures are; a multiple of no power of two.
        let mut rng = Rng::new("points");
        let centres: Vec<Descriptor> = (0..9).map(|_| std::array::from_fn(|_| rng.range(-0.1, 0.1) as f32)).collect();
        let mut point = |at: usize| centres[at % 9].map(|value| value + rng.range(-0.05, 0.05) as f32);
        let points: Vec<Descriptor> = (0..1003).map(&mut point).collect();
        let tree = Tree::new(&points);
        let (mut met_all, mut looked_at) = (0, 0);
        for query in (0..50).map(&mut point) {
            let mut met = Vec::new();
            tree.visit(&query, 0.1, |index| {
                met.push(index);
                0.1
            });
            met.sort_unstable();
            let expected: Vec<usize> = (0..points.len()).filter(|&at| within(&query, &points[at], 0.1)).collect();
            assert_eq!(met, expected);
            met_all += met.len();
            // A reach that becomes nothing ends the search.
            tree.visit(&query, 0.1, |_| {
                looked_at += 1;
                -1.0
            });
        }
        assert!(met_all > 1000 && looked_at <= 50, "{met_all} {looked_at}");
        Tree::new(&[]).visit(&points[0], 9.0, |_| unreachable!("no point"));
    }

    #[test]
    fn equal_points_are_all_met() {
        let tree = Tree::new(&vec![[0.25; LENGTH]; 100]);
        let mut met = 0;
        tree.visit(&[0.25; LENGTH], 0.0, |_| {
            met += 1;
            0.0
        });
        assert_eq!(met, 100);
    }
}

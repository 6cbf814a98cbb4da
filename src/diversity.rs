//! The diversified loss of an ensemble (paper Eqs. 3 to 5).

use crate::{
    Result,
    graph::Graph,
    models::{BRANCH_LAYERS, Network},
    ops::{Objective, Op, Similarity, TensorId, UnitLength},
};

/// The smallest determinant that `logdet` tells apart from 0.
pub const LOGDET_EPS: f64 = 1e-12;

/// ε of [`centred`]: a gate's map of which each of nine values moves by less than 0.003 counts for less than its direction.
pub const CENTRED_EPS: f64 = 1e-4;

/// What is diversified, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Diversity {
    /// Between the pooled features of MA-Net's two branches.
    pub branch: bool,
    /// Between the spatial attention maps of an ESR's branches, or the spatial maps of MA-Net's patches.
    pub spatial: bool,
    /// Between the channel attention vectors of an ESR's branches, or the channel vectors of MA-Net's patches.
    pub channel: bool,
    /// A zero diagonal of S as in the released code; the paper's is 1.
    pub released: bool,
    /// det, logdet (of S, or of S + εI) or sum.
    pub objective: Objective,
    /// The share of the cross-entropy that is the mean answer's, 0 to 1; 0 in the paper.
    pub mixture: f64,
    /// The layer of an ESR's branches whose attention is compared, 1 to [`BRANCH_LAYERS`], which is the paper's.
    pub layer: usize,
    /// Whether maps are compared centred and at unit length, γ 1 in place of 10: see [`centred`]. The paper compares them
    /// as they are.
    pub centred: bool,
    /// Whether each term has a weight λ, an input that is written before each step; else λ is 1.
    pub weighted: bool,
}

impl Diversity {
    /// The paper's: all kinds that a network has, unit diagonal, determinant, without weights.
    pub const PAPER: Self = Self {
        branch: true,
        spatial: true,
        channel: true,
        released: false,
        objective: Objective::Det,
        mixture: 0.0,
        layer: BRANCH_LAYERS,
        centred: false,
        weighted: false,
    };
    /// None.
    pub const NONE: Self = Self { branch: false, spatial: false, channel: false, ..Self::PAPER };

    /// Whether maps of a kind are diversified, where a network has them.
    #[must_use]
    pub fn wants(&self, kind: &str) -> bool {
        match kind {
            "branch" => self.branch,
            "spatial" => self.spatial,
            "channel" => self.channel,
            _ => false,
        }
    }
}

/// One diversity term of a loss.
#[derive(Debug, Clone)]
pub struct Term {
    /// `branch`, `spatial` or `channel`, or the caller's name.
    pub kind: String,
    /// The learners' maps φ.
    pub maps: TensorId,
    /// What is compared: φ, or φ̃ of [`centred`].
    pub compared: TensorId,
    /// The input γ `[1]`.
    pub gamma: TensorId,
    /// The input λ `[1]`; none where it is 1.
    pub weight: Option<TensorId>,
    /// S `[L, L]`.
    pub similarity: TensorId,
    /// D `[1]`.
    pub value: TensorId,
}

/// A loss in a graph.
#[derive(Debug, Clone)]
pub struct Loss {
    /// The loss `[1]` that training minimises.
    pub total: TensorId,
    /// Σ over heads of the weighted cross-entropies `[1]`, with its share of the mean answer's.
    pub cross_entropy: TensorId,
    /// Each head's cross-entropy `[B]`.
    pub head_losses: TensorId,
    /// Hits of each head and of the majority vote `[B+1]`.
    pub hits: TensorId,
    /// Diversity terms.
    pub terms: Vec<Term>,
}

/// Adds the diversity of `learners` maps to a graph: any maps, of layers, branches or regions, stacked
/// learner-major along the channels. Adds the input `gamma.<kind>` `[1]` (10 in the paper), and `diversity_weight.<kind>`
/// `[1]` where the terms are weighted.
///
/// # Errors
/// [`crate::Error::Shape`] where the maps do not divide into the learners.
pub fn term(graph: &mut Graph, kind: &str, maps: TensorId, learners: usize, spec: &Diversity) -> Result<Term> {
    graph.set_scope(format!("diversity.{kind}"));
    let gamma = graph.input(format!("gamma.{kind}"), [1]);
    let weight = spec.weighted.then(|| graph.input(format!("diversity_weight.{kind}"), [1]));
    let op = Similarity { learners, zero_diagonal: spec.released };
    let compared = if spec.centred { centred(graph, maps, learners)? } else { maps };
    let similarity = graph.similarity(compared, gamma, op)?;
    let value = graph.determinant(similarity, spec.objective)?;
    Ok(Term { kind: kind.to_owned(), maps, compared, gamma, weight, similarity, value })
}

/// The `learners` maps φ `[N, L·F…]` of a batch without what they are for every image, at unit length:
/// `φ̃_l(x) = (φ_l(x) − φ̄_l) / √(‖φ_l(x) − φ̄_l‖² + ε)`, φ̄_l the mean over the batch, ε [`CENTRED_EPS`].
///
/// Squared distances of such maps are 0 to 4, and by chance about 2. Masks that are the same for every image, and how
/// strong a branch's attention is, count nothing.
///
/// # Errors
/// [`crate::Error::Shape`] where the maps do not divide into the learners.
pub fn centred(graph: &mut Graph, maps: TensorId, learners: usize) -> Result<TensorId> {
    let images = graph.tensor(maps).shape.dims()[0];
    let mean = graph.axis_mean(maps, 0)?;
    let mean = graph.axis_repeat(mean, 0, images)?;
    let rest = graph.weighted_sum(&[(maps, 1.0), (mean, -1.0)])?;
    graph.unit_length(rest, UnitLength { learners, eps: CENTRED_EPS })
}

/// `loss − Σ λ·D` (Eq. 3, where λ is 1); a similarity objective (`sum`) is added instead.
///
/// # Errors
/// [`crate::Error::Shape`] for more than three terms.
pub fn diversified(graph: &mut Graph, loss: TensorId, terms: &[Term], spec: &Diversity) -> Result<TensorId> {
    if terms.is_empty() {
        return Ok(loss);
    }
    graph.set_scope("loss");
    let sign = if spec.objective == Objective::Sum { 1.0 } else { -1.0 };
    let mut parts = vec![(loss, 1.0)];
    for term in terms {
        let value = match term.weight {
            Some(weight) => graph.multiply(term.value, weight)?,
            None => term.value,
        };
        parts.push((value, sign));
    }
    graph.weighted_sum(&parts)
}

/// The loss of a network (Eqs. 4 and 5): `Σ_b weight_b·CE_b − Σ λ·D`, a term for each kind of the network's maps that the
/// specification wants and that has at least two learners.
///
/// Where [`Diversity::mixture`] α is above 0, the first sum is
/// `(1−α)·Σ_b weight_b·CE(p_b) + α·W·CE(Σ_b weight_b·p_b / W)`, `W = Σ_b weight_b`, for the heads' answers p_b (Webb et al.
/// 2020, Buschjäger et al. 2020): the second part asks the heads to be right together, and by the difference of the two, in
/// which answers may differ.
///
/// `targets` `[N, K]` are one-hot or distributions, `weights` `[B]` the heads' weights (0 for those not trained).
///
/// # Errors
/// [`crate::Error::Shape`] for wrong inputs.
pub fn diversified_loss(
    graph: &mut Graph,
    network: &Network,
    targets: TensorId,
    weights: TensorId,
    spec: &Diversity,
) -> Result<Loss> {
    graph.set_scope("loss");
    let [mut cross_entropy, head_losses, hits] = graph.cross_entropy(network.logits, targets, weights)?;
    if spec.mixture > 0.0 {
        let together = graph.mixture_cross_entropy(network.logits, targets, weights)?;
        cross_entropy = graph.weighted_sum(&[(cross_entropy, 1.0 - spec.mixture), (together, spec.mixture)])?;
    }
    let mut terms = Vec::new();
    for maps in network.maps_of(spec.layer).iter().filter(|maps| maps.learners > 1 && spec.wants(maps.kind)) {
        terms.push(term(graph, maps.kind, maps.map, maps.learners, spec)?);
    }
    let total = diversified(graph, cross_entropy, &terms, spec)?;
    Ok(Loss { total, cross_entropy, head_losses, hits, terms })
}

/// What the sums over steps of a loss hold, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LossSums {
    /// The names of the states that hold them, each `[2, E]` as [`crate::ops::RunningSums`] has it.
    pub states: Vec<String>,
    /// The elements of each of those tensors: the loss, each head's cross-entropy, the hits of each head and of the
    /// vote, then S and D of each term.
    pub sizes: Vec<usize>,
}

/// Sums over the steps what a loss consists of, on the device. Adds the state `sums`, and `sums2` for three terms.
///
/// # Errors
/// See [`Graph::running_sums`].
pub fn loss_sums(graph: &mut Graph, loss: &Loss) -> Result<LossSums> {
    graph.set_scope("loss");
    let terms = loss.terms.iter().flat_map(|term| [term.similarity, term.value]);
    let tensors: Vec<_> = [loss.total, loss.head_losses, loss.hits].into_iter().chain(terms).collect();
    let states = graph.running_sums("sums", &tensors)?;
    Ok(LossSums {
        states: states.iter().map(|id| graph.tensor(*id).name.clone()).collect(),
        sizes: tensors.iter().map(|id| graph.tensor(*id).shape.elements()).collect(),
    })
}

/// The gradients that the diversity terms send into the maps that they compare, in the order of their ops; after
/// [`Graph::gradients`]. For logging how strongly each term pulls.
#[must_use]
pub fn map_gradients(graph: &Graph) -> Vec<(String, TensorId)> {
    graph
        .nodes()
        .iter()
        .filter(|node| matches!(node.op, Op::SimilarityGrad(_)))
        .map(|node| (node.scope.clone(), node.outputs[0]))
        .collect()
}

//! The diversified loss of an ensemble (paper Eqs. 3 and 4).

use crate::{
    Error, Result,
    graph::Graph,
    models::Esr,
    ops::{Objective, Op, Similarity, TensorId},
};

/// The smallest determinant that `logdet` tells apart from 0.
pub const LOGDET_EPS: f64 = 1e-12;

/// What is diversified, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Diversity {
    /// Between the branches' spatial attention maps.
    pub spatial: bool,
    /// Between the branches' channel attention vectors.
    pub channel: bool,
    /// A zero diagonal of S as in the released code; the paper's is 1.
    pub released: bool,
    /// det, logdet or sum.
    pub objective: Objective,
}

impl Diversity {
    /// The paper's: both kinds, unit diagonal, determinant.
    pub const PAPER: Self = Self { spatial: true, channel: true, released: false, objective: Objective::Det };
    /// None.
    pub const NONE: Self = Self { spatial: false, channel: false, ..Self::PAPER };
}

/// One diversity term of a loss.
#[derive(Debug, Clone)]
pub struct Term {
    /// `spatial` or `channel`, or the caller's name.
    pub kind: String,
    /// The learners' maps φ.
    pub maps: TensorId,
    /// The input γ [1].
    pub gamma: TensorId,
    /// S [L, L].
    pub similarity: TensorId,
    /// D [1].
    pub value: TensorId,
}

/// A loss in a graph.
#[derive(Debug, Clone)]
pub struct Loss {
    /// The loss [1] that training minimises.
    pub total: TensorId,
    /// Σ over branches of the weighted cross-entropies [1].
    pub cross_entropy: TensorId,
    /// Each branch's cross-entropy [B].
    pub branch_losses: TensorId,
    /// Hits of each branch and of the majority vote [B+1].
    pub hits: TensorId,
    /// Diversity terms.
    pub terms: Vec<Term>,
}

/// Adds the diversity of `learners` maps to a graph: any maps, of layers, branches or regions, stacked
/// learner-major along the channels. Adds the input `gamma.<kind>` [1] (10 in the paper).
///
/// # Errors
/// [`Error::Shape`] where the maps do not divide into the learners.
pub fn term(graph: &mut Graph, kind: &str, maps: TensorId, learners: usize, spec: &Diversity) -> Result<Term> {
    graph.set_scope(format!("diversity.{kind}"));
    let gamma = graph.input(format!("gamma.{kind}"), [1]);
    let op = Similarity { learners, zero_diagonal: spec.released };
    let similarity = graph.similarity(maps, gamma, op)?;
    let value = graph.determinant(similarity, spec.objective)?;
    Ok(Term { kind: kind.to_owned(), maps, gamma, similarity, value })
}

/// `loss − Σ D` (Eq. 3); a similarity objective (`sum`) is added instead.
///
/// # Errors
/// [`Error::Shape`] for more than three terms.
pub fn diversified(graph: &mut Graph, loss: TensorId, terms: &[Term], spec: &Diversity) -> Result<TensorId> {
    if terms.is_empty() {
        return Ok(loss);
    }
    graph.set_scope("loss");
    let sign = if spec.objective == Objective::Sum { 1.0 } else { -1.0 };
    let parts: Vec<_> = std::iter::once((loss, 1.0)).chain(terms.iter().map(|term| (term.value, sign))).collect();
    graph.weighted_sum(&parts)
}

/// ESR's loss (Eq. 4): `Σ_b weight_b·CE_b − (D_ch + D_sp)`; terms exist only from two branches on.
///
/// `targets` [N, K] are one-hot or distributions, `weights` [B] the branches' weights (0 for those not yet trained).
///
/// # Errors
/// [`Error::Usage`] where a diversity is asked of a network without attention, [`Error::Shape`] for wrong inputs.
pub fn esr_loss(graph: &mut Graph, esr: &Esr, targets: TensorId, weights: TensorId, spec: &Diversity) -> Result<Loss> {
    graph.set_scope("loss");
    let branches = graph.tensor(weights).shape.elements();
    let [cross_entropy, branch_losses, hits] = graph.cross_entropy(esr.logits, targets, weights)?;
    let mut terms = Vec::new();
    for (wanted, kind, maps) in [(spec.spatial, "spatial", esr.spatial), (spec.channel, "channel", esr.channel)] {
        match maps {
            Some(maps) if wanted && branches > 1 => terms.push(term(graph, kind, maps, branches, spec)?),
            None if wanted && branches > 1 => {
                return Err(Error::Usage {
                    setting: format!("{kind}-diversity"),
                    expected: "a network with attention".into(),
                    found: "attention = false".into(),
                    hint: "turn the attention on or the diversity off".into(),
                });
            }
            _ => {}
        }
    }
    let total = diversified(graph, cross_entropy, &terms, spec)?;
    Ok(Loss { total, cross_entropy, branch_losses, hits, terms })
}

/// The gradients that the diversity terms send into the maps, in the order of their ops; after
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

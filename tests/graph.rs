//! What holds for every graph without any device: the planner's promises, and the errors of the shape rules.

#[path = "graph/errors.rs"]
mod errors;
#[path = "graph/planner.rs"]
mod planner;
mod support;
#[path = "graph/work.rs"]
mod work;

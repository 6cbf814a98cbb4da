//! Cofactors against whole numbers, which no rounding touches.

use moue::{
    Result,
    exec::{Executor, cpu::CpuExecutor},
    graph::Graph,
    ops::{Determinant, Objective},
    rng::Rng,
};

/// The determinant by Laplace's expansion along the first row.
fn laplace(matrix: &[Vec<i64>]) -> i64 {
    let expand = |column: usize| matrix[0][column] * cofactor(matrix, 0, column);
    if matrix.is_empty() { 1 } else { (0..matrix.len()).map(expand).sum() }
}

fn cofactor(matrix: &[Vec<i64>], row: usize, column: usize) -> i64 {
    let minor: Vec<Vec<i64>> = (0..matrix.len())
        .filter(|&i| i != row)
        .map(|i| (0..matrix.len()).filter(|&j| j != column).map(|j| matrix[i][j]).collect())
        .collect();
    if (row + column).is_multiple_of(2) { laplace(&minor) } else { -laplace(&minor) }
}

fn whole_numbers(name: &str, size: usize, rank: usize) -> Vec<Vec<i64>> {
    let mut rng = Rng::new(name);
    let mut rows: Vec<Vec<i64>> = (0..rank).map(|_| (0..size).map(|_| rng.below(7) as i64 - 3).collect()).collect();
    for extra in rank..size {
        // A combination of the rows before it.
        let row = (0..size).map(|j| rows[extra - rank][j] * 2 - rows[extra - 1][j]).collect();
        rows.push(row);
    }
    rows
}

#[test]
fn cofactors_of_whole_matrices_of_every_rank() -> Result<()> {
    let mut executor = CpuExecutor::<f64>::new(Some(1))?;
    for size in 1..=7 {
        for rank in 1..=size {
            let matrix = whole_numbers(&format!("{size} {rank}"), size, rank);
            let mut graph = Graph::new();
            let s = graph.input("s", [size, size]);
            let outputs = graph.push(Determinant { objective: Objective::Det }.into(), &[s], &[])?;
            outputs.iter().for_each(|&id| graph.output(id));
            executor.clear();
            let program = executor.compile(&graph)?;
            let values: Vec<f64> = matrix.iter().flatten().map(|&entry| entry as f64).collect();
            executor.write_f64(program, s, &values)?;
            executor.run(program)?;
            let det = executor.read_f64(program, outputs[0])?[0];
            let exact = laplace(&matrix) as f64;
            assert!(rank == size || exact == 0.0);
            assert!((det - exact).abs() <= 1e-9 * exact.abs().max(1.0), "size {size}, rank {rank}: {det} for {exact}");
            let cofactors = executor.read_f64(program, outputs[1])?;
            for (place, found) in cofactors.iter().enumerate() {
                let exact = cofactor(&matrix, place / size, place % size) as f64;
                let room = 1e-9 * exact.abs().max(1.0);
                assert!(
                    (found - exact).abs() <= room,
                    "size {size}, rank {rank}, cofactor {place}: {found} for {exact}"
                );
            }
        }
    }
    Ok(())
}

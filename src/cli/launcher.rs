//! Programs that start others many times.

use crate::{Error, Result};

/// What OpenMPI, MPICH with its like, and Slurm tell each process of the number of them.
const COUNTS: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"];

/// Refuses to be one of several processes that were started alike: they would do the same in the same folder.
///
/// # Errors
/// [`Error::Usage`].
pub(super) fn expect_one_process(command: &str) -> Result<()> {
    let started = |name: &&str| std::env::var(name).ok()?.trim().parse::<u64>().ok();
    match COUNTS.iter().find_map(|name| started(name).filter(|count| *count > 1).map(|count| (name, count))) {
        None => Ok(()),
        Some((name, count)) => Err(Error::Usage {
            setting: format!("moue {command}"),
            expected: "to be started once".into(),
            found: format!("{count} processes ({name})"),
            hint: "start it without mpirun, or with one task of srun: it uses every core by itself, and several would \
                   train the same network in one folder"
                .into(),
        }),
    }
}

//! Commands that are refused before anything is done.

use super::{TRAIN, ends, folder, model, moue};

#[test]
fn threads_are_from_one_to_four_times_the_hardwares_in_every_command() {
    let folder = folder();
    model(folder.path());
    let most = 4 * std::thread::available_parallelism().map_or(1, usize::from);
    let model = ["--model", "model.safetensors", "--device", "cpu"];
    let predict = [&["predict", "face.png"][..], &model].concat();
    let commands: [&[&str]; 5] = [
        &TRAIN,
        &predict,
        &[&["explain", "face.png"][..], &model].concat(),
        &[&["eval", "--data", TRAIN[2]][..], &model].concat(),
        &["bench", "--mode", "load", "--steps", "1"],
    ];
    for command in commands {
        for threads in [(most + 1).to_string(), "100000".to_owned()] {
            let output = moue(folder.path(), &[command, &["--threads", &threads]].concat()).output();
            ends(&output.expect("moue starts"), 2, &["threads", &format!("1 to {most}"), &threads]);
        }
    }
    for threads in [most, 1, 0] {
        let threads = threads.to_string();
        let output = moue(folder.path(), &[&predict[..], &["--threads", &threads]].concat()).output();
        ends(&output.expect("moue starts"), 0, &[]);
    }
}

#[test]
fn a_training_that_a_launcher_starts_several_times_is_refused() {
    for (name, launcher) in
        [("OMPI_COMM_WORLD_SIZE", "mpirun"), ("PMI_SIZE", "mpirun"), ("SLURM_STEP_NUM_TASKS", "srun")]
    {
        let folder = folder();
        let output = moue(folder.path(), &TRAIN).env(name, "4").output().expect("moue starts");
        ends(&output, 2, &["moue train", "4 processes", name, launcher]);
        assert!(!folder.path().join("runs").exists());
    }
    let folder = folder();
    let output = moue(folder.path(), &TRAIN).env("SLURM_STEP_NUM_TASKS", "1").output().expect("moue starts");
    ends(&output, 0, &[]);
}

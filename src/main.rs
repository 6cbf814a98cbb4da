//! The command line of moue.

fn main() -> std::process::ExitCode {
    moue::cli::main()
}
